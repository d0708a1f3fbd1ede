"""A pallet as data: storage, calls, queries, hooks, genesis, invariants.

    class BankPallet(Pallet[BankSchema]):
        name = "bank"
        schema = BankSchema
        query_services = (query_pb2.DESCRIPTOR.services_by_name["Query"],)

        @call(0, tx_pb2.MsgSend, tx_pb2.MsgSendResponse, signer="from_address")
        def send(self, ctx, origin, msg): ...

        @query("Balance")
        def query_balance(self, ctx, request): ...

        @invariant
        def check_supply(self, ctx): ...

The runtime reads these declarations; a door never names a pallet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from node.runtime.addresses import compute_module_address, encode_account
from node.runtime.context import Context
from node.runtime.errors import ChainError, InvalidAuthority, InvalidRequest, ensure
from node.runtime.events import Event
from node.runtime.storage import Schema

UPDATE_PARAMS_INDEX = 255
"""Call index of `update_params` in every pallet that has it."""
AUTHORITY_ADDR = compute_module_address("gov")
"""Whose word changes parameters and plans upgrades."""

S = TypeVar("S", bound=Schema)
F = TypeVar("F", bound=Callable[..., Any])
SignerGetter = Callable[[Any], list[str]]


@dataclass(frozen=True)
class CallSpec:
    """A declared call.

    Args:
        index: stable number of the call in its pallet, for the Substrate door.
        name: method name.
        message_class, response_class: protobuf types; the type URL routes transactions.
        get_signers: bech32 texts of the accounts that must sign; the first is the origin.
        signer_field: message field with the only signer; empty if `get_signers` is a function.
        doc: what the user reads.
        execute: `(ctx, origin, msg) -> response or None`, bound to the pallet.
    """

    index: int
    name: str
    message_class: Any
    response_class: Any
    get_signers: SignerGetter
    signer_field: str
    doc: str
    execute: Callable[[Context, bytes, Any], Any]

    @property
    def type_url(self) -> str:
        """`/package.Message`."""
        return "/" + str(self.message_class.DESCRIPTOR.full_name)


@dataclass(frozen=True)
class QuerySpec:
    """A declared query: `path` is `/package.Service/Method`."""

    path: str
    request_class: Any
    response_class: Any
    doc: str
    answer: Callable[[Context, Any], Any]


def call(
    index: int, message_class: Any, response_class: Any, *, signer: str | SignerGetter
) -> Callable[[F], F]:
    """Declare a call. `signer` names the message field with the signer's address."""
    field_name = "" if callable(signer) else signer
    if callable(signer):
        get_signers = signer
    else:

        def get_signers(message: Any) -> list[str]:
            return [getattr(message, field_name)]

    def mark(function: F) -> F:
        function.__call_spec__ = (  # type: ignore[attr-defined]
            index,
            message_class,
            response_class,
            get_signers,
            field_name,
        )
        return function

    return mark


def query(method: str, service: str = "") -> Callable[[F], F]:
    """Declare a query; `service` is the full service name if the pallet has several."""

    def mark(function: F) -> F:
        marks = getattr(function, "__query_marks__", ())
        function.__query_marks__ = (*marks, (method, service))  # type: ignore[attr-defined]
        return function

    return mark


def invariant(function: F) -> F:
    """Declare an invariant: raises `InvariantBroken` if state contradicts itself."""
    function.__invariant__ = True  # type: ignore[attr-defined]
    return function


@dataclass(frozen=True)
class ParamsUpdated(Event):
    """Governance changed the parameters of a pallet."""

    pallet: str


def ensure_authority(origin: bytes) -> None:
    """Refuse everybody but governance.

    Raises: InvalidAuthority.
    """
    expected, got = encode_account(AUTHORITY_ADDR), encode_account(origin)
    text = f"invalid authority; expected {expected}, got {got}"
    ensure(origin == AUTHORITY_ADDR, InvalidAuthority, text)


class Pallet(Generic[S]):
    """Base of every pallet. Constructors take small capability protocols, never the runtime.

    `index` is the stable number by which Substrate clients call the pallet; 0 lets the runtime
    give it one, which may be another after an upgrade.
    """

    name: ClassVar[str]
    index: ClassVar[int] = 0
    schema: type[S]
    query_services: ClassVar[tuple[Any, ...]] = ()
    inherent_tag: ClassVar[int | None] = None
    params_messages: ClassVar[tuple[Any, Any] | None] = None
    """`MsgUpdateParams` and its response, of a pallet whose parameters governance may change."""
    errors: ClassVar[tuple[type[ChainError], ...]] = ()
    events: ClassVar[tuple[type[Event], ...]] = ()

    def __init__(self) -> None:
        self.storage: S = self.schema(self.name)

    def begin_block(self, ctx: Context) -> None:
        """Run before the transactions of a block: named `process_*` steps only."""

    def end_block(self, ctx: Context) -> None:
        """Run after the transactions of a block: named `process_*` steps only."""

    def update_consensus_set(self, ctx: Context) -> dict[bytes, int]:
        """Run after `end_block` and genesis; returns new powers by ed25519 key, 0 to remove.

        A key may be changed by one pallet only.
        """
        return {}

    def list_consensus_set(self, ctx: Context) -> dict[bytes, int]:
        """List the powers this pallet gave, by ed25519 key."""
        return {}

    def build_inherent(self, ctx: Context) -> bytes:
        """Build the pseudo transaction from the extensions of the block's votes; empty for none."""
        return b""

    def check_no_inherent(self, ctx: Context) -> None:
        """Check that a block may come without the pseudo transaction.

        Raises: ChainError, which makes validators reject the proposal.
        """

    def process_inherent(self, ctx: Context, data: bytes) -> None:
        """Run the pseudo transaction that carries `inherent_tag`, before `begin_block`.

        Raises: ChainError, which makes validators reject the proposal.
        """

    def check_extension(self, ctx: Context, consensus_addr: bytes, extension: bytes) -> None:
        """Check the vote extension of the node with a consensus address.

        Raises: ChainError.
        """

    def export_genesis(self, ctx: Context) -> dict[str, Any]:
        """Export the pallet's state as JSON data."""
        return self.storage.export_json(ctx)

    def import_genesis(self, ctx: Context, data: dict[str, Any]) -> None:
        """Import what `export_genesis` gave; then `process_genesis` fills what is missing.

        Raises: GenesisDataError.
        """
        self.storage.import_json(ctx, data)
        self.process_genesis(ctx)

    def process_genesis(self, ctx: Context) -> None:
        """Write defaults (parameters, counters) that the genesis section left out."""

    def list_calls(self) -> list[CallSpec]:
        """List the calls by index.

        Raises: ValueError if two share an index.
        """
        specs: dict[int, CallSpec] = {}
        for name in dir(type(self)):
            function = getattr(type(self), name)
            marks = getattr(function, "__call_spec__", None)
            if marks is None:
                continue
            index, message_class, response_class, get_signers, field_name = marks
            if index in specs:
                raise ValueError(f"{self.name}: call index {index} is used twice")
            doc = (function.__doc__ or "").strip()
            specs[index] = CallSpec(
                index=index,
                name=name,
                message_class=message_class,
                response_class=response_class,
                get_signers=get_signers,
                signer_field=field_name,
                doc=doc,
                execute=getattr(self, name),
            )
        if self.params_messages is not None:
            specs[UPDATE_PARAMS_INDEX] = self._build_params_call(*self.params_messages)
        return [specs[index] for index in sorted(specs)]

    def _build_params_call(self, message_class: Any, response_class: Any) -> CallSpec:
        return CallSpec(
            index=UPDATE_PARAMS_INDEX,
            name="update_params",
            message_class=message_class,
            response_class=response_class,
            get_signers=lambda message: [message.authority],
            signer_field="authority",
            doc=(self.update_params.__doc__ or "").strip(),
            execute=self.update_params,
        )

    def update_params(self, ctx: Context, origin: bytes, msg: Any) -> None:
        """Change every parameter at once; governance only.

        Raises: InvalidAuthority, InvalidRequest.
        Emits: ParamsUpdated.
        """
        ensure_authority(origin)
        item: Any = self.storage.elements["params"]
        before = item.expect(ctx)
        try:
            after = item.value_codec.params_class.from_message(msg.params)
        except ValueError as error:  # ParamsError, or a number that is none
            raise InvalidRequest(f"{self.name}: {error}") from error
        item.set(ctx, after)
        self.on_params_change(ctx, before, after)
        ctx.emit(ParamsUpdated(self.name))

    def on_params_change(self, ctx: Context, before: Any, after: Any) -> None:
        """Run after governance changed the parameters: make state agree with them.

        Raises: ChainError, which takes the change back.
        """

    def list_queries(self) -> list[tuple[str, str, str, Callable[[Context, Any], Any]]]:
        """List declared queries as (method, service, doc, function)."""
        found = []
        for name in dir(type(self)):
            function = getattr(type(self), name)
            for method, service in getattr(function, "__query_marks__", ()):
                doc = (function.__doc__ or "").strip()
                found.append((method, service, doc, getattr(self, name)))
        return found

    def list_invariants(self) -> list[Callable[[Context], None]]:
        """List the pallet's invariants by name."""
        names = [n for n in dir(type(self)) if hasattr(getattr(type(self), n), "__invariant__")]
        return [getattr(self, name) for name in names]
