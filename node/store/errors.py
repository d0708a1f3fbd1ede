"""Errors of the state store.

StoreError
  StoreMissing        nothing was ever written there, and a reader asked for it
  StoreBusy           another process writes to the same folder
  StoreCorrupt        the files are damaged
  StoreFull           the disk (or a quota) has no room left for the block
  StoreMisuse         the caller broke the order of stage and commit, or used a store the wrong way
    KeyTooLong        a key is over KEY_SIZE_MAX
  VersionUnavailable  the version asked for is in the future or already pruned
  StoreUnknown        no pallet store of that name at that version
"""

WHAT_TO_DO = "restore the data folder from a backup or start again from genesis"


class StoreError(Exception):
    """The state store cannot do what was asked."""


class StoreMissing(StoreError):
    """There is no chain data in the folder yet: start the node first."""


class StoreBusy(StoreError):
    """Another process has the data folder open for writing: stop that one first."""


class StoreCorrupt(StoreError):
    """The files are damaged: restore the data folder from a backup or start again from genesis."""


class StoreFull(StoreError):
    """No room on the disk. Nothing of this block was kept: make room and start the node again."""


class StoreMisuse(StoreError):
    """The store was called in an order or with values that it does not allow."""


class KeyTooLong(StoreMisuse):
    """A key, with its zero bytes escaped, is longer than the store can hold."""


class VersionUnavailable(StoreError):
    """The version is not kept here: it is newer than the newest one, or it was pruned."""


class StoreUnknown(StoreError):
    """No pallet store of that name exists at the version asked for."""
