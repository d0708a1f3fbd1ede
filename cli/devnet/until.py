"""`--until`: when `devnet up` is done by itself."""

import re
from dataclasses import dataclass
from typing import Literal

from chain_client.client import ChainClient
from chain_client.errors import ChainClientError
from cli.devnet.view import DevnetView
from cli.lineage.bundle import LineageMismatch
from cli.lineage.collect import verify_checkpoint
from proto.descent.runs.v1 import runs_pb2

PATTERN = re.compile(r"^(?:reward|(round|height):(\d{1,9}))$")


@dataclass(frozen=True)
class Until:
    """A condition: a first verified reward, a settled round, or a height."""

    kind: Literal["reward", "round", "height"]
    number: int = 0


def parse_until(text: str) -> Until:
    """Parse `reward`, `round:N` or `height:N`.

    Raises:
        ValueError: it is none of them.
    """
    match = PATTERN.match(text)
    if match is None:
        raise ValueError(f"--until {text!r}: say reward, round:N or height:N")
    if match.group(1) is None:
        return Until("reward")
    return Until("round" if match.group(1) == "round" else "height", int(match.group(2)))


async def is_reached(until: Until, view: DevnetView, client: ChainClient, run_id: int) -> bool:
    """Whether the condition holds.

    `reward`: a miner was paid for a round that is settled and audited, and the checkpoint of that
    round verifies.
    """
    if until.kind == "height":
        return view.height >= until.number
    if until.kind == "round":
        settled = view.checkpoint.round if view.checkpoint is not None else 0
        return settled >= until.number
    return await _has_reward(view, client, run_id)


async def _has_reward(view: DevnetView, client: ChainClient, run_id: int) -> bool:
    if view.judged_round is None:
        return False
    for index in range(view.judged_round + 1):
        try:
            judged = await client.get_checkpoint(run_id, index + 1)
        except ChainClientError:
            continue
        members = {m.uid: m for m in await client.get_participants(run_id)}
        rewards = [
            reward
            for reward in judged.judgement.rewards
            if reward.amount_udsc
            and reward.uid in members
            and members[reward.uid].role == runs_pb2.ROLE_MINER
            and members[reward.uid].total_paid_udsc
        ]
        audited = {record.uid for record in judged.judgement.audits if record.audit.matches}
        if any(reward.uid in audited for reward in rewards):
            try:
                await verify_checkpoint(client, run_id, index + 1)
            except LineageMismatch:
                continue
            return True
    return False
