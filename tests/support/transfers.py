"""Signed transfers between named accounts of a devnet, numbered as the chain says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cosmos.auth.v1beta1 import auth_pb2
from cosmos.auth.v1beta1 import query_pb2 as auth_query
from cosmos.bank.v1beta1 import tx_pb2

from genesis.devnet import get_account
from node.chain import CHAIN_ID
from node.runtime.coins import build_coin
from tests.runtime.chain_driver import Key, build_tx

Ask = Callable[[str, Any, Any], Any]


def build_send(ask: Ask, sender: str, receiver: str, amount: int, *, ahead: int = 0) -> bytes:
    """Build a signed transfer from a named account to one, or to an address, in udsc.

    Args:
        ask: asks a node's gRPC door: path, request, class of the response.
        ahead: added to the sequence the chain expects.
    """
    key = Key(sender, get_account(sender).secret)
    answer = ask(
        "/cosmos.auth.v1beta1.Query/Account",
        auth_query.QueryAccountRequest(address=key.text),
        auth_query.QueryAccountResponse,
    )
    account = auth_pb2.BaseAccount()
    answer.account.Unpack(account)
    message = tx_pb2.MsgSend(
        from_address=key.text,
        to_address=receiver if "1" in receiver else get_account(receiver).address,
        amount=[build_coin("udsc", amount)],
    )
    return build_tx(
        key,
        [message],
        sequence=account.sequence + ahead,
        account_number=account.account_number,
        chain_id=CHAIN_ID,
        fee=1_000,
    )
