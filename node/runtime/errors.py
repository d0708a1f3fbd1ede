"""Refusals: one class each, with a stable `(codespace, code)` and the text a user reads.

    ChainError                 refuses a transaction or message; becomes its result
    |- sdk refusals below      codespace `sdk`, codes and texts of the Cosmos SDK
    |- a class per refusal in `node/pallets/<name>/errors.py`, codespace = pallet name
    QueryError                 refuses a query; carries the gRPC status name
    InvariantBroken            a bug: the node stops
    UpgradeHalt                the chain goes on with another version of the program: the node stops

The docstring's first line is the text. A detail given to the constructor is put before it, as the
SDK wraps errors: `DETAIL: TEXT`. Codes are never reused.
"""

from __future__ import annotations

from typing import ClassVar, NoReturn

SDK_CODESPACE = "sdk"


class ChainError(Exception):
    """refused"""

    codespace: ClassVar[str] = SDK_CODESPACE
    code: ClassVar[int] = 1

    def __init__(self, detail: str = "") -> None:
        self.detail = detail
        super().__init__(self.compute_log())

    def compute_log(self) -> str:
        """Compute the text of the refusal: detail first, then what the class says."""
        text = self.get_text()
        return f"{self.detail}: {text}" if self.detail else text

    @classmethod
    def get_text(cls) -> str:
        """Get the first line of the docstring without a full stop."""
        return (cls.__doc__ or cls.__name__).strip().splitlines()[0].rstrip(".")


class TxDecodeFailed(ChainError):
    """tx parse error"""

    code = 2


class Unauthorized(ChainError):
    """unauthorized"""

    code = 4


class InsufficientFunds(ChainError):
    """insufficient funds"""

    code = 5


class UnknownRequest(ChainError):
    """unknown request"""

    code = 6


class InvalidAddress(ChainError):
    """invalid address"""

    code = 7


class InvalidPublicKey(ChainError):
    """invalid pubkey"""

    code = 8


class UnknownAddress(ChainError):
    """unknown address"""

    code = 9


class InvalidCoins(ChainError):
    """invalid coins"""

    code = 10


class OutOfGas(ChainError):
    """out of gas"""

    code = 11


class MemoTooLarge(ChainError):
    """memo too large"""

    code = 12


class InsufficientFee(ChainError):
    """insufficient fee"""

    code = 13


class TooManySignatures(ChainError):
    """maximum number of signatures exceeded"""

    code = 14


class NoSignatures(ChainError):
    """no signatures supplied"""

    code = 15


class InvalidRequest(ChainError):
    """invalid request"""

    code = 18


class TxInMempoolCache(ChainError):
    """tx already in mempool"""

    code = 19


class MempoolFull(ChainError):
    """mempool is full"""

    code = 20


class TxTooLarge(ChainError):
    """tx too large"""

    code = 21


class KeyNotFound(ChainError):
    """key not found"""

    code = 22


class WrongSequence(ChainError):
    """incorrect account sequence"""

    code = 32


class TxTimedOut(ChainError):
    """tx timeout height"""

    code = 30


class UnknownExtensionOptions(ChainError):
    """unknown extension options"""

    code = 31


class InvalidAuthority(ChainError):
    """expected gov account as only signer for proposal message"""

    codespace = "gov"
    code = 13


class InvalidGasLimit(ChainError):
    """invalid gas limit"""

    code = 41


class QueryError(Exception):
    """A query is refused; `status` is the gRPC status name a door answers with."""

    status: ClassVar[str] = "UNKNOWN"


class QueryNotFound(QueryError):
    """What was asked for is not there."""

    status = "NOT_FOUND"


class QueryInvalid(QueryError):
    """The request cannot be answered as it stands."""

    status = "INVALID_ARGUMENT"


class QueryUnimplemented(QueryError):
    """No pallet answers this method."""

    status = "UNIMPLEMENTED"


class InvariantBroken(Exception):
    """State contradicts itself: a bug, and the node stops; in a genesis file, a refusal."""


class UpgradeHalt(Exception):
    """This program is not the one the next block needs: the node stops, its state whole."""


def ensure(condition: bool, error: type[ChainError], detail: str = "") -> None:
    """Refuse with `error` unless the condition holds."""
    if not condition:
        refuse(error, detail)


def refuse(error: type[ChainError], detail: str = "") -> NoReturn:
    """Raise the refusal."""
    raise error(detail)
