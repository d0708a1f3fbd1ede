"""Refusals of blob storage and transport.

```
BlobError
|-- InvalidAddress      not 32 bytes, an unknown kind, or an endpoint that is not host:port
|-- BlobNotFound        nobody asked has it
|-- BlobUnavailable     no connection, a cut connection, a busy server
|-- BlobTimeout         hangs, trickles, or the deadline passed
|-- BlobTooLarge        more bytes than the caller allows
|-- BlobHashMismatch    the bytes do not have the address
|-- BlobCorrupt         a file of the store changed on disk; it has been removed
|-- BlobUnwritable      no room or no permission; nothing that was there is lost
`-- BlobPortBusy        the server's port is taken
```
"""


class BlobError(Exception):
    """Any refusal of this package."""


class InvalidAddress(BlobError):
    """An address is not 32 bytes, its kind is unknown, or an endpoint is not host:port."""


class BlobNotFound(BlobError):
    """Nobody who was asked has it."""


class BlobUnavailable(BlobError):
    """The endpoint cannot be reached, cut the connection or is too busy."""


class BlobTimeout(BlobError):
    """The endpoint hangs or trickles, or the deadline passed; what came is kept."""


class BlobTooLarge(BlobError):
    """The endpoint has, or sends, more bytes than the caller allows."""


class BlobHashMismatch(BlobError):
    """The endpoint sent bytes that do not have the address; they were thrown away."""


class BlobCorrupt(BlobError):
    """A file of the store does not have its address any more; it has been removed."""


class BlobUnwritable(BlobError):
    """The store cannot be written; nothing that was there is lost."""


class BlobPortBusy(BlobError):
    """The server's port is taken by another process."""
