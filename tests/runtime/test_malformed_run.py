"""Anything by anybody while a run trains and is judged: the node never stops.

`DESCENT_SOAK_INPUTS` and `DESCENT_SOAK_SEED` as in `test_malformed.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.pallets.weights.judgement import compute_commitment
from node.runtime.addresses import encode_operator
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2
from tests.pallets.staking.staking_chain import build_create
from tests.pallets.training_chain import build_spec, encode_bitmap, encode_spec, hash_text
from tests.runtime.chain_driver import ChainDriver, Key
from tests.runtime.test_malformed import CODESPACES_OF_FAULTS, LONG, SEED, measure
from tests.support.wild_messages import WildMessages

NAMES = ("owner", "miner-0", "miner-1", "validator-0")
MINERS, VALIDATOR = NAMES[1:3], NAMES[3]
NUM_ROUNDS = 10_000
TXS_PER_BLOCK = 8
SHORT = 1_600
lengths = pytest.mark.parametrize(
    "count", [SHORT, pytest.param(LONG // 10, marks=pytest.mark.soak)], ids=["short", "long"]
)


class WildRun:
    """A run of two miners and a validator; honest messages and any others share its blocks."""

    def __init__(self, path: Path) -> None:
        self.driver = ChainDriver(path, dict.fromkeys(NAMES, 10**12))
        self.driver.make_block()
        texts = {name: Key(name).text for name in NAMES}
        self.texts = texts
        self.refusals: set[tuple[str, int]] = set()
        operator = encode_operator(Key(VALIDATOR).addr)
        spec = build_spec(num_rounds=NUM_ROUNDS, min_validators=1)
        self.deliver(VALIDATOR, build_create(VALIDATOR, 10**9, validator_address=operator))
        create = runs_pb2.MsgCreateRun(
            owner=texts["owner"], spec=encode_spec(spec), bounty_udsc=10**9
        )
        self.deliver("owner", create)
        for name in (*MINERS, VALIDATOR):
            role = runs_pb2.ROLE_MINER if name in MINERS else runs_pb2.ROLE_VALIDATOR
            register = runs_pb2.MsgRegister(
                coldkey=texts[name], hotkey=texts[name], run_id=1, role=role, max_burn_udsc=10**9
            )
            self.deliver(name, register)
        calls = self.driver.chain.runtime.calls
        self.specs = [spec for url, spec in calls.items() if url.startswith("/descent.")]
        self.malformer = WildMessages(
            10 * SEED + 7,
            [*texts.values(), operator],
            [],
            {"addr": [*texts.values()], "key": [*texts.values()], "": [*texts.values(), "x"]},
        )

    def deliver(self, name: str, message: Any) -> None:
        assert self.driver.deliver(self.driver.sign(Key(name), message)).code == 0

    def make_wild(self) -> tuple[str, Any]:
        """Make a random message of the run's pallets, and who signs it."""
        source = self.malformer.source
        while True:
            spec = source.choice(self.specs)
            name = source.choice(NAMES)
            message = self.malformer.fill(spec.message_class)
            if spec.signer_field:
                setattr(message, spec.signer_field, self.texts[name])
            has_halted = isinstance(message, runs_pb2.MsgHaltRun)
            if message.ByteSize() < 20_000 and not (has_halted and name == "owner"):
                return name, message

    def list_honest(self) -> list[tuple[str, Any]]:
        """List what honest participants say now, whether or not it is the time for it."""
        texts, height = self.texts, str(self.driver.height)
        found: list[tuple[str, Any]] = []
        for name in MINERS:
            commit = rounds_pb2.MsgCommitPayload(
                hotkey=texts[name],
                run_id=1,
                round=self.current.index,
                payload_hash=hash_text(name + height),
                payload_size=100,
                trace_root=hash_text("trace"),
                optimiser_root_in=self.roots.get(name, b""),
                optimiser_root_out=hash_text("optimiser"),
            )
            found.append((name, commit))
        common = {"hotkey": texts[VALIDATOR], "run_id": 1, "round": self.current.index}
        bitmap = encode_bitmap([0, 1])
        found.append((VALIDATOR, rounds_pb2.MsgAttestAvailability(bitmap=bitmap, **common)))
        root = hash_text(f"theta/{self.current.index + 1}")
        found.append((VALIDATOR, rounds_pb2.MsgAttestState(result_root=root, **common)))
        return [*found, *self._list_judging()]

    def _list_judging(self) -> list[tuple[str, Any]]:
        hotkey, judged = self.texts[VALIDATOR], self.current.index - 1
        if judged < 0:
            return []
        judgement = weights_pb2.Judgement(
            run_id=1, round=judged, validator_uid=2, uids=[0, 1], weights_u16=[2, 1]
        )
        for uid in (0, 1):
            judgement.verdicts.add(uid=uid, reason=weights_pb2.REASON_CODE_OK)
        salt = hash_text("salt")
        commit = weights_pb2.MsgCommitWeights(
            hotkey=hotkey, run_id=1, round=judged, commitment=compute_commitment(judgement, salt)
        )
        reveal = weights_pb2.MsgRevealWeights(hotkey=hotkey, judgement=judgement, salt=salt)
        return [(VALIDATOR, commit), (VALIDATOR, reveal)]

    def look(self) -> None:
        """Read the round in work and the roots carried on."""
        request = rounds_pb2.QueryCurrentRoundRequest(run_id=1)
        answer = self.driver.query("/descent.rounds.v1.Query/CurrentRound", request)
        self.current = rounds_pb2.QueryRoundResponse.FromString(answer.value).round
        request = runs_pb2.QueryParticipantsRequest(run_id=1)
        answer = self.driver.query("/descent.runs.v1.Query/Participants", request)
        members = runs_pb2.QueryParticipantsResponse.FromString(answer.value).participants
        self.roots = {
            name: bytes(member.optimiser_root)
            for member in members
            for name in MINERS
            if member.hotkey == self.texts[name]
        }

    def step(self, index: int) -> None:
        """Make a block of random messages and, now and then, honest ones among them."""
        if index % TXS_PER_BLOCK:
            return
        source = self.malformer.source
        self.look()
        chosen = [self.make_wild() for _ in range(TXS_PER_BLOCK)]
        if source.random() < 0.9:
            chosen += self.list_honest()
            source.shuffle(chosen)
        sequences = {name: self.driver.get_account(Key(name)).sequence for name in NAMES}
        txs = []
        for name, message in chosen:
            txs.append(
                self.driver.sign(Key(name), message, sequence=sequences[name], gas=2 * 10**6)
            )
            sequences[name] += 1
        response = self.driver.make_block(txs)
        for result in response.tx_results[1:]:
            if result.code:
                self.refusals.add((result.codespace, result.code))


@lengths
def test_wild_run(tmp_path: Path, count: int) -> None:
    wild = WildRun(tmp_path / "state")
    measure(wild.step, count)
    wild.driver.check_invariants()
    wild.look()
    rounds = wild.current.index
    wild.driver.close()
    names = {name for name, _ in wild.refusals}
    assert not names & {*CODESPACES_OF_FAULTS}, wild.refusals
    assert {"runs", "rounds", "weights"} <= names
    print(f"{rounds} rounds, {len(wild.refusals)} kinds of refusal")
    assert rounds >= 2
