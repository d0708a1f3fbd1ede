"""A chain in memory behind the mock transports: accounts, mempool, blocks, faults on demand.

It checks signatures and sequence numbers as a node does, on a check state for the mempool and on
committed state for queries and simulation.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from coincurve import PublicKey
from cosmos.auth.v1beta1.auth_pb2 import BaseAccount
from cosmos.auth.v1beta1.query_pb2 import QueryAccountRequest, QueryAccountResponse
from cosmos.bank.v1beta1.tx_pb2 import MsgSend
from cosmos.base.abci.v1beta1.abci_pb2 import GasInfo, TxResponse
from cosmos.base.node.v1beta1 import query_pb2 as node_pb2
from cosmos.base.tendermint.v1beta1 import query_pb2 as tendermint_pb2
from cosmos.crypto.secp256k1.keys_pb2 import PubKey
from cosmos.tx.v1beta1 import service_pb2, tx_pb2

import proto  # noqa: F401
from chain_client.effects import Call
from chain_client.errors import NodeUnreachable, NotFound, QueryFailed
from chain_client.keys import Key
from proto.descent.node.v1 import node_pb2 as watch_pb2
from proto.packing import pack_any

CHAIN_ID = "descent-devnet-1"
GAS_USED = 70_000
ALICE = Key("alice", hashlib.sha256(b"alice").digest())
BOB = Key("bob", hashlib.sha256(b"bob").digest())


def mismatch(expected: int, got: int) -> str:
    """The node's words for a wrong sequence number."""
    return f"account sequence mismatch, expected {expected}, got {got}: incorrect account sequence"


class FakeChain:
    """Blocks every `block_s` of the clock it is given.

    Attributes:
        included: (address, sequence, memo) of every transaction, in block order.
        is_down: refuse every call.
        lose_answers: deliver so many broadcasts and lose their answers.
        fail_execution: refuse on execution what the mempool took.
        first_kept: the oldest block that is not pruned.
    """

    def __init__(self, now: Callable[[], float], *, block_s: float = 0.5) -> None:
        self.now = now
        self.block_s = block_s
        self.height = 0
        self.first_kept = 1
        self.min_gas_price = "0.025udsc"
        self.sequences = {ALICE.address: 0, BOB.address: 0}
        self.check_sequences = dict(self.sequences)
        self.numbers = {ALICE.address: 7, BOB.address: 8}
        self.mempool: list[bytes] = []
        self.found: dict[str, TxResponse] = {}
        self.bodies: dict[str, Any] = {}
        self.included: list[tuple[str, int, str]] = []
        self.is_down = False
        self.is_stalled = False
        self.lose_answers = 0
        self.fail_execution = False
        self.broadcasts = 0
        self.handlers = {
            "/cosmos.base.tendermint.v1beta1.Service/GetNodeInfo": self._up(self.node_info),
            "/cosmos.base.node.v1beta1.Service/Config": self._up(
                lambda _: node_pb2.ConfigResponse(minimum_gas_price=self.min_gas_price)
            ),
            "/cosmos.base.node.v1beta1.Service/Status": self._up(
                lambda _: node_pb2.StatusResponse(height=self.height)
            ),
            "/cosmos.auth.v1beta1.Query/Account": self._up(self.account),
            "/cosmos.tx.v1beta1.Service/Simulate": self._up(self.simulate),
            "/cosmos.tx.v1beta1.Service/BroadcastTx": self._up(self.broadcast),
            "/cosmos.tx.v1beta1.Service/GetTx": self._up(self.get_tx),
            "/cosmos.base.tendermint.v1beta1.Service/GetLatestBlock": self._up(
                lambda _: self.build_block(tendermint_pb2.GetLatestBlockResponse(), self.height)
            ),
            "/cosmos.base.tendermint.v1beta1.Service/GetBlockByHeight": self._up(self.get_block),
            "/descent.node.v1.Service/Watch": self._up(self.watch),
        }

    def restart(self) -> None:
        """Lose the mempool, as a node that was killed does."""
        self.mempool.clear()
        self.check_sequences = dict(self.sequences)

    def _up(self, handler: Callable[[Any], Any]) -> Callable[[Call], Any]:
        def handle(call: Call) -> Any:
            if self.is_down:
                raise NodeUnreachable("connection refused")
            self._make_blocks()
            return handler(call.request)

        return handle

    def _make_blocks(self) -> None:
        while not self.is_stalled and self.height < int(self.now() / self.block_s):
            self.height += 1
            for raw in self.mempool:
                self._execute(raw)
            self.mempool.clear()
            self.check_sequences = dict(self.sequences)

    def _execute(self, raw: bytes) -> None:
        address, sequence, tx = self._check(raw, self.sequences)
        self.sequences[address] = sequence + 1
        self.included.append((address, sequence, tx.body.memo))
        tx_hash = hashlib.sha256(raw).hexdigest().upper()
        self.found[tx_hash] = TxResponse(
            txhash=tx_hash,
            height=self.height,
            gas_wanted=tx.auth_info.fee.gas_limit,
            gas_used=GAS_USED,
            code=5 if self.fail_execution else 0,
            codespace="sdk" if self.fail_execution else "",
            raw_log="spendable balance is smaller: insufficient funds"
            if self.fail_execution
            else "",
        )
        self.bodies[tx_hash] = tx

    def _check(self, raw: bytes, sequences: dict[str, int]) -> tuple[str, int, Any]:
        """Decode, check the sequence number and the signature."""
        outer = tx_pb2.TxRaw.FromString(raw)
        tx = tx_pb2.Tx(
            body=tx_pb2.TxBody.FromString(outer.body_bytes),
            auth_info=tx_pb2.AuthInfo.FromString(outer.auth_info_bytes),
        )
        signer = tx.auth_info.signer_infos[0]
        address = MsgSend.FromString(tx.body.messages[0].value).from_address
        if signer.sequence != sequences[address]:
            raise QueryFailed(mismatch(sequences[address], signer.sequence))
        document = tx_pb2.SignDoc(
            body_bytes=outer.body_bytes,
            auth_info_bytes=outer.auth_info_bytes,
            chain_id=CHAIN_ID,
            account_number=self.numbers[address],
        ).SerializeToString(deterministic=True)
        verify(PubKey.FromString(signer.public_key.value).key, outer.signatures[0], document)
        return address, signer.sequence, tx

    def node_info(self, _: Any) -> Any:
        response = tendermint_pb2.GetNodeInfoResponse()
        response.default_node_info.network = CHAIN_ID
        return response

    def account(self, request: QueryAccountRequest) -> QueryAccountResponse:
        if request.address not in self.sequences:
            raise NotFound(f"account {request.address} not found", status="NOT_FOUND")
        account = BaseAccount(
            address=request.address,
            account_number=self.numbers[request.address],
            sequence=self.sequences[request.address],
        )
        return QueryAccountResponse(account=pack_any(account))

    def simulate(self, request: Any) -> Any:
        self._check(request.tx_bytes, self.sequences)
        return service_pb2.SimulateResponse(gas_info=GasInfo(gas_used=GAS_USED))

    def broadcast(self, request: Any) -> Any:
        self.broadcasts += 1
        response = self._take(request.tx_bytes)
        if self.lose_answers:
            self.lose_answers -= 1
            raise NodeUnreachable("the connection broke")
        return service_pb2.BroadcastTxResponse(tx_response=response)

    def _take(self, raw: bytes) -> TxResponse:
        tx_hash = hashlib.sha256(raw).hexdigest().upper()
        if raw in self.mempool:
            return TxResponse(txhash=tx_hash, codespace="sdk", code=19)
        try:
            address, sequence, tx = self._check(raw, self.check_sequences)
        except QueryFailed as error:
            return TxResponse(txhash=tx_hash, codespace="sdk", code=32, raw_log=error.message)
        fee = sum(int(coin.amount) for coin in tx.auth_info.fee.amount)
        required = -(-tx.auth_info.fee.gas_limit * 25 // 1000)
        if self.min_gas_price and fee < required:
            text = f"insufficient fees; got: {fee}udsc required: {required}udsc: insufficient fee"
            return TxResponse(txhash=tx_hash, codespace="sdk", code=13, raw_log=text)
        self.mempool.append(raw)
        self.check_sequences[address] = sequence + 1
        return TxResponse(txhash=tx_hash)

    def watch(self, request: Any) -> Any:
        """Answer at once: time passes only while clients sleep."""
        response = watch_pb2.WatchResponse()
        for question in request.questions:
            answer = response.answers.add()
            call_type = {
                "Account": QueryAccountRequest,
                "GetBlockByHeight": tendermint_pb2.GetBlockByHeightRequest,
                "GetLatestBlock": tendermint_pb2.GetLatestBlockRequest,
                "GetTx": service_pb2.GetTxRequest,
            }[question.method.split("/")[-1]]
            try:
                found = self.handlers[question.method](
                    Call(question.method, call_type.FromString(question.request), None)
                )
                answer.response = found.SerializeToString()
            except NotFound as error:
                answer.status, answer.detail = "NOT_FOUND", error.message
            except QueryFailed as error:
                answer.status, answer.detail = error.status, error.message
        response.digest = hashlib.sha256(response.SerializeToString()).digest()
        response.height = self.height
        return response

    def build_block(self, response: Any, height: int) -> Any:
        response.sdk_block.header.height = height
        return response

    def get_block(self, request: Any) -> Any:
        if not self.first_kept <= request.height <= self.height:
            raise QueryFailed("no such height", status="INVALID_ARGUMENT")
        return self.build_block(tendermint_pb2.GetBlockByHeightResponse(), request.height)

    def get_tx(self, request: Any) -> Any:
        if request.hash not in self.found:
            raise NotFound(f"tx not found: {request.hash}", status="NOT_FOUND")
        return service_pb2.GetTxResponse(
            tx=self.bodies[request.hash], tx_response=self.found[request.hash]
        )


def verify(public_key: bytes, signature: bytes, message: bytes) -> None:
    """Check a 64-byte r|s signature with low s, by recovering the key from it."""
    half_order = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
    assert int.from_bytes(signature[32:], "big") <= half_order
    recovered = (
        PublicKey.from_signature_and_message(signature + bytes([parity]), message)
        for parity in (0, 1)
    )
    if public_key not in [key.format(compressed=True) for key in recovered]:
        raise QueryFailed("signature verification failed")


def transfer(key: Key, to: str = BOB.address, amount: int = 1) -> MsgSend:
    """A message that moves `amount` udsc."""
    message = MsgSend(from_address=key.address, to_address=to)
    message.amount.add(denom="udsc", amount=str(amount))
    return message
