"""Malformed inputs to CheckTx, blocks and queries: refused, never a fault, memory flat.

`DESCENT_SOAK_INPUTS` says how many a soak gives to each of the three, 350 000 by default;
`DESCENT_SOAK_SEED` gives others.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tendermint.abci import types_pb2 as abci

from node.runtime.addresses import encode_operator
from node.runtime.pallet import AUTHORITY_ADDR, encode_account
from tests.runtime.chain_driver import ChainDriver, Key
from tests.support.wild_messages import WildMessages

ALICE = Key("alice")
SHORT, LONG = 3_000, int(os.environ.get("DESCENT_SOAK_INPUTS", "350000"))
SEED = int(os.environ.get("DESCENT_SOAK_SEED", "0"))
TXS_PER_BLOCK = 100
GROWTH_MAX_BYTES = 16 << 20
"""A leak of 50 bytes an input would be 17 MiB in a whole soak. Pages of files are not counted."""
CODESPACES_OF_FAULTS = ("", "undefined")
lengths = pytest.mark.parametrize(
    "count", [SHORT, pytest.param(LONG, marks=pytest.mark.soak)], ids=["short", "long"]
)


@pytest.fixture
def rich(tmp_path: Path) -> Iterator[ChainDriver]:
    driver = ChainDriver(tmp_path / "state", {"alice": 10**13, "bob": 10**9})
    driver.make_block()
    yield driver
    driver.close()


def list_texts(driver: ChainDriver) -> list[str]:
    """List words that mean something to the chain."""
    return [
        ALICE.text,
        Key("bob").text,
        driver.operator.text,
        encode_operator(ALICE.addr),
        encode_operator(driver.operator.addr),
        encode_account(AUTHORITY_ADDR),
        *driver.chain.runtime.calls,
        "bank",
        "10000000udsc",
    ]


def make_malformer(driver: ChainDriver, seed: int) -> WildMessages:
    packed = [spec.message_class for spec in driver.chain.runtime.calls.values()]
    accounts = [ALICE.text, Key("bob").text, driver.operator.text]
    plausible = {
        "denom": ["udsc"],
        "min_self": ["1", "1000000"],
        "amount": ["1", "1000000", "5000000"],
        "rate": ["100000000000000000"],
        "validator": [encode_operator(ALICE.addr), encode_operator(driver.operator.addr)],
        "authority": [encode_account(AUTHORITY_ADDR)],
        "msg": list(driver.chain.runtime.calls),
        "addr": accounts,
        "": [*accounts, "x"],
    }
    return WildMessages(10 * SEED + seed, list_texts(driver), packed, plausible)


def make_message(driver: ChainDriver, malformer: WildMessages) -> Any:
    """Make a random message of a random call, which Alice may sign."""
    specs = list(driver.chain.runtime.calls.values())
    while True:
        spec = malformer.source.choice(specs)
        message = malformer.fill(spec.message_class)
        if spec.signer_field and malformer.source.random() < 0.95:
            is_operator = spec.signer_field == "validator_address"
            text = encode_operator(ALICE.addr) if is_operator else ALICE.text
            setattr(message, spec.signer_field, text)
        if message.ByteSize() < 50_000:
            return message


def measure(step: Callable[[int], None], count: int) -> None:
    """Do `count` steps; the last nine tenths must not take memory."""
    before = 0
    for index in range(count):
        step(index)
        if index == count // 10:
            gc.collect()
            before = measure_memory()
    gc.collect()
    growth = measure_memory() - before
    print(f"{count} inputs, memory grew by {growth / 2**20:.1f} MiB after the first tenth")
    assert growth < GROWTH_MAX_BYTES


def measure_memory() -> int:
    """Measure what this process alone holds in memory, bytes; not the state's mapped file."""
    found = psutil.Process().memory_info()
    return int(found.rss - found.shared)


@lengths
def test_check_tx(rich: ChainDriver, count: int) -> None:
    """Damaged transactions, and random bytes, on arrival."""
    malformer = make_malformer(rich, 1)
    valid = [
        rich.sign(ALICE, make_message(rich, malformer), sequence=0, memo=str(index))
        for index in range(200)
    ]
    refusals: set[tuple[str, int]] = set()

    def step(index: int) -> None:
        if index % 10 == 9:
            tx = malformer.source.randbytes(malformer.source.randrange(200))
        else:
            tx = malformer.mutate(malformer.source.choice(valid), valid)
        kind = abci.NEW if index % 3 else abci.RECHECK
        response = rich.app.check_tx(abci.RequestCheckTx(tx=tx, type=kind))
        if response.code:
            refusals.add((response.codespace, response.code))
        else:
            rich.app._reset_check_state()

    measure(step, count)
    assert not {name for name, _ in refusals} & {*CODESPACES_OF_FAULTS}, refusals
    assert len(refusals) >= 5, refusals


@lengths
def test_blocks(rich: ChainDriver, count: int) -> None:
    """Well-signed transactions whose messages hold anything: the node never stops."""
    malformer = make_malformer(rich, 2)
    refusals: set[tuple[str, int]] = set()
    succeeded = 0
    txs: list[bytes] = []

    def step(index: int) -> None:
        nonlocal succeeded
        number = malformer.source.choice((1, 1, 1, 2))
        messages = [make_message(rich, malformer) for _ in range(number)]
        sequence = rich.get_account(ALICE).sequence + len(txs)
        txs.append(rich.sign(ALICE, *messages, sequence=sequence, gas=10**6))
        if len(txs) < TXS_PER_BLOCK:
            return
        for result in rich.make_block(list(txs)).tx_results[1:]:
            if result.code:
                refusals.add((result.codespace, result.code))
            succeeded += not result.code
        txs.clear()

    measure(step, count)
    rich.check_invariants()
    assert not {name for name, _ in refusals} & {*CODESPACES_OF_FAULTS}, refusals
    assert len(refusals) >= 30, refusals
    assert succeeded > count // 300
    print(f"{succeeded} succeeded, {len(refusals)} kinds of refusal")


@lengths
def test_queries(rich: ChainDriver, count: int) -> None:
    """Random and damaged questions of every query, at any height."""
    malformer = make_malformer(rich, 3)
    specs = list(rich.chain.runtime.queries.values())
    pallets = [*rich.chain.runtime.pallets, "nothing"]
    codes: set[int] = set()

    def step(index: int) -> None:
        source = malformer.source
        data = b""
        if index % 4 == 3:
            path = f"/store/{source.choice(pallets)}/{source.choice(('key', 'subspace', ''))}"
            data = source.randbytes(source.randrange(60))
        else:
            spec = source.choice(specs)
            path, data = spec.path, malformer.fill(spec.request_class).SerializeToString()
            if index % 4 == 2:
                data = malformer.mutate(data)
        if index % 50 == 49:
            path = malformer.mutate(path.encode()).decode(errors="replace")
        height = source.choice((0, 0, 0, 1, 2, 7, -1, 2**62))
        request = abci.RequestQuery(
            path=path.replace("\0", ""), data=data, height=height, prove=source.random() < 0.2
        )
        codes.add(rich.app.query(request).code)

    measure(step, count)
    assert codes <= {0, 6, 18, 22}, codes
