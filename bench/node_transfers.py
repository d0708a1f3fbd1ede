"""Signed transfers a second through the application, in this process, on a real store.

    python -m bench.node_transfers [--blocks 5] [--txs 400]

Prints one JSON document: transfers a second for CheckTx, for FinalizeBlock with commit, and for
both together, and the share of raw secp256k1 verification in that, as a ratio in the same run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import proto  # noqa: F401  (puts cosmos.* on the path)

# isort: split
from coincurve import PrivateKey
from coincurve.ecdsa import der_to_cdata, serialize_compact
from cosmos.bank.v1beta1 import tx_pb2 as bank_tx
from cosmos.tx.signing.v1beta1 import signing_pb2
from cosmos.tx.v1beta1 import tx_pb2
from tendermint.abci import types_pb2 as abci

from genesis.builder import GenesisBuilder
from node.chain import CHAIN_ID, build_chain
from node.runtime.addresses import compute_account_address, encode_account
from node.runtime.ante import build_key
from node.runtime.application import Application
from node.runtime.coins import build_coin
from node.runtime.signatures import is_valid_signature
from node.store.state import StateStore
from proto.packing import pack_any

GAS_LIMIT = 200_000
FEE_UDSC = 200
START_UDSC = 10**9
GENESIS_NS = 1_700_000_000 * 10**9


class Sender:
    """An account that signs transfers."""

    def __init__(self, index: int, secret: bytes | None = None) -> None:
        self.private = PrivateKey(secret or hashlib.sha256(b"bench/%d" % index).digest())
        self.public = self.private.public_key.format(compressed=True)
        self.addr = compute_account_address(self.public)
        self.text = encode_account(self.addr)
        self.number = index
        self.sequence = 0

    def sign_transfer(self, recipient: str) -> bytes:
        """Sign one transfer and count the sequence up."""
        coins = [build_coin("udsc", 1)]
        return self.sign(
            bank_tx.MsgSend(from_address=self.text, to_address=recipient, amount=coins)
        )

    def sign(self, message: Any, gas_limit: int = GAS_LIMIT, fee_udsc: int = FEE_UDSC) -> bytes:
        """Sign one message and count the sequence up."""
        auth = tx_pb2.AuthInfo()
        info = auth.signer_infos.add(public_key=build_key(self.public), sequence=self.sequence)
        info.mode_info.single.mode = signing_pb2.SIGN_MODE_DIRECT
        auth.fee.gas_limit = gas_limit
        auth.fee.amount.append(build_coin("udsc", fee_udsc))
        document = tx_pb2.SignDoc(
            body_bytes=tx_pb2.TxBody(messages=[pack_any(message)]).SerializeToString(),
            auth_info_bytes=auth.SerializeToString(),
            chain_id=CHAIN_ID,
            account_number=self.number,
        )
        der = self.private.sign(document.SerializeToString())
        self.sequence += 1
        raw = tx_pb2.TxRaw(
            body_bytes=document.body_bytes,
            auth_info_bytes=document.auth_info_bytes,
            signatures=[bytes(serialize_compact(der_to_cdata(der)))],
        )
        data: bytes = raw.SerializeToString()
        return data


def start_application(path: Path, senders: list[Sender]) -> tuple[Application, StateStore]:
    """Start a chain whose genesis funds the senders, at height 1."""
    builder = GenesisBuilder(CHAIN_ID, GENESIS_NS)
    for sender in senders:
        builder.add_account(sender.addr, START_UDSC)
    store = StateStore.open(path)
    application = build_chain().open_application(store)
    state = json.dumps(builder.build()["app_state"]).encode()
    request = abci.RequestInitChain(chain_id=CHAIN_ID, app_state_bytes=state, initial_height=1)
    request.time.FromNanoseconds(GENESIS_NS)
    application.init_chain(request)
    make_block(application, 1, [])
    return application, store


def make_block(application: Application, height: int, txs: list[bytes]) -> Any:
    """Execute and commit one block."""
    request = abci.RequestFinalizeBlock(height=height, txs=txs)
    request.time.FromNanoseconds(GENESIS_NS + height * 10**9)
    response = application.finalize_block(request)
    application.commit(abci.RequestCommit())
    return response


def measure(num_blocks: int, num_txs: int) -> dict[str, Any]:
    """Measure blocks of transfers between as many accounts as a block has transfers."""
    senders = [Sender(index) for index in range(num_txs)]
    check_s = block_s = 0.0
    with tempfile.TemporaryDirectory() as folder:
        application, store = start_application(Path(folder), senders)
        for height in range(2, 2 + num_blocks):
            pairs = zip(senders, senders[1:] + senders[:1], strict=True)
            txs = [sender.sign_transfer(recipient.text) for sender, recipient in pairs]
            started = time.perf_counter()
            for tx in txs:
                code = application.check_tx(abci.RequestCheckTx(tx=tx, type=abci.NEW)).code
                assert code == 0
            checked = time.perf_counter()
            response = make_block(application, height, txs)
            block_s += time.perf_counter() - checked
            check_s += checked - started
            assert all(result.code == 0 for result in response.tx_results)
        store.close()
    total = num_blocks * num_txs
    verify_s = measure_verification(senders[0])
    return {
        "num_transfers": total,
        "check_per_s": round(total / check_s),
        "block_per_s": round(total / block_s),
        "both_per_s": round(total / (check_s + block_s)),
        "verification_share": round(verify_s * total / (check_s + block_s), 3),
    }


def measure_verification(sender: Sender, num_rounds: int = 500) -> float:
    """Measure the seconds one signature verification takes."""
    message = b"message"
    signature = bytes(serialize_compact(der_to_cdata(sender.private.sign(message))))
    started = time.perf_counter()
    for _ in range(num_rounds):
        assert is_valid_signature(sender.public, signature, message)
    return (time.perf_counter() - started) / num_rounds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Signed transfers a second in one process.")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--txs", type=int, default=400)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.blocks, arguments.txs), indent=2))


if __name__ == "__main__":
    main()
