"""What Substrate clients expect of any chain, and no pallet of ours declares.

System, Timestamp, Utility, Balances and TransactionPayment are shapes clients know by name; Cosmos
holds what only the other format has. Types are those of a Substrate node, by path.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from node.pallets.blocks.pallet import KEPT_HASHES_BLOCKS
from node.runtime import errors
from node.runtime.errors import ChainError
from node.runtime.substrate.accounts import ACCOUNT, ACCOUNT_ID
from node.runtime.substrate.calls import (
    BALANCES,
    COSMOS,
    MULTI_ADDRESS,
    SYSTEM,
    TIMESTAMP,
    TRANSACTION_PAYMENT,
    UTILITY,
)
from node.runtime.substrate.extrinsic import (
    GAS_PER_BYTE,
    GAS_PER_CALL,
    SPEC_NAME,
    SPEC_VERSION,
    TRANSACTION_VERSION,
    UDSC_PER_MILLION_GAS,
)
from node.runtime.substrate.scale import (
    HASH,
    TEXT,
    U8,
    U16,
    U32,
    U64,
    U128,
    UNIT,
    Case,
    Compact,
    Composite,
    Field,
    FixedBytes,
    Sequence,
    TupleType,
    Type,
    Variant,
)

SS58_PREFIX = 42
MINIMUM_PERIOD_MS = 250
FACADE_NAMES = {
    SYSTEM: "System",
    TIMESTAMP: "Timestamp",
    UTILITY: "Utility",
    BALANCES: "Balances",
    TRANSACTION_PAYMENT: "TransactionPayment",
    COSMOS: "Cosmos",
}
FACADE_DOCS = {
    SYSTEM: "Accounts, blocks and events; refusals every pallet shares.",
    TIMESTAMP: "Time of the block.",
    UTILITY: "Several calls in one extrinsic.",
    BALANCES: "Balances of the base denomination; the pallet behind it is Bank.",
    TRANSACTION_PAYMENT: "What extrinsics pay.",
    COSMOS: "Transactions and events of the Cosmos format.",
}
EXTRINSIC_SUCCESS, EXTRINSIC_FAILED, BALANCES_TRANSFER, FEE_PAID, COSMOS_EVENT = 0, 1, 2, 0, 0


@dataclass(frozen=True)
class Constant:
    """A constant of a pallet."""

    name: str
    type: Type
    value: object
    doc: str = ""

    def encode(self) -> bytes:
        """Encode the value."""
        return self.type.encode(self.value)


def build_struct(path: str, *fields: tuple[str, Type]) -> Composite:
    """Build a struct type of a path written with `::`."""
    return Composite(path.split("::"), [Field(name, made) for name, made in fields])


def build_enum(path: str, *names: str) -> Variant:
    """Build an enum type without fields."""
    return Variant(tuple(path.split("::")), [Case(name, n) for n, name in enumerate(names)])


WEIGHT = build_struct(
    "sp_weights::weight_v2::Weight", ("ref_time", Compact(U64)), ("proof_size", Compact(U64))
)
DISPATCH_CLASS = build_enum(
    "frame_support::dispatch::DispatchClass", "Normal", "Operational", "Mandatory"
)
PAYS = build_enum("frame_support::dispatch::Pays", "Yes", "No")
DISPATCH_INFO = build_struct(
    "frame_support::dispatch::DispatchInfo",
    *(("weight", WEIGHT), ("class", DISPATCH_CLASS), ("pays_fee", PAYS)),
)
MODULE_ERROR = build_struct("sp_runtime::ModuleError", ("index", U8), ("error", FixedBytes(4)))
DISPATCH_ERROR = Variant(
    ("sp_runtime", "DispatchError"),
    [
        Case("Other", 0),
        Case("CannotLookup", 1),
        Case("BadOrigin", 2),
        Case("Module", 3, (Field("", MODULE_ERROR, "ModuleError"),)),
    ],
)
RUNTIME_DISPATCH_INFO = build_struct(
    "pallet_transaction_payment::types::RuntimeDispatchInfo",
    *(("weight", WEIGHT), ("class", DISPATCH_CLASS), ("partial_fee", U128)),
)
ACCOUNT_DATA = build_struct(
    "pallet_balances::types::AccountData",
    ("free", U128),
    ("reserved", U128),
    ("frozen", U128),
    ("flags", Composite(("pallet_balances", "types", "ExtraFlags"), [Field("", U128, "u128")])),
)
ACCOUNT_INFO = build_struct(
    "frame_system::AccountInfo",
    ("nonce", U32),
    ("consumers", U32),
    ("providers", U32),
    ("sufficients", U32),
    ("data", ACCOUNT_DATA),
)
RUNTIME_VERSION = build_struct(
    "sp_version::RuntimeVersion",
    ("spec_name", TEXT),
    ("impl_name", TEXT),
    ("authoring_version", U32),
    ("spec_version", U32),
    ("impl_version", U32),
    ("apis", Sequence(TupleType(FixedBytes(8), U32))),
    ("transaction_version", U32),
    ("state_version", U8),
)
API_VERSIONS = {"Core": 4, "Metadata": 2, "AccountNonceApi": 1, "TransactionPaymentApi": 4}


def compute_api_id(name: str) -> bytes:
    """Compute the 8 bytes by which a runtime API is known."""
    return blake2b(name.encode(), digest_size=8).digest()


VERSION: dict[str, Any] = {
    "spec_name": SPEC_NAME,
    "impl_name": SPEC_NAME,
    "authoring_version": 1,
    "spec_version": SPEC_VERSION,
    "impl_version": 1,
    "apis": [(compute_api_id(name), number) for name, number in API_VERSIONS.items()],
    "transaction_version": TRANSACTION_VERSION,
    "state_version": 1,
}
ERA = Variant(
    ("sp_runtime", "generic", "era", "Era"),
    [
        Case("Immortal", 0),
        *(Case(f"Mortal{n}", n, (Field("", U8, "u8"),)) for n in range(1, 256)),
    ],
)
MULTI_SIGNATURE = Variant(
    ("sp_runtime", "MultiSignature"),
    [
        Case("Ed25519", 0, (Field("", FixedBytes(64), "ed25519::Signature"),)),
        Case("Sr25519", 1, (Field("", FixedBytes(64), "sr25519::Signature"),)),
        Case("Ecdsa", 2, (Field("", FixedBytes(65), "ecdsa::Signature"),)),
    ],
)
PHASE = Variant(
    ("frame_system", "Phase"),
    [
        Case("ApplyExtrinsic", 0, (Field("", U32, "u32"),)),
        Case("Finalization", 1),
        Case("Initialization", 2),
    ],
)


def build_extension(name: str, *fields: tuple[str, Type]) -> Composite:
    """Build the type of a signed extension."""
    path = ("frame_system", "extensions", name.lower(), name)
    return Composite(path, [Field(label, made) for label, made in fields])


EXTENSION_TYPES: dict[str, tuple[Type, Type]] = {
    "CheckNonZeroSender": (build_extension("CheckNonZeroSender"), UNIT),
    "CheckSpecVersion": (build_extension("CheckSpecVersion"), U32),
    "CheckTxVersion": (build_extension("CheckTxVersion"), U32),
    "CheckGenesis": (build_extension("CheckGenesis"), HASH),
    "CheckMortality": (build_extension("CheckMortality", ("", ERA)), HASH),
    "CheckNonce": (build_extension("CheckNonce", ("", Compact(U32))), UNIT),
    "CheckWeight": (build_extension("CheckWeight"), UNIT),
    "ChargeTransactionPayment": (
        Composite(
            ("pallet_transaction_payment", "ChargeTransactionPayment"),
            [Field("", Compact(U128), "BalanceOf<T>")],
        ),
        UNIT,
    ),
}
"""(in the extrinsic, signed in addition) by name."""

FACADE_EVENTS: dict[int, list[Case]] = {
    SYSTEM: [
        Case(
            "ExtrinsicSuccess",
            EXTRINSIC_SUCCESS,
            (Field("dispatch_info", DISPATCH_INFO, "DispatchInfo"),),
            "An extrinsic did what it says. `ref_time` is the gas used.",
        ),
        Case(
            "ExtrinsicFailed",
            EXTRINSIC_FAILED,
            (
                Field("dispatch_error", DISPATCH_ERROR, "DispatchError"),
                Field("dispatch_info", DISPATCH_INFO, "DispatchInfo"),
            ),
            "An extrinsic was refused; it paid if it came past its checks.",
        ),
    ],
    BALANCES: [
        Case(
            "Transfer",
            BALANCES_TRANSFER,
            (
                Field("from", ACCOUNT, "T::AccountId"),
                Field("to", ACCOUNT, "T::AccountId"),
                Field("amount", U128, "T::Balance"),
            ),
            "Coins of the base denomination moved between two accounts.",
        )
    ],
    TRANSACTION_PAYMENT: [
        Case(
            "TransactionFeePaid",
            FEE_PAID,
            (
                Field("who", ACCOUNT, "T::AccountId"),
                Field("actual_fee", U128, "BalanceOf<T>"),
                Field("tip", U128, "BalanceOf<T>"),
            ),
            "The fee of a transaction was taken; `actual_fee` includes the tip.",
        )
    ],
    COSMOS: [
        Case(
            "Event",
            COSMOS_EVENT,
            (
                Field("kind", TEXT, "Vec<u8>"),
                Field("attributes", Sequence(TupleType(TEXT, TEXT)), "Vec<(Vec<u8>, Vec<u8>)>"),
            ),
            "An event no pallet declares.",
        )
    ],
}

FACADE_CONSTANTS: dict[int, list[Constant]] = {
    SYSTEM: [
        Constant("BlockHashCount", U32, KEPT_HASHES_BLOCKS, "Block hashes kept for eras."),
        Constant("SS58Prefix", U16, SS58_PREFIX, "Prefix of addresses."),
        Constant("Version", RUNTIME_VERSION, VERSION, "Version of the runtime."),
    ],
    TIMESTAMP: [Constant("MinimumPeriod", U64, MINIMUM_PERIOD_MS, "Half a usual block time.")],
    BALANCES: [Constant("ExistentialDeposit", U128, 0, "Accounts of any balance live.")],
    TRANSACTION_PAYMENT: [
        Constant("GasPerCall", U64, GAS_PER_CALL, "Gas an extrinsic may use, a call."),
        Constant("GasPerByte", U64, GAS_PER_BYTE, "Gas an extrinsic may use, a byte of it."),
        Constant("UdscPerMillionGas", U64, UDSC_PER_MILLION_GAS, "Price of that gas."),
    ],
}


def list_shared_errors() -> list[type[ChainError]]:
    """List the refusals of codespace `sdk`, by code."""
    classes = [
        item
        for item in vars(errors).values()
        if isinstance(item, type) and issubclass(item, ChainError) and item is not ChainError
    ]
    return sorted(classes, key=lambda item: item.code)


@dataclass(frozen=True)
class RuntimeApi:
    """A method clients call by `state_call`: name, inputs, output, doc."""

    name: str
    inputs: tuple[tuple[str, Type], ...]
    output: Type
    doc: str = ""


@dataclass
class RuntimeTypes:
    """The outer types, which contain one another; filled by `metadata`."""

    call: Variant = field(default_factory=lambda: Variant(("descent_runtime", "RuntimeCall")))
    event: Variant = field(default_factory=lambda: Variant(("descent_runtime", "RuntimeEvent")))
    error: Variant = field(default_factory=lambda: Variant(("descent_runtime", "RuntimeError")))

    def __post_init__(self) -> None:
        runtime = Composite(("descent_runtime", "Runtime"), ())
        self.runtime = runtime
        self.event_record = Composite(
            ("frame_system", "EventRecord"),
            [
                Field("phase", PHASE, "Phase"),
                Field("event", self.event, "E"),
                Field("topics", Sequence(HASH), "Vec<T>"),
            ],
            (("E", self.event), ("T", HASH)),
        )
        self.extra = TupleType(*(pair[0] for pair in EXTENSION_TYPES.values()))
        self.extrinsic = Composite(
            ("sp_runtime", "generic", "unchecked_extrinsic", "UncheckedExtrinsic"),
            [Field("", Sequence(U8), "Vec<u8>")],
            (
                ("Address", MULTI_ADDRESS),
                ("Call", self.call),
                ("Signature", MULTI_SIGNATURE),
                ("Extra", self.extra),
            ),
        )


def list_runtime_apis(types: RuntimeTypes) -> dict[str, tuple[RuntimeApi, ...]]:
    """List what `state_call` answers, by API."""
    opaque = Composite(("sp_core", "OpaqueMetadata"), [Field("", Sequence(U8), "Vec<u8>")])
    maybe = Variant(
        ("Option",), [Case("None", 0), Case("Some", 1, (Field("", opaque),))], (("T", opaque),)
    )
    return {
        "Core": (RuntimeApi("version", (), RUNTIME_VERSION, "Version of the runtime."),),
        "Metadata": (
            RuntimeApi("metadata", (), opaque, "Metadata V14."),
            RuntimeApi("metadata_at_version", (("version", U32),), maybe, "V14 or V15."),
            RuntimeApi("metadata_versions", (), Sequence(U32), "What can be asked for."),
        ),
        "AccountNonceApi": (
            RuntimeApi("account_nonce", (("account", ACCOUNT_ID),), U32, "Sequence to sign next."),
        ),
        "TransactionPaymentApi": (
            RuntimeApi(
                "query_info",
                (("uxt", types.extrinsic), ("len", U32)),
                RUNTIME_DISPATCH_INFO,
                "The most an extrinsic pays without its tip; what it did not use comes back.",
            ),
        ),
    }
