"""Shared by every test: one copy of the `cosmos.*` and `tendermint.*` types on the path."""

import proto  # noqa: F401
