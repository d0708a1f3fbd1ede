"""Parameters of accounts and the capability other parts take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from cosmos.auth.v1beta1 import auth_pb2

from node.runtime.context import Context
from node.runtime.params import Params, bounded

FEE_COLLECTOR = "fee_collector"


@dataclass(frozen=True)
class AccountsParams(Params):
    """Limits and gas prices of signatures and transaction bytes (Cosmos SDK defaults)."""

    message_class: ClassVar[Any] = auth_pb2.Params

    max_memo_characters: int = bounded(256, low=0, high=65_536)
    tx_sig_limit: int = bounded(7, low=1, high=64)
    tx_size_cost_per_byte: int = bounded(10, low=0, high=1_000)
    sig_verify_cost_ed25519: int = bounded(590, low=0, high=1_000_000)
    sig_verify_cost_secp256k1: int = bounded(1_000, low=0, high=1_000_000)


class AccountsCreate(Protocol):
    """Make sure an address has an account."""

    def ensure_account(self, ctx: Context, addr: bytes) -> None: ...

    def is_module_addr(self, addr: bytes) -> bool: ...
