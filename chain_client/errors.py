"""Refusals of the chain client.

```
ChainClientError              codespace, code, message, hint
|-- NodeUnreachable           no answer from the endpoint
|-- QueryFailed               the node answered a query with an error
|   `-- NotFound              ... because there is no such thing
|-- ChainMismatch             the node serves another chain id
|-- TxError                   tx_hash
|   |-- TxRefused             by simulation, by the mempool or on execution
|   `-- TxTimeout             not in a block before the deadline; it may still get in
|-- InvalidInput              an address, an amount or a message that cannot be right
|-- ProofInvalid              what a node says of its state does not follow from the block
`-- KeyringError              path
    |-- KeyNotFound
    |-- KeyExists
    |-- KeyFileCorrupted      truncated, edited, or not a key file
    |-- KeyFileExposed        others may read it
    |-- WrongPassphrase
    |-- InvalidMnemonic
    `-- KeyringUnavailable    the operating system's does not answer
```

Errors made here have codespace `client` and the code of their class; codes are never reused.
Errors of the chain keep the codespace and code the chain gave.
"""

from typing import ClassVar


class ChainClientError(Exception):
    """Any refusal of this package."""

    default_code: ClassVar[int] = 1

    def __init__(
        self, message: str, *, hint: str = "", codespace: str = "client", code: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.codespace = codespace
        self.code = self.default_code if code is None else code


class NodeUnreachable(ChainClientError):
    """The node did not answer; it may have received the request."""

    default_code = 2


class QueryFailed(ChainClientError):
    """The node answered a query with an error; `status` is the gRPC status name."""

    default_code = 3

    def __init__(
        self,
        message: str,
        *,
        status: str = "UNKNOWN",
        hint: str = "",
        codespace: str = "client",
        code: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint, codespace=codespace, code=code)
        self.status = status


class NotFound(QueryFailed):
    """There is no such thing on the chain."""

    default_code = 4


class ChainMismatch(ChainClientError):
    """The node serves another chain than the one asked for."""

    default_code = 5


class TxError(ChainClientError):
    """A transaction that is not known to have succeeded; `tx_hash` is lower-case hex or empty."""

    default_code = 6

    def __init__(
        self,
        message: str,
        *,
        tx_hash: str = "",
        hint: str = "",
        codespace: str = "client",
        code: int | None = None,
    ) -> None:
        super().__init__(message, hint=hint, codespace=codespace, code=code)
        self.tx_hash = tx_hash


class TxRefused(TxError):
    """The chain refused the transaction; `height` is 0 unless a block holds it."""

    default_code = 7

    def __init__(
        self,
        message: str,
        *,
        tx_hash: str = "",
        height: int = 0,
        hint: str = "",
        codespace: str = "client",
        code: int | None = None,
    ) -> None:
        super().__init__(message, tx_hash=tx_hash, hint=hint, codespace=codespace, code=code)
        self.height = height


class TxTimeout(TxError):
    """Sent, and in no block yet: query it by `tx_hash` before sending again."""

    default_code = 8


class InvalidInput(ChainClientError):
    """An address, amount or message that cannot be right."""

    default_code = 9


class ProofInvalid(ChainClientError):
    """A proof does not show what it should."""

    default_code = 10


class KeyringError(ChainClientError):
    """A refusal of the keyring; `path` names the file."""

    default_code = 20

    def __init__(self, message: str, *, path: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


class KeyNotFound(KeyringError):
    """No key of that name."""

    default_code = 21


class KeyExists(KeyringError):
    """A key of that name is already there."""

    default_code = 22


class KeyFileCorrupted(KeyringError):
    """The file is truncated, was edited, or is not a key file."""

    default_code = 23


class KeyFileExposed(KeyringError):
    """Other users of the machine may read the file."""

    default_code = 24


class WrongPassphrase(KeyringError):
    """The passphrase does not open the key."""

    default_code = 25


class InvalidMnemonic(KeyringError):
    """Not a BIP-39 phrase: wrong length, unknown word or wrong checksum."""

    default_code = 26


class KeyringUnavailable(KeyringError):
    """The keyring of the operating system does not answer."""

    default_code = 27
