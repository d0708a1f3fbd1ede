"""A node with its doors as real processes on free ports, for tests with real clients.

The fixture `devnet_node` (in `tests/doors/conftest.py`) starts one a session. Accounts are keys
made from their names; `faucet`, `owner`, `validator-0` and `validator-1` are funded, and the two
validators are staking operators.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from cosmos.auth.v1beta1 import auth_pb2
from cosmos.auth.v1beta1 import query_pb2 as auth_query
from cosmos.bank.v1beta1 import tx_pb2
from cosmos.base.node.v1beta1 import query_pb2 as node_query
from cosmpy.aerial.wallet import LocalWallet
from cosmpy.crypto.keypairs import PrivateKey

from node.chain import CHAIN_ID, build_chain
from node.onion import OnionKeeper
from node.runtime.addresses import encode_operator
from node.runtime.coins import build_coin
from node.runtime.context import BlockInfo, Context
from node.runtime.state import EmptyReader, Overlay
from tests.pallets.staking.staking_chain import build_create
from tests.runtime.chain_driver import Key, build_tx, get_secret
from tests.support.node_main import ONION_SEED, OPERATOR

ROOT = Path(__file__).resolve().parents[2]
FUNDS = 10**12
STAKE = 50_000_000
VALIDATORS = ("validator-0", "validator-1")
START_TIMEOUT_S = 30.0
GENESIS_TIME = "2026-01-01T00:00:00Z"
GENESIS_TIME_NS = 1_767_225_600 * 10**9


def find_free_ports(count: int) -> list[int]:
    """Find ports nothing listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def build_genesis() -> dict[str, Any]:
    """Build a genesis by running the pallets on empty state."""
    chain = build_chain()
    ctx = Context(Overlay(EmptyReader()), BlockInfo(CHAIN_ID, 0, GENESIS_TIME_NS))
    for name in ("faucet", "owner", *VALIDATORS):
        chain.bank.mint(ctx, Key(name).addr, FUNDS)
    keeper = OnionKeeper(ONION_SEED, Key(OPERATOR).addr)
    chain.beacon.register_anchor(ctx, Key(OPERATOR).addr, keeper.first_anchor)
    for pallet in chain.runtime.pallets.values():
        pallet.process_genesis(ctx)
    for name in VALIDATORS:
        message = build_create(name, STAKE, validator_address=encode_operator(Key(name).addr))
        chain.runtime.dispatch(ctx, "/" + message.DESCRIPTOR.full_name, message)
    return {
        "genesis_time": GENESIS_TIME,
        "chain_id": CHAIN_ID,
        "consensus_params": {"abci": {"vote_extensions_enable_height": "1"}},
        "app_state": {"pallets": chain.runtime.export_genesis(ctx)},
    }


class DevnetNode:
    """A node process with its doors."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.chain_id = CHAIN_ID
        self.grpc_port, self.rpc_port = find_free_ports(2)
        self.process: subprocess.Popen[bytes] | None = None
        (home / "config").mkdir(parents=True)
        (home / "config" / "genesis.json").write_text(json.dumps(build_genesis()))

    def start(self) -> None:
        """Start the node and wait until both doors answer."""
        ports = (str(self.grpc_port), str(self.rpc_port))
        with open(self.home / "node.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.node_main", str(self.home), *ports],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        self.wait_until(lambda: self.get_height() >= 1, START_TIMEOUT_S)
        self.wait_until(self.is_rpc_open, START_TIMEOUT_S)

    def stop(self) -> None:
        """Stop the node as an operator does."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def kill(self) -> None:
        """Kill the node, as a power cut does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self.process = None

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Wait for a condition; fails with the node's log."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            is_over = self.process is not None and self.process.poll() is not None
            if is_over or time.monotonic() > deadline:
                raise AssertionError(self.read_logs())
            time.sleep(0.05)

    def read_logs(self) -> str:
        """Read the end of every log."""
        files = [self.home / "node.log", *sorted((self.home / "logs").glob("*.log"))]
        return "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in files)

    def is_rpc_open(self) -> bool:
        """Tell whether the RPC door listens."""
        try:
            socket.create_connection(("127.0.0.1", self.rpc_port), timeout=1).close()
        except OSError:
            return False
        return True

    def ask(self, path: str, request: Any, response_class: Any) -> Any:
        """Ask the gRPC door one question."""
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            method = channel.unary_unary(
                path, lambda message: message.SerializeToString(), response_class.FromString
            )
            return method(request, timeout=5)

    def get_height(self) -> int:
        """Get the newest height, 0 while nothing answers."""
        try:
            answer = self.ask(
                "/cosmos.base.node.v1beta1.Service/Status",
                node_query.StatusRequest(),
                node_query.StatusResponse,
            )
        except grpc.RpcError:
            return 0
        return int(answer.height)

    def wait_for_height(self, height: int) -> None:
        """Wait until a height is committed."""
        self.wait_until(lambda: self.get_height() >= height)

    def get_address(self, name: str) -> str:
        """Get the address of a named account."""
        return Key(name).text

    def build_wallet(self, name: str) -> LocalWallet:
        """Build cosmpy's wallet of a named account."""
        return LocalWallet(PrivateKey(get_secret(name)), prefix="descent")

    def build_send(self, sender: str, receiver: str, amount: int) -> bytes:
        """Build a signed transfer between named accounts, in udsc."""
        key = Key(sender)
        answer = self.ask(
            "/cosmos.auth.v1beta1.Query/Account",
            auth_query.QueryAccountRequest(address=key.text),
            auth_query.QueryAccountResponse,
        )
        account = auth_pb2.BaseAccount()
        answer.account.Unpack(account)
        message = tx_pb2.MsgSend(
            from_address=key.text,
            to_address=Key(receiver).text,
            amount=[build_coin("udsc", amount)],
        )
        return build_tx(
            key,
            [message],
            sequence=account.sequence,
            account_number=account.account_number,
            chain_id=self.chain_id,
            fee=1_000,
        )
