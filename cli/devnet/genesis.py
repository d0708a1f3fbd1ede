"""Make a devnet's home: keys, genesis, spec file; wait until its chain answers."""

import asyncio
import time
from pathlib import Path
from typing import Any

from chain_client.client import ChainClient
from chain_client.errors import ChainClientError, NotFound
from chain_client.keys import Key, Keyring
from cli.devnet import layout, processes
from cli.output import CommandFailed
from genesis import devnet

POLL_SECONDS = 0.1


def prepare_home(plan: layout.DevnetPlan) -> list[dict[str, Any]]:
    """Write what is missing of keys, genesis and spec file; return the accounts."""
    keyring = Keyring(plan.home, backend="test")
    known = {info.name: info.address for info in keyring.list()}
    accounts = []
    for account in devnet.list_accounts():
        if account.name not in known:
            key = Key.from_mnemonic(account.name, devnet.MNEMONIC, account.index)
            known[account.name] = keyring.add(key).address
        accounts.append(
            {
                "name": account.name,
                "role": account.role,
                "address": account.address,
                "mnemonic": devnet.MNEMONIC,
                "account_index": account.index,
            }
        )
    devnet.write_node_homes(plan.list_node_homes(), known, time.time_ns())
    _write_spec(plan)
    return accounts


def wait_for_chain(plan: layout.DevnetPlan, entry: dict[str, Any], seconds: float) -> None:
    """Wait until the node's gRPC door answers.

    Raises:
        CommandFailed: the node ended, or does not answer in time; with the end of its log.
    """
    deadline = time.monotonic() + seconds

    async def ask() -> int:
        async with ChainClient.connect(plan.grpc, retry_for_s=0.5) as client:
            return await client.height()

    while True:
        try:
            if asyncio.run(ask()) >= 1:
                return
        except ChainClientError:
            pass
        ended = not processes.is_running(entry)
        if ended or time.monotonic() > deadline:
            tail = "\n".join(processes.read_tail(Path(entry["log"]), 5))
            what = "the node ended" if ended else f"no answer within {seconds:.0f} s"
            raise CommandFailed(f"{what}; its log ends with:\n{tail}", hint=f"see {entry['log']}")
        time.sleep(POLL_SECONDS)


def is_run_created(plan: layout.DevnetPlan) -> bool:
    """Whether the owner's run is on the chain: one killed before that has to try again."""

    async def ask() -> bool:
        async with ChainClient.connect(plan.grpc) as client:
            try:
                await client.get_run(layout.RUN_ID)
            except NotFound:
                return False
            return True

    return asyncio.run(ask())


def _write_spec(plan: layout.DevnetPlan) -> None:
    target = plan.home / "run.toml"
    if plan.has_run and not target.exists():
        target.write_text(build_spec(plan))


def build_spec(plan: layout.DevnetPlan) -> str:
    """Build the text of the run's specification."""
    lines = [
        'name = "devnet"',
        f"init_seed = {plan.seed}",
        "num_rounds = 1000",
        "[membership]",
        f"min_miners = {plan.num_miners + len(plan.attackers)}",
        f"min_validators = {plan.num_validators}",
        "[judge]",
        "audit_rate_ppm = 1_000_000",
    ]
    if plan.dataset_dir is not None:
        lines += ["[data]", f"directory = '{plan.dataset_dir}'"]
    return "\n".join(lines) + "\n"
