"""Parameters and events of the bank, and the capabilities other pallets take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from cosmos.bank.v1beta1 import bank_pb2

from node.runtime.context import Context
from node.runtime.events import Address, Event
from node.runtime.params import Params

MAX_RECIPIENTS = 256
"""Outputs of one MsgMultiSend."""


@dataclass(frozen=True)
class BankParams(Params):
    """Whether accounts may send coins to each other."""

    message_class: ClassVar[Any] = bank_pb2.Params

    default_send_enabled: bool = True


@dataclass(frozen=True)
class CoinSpent(Event):
    """Coins left an account."""

    abci_type: ClassVar[str] = "coin_spent"
    spender: Address
    amount: str


@dataclass(frozen=True)
class CoinReceived(Event):
    """Coins came to an account."""

    abci_type: ClassVar[str] = "coin_received"
    receiver: Address
    amount: str


@dataclass(frozen=True)
class Transferred(Event):
    """Coins moved between two accounts."""

    abci_type: ClassVar[str] = "transfer"
    recipient: Address
    sender: Address
    amount: str


@dataclass(frozen=True)
class CoinsMinted(Event):
    """Coins came into being."""

    abci_type: ClassVar[str] = "coinbase"
    minter: Address
    amount: str


@dataclass(frozen=True)
class CoinsBurned(Event):
    """Coins ceased to be."""

    abci_type: ClassVar[str] = "burn"
    burner: Address
    amount: str


class BalancesRead(Protocol):
    """Read balances; amounts in units of `denom`, `udsc` by default."""

    def get_balance(self, ctx: Context, addr: bytes, denom: str = ...) -> int: ...


class BalancesTransfer(BalancesRead, Protocol):
    """Move coins. Raises InsufficientFunds."""

    def transfer(
        self, ctx: Context, sender: bytes, recipient: bytes, amount: int, denom: str = ...
    ) -> None: ...


class BalancesMint(Protocol):
    """Bring coins into being in an account."""

    def mint(self, ctx: Context, recipient: bytes, amount: int, denom: str = ...) -> None: ...

    def get_supply(self, ctx: Context, denom: str = ...) -> int: ...


class BalancesBurn(Protocol):
    """Destroy coins of an account. Raises InsufficientFunds."""

    def burn(self, ctx: Context, holder: bytes, amount: int, denom: str = ...) -> None: ...
