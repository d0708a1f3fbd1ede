"""`descent keys`: the keyring of the home."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import HOME, KEYS, Context, command, new_group
from cli.output import JSON, CommandFailed, UsageFailed, say

if TYPE_CHECKING:
    from chain_client.keys import Key

app = new_group("List, make, show, import and export keys.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the key.")]
BackendOption = Annotated[
    str | None,
    typer.Option(
        "--keyring-backend",
        help="How the new key is kept: os (the system's keyring), file (encrypted) or test (plain)."
        " Default: file, and test in a devnet's home.",
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
    suri: Annotated[
        bool,
        typer.Option(
            "--suri", help="The mnemonic is a Substrate URI: PHRASE//hard//path, //Alice, 0xSEED."
        ),
    ] = False,
    index: Annotated[int, typer.Option("--index", min=0, help="Account of the mnemonic.")] = 0,
    keyring_backend: BackendOption = None,
) -> Any:
    """Make a key, or recover one from its mnemonic. A new mnemonic is shown once, here."""
    from chain_client.keys import Key
    from chain_client.mnemonic import generate_mnemonic
    from chain_client.suri import derive_suri

    if suri and index:
        raise UsageFailed("--index is for mnemonics; a Substrate URI names the account itself")
    is_new = not (recover or suri) and mnemonic_file is None
    phrase = generate_mnemonic() if is_new else _read_mnemonic(mnemonic_file)
    key = Key(name, derive_suri(phrase)) if suri else Key.from_mnemonic(name, phrase, index)
    document = _document(context.keyring(keyring_backend).add(key))
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
        bool, typer.Option("--unprotected", help="The bare secret in hex: anybody can use it.")
    ] = False,
) -> Any:
    """Write a key as armoured text under a passphrase, which Cosmos wallets read, too."""
    from chain_client.armor import armor_secret
    from chain_client.keys import MIN_PASSPHRASE_CHARS, write_text

    key = context.key(name)
    if unprotected:
        form, text = "secret", key.secret.hex() + "\n"
    else:
        passphrase = context.ask_new_passphrase("Passphrase for the exported key")
        if len(passphrase) < MIN_PASSPHRASE_CHARS:
            raise CommandFailed(f"a passphrase has at least {MIN_PASSPHRASE_CHARS} characters")
        form, text = "armor", armor_secret(key.secret, passphrase)
    if out is None and context.output == JSON:
        return {"name": key.name, "address": key.address, form: text.rstrip("\n")}
    if out is None:
        print(text, end="")
        return None
    write_text(out, text)
    return {"name": key.name, "address": key.address, "file": str(out)}


@command(app, "import", needs=KEYS)
def import_key(
    context: Context,
    name: NameArgument,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Armoured text, a bare secret in hex, or a key file; - is stdin."
        ),
    ],
    keyring_backend: BackendOption = None,
) -> Any:
    """Add a key that was exported here or by a Cosmos wallet."""
    key = _parse_key(context, name, _read_text(file), file)
    return _document(context.keyring(keyring_backend).add(key))


@command(app, "rename", needs=HOME)
def rename(
    context: Context,
    name: NameArgument,
    new_name: Annotated[str, typer.Argument(metavar="NEW_NAME", help="What it is called then.")],
) -> Any:
    """Give a key another name."""
    return _document(context.keyring().rename(name, new_name))


@command(app, "delete", needs=HOME)
def delete(
    context: Context,
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> Any:
    """Remove a key for ever; only its mnemonic or an export brings it back."""
    keyring = context.keyring()
    info = keyring.info(name)
    if not yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageFailed("nobody can be asked here", hint="--yes deletes without a question")
        if not typer.confirm(f"Delete {name} ({info.address}) for ever?", err=True):
            raise CommandFailed("nothing was deleted")
    return _document(keyring.delete(name))


def _parse_key(context: Context, name: str, text: str, file: Path) -> "Key":
    """Read a key in any of the forms it is exported in."""
    from chain_client.armor import is_armored, unarmor_secret
    from chain_client.keys import Key, open_document, parse_document

    if is_armored(text):
        passphrase = context.ask_passphrase("Passphrase of the exported key")
        return Key(name, unarmor_secret(text, passphrase, file))
    bare = text.strip().removeprefix("0x")
    if len(bare) == 64 and all(digit in "0123456789abcdefABCDEF" for digit in bare):
        return Key(name, bytes.fromhex(bare))
    document = parse_document(text, file)
    return open_document(document, path=file, passphrase=context.ask_passphrase, name=name)


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
                "the mnemonic is asked for at a terminal and there is none",
                hint="give --mnemonic-file FILE, or --mnemonic-file - to read stdin",
            )
        from getpass import getpass

        return getpass("Mnemonic: ")
    return _read_text(file)


def _read_text(file: Path) -> str:
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"cannot read {file}: {error}") from None
