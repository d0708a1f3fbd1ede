"""The ordered pallets of a chain: routing of messages and queries, hooks, genesis, invariants.

A door asks the registries here (`list_query_services`, `list_message_types`) and never names a
pallet. Pallets run in the order given; genesis import follows the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from google.protobuf.message import DecodeError
from google.protobuf.message import Error as ProtoError
from google.protobuf.message_factory import GetMessageClass

from node.runtime.addresses import (
    OPERATOR_PREFIX,
    AddressError,
    decode_account,
    decode_operator,
    encode_account,
)
from node.runtime.context import BlockInfo, Context
from node.runtime.errors import (
    ChainError,
    InvalidAddress,
    InvariantBroken,
    QueryInvalid,
    QueryUnimplemented,
    UnknownRequest,
)
from node.runtime.events import Event
from node.runtime.pallet import CallSpec, Pallet, QuerySpec
from node.runtime.state import KeyValueReader, Overlay
from node.runtime.storage import GenesisDataError, SchemaError

FIRST_INDEX = 10
"""Pallets below are what Substrate clients expect of any chain."""
FIRST_FREE_INDEX = 128
"""Given, from here on, to pallets that declare none."""
GENESIS_FAULTS = (
    *(SchemaError, ProtoError, ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(ArithmeticError, ChainError),
)
"""What malformed genesis data leads to, wherever it is first used."""


@dataclass(frozen=True)
class MessageExecuted(Event):
    """A message of a transaction was run."""

    abci_type: ClassVar[str] = "message"
    action: str
    sender: str
    module: str


class RuntimeConflict(Exception):
    """Two pallets claim one name, message, query or error code: refusal to start."""


@dataclass(frozen=True)
class QueryService:
    """A gRPC service some pallet answers: its descriptor and the methods that have a function."""

    full_name: str
    descriptor: Any
    methods: tuple[str, ...]


class Runtime:
    """Pallets wired together.

    Args:
        pallets: in execution order.
    Raises: RuntimeConflict.
    """

    def __init__(self, pallets: Sequence[Pallet[Any]]) -> None:
        self.pallets: dict[str, Pallet[Any]] = {}
        self.calls: dict[str, CallSpec] = {}
        self.call_pallets: dict[str, str] = {}
        self.pallet_indexes: dict[str, int] = {}
        self.queries: dict[str, QuerySpec] = {}
        self.inherents: dict[int, Pallet[Any]] = {}
        self._services: dict[str, Any] = {}
        for pallet in pallets:
            self._register_pallet(pallet)
        self._give_indexes()
        self._check_error_codes()

    def _register_pallet(self, pallet: Pallet[Any]) -> None:
        if pallet.name in self.pallets:
            raise RuntimeConflict(f"two pallets are named {pallet.name}")
        self.pallets[pallet.name] = pallet
        if pallet.inherent_tag is not None:
            if pallet.inherent_tag in self.inherents:
                raise RuntimeConflict(f"two pallets take inherent tag {pallet.inherent_tag}")
            self.inherents[pallet.inherent_tag] = pallet
        for spec in pallet.list_calls():
            if spec.type_url in self.calls:
                raise RuntimeConflict(f"two calls take {spec.type_url}")
            self.calls[spec.type_url] = spec
            self.call_pallets[spec.type_url] = pallet.name
        services = {service.full_name: service for service in pallet.query_services}
        self._services.update(services)
        for method, service_name, doc, function in pallet.list_queries():
            service = services[service_name] if service_name else pallet.query_services[0]
            path = f"/{service.full_name}/{method}"
            if method not in service.methods_by_name:
                raise RuntimeConflict(f"{pallet.name}: {path} is not in the descriptor")
            if path in self.queries:
                raise RuntimeConflict(f"two queries answer {path}")
            descriptor = service.methods_by_name[method]
            request_class = GetMessageClass(descriptor.input_type)
            response_class = GetMessageClass(descriptor.output_type)
            self.queries[path] = QuerySpec(path, request_class, response_class, doc, function)

    def _give_indexes(self) -> None:
        taken: dict[int, str] = {}
        for name, pallet in self.pallets.items():
            if pallet.index and (pallet.index < FIRST_INDEX or pallet.index in taken):
                raise RuntimeConflict(f"{name}: pallet index {pallet.index} is taken")
            taken[pallet.index] = name
        free = (index for index in range(FIRST_FREE_INDEX, 256) if index not in taken)
        for name, pallet in self.pallets.items():
            self.pallet_indexes[name] = pallet.index or next(free)

    def _check_error_codes(self) -> None:
        owners: dict[tuple[str, int], type[ChainError]] = {}
        for pallet in self.pallets.values():
            for error in pallet.errors:
                other = owners.setdefault((error.codespace, error.code), error)
                if other is not error:
                    raise RuntimeConflict(
                        f"{other.__name__} and {error.__name__} share "
                        f"({error.codespace}, {error.code})"
                    )

    # Registries

    def list_store_names(self) -> list[str]:
        """List the store names, sorted."""
        return sorted(self.pallets)

    def list_message_types(self) -> dict[str, Any]:
        """List message classes by type URL."""
        return {url: spec.message_class for url, spec in self.calls.items()}

    def list_query_services(self) -> list[QueryService]:
        """List gRPC services with the methods that are answered."""
        found = []
        for name, descriptor in sorted(self._services.items()):
            head = f"/{name}/"
            methods = tuple(path[len(head) :] for path in self.queries if path.startswith(head))
            found.append(QueryService(name, descriptor, tuple(sorted(methods))))
        return found

    # Blocks

    def begin_block(self, ctx: Context) -> None:
        """Run every pallet's `begin_block` in order."""
        for pallet in self.pallets.values():
            pallet.begin_block(ctx)

    def end_block(self, ctx: Context) -> None:
        """Run every pallet's `end_block` in order."""
        for pallet in self.pallets.values():
            pallet.end_block(ctx)

    def update_consensus_set(self, ctx: Context) -> dict[bytes, int]:
        """Collect the changes of the consensus set: power by ed25519 key, 0 to remove."""
        changes: dict[bytes, int] = {}
        for pallet in self.pallets.values():
            changes.update(pallet.update_consensus_set(ctx))
        return changes

    def list_consensus_set(self, ctx: Context) -> dict[bytes, int]:
        """List the consensus set: power by ed25519 key."""
        powers: dict[bytes, int] = {}
        for pallet in self.pallets.values():
            powers.update(pallet.list_consensus_set(ctx))
        return powers

    def get_call(self, type_url: str) -> CallSpec:
        """Get the call that takes a message.

        Raises: UnknownRequest.
        """
        spec = self.calls.get(type_url)
        if spec is None:
            raise UnknownRequest(f"no message handler found for {type_url}")
        return spec

    def get_signers(self, type_url: str, message: Any) -> list[bytes]:
        """Get the addresses that must sign a message; the first is its origin.

        Raises: UnknownRequest, InvalidAddress.
        """
        return [parse_signer(text) for text in self.get_call(type_url).get_signers(message)]

    def dispatch(self, ctx: Context, type_url: str, message: Any) -> Any:
        """Run one message in a snapshot.

        Returns: the response message.
        Raises: ChainError.
        Emits: MessageExecuted and what the call emits.
        """
        spec = self.get_call(type_url)
        signers = self.get_signers(type_url, message)
        if not signers:
            raise InvalidAddress(f"{type_url} names no signer")
        origin = signers[0]
        with ctx.snapshot():
            module = self.call_pallets[type_url]
            ctx.emit(MessageExecuted(type_url, encode_account(origin), module))
            response = spec.execute(ctx, origin, message)
        return spec.response_class() if response is None else response

    def query(self, reader: KeyValueReader, block: BlockInfo, path: str, request: bytes) -> bytes:
        """Answer `/package.Service/Method` from the state `reader` gives.

        Args:
            reader: pinned to the height asked for.
            block: that height, its time and chain id.
        Raises: QueryError.
        """
        spec = self.queries.get(path)
        if spec is None:
            raise QueryUnimplemented(f"unknown query path: {path}")
        try:
            message = spec.request_class.FromString(request)
        except DecodeError as error:
            raise QueryInvalid(f"{path}: request does not parse") from error
        answer = spec.answer(Context(Overlay(reader), block), message)
        data: bytes = answer.SerializeToString(deterministic=True)
        return data

    # Genesis and invariants

    def import_genesis(self, ctx: Context, sections: dict[str, Any]) -> None:
        """Import genesis sections by pallet name; absent sections get defaults.

        Raises: GenesisDataError.
        """
        unknown = sorted(set(sections) - set(self.pallets))
        if unknown:
            raise GenesisDataError(f"unknown pallet {', '.join(unknown)}")
        for name, pallet in self.pallets.items():
            section = sections.get(name, {})
            if not isinstance(section, dict):
                raise GenesisDataError(f"{name}: the section is not an object")
            with explain_genesis(name):
                pallet.import_genesis(ctx, section)

    def export_genesis(self, ctx: Context) -> dict[str, Any]:
        """Export every pallet's state."""
        return {name: pallet.export_genesis(ctx) for name, pallet in sorted(self.pallets.items())}

    def check_invariants(self, ctx: Context) -> None:
        """Check every invariant of every pallet.

        Raises: InvariantBroken.
        """
        for pallet in self.pallets.values():
            for check in pallet.list_invariants():
                check(ctx)


@contextmanager
def explain_genesis(pallet: str = "") -> Iterator[None]:
    """Refuse a genesis whose data leads to an error: here it is no bug of ours, the file says so.

    Raises: GenesisDataError.
    """
    where = f"{pallet}: " if pallet else ""
    try:
        yield
    except GenesisDataError:
        raise
    except InvariantBroken as error:
        raise GenesisDataError(f"{where}the genesis state contradicts itself: {error}") from error
    except GENESIS_FAULTS as error:
        raise GenesisDataError(f"{where}the genesis state cannot be read: {error!r}") from error


def parse_signer(text: str) -> bytes:
    """Decode a signer given as account or operator address.

    Raises: InvalidAddress.
    """
    try:
        if text.startswith(OPERATOR_PREFIX + "1"):
            return decode_operator(text)
        return decode_account(text)
    except AddressError as error:
        raise InvalidAddress(f"invalid signer {text!r}: {error}") from error
