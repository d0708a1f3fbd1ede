"""A million extrinsics with wrong bytes: a Substrate node's words, and nothing else happens."""

from collections import Counter
from collections.abc import Iterator
from random import Random

import psutil
import pytest
from tendermint.abci import types_pb2 as abci

from node.doors.substrate.author import decode_submitted, explain_refusal
from node.doors.substrate.rpc import SubstrateError
from node.runtime.substrate.extrinsic import wrap_extrinsic
from node.runtime.substrate.scale import Reader, decode_compact, encode_compact
from node.runtime.substrate.signatures import ECDSA, ED25519, SR25519
from tests.runtime.chain_driver import ChainDriver, Key
from tests.runtime.test_extrinsics import BOB, fund, get_hash, read_account
from tests.support.extrinsics import Signer, build_batch, build_extrinsic, build_transfer

KINDS = (SR25519, ED25519, ECDSA)
PIECE = 100_000
MAX_GROWTH_BYTES = 32 * 2**20
WORDS = {
    1001: "Extrinsic has invalid format: ",
    1002: "Verification Error: Runtime error: Execution failed: ",
    1010: "Invalid Transaction",
    1011: "Unknown Transaction Validity",
}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChainDriver]:
    made = ChainDriver(tmp_path_factory.mktemp("mutated"), {"faucet": 10**12})
    made.make_block()
    for kind in KINDS:
        fund(made, Signer(kind).addr, 10**9)
    yield made
    made.close()


def list_calls() -> list[bytes]:
    """List calls of several shapes."""
    transfer = build_transfer(BOB, 100)
    coin = encode_compact(1) + encode_compact(4) + b"udsc" + (5).to_bytes(16, "little")
    send = bytes((12, 0)) + BOB + coin
    return [transfer, build_batch([transfer, send, build_batch([transfer])]), send]


def mutate(random: Random, data: bytes) -> bytes:
    """Change, remove or insert up to four runs of up to two bytes."""
    made = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(made))
        made[at : at + random.randint(0, 2)] = random.randbytes(random.randint(0, 2))
    return bytes(made)


def submit(driver: ChainDriver, encoded: bytes) -> SubstrateError | None:
    """Submit as the door does; returns its refusal."""
    try:
        decode_submitted(encoded, driver.chain.call_table)
    except SubstrateError as refusal:
        return refusal
    answer = driver.app.check_tx(abci.RequestCheckTx(tx=wrap_extrinsic(encoded), type=abci.NEW))
    return explain_refusal(answer.code, answer.log) if answer.code else None


def run_mutations(driver: ChainDriver, seed: int, count: int) -> Counter[int]:
    """Submit mutations of every kind and call; returns how often each code was given."""
    random = Random(seed)
    genesis_hash = get_hash(driver, 0)
    originals = [
        build_extrinsic(Signer(kind), call, nonce=0, genesis_hash=genesis_hash)[1:]
        for kind in KINDS
        for call in list_calls()
    ]
    found: Counter[int] = Counter()
    for _ in range(count):
        original = random.choice(originals)
        if random.random() < 0.5:
            mutated = mutate(random, original)
        else:
            reader = Reader(original)
            decode_compact(reader)
            body = mutate(random, original[reader.offset :])
            mutated = encode_compact(len(body)) + body
        if mutated == original:
            continue
        refusal = submit(driver, mutated)
        assert refusal is not None, mutated.hex()
        assert str(refusal).startswith(WORDS[refusal.code]), str(refusal)
        found[refusal.code] += 1
    return found


def run_piece(driver: ChainDriver, seed: int, count: int) -> None:
    """Run mutations: every code is met, memory and state stay."""
    before = [read_account(driver, Signer(kind).addr) for kind in KINDS]
    run_mutations(driver, seed + 1_000, 500)
    memory = psutil.Process().memory_info().rss
    found = run_mutations(driver, seed, count)
    assert {1001, 1002, 1010} <= set(found) <= set(WORDS)
    assert psutil.Process().memory_info().rss < memory + MAX_GROWTH_BYTES
    driver.make_block()
    assert [read_account(driver, Signer(kind).addr) for kind in KINDS] == before


def test_mutated(driver: ChainDriver) -> None:
    run_piece(driver, 7, 2_000)


@pytest.mark.soak
@pytest.mark.parametrize("piece", range(10))
def test_a_million_mutated(driver: ChainDriver, piece: int) -> None:
    run_piece(driver, piece, PIECE)


def deliver_signed(driver: ChainDriver, seed: int, num_blocks: int) -> None:
    """Sign mutated calls, put those that pass into blocks: invariants hold, others lose nothing."""
    random = Random(seed)
    genesis_hash = get_hash(driver, 0)
    faucet = read_account(driver, Key("faucet").addr)
    for _ in range(num_blocks):
        nonces = {kind: read_account(driver, Signer(kind).addr)[0] for kind in KINDS}
        txs = []
        for _ in range(30):
            kind = random.choice(KINDS)
            call = mutate(random, random.choice(list_calls()))
            tx = build_extrinsic(Signer(kind), call, nonce=nonces[kind], genesis_hash=genesis_hash)
            if driver.check(tx).code == 0:
                nonces[kind] += 1
                txs.append(tx)
        results = driver.make_block().tx_results
        assert len(results) >= len(txs)
    assert read_account(driver, Key("faucet").addr) == faucet


def test_signed_mutations(driver: ChainDriver) -> None:
    deliver_signed(driver, 3, 10)


@pytest.mark.soak
def test_many_signed_mutations(driver: ChainDriver) -> None:
    deliver_signed(driver, 4, 300)
