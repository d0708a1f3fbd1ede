"""Extrinsics no client library would send: what a Substrate node says, and nothing changes."""

from typing import Any

import pytest
from substrateinterface import Keypair, SubstrateInterface

from node.runtime.substrate.calls import BALANCES, UTILITY
from node.runtime.substrate.extrinsic import encode_bare
from node.runtime.substrate.scale import decode_compact, encode_compact
from node.runtime.substrate.signatures import ECDSA, ED25519, SR25519
from tests.doors.substrate.conftest import ask, fund
from tests.support.devnet_node import DevnetNode
from tests.support.extrinsics import (
    Signer,
    build_batch,
    build_extrinsic,
    build_transfer,
    encode_era,
)

BOB = Keypair.create_from_uri("//Bob").public_key
BAD_PROOF = (1010, "Invalid Transaction", "Transaction has a bad signature")
ANCIENT = (1010, "Invalid Transaction", "Transaction has an ancient birth block")
VEC_2_30 = bytes.fromhex("0300000040")
FORMAT, TRAP = "Extrinsic has invalid format: ", "Verification Error: Runtime error: "


class Case:
    """A signer with coins on the node of the session, and what it sends."""

    def __init__(self, node: DevnetNode, chain: SubstrateInterface, kind: int) -> None:
        self.node = node
        self.chain = chain
        self.signer = Signer(kind, bytes((0x40 + kind,)) * 32)
        self.genesis_hash = bytes.fromhex(ask(node, "chain_getBlockHash", 0)["result"][2:])
        if not self.read()["data"]["free"]:
            fund(node, self.signer.addr, 100_000_000)

    def read(self) -> Any:
        account_id = self.signer.addr.ljust(32, b"\0")
        if len(self.signer.addr) == 20:
            account_id = self.signer.addr + b"descent/acct"
        return self.chain.query("System", "Account", ["0x" + account_id.hex()]).value

    def build(self, call: bytes | None = None, **options: Any) -> bytes:
        """Build an extrinsic as clients send it."""
        options.setdefault("nonce", self.read()["nonce"])
        options.setdefault("genesis_hash", self.genesis_hash)
        return build_extrinsic(self.signer, call or build_transfer(BOB, 1), **options)[1:]

    def refuse(self, encoded: bytes) -> tuple[int, str, str]:
        """Send what must be refused without any change; returns code, message and data."""
        before = self.read()
        error = ask(self.node, "author_submitExtrinsic", "0x" + encoded.hex())["error"]
        assert self.read() == before
        return error["code"], error["message"], error.get("data", "")


@pytest.fixture
def case(devnet_node: DevnetNode, chain: SubstrateInterface) -> Case:
    return Case(devnet_node, chain, SR25519)


def relength(body: bytes) -> bytes:
    return encode_compact(len(body)) + body


def strip_length(encoded: bytes) -> bytes:
    from node.runtime.substrate.scale import Reader

    reader = Reader(encoded)
    decode_compact(reader)
    return encoded[reader.offset :]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda encoded: b"",
        lambda encoded: encoded[:-1],
        lambda encoded: encoded + b"\0",
        lambda encoded: b"\x03" + len(encoded).to_bytes(4, "little") + strip_length(encoded),
        lambda encoded: VEC_2_30 + strip_length(encoded),
    ],
    ids=["empty", "truncated", "over-long", "length-not-minimal", "length-2^30"],
)
def test_invalid_format(case: Case, spoil: Any) -> None:
    code, message, _ = case.refuse(spoil(case.build()))
    assert code == 1001
    assert message.startswith(FORMAT)


@pytest.mark.parametrize(
    "call",
    [
        build_transfer(BOB, 1)[:-1],
        build_transfer(BOB, 1) + b"\0",
        bytes((250, 0)),
        bytes((BALANCES, 99)),
        bytes((BALANCES, 3, 9)) + BOB + b"\x04",
        bytes((BALANCES, 3, 0)) + BOB + b"\x01\x00",
        bytes((UTILITY, 2)) + VEC_2_30,
        build_batch([build_batch([build_batch([build_batch([build_transfer(BOB, 1)])])])]),
    ],
    ids=[
        *("call-truncated", "call-over-long", "no-such-pallet", "no-such-call", "no-such-address"),
        *("amount-not-minimal", "vector-of-2^30", "batches-of-batches"),
    ],
)
def test_invalid_call(case: Case, call: bytes) -> None:
    code, message, data = case.refuse(case.build(call))
    assert code == 1002
    assert message.startswith(TRAP)
    assert data


def test_invalid_version_or_signature_kind(case: Case) -> None:
    body = strip_length(case.build())
    for at, byte in ((0, 0x85), (34, 9)):
        code, _, _ = case.refuse(relength(body[:at] + bytes((byte,)) + body[at + 1 :]))
        assert code == 1002


def test_invalid_unsigned(case: Case) -> None:
    for call in (build_transfer(BOB, 1), bytes((1, 0)) + encode_compact(2**40)):
        found = case.refuse(encode_bare(call))
        assert found == (1011, "Unknown Transaction Validity", "NoUnsignedValidator")


@pytest.mark.parametrize("kind", [SR25519, ED25519, ECDSA])
def test_invalid_signature(devnet_node: DevnetNode, chain: SubstrateInterface, kind: int) -> None:
    case = Case(devnet_node, chain, kind)
    for wrong in ({"genesis_hash": b"\x01" * 32}, {"spec_version": 77}):
        assert case.refuse(case.build(**wrong)) == BAD_PROOF
    body = bytearray(strip_length(case.build()))
    body[40] ^= 1
    assert case.refuse(relength(bytes(body))) == BAD_PROOF


def test_invalid_stale_era(case: Case) -> None:
    birth_hash = bytes.fromhex(case.chain.get_block_hash(1)[2:])
    found = case.refuse(case.build(era=encode_era(4, 1), birth_hash=birth_hash))
    # Now and then a period begins with the very block to come, which has no hash yet.
    assert found in (BAD_PROOF, ANCIENT)


def test_invalid_era_longer_than_what_is_kept(case: Case) -> None:
    era = (12 | 4000 << 4).to_bytes(2, "little")  # a block to come
    found = case.refuse(case.build(era=era, birth_hash=b"\x01" * 32))
    assert found == ANCIENT


def test_invalid_calls_of_others(case: Case) -> None:
    coin = encode_compact(1) + encode_compact(4) + b"udsc" + (5).to_bytes(16, "little")
    entry = encode_compact(1) + BOB + coin
    code, message, data = case.refuse(case.build(bytes((12, 1)) + entry + entry))
    assert (code, message) == (1010, "Invalid Transaction")
    assert data.startswith("Invalid signing address")


def test_invalid_too_large(case: Case) -> None:
    call = build_batch([build_transfer(BOB, 1)] * 250)
    memo = bytes((12, 0)) + BOB + encode_compact(2**20 // 64)
    found = case.refuse(case.build(call[:2] + encode_compact(1) + memo + bytes(2**20)))
    assert found[0] in (1002, 1010)


def test_invalid_twice_and_same_nonce(case: Case) -> None:
    for _ in range(20):  # until no block comes between
        nonce = ask(case.node, "system_accountNextIndex", "0x" + case.signer.addr.hex())["result"]
        first, other = case.build(nonce=nonce), case.build(nonce=nonce, tip=5)
        answers = [
            ask(case.node, "author_submitExtrinsic", "0x" + encoded.hex())
            for encoded in (first, first, other)
        ]
        again, lower = (answer["error"] for answer in answers[1:])
        assert "result" in answers[0]
        if lower["code"] == 1014:
            break
        assert (lower["code"], lower["data"]) == (1010, "Transaction is outdated")
    assert lower["message"] == "Priority is too low: (0 vs 5)"
    assert (again["code"], again["message"]) == (1013, "Transaction Already Imported")
    assert again["data"].startswith("0x")
    case.node.wait_until(lambda: case.read()["nonce"] > nonce)
    found = case.refuse(case.build(nonce=nonce))
    assert found == (1010, "Invalid Transaction", "Transaction is outdated")
