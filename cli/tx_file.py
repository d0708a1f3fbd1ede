"""`descent tx sign|broadcast|show`: transactions that are built, signed and sent apart.

The file is the JSON that Cosmos tools write for --generate-only: body, auth_info, signatures.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chain_client.errors import InvalidInput
from cli.context import CHAIN, Context, command, describe_result, new_group
from cli.output import UsageFailed

if TYPE_CHECKING:
    from chain_client.tx import TxResult

app = new_group("Transactions in files.")
FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="JSON of a transaction; - is stdin.")
]


@command(app, "sign", needs=(*CHAIN, "passphrase_file"))
async def sign(
    context: Context,
    sender: Annotated[str, typer.Argument(metavar="FROM", help="Key that signs.")],
    file: FileArgument,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no node; needs the two numbers and --chain-id.")
    ] = False,
    account_number: Annotated[
        int | None, typer.Option("--account-number", min=0, help="Of the signer.")
    ] = None,
    sequence: Annotated[
        int | None, typer.Option("--sequence", min=0, help="Of the signer's next transaction.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write. Default: standard output.")
    ] = None,
) -> Any:
    """Sign a transaction that --generate-only printed."""
    from cosmos.tx.v1beta1 import tx_pb2

    from chain_client.tx import sign_tx

    unsigned = load_tx(file)
    key, chain_id = context.key(sender), context.chain_id
    if offline and None in (chain_id, account_number, sequence):
        raise UsageFailed("--offline needs --chain-id, --account-number and --sequence")
    if not offline:
        async with context.client() as client:
            chain_id = await client.chain_id()
            found = await client.get_account(key.address)
        account_number = found[0] if account_number is None else account_number
        sequence = found[1] if sequence is None else sequence
    raw = sign_tx(
        key,
        unsigned,
        chain_id=chain_id or "",
        account_number=account_number or 0,
        sequence=sequence or 0,
    )
    text = json.dumps(to_json_document(tx_pb2.Tx.FromString(raw.SerializeToString())), indent=2)
    if out is None:
        print(text)
        return None
    out.write_text(text + "\n")
    return {"file": str(out), "signer": key.address, "sequence": sequence, "chain_id": chain_id}


@command(app, "broadcast", needs=CHAIN)
async def broadcast(context: Context, file: FileArgument) -> Any:
    """Send a signed transaction, and wait until a block holds it."""
    from cosmos.tx.v1beta1 import tx_pb2

    from chain_client.tx import find_signer

    signed = load_tx(file)
    address, sequence = find_signer(signed)
    raw = tx_pb2.TxRaw(
        body_bytes=signed.body.SerializeToString(deterministic=True),
        auth_info_bytes=signed.auth_info.SerializeToString(deterministic=True),
        signatures=signed.signatures,
    )
    async with context.client() as client:
        result = await client.submit_signed(
            raw.SerializeToString(deterministic=True), address, sequence
        )
    return {"signer": address, "sequence": sequence, **describe_result(result)}


@command(app, "show", needs=CHAIN)
async def show(
    context: Context,
    tx_hash: Annotated[str, typer.Argument(metavar="HASH", help="64 hex digits.")],
) -> Any:
    """Show a transaction that is in a block."""
    return await show_tx(context, tx_hash)


async def show_tx(context: Context, tx_hash: str) -> dict[str, Any]:
    """Return a transaction by its hash, events whole in JSON, their kinds in a table."""
    if len(tx_hash) != 64 or not all(c in "0123456789abcdefABCDEF" for c in tx_hash):
        raise InvalidInput(f"{tx_hash!r} is not a transaction hash: 64 hex digits")
    async with context.client() as client:
        result = await client.get_tx(tx_hash)
    return _describe_tx(result, has_events=context.output == "json")


def _describe_tx(result: "TxResult", *, has_events: bool) -> dict[str, Any]:
    return {
        "tx_hash": result.tx_hash,
        "height": result.height,
        "timestamp": result.timestamp,
        "is_success": result.code == 0,
        "codespace": result.codespace,
        "code": result.code,
        "log": result.raw_log,
        "gas_limit": result.gas_wanted,
        "gas_used": result.gas_used,
        "fee_udsc": result.fee_udsc,
        "memo": result.memo,
        "messages": list(result.messages),
        "events": [{"type": event.type, **dict(event.pairs)} for event in result.events]
        if has_events
        else [event.type for event in result.events],
    }


def to_json_document(tx: Any) -> dict[str, Any]:
    """Return a `Tx` as Cosmos tools write it."""
    from google.protobuf import json_format

    from cli.params import find_message_class

    for packed in tx.body.messages:
        find_message_class(packed.type_url)  # so that its type is known
    document: dict[str, Any] = json_format.MessageToDict(
        tx, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return document


def load_tx(file: Path) -> Any:
    """Read a `Tx` from JSON.

    Raises:
        InvalidInput: it is none, or holds a message of another chain.
    """
    from cosmos.tx.v1beta1 import tx_pb2
    from google.protobuf import json_format

    from cli.params import find_message_class

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
        document = json.loads(text)
        for message in document["body"]["messages"]:
            if find_message_class(message["@type"]) is None:
                raise InvalidInput(f"{file}: {message['@type']} is no message of this chain")
        find_message_class("")
        return json_format.ParseDict(document, tx_pb2.Tx())
    except (OSError, ValueError, KeyError, TypeError, json_format.ParseError) as error:
        raise InvalidInput(
            f"{file} is no transaction: {error}", hint="--generate-only writes one"
        ) from None
