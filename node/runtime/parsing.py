"""Addresses that a message names, decoded or refused with the text a user reads."""

from __future__ import annotations

from node.runtime.addresses import AddressError, decode_account, decode_operator
from node.runtime.errors import InvalidAddress


def parse_account(text: str, role: str) -> bytes:
    """Decode an account's address; `role` says in the refusal whose it is.

    Raises: InvalidAddress.
    """
    try:
        return decode_account(text)
    except AddressError as error:
        raise InvalidAddress(f"invalid {role} address: {error}") from error


def parse_operator(text: str) -> bytes:
    """Decode an operator's address.

    Raises: InvalidAddress.
    """
    try:
        return decode_operator(text)
    except AddressError as error:
        raise InvalidAddress(f"invalid validator address: {error}") from error
