"""Errors of datasets.

ExactError
  DataError
    InvalidCorpus      the files found cannot make a dataset
    InvalidManifest    bytes that are not a manifest, or not the one asked for
    DatasetMissing     no pack with this root here
    DatasetCorrupt     a pack whose bytes are not what its manifest says
    DatasetMismatch    the local files make another dataset than the run's
    DatasetUnwritable  the pack cannot be written: no room, no permission
    ChunkUnavailable   a peer gave no bytes, or wrong bytes, for a chunk
    InvalidDraw        more sequences asked for than there are, or an index out of range
"""

from exact.errors import ExactError


class DataError(ExactError):
    """Base of every refusal in `exact/data/`."""


class InvalidCorpus(DataError):
    """The files found cannot make a dataset; the message names the file or what is missing."""


class InvalidManifest(DataError):
    """The bytes are not a manifest in canonical form, or not the one that was asked for."""


class DatasetMissing(DataError):
    """There is no pack with this root in the directory."""


class DatasetCorrupt(DataError):
    """The bytes of a pack are not what its manifest says; the message names file and chunk."""


class DatasetMismatch(DataError):
    """The local files make another dataset than the run's; the message names the first one."""


class DatasetUnwritable(DataError):
    """The pack could not be written; nothing that was there is lost."""


class ChunkUnavailable(DataError):
    """No peer gave the right bytes for a chunk; what was fetched is kept for the next try."""


class InvalidDraw(DataError):
    """More sequences asked for than the stream has, or an index out of range."""
