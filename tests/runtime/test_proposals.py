"""What proposals hold, and which of a dishonest proposer's are rejected."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cosmos.bank.v1beta1 import tx_pb2 as bank_tx
from tendermint.abci import types_pb2 as abci

from node.runtime.coins import build_coin
from tests.runtime.chain_driver import GENESIS_SECONDS, PROPOSER, ChainDriver, Key

ALICE, BOB = Key("alice"), Key("bob")
ACCEPT = abci.ResponseProcessProposal.ACCEPT
REJECT = abci.ResponseProcessProposal.REJECT


def sign(driver: ChainDriver, key: Key, ahead: int, *, amount: int = 1, **options: Any) -> bytes:
    """Sign a transfer whose sequence is `ahead` of the committed one."""
    receiver = BOB if key is ALICE else ALICE
    message = bank_tx.MsgSend(
        from_address=key.text, to_address=receiver.text, amount=[build_coin("udsc", amount)]
    )
    sequence = driver.get_account(key).sequence + ahead
    return driver.sign(key, message, sequence=sequence, **options)


def judge(driver: ChainDriver, txs: Sequence[bytes], *, is_fresh: bool = True) -> int:
    """Have an application on the same state, one that checked nothing, judge a proposal."""
    request = abci.RequestProcessProposal(
        txs=txs,
        height=driver.height + 1,
        proposer_address=PROPOSER,
        proposed_last_commit=driver.make_commit(),
    )
    request.time.seconds = GENESIS_SECONDS + driver.height + 1
    if is_fresh:
        driver.app._rules.forget()
    driver.app._rules._approved = b""
    return int(driver.app.process_proposal(request).status)


def test_what_is_built_is_accepted(driver: ChainDriver) -> None:
    txs = driver.propose([sign(driver, ALICE, 0), sign(driver, BOB, 0), sign(driver, ALICE, 1)])
    assert len(txs) == 4
    assert txs[0][0] == 1
    assert judge(driver, txs) == ACCEPT
    assert judge(driver, txs) == ACCEPT


def test_invalid_transactions_are_left_out(driver: ChainDriver) -> None:
    good = [sign(driver, ALICE, 0), sign(driver, ALICE, 1)]
    bad = [
        sign(driver, ALICE, 7),
        sign(driver, BOB, 0, timeout_height=driver.height),
        b"\x0agarbage",
        b"",
        b"\x01garbage",
        good[0],
    ]
    assert driver.propose([bad[0], good[0], *bad[1:], good[1]])[1:] == good


def test_size_limit(driver: ChainDriver) -> None:
    txs = [sign(driver, ALICE, ahead) for ahead in range(20)]
    inherents = driver.propose([])
    request = abci.RequestPrepareProposal(txs=txs, height=driver.height + 1)
    request.time.seconds = GENESIS_SECONDS + driver.height + 1
    request.max_tx_bytes = sum(map(len, inherents)) + 10 * (len(txs[0]) + 8)
    request.local_last_commit.CopyFrom(driver.make_extended_commit())
    chosen = list(driver.app.prepare_proposal(request).txs)
    assert sum(map(len, chosen)) <= request.max_tx_bytes
    assert chosen[1:] == txs[: len(chosen) - 1]
    assert len(chosen) in (10, 11)


def test_messages_that_fail_are_no_reason_to_reject(driver: ChainDriver) -> None:
    tx = sign(driver, ALICE, 0, amount=10**15)
    assert driver.propose([tx])[1:] == [tx]
    assert judge(driver, [*driver.propose([]), tx]) == ACCEPT


@pytest.mark.parametrize(
    "what",
    [
        "unsigned",
        "garbage",
        "empty",
        "expired",
        "reordered",
        "twice",
        "gap",
        "no_reveal_first",
        "poor",
        "oversize",
        "spent_fee",
        "stripped",
        "forged",
        "second_reveal",
    ],
)
def test_invalid_proposal(driver: ChainDriver, what: str) -> None:
    reveal = driver.propose([])
    first, second = sign(driver, ALICE, 0), sign(driver, ALICE, 1)
    rich = driver.get_balance(ALICE)
    proposals = {
        "unsigned": [*reveal, sign(driver, ALICE, 0, signature=bytes(64))],
        "garbage": [*reveal, first, b"\x0a\x03abc"],
        "empty": [*reveal, b""],
        "expired": [*reveal, sign(driver, ALICE, 0, timeout_height=driver.height)],
        "reordered": [*reveal, second, first],
        "twice": [*reveal, first, first],
        "gap": [*reveal, first, sign(driver, ALICE, 2)],
        "no_reveal_first": [first, *reveal],
        "poor": [*reveal, sign(driver, ALICE, 0, fee=rich + 1)],
        "oversize": [*reveal, sign(driver, ALICE, 0, memo="x" * 2**20)],
        "stripped": [first],
        "forged": [reveal[0][:-1] + bytes((reveal[0][-1] ^ 1,)), first],
        "second_reveal": [*reveal, *reveal, first],
        "spent_fee": [*reveal, sign(driver, ALICE, 0, fee=rich), sign(driver, ALICE, 1, fee=1)],
    }
    assert judge(driver, [*reveal, first, second]) == ACCEPT
    assert judge(driver, proposals[what]) == REJECT


def test_gas_limit_of_a_block(tmp_path: Path) -> None:
    driver = ChainDriver(tmp_path, {"alice": 10**6}, max_gas=500_000)
    driver.make_block()
    txs = [sign(driver, ALICE, ahead) for ahead in range(3)]
    assert len(driver.propose(txs)) == 1 + 2
    reveal = driver.propose([])
    assert judge(driver, [*reveal, *txs[:2]]) == ACCEPT
    assert judge(driver, [*reveal, *txs]) == REJECT
    driver.close()


def test_accepted_is_what_would_be_built(driver: ChainDriver) -> None:
    pool = [sign(driver, key, ahead) for key in (ALICE, BOB) for ahead in range(3)]
    pool += [sign(driver, ALICE, 0, signature=bytes(64)), b"\x0a", b"\x01"]
    source = random.Random(5)
    seen = set()
    for _ in range(60):
        txs = [*driver.propose([]), *source.sample(pool, source.randrange(0, 4))]
        verdict = judge(driver, txs)
        seen.add(verdict)
        built = driver.propose(txs[1:])
        assert (built == txs) == (verdict == ACCEPT)
        assert judge(driver, built) == ACCEPT
    assert seen == {ACCEPT, REJECT}


def test_what_was_checked_is_not_checked_again(driver: ChainDriver) -> None:
    txs = [sign(driver, ALICE, 0), sign(driver, BOB, 0), sign(driver, ALICE, 1)]
    for tx in txs:
        assert driver.check(tx).code == 0
    built = driver.propose(txs)
    assert built[1:] == txs
    assert judge(driver, built) == ACCEPT
    driver.make_block()
    # The state is another one: the same transactions are stale now.
    assert driver.propose(txs)[1:] == []


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2), (0, 1, 2, 3)])
def test_another_order_than_checked_is_checked(driver: ChainDriver, order: tuple[int, ...]) -> None:
    txs = [sign(driver, ALICE, 0), sign(driver, ALICE, 1), sign(driver, ALICE, 2)]
    for tx in txs:
        assert driver.check(tx).code == 0
    txs.append(sign(driver, BOB, 4))
    built = driver.propose([txs[index] for index in order])
    assert judge(driver, built) == ACCEPT
    expected = {(1, 0, 2): [txs[0]], (0, 2): [txs[0]], (0, 1, 2, 3): txs[:3]}
    assert built[1:] == expected[order]


def test_limits_of_what_was_checked(tmp_path: Path) -> None:
    driver = ChainDriver(tmp_path, {"alice": 10**6}, max_gas=500_000)
    driver.make_block()
    txs = [sign(driver, ALICE, ahead) for ahead in range(3)]
    for tx in txs:
        assert driver.check(tx).code == 0
    assert driver.propose(txs)[1:] == txs[:2]
    driver.close()


def test_a_deadline_is_looked_at_again(driver: ChainDriver) -> None:
    late = GENESIS_SECONDS + driver.height  # the block before; the next one is later
    tx = sign(driver, ALICE, 0, timeout_seconds=late)
    assert driver.check(tx).code == 0
    assert driver.propose([tx])[1:] == []


def test_judging_what_was_checked_and_what_was_not(driver: ChainDriver) -> None:
    """However much of a proposal this node knows, the verdict is that of one that knows nothing."""
    known = [sign(driver, key, ahead) for key in (ALICE, BOB) for ahead in range(3)]
    other = [sign(driver, key, ahead, memo="other") for key in (ALICE, BOB) for ahead in range(3)]
    reveal = driver.propose([])
    source = random.Random(11)
    proposals = [source.sample([*known, *other], source.randrange(1, 6)) for _ in range(150)]
    proposals += [[known[3], known[0], known[4], known[1]], known, known[::-1], [known[0]] * 2]
    proposals += [[*known[:2], other[2]], [*known[:2], other[1]], [other[0], known[3]]]
    expected = [judge(driver, [*reveal, *txs]) for txs in proposals]
    for tx in known:
        assert driver.check(tx).code == 0
    seen = [judge(driver, [*reveal, *txs], is_fresh=False) for txs in proposals]
    assert seen == expected
    settled, payers = driver.app._rules._checked.find_settled([known[0], known[3], other[1]])
    assert list(settled) == [known[0], known[3]]
    assert payers == {ALICE.addr, BOB.addr}
    assert set(seen) == {ACCEPT, REJECT}
