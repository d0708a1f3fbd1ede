"""`descent keys`: the keyring of the home."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.context import HOME, KEYS, Context, command, new_group
from cli.output import JSON, CommandFailed, UsageFailed, say

app = new_group("List, make, show, import and export keys.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the key.")]
BackendOption = Annotated[
    str | None,
    typer.Option(
        "--keyring-backend",
        help="How the new key is kept: file (encrypted) or test (plain). Default: file, and test"
        " in a devnet's home.",
    ),
]


@command(app, "list", needs=HOME)
def list_keys(context: Context) -> Any:
    """List the keys of the home."""
    infos = context.keyring().list()
    if context.output == JSON:
        return [_document(info) for info in infos]
    return [
        {"name": info.name, "address": info.address, "protection": info.protection}
        for info in infos
    ]


@command(app, "show", needs=HOME)
def show(context: Context, name: NameArgument) -> Any:
    """Show address and public key of one key."""
    return _document(context.keyring().info(name))


@command(app, "add", needs=KEYS)
def add(
    context: Context,
    name: NameArgument,
    recover: Annotated[
        bool, typer.Option("--recover", help="Ask for a mnemonic instead of making one.")
    ] = False,
    mnemonic_file: Annotated[
        Path | None, typer.Option("--mnemonic-file", help="Read the mnemonic here; - is stdin.")
    ] = None,
    index: Annotated[int, typer.Option("--index", min=0, help="Account of the mnemonic.")] = 0,
    keyring_backend: BackendOption = None,
) -> Any:
    """Make a key, or recover one from its mnemonic. A new mnemonic is shown once, here."""
    from chain_client.keys import Key
    from chain_client.mnemonic import generate_mnemonic

    is_new = not recover and mnemonic_file is None
    phrase = generate_mnemonic() if is_new else _read_mnemonic(mnemonic_file)
    keyring = context.keyring(keyring_backend)
    document = _document(keyring.add(Key.from_mnemonic(name, phrase, index)))
    if is_new:
        document["mnemonic"] = phrase
        say("Write the mnemonic down and keep it safe: it is the only way to recover this key.")
    return document


@command(app, "export", needs=KEYS)
def export(
    context: Context,
    name: NameArgument,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write a new file of mode 0600 instead of stdout.")
    ] = None,
    unprotected: Annotated[
        bool, typer.Option("--unprotected", help="Leave the secret readable by anybody.")
    ] = False,
) -> Any:
    """Write a key as a document that `keys import` reads, encrypted under a passphrase."""
    from chain_client.keys import seal_document, write_document

    key = context.key(name)
    document = seal_document(key, passphrase=None if unprotected else context.ask_passphrase)
    if out is None:
        print(json.dumps(document, indent=2))
        return None
    write_document(out, document)
    return {"name": key.name, "address": key.address, "file": str(out)}


@command(app, "import", needs=KEYS)
def import_key(
    context: Context,
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `keys export` wrote.")],
    keyring_backend: BackendOption = None,
) -> Any:
    """Add a key from an exported document."""
    from chain_client.keys import open_document, parse_document

    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"cannot read {file}: {error}") from None
    document = parse_document(text, file)
    key = open_document(document, path=file, passphrase=context.ask_passphrase, name=name)
    return _document(context.keyring(keyring_backend).add(key))


def _document(info: Any) -> dict[str, Any]:
    from chain_client.address import encode_ss58

    return {
        "name": info.name,
        "address": info.address,
        "ss58_address": encode_ss58(info.address),
        "public_key": info.public_key,
        "path": info.path,
        "protection": info.protection,
    }


def _read_mnemonic(file: Path | None) -> str:
    if file is None:
        if not sys.stdin.isatty():
            raise UsageFailed(
                "--recover asks at a terminal and there is none",
                hint="give --mnemonic-file FILE, or --mnemonic-file - to read stdin",
            )
        from getpass import getpass

        return getpass("Mnemonic: ")
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"cannot read {file}: {error}") from None
