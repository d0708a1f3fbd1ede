"""A small ABCI application on the real state store, and a home to run it in.

A transaction `key=value` writes; `fail` passes the check and fails in the block; one that begins
with `bad` fails the check. `power=N` adds a validator of power N (key 32 times that byte). Vote
extensions are sha256 of the height, and the proposal starts with a pseudo transaction of them.
"""

import base64
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from tendermint.abci import types_pb2 as abci
from tendermint.crypto import keys_pb2

import proto  # noqa: F401
from node.engine.embedded import EmbeddedEngine, EngineOptions
from node.engine.keys import ValidatorKey, save_validator_key
from node.store.state import StateStore

GENESIS_TIME = "2026-01-02T03:04:05.678901234Z"
GENESIS_NS = 1767323045678901234
KEY = ValidatorKey(bytes(range(32)))
EXTENSION_TAG = b"\x01"


class TinyApp:
    """Counts calls in `calls`; `store` is the committed state."""

    def __init__(self, home: Path) -> None:
        self.store = StateStore.open(home / "data" / "state")
        self.genesis: dict[bytes, bytes | None] = {}
        self.calls: list[str] = []
        self.requests: list[Any] = []

    def close(self) -> None:
        self.store.close()

    def info(self, request: Any) -> Any:
        self.calls.append("info")
        height = self.store.version
        app_hash = self.store.app_hash if height else b""
        return abci.ResponseInfo(last_block_height=height, last_block_app_hash=app_hash)

    def init_chain(self, request: Any) -> Any:
        self.calls.append("init_chain")
        self.requests.append(request)
        state = json.loads(request.app_state_bytes)
        self.genesis = {key.encode(): value.encode() for key, value in state.items()}
        height = max(request.initial_height, 1)
        return abci.ResponseInitChain(app_hash=self.store.stage(height, {"kv": self.genesis}))

    def check_tx(self, request: Any) -> Any:
        self.calls.append("recheck_tx" if request.type == abci.RECHECK else "check_tx")
        is_stale = request.type == abci.RECHECK and request.tx.startswith(b"once")
        if request.tx.startswith(b"bad") or is_stale:
            return abci.ResponseCheckTx(code=4, codespace="tiny", log="bad tx")
        return abci.ResponseCheckTx(gas_wanted=10)

    def prepare_proposal(self, request: Any) -> Any:
        self.calls.append("prepare_proposal")
        self.requests.append(request)
        votes = request.local_last_commit.votes
        extensions = [EXTENSION_TAG + vote.vote_extension for vote in votes if vote.vote_extension]
        return abci.ResponsePrepareProposal(txs=[*extensions, *request.txs])

    def process_proposal(self, request: Any) -> Any:
        self.calls.append("process_proposal")
        self.requests.append(request)
        status = abci.ResponseProcessProposal.ACCEPT
        if b"reject=block" in request.txs:
            status = abci.ResponseProcessProposal.REJECT
        return abci.ResponseProcessProposal(status=status)

    def extend_vote(self, request: Any) -> Any:
        self.calls.append("extend_vote")
        return abci.ResponseExtendVote(vote_extension=sha256(b"%d" % request.height).digest())

    def verify_vote_extension(self, request: Any) -> Any:
        raise AssertionError("one validator has no extensions of others to verify")

    def finalize_block(self, request: Any) -> Any:
        self.calls.append("finalize_block")
        self.requests.append(request)
        changes: dict[bytes, bytes | None] = {} if self.store.version else dict(self.genesis)
        changes[b"height"] = b"%d" % request.height
        changes[b"time"] = request.time.SerializeToString()
        response = abci.ResponseFinalizeBlock()
        for tx in request.txs:
            response.tx_results.append(self.run(tx, changes, response))
        response.events.add(type="block").attributes.add(
            key="parity", value=str(request.height % 2), index=True
        )
        response.app_hash = self.store.stage(request.height, {"kv": changes})
        return response

    def run(self, tx: bytes, changes: dict[bytes, bytes | None], response: Any) -> Any:
        if tx == b"fail":
            return abci.ExecTxResult(code=5, codespace="tiny", log="failed", gas_wanted=10)
        key, _, value = tx.partition(b"=")
        if key == b"power":
            public = keys_pb2.PublicKey(ed25519=bytes([int(value)] * 32))
            response.validator_updates.add(pub_key=public, power=int(value))
        if key == b"gas":
            response.consensus_param_updates.block.max_bytes = 1 << 20
            response.consensus_param_updates.block.max_gas = int(value)
        changes[key] = value
        result = abci.ExecTxResult(data=value, gas_wanted=10, gas_used=7)
        result.events.add(type="kv").attributes.add(key="key", value=key.hex(), index=True)
        return result

    def commit(self, request: Any) -> Any:
        self.calls.append("commit")
        self.store.commit()
        kept = self.store.get("kv", b"retain")
        return abci.ResponseCommit(retain_height=int(kept) if kept else 0)


class Clock:
    """A clock that moves 100 ms at every look."""

    def __init__(self) -> None:
        self.now_ns = GENESIS_NS

    def __call__(self) -> int:
        self.now_ns += 100_000_000
        return self.now_ns


def make_home(home: Path, *, extensions: int = 1, **genesis: Any) -> Path:
    """Write genesis and validator key."""
    (home / "config").mkdir(parents=True)
    document: dict[str, Any] = {
        "genesis_time": GENESIS_TIME,
        "chain_id": "tiny-1",
        "initial_height": "1",
        "consensus_params": {"abci": {"vote_extensions_enable_height": str(extensions)}},
        "validators": [
            {
                "address": KEY.address.hex().upper(),
                "pub_key": {
                    "type": "tendermint/PubKeyEd25519",
                    "value": base64.b64encode(KEY.public_key).decode(),
                },
                "power": "10",
                "name": "tiny",
            }
        ],
        "app_hash": "",
        "app_state": {"a": "1"},
    }
    document.update(genesis)
    (home / "config" / "genesis.json").write_text(json.dumps(document))
    save_validator_key(home / "config" / "priv_validator_key.json", KEY)
    return home


class Node:
    """An application and its engine in one home, started. A context manager."""

    def __init__(self, home: Path, options: EngineOptions | None = None) -> None:
        self.app = TinyApp(home)
        try:
            self.engine = EmbeddedEngine(
                home, self.app, options=options or EngineOptions(clock=Clock())
            )
        except BaseException:
            self.app.close()
            raise
        try:
            self.engine.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Node":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.engine.close()
        self.app.close()


def make_block_txs(height: int) -> list[bytes]:
    """Return the transactions that tests put in block `height`."""
    return [b"key%d=%d" % (i, height) for i in range(height % 4)]


def run_blocks(node: Node, last: int, hook: Callable[[int], None] | None = None) -> None:
    """Step to height `last` with the transactions of `make_block_txs`."""
    while (height := node.engine.state.height + 1) <= last:
        for tx in make_block_txs(height):
            node.engine.mempool.add(tx)
        node.engine.step()
        if hook is not None:
            hook(height)
