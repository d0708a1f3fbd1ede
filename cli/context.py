"""What every command shares: common options, home, node, keys, client.

A group module holds `app = new_group("What it is for")` and its commands:

```
@command(app, "show", needs=CHAIN)
async def show(context: Context, run_id: Annotated[int, typer.Argument(help="...")]) -> Any:
    \"""Show one run.\"""
    async with context.client() as client:
        return {"run_id": run_id, "height": await client.height()}
```

The decorator adds the options of `needs`, runs coroutines, and prints what the function returns.
Errors travel up to `main`, which writes them and picks the exit code.
"""

import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import JSON, TABLE, CommandFailed, Instead, UsageFailed, emit, run_async

if TYPE_CHECKING:
    from chain_client.client import ChainClient
    from chain_client.keys import Key, Keyring
    from chain_client.tx import TxResult

DEFAULT_HOME = Path("~/.descent")
DEVNET_HOME = Path(".devnet")
DEVNET_FILE = "devnet.json"
DEFAULT_NODE = "127.0.0.1:9090"
DEFAULT_SUBSTRATE_NODE = "ws://127.0.0.1:9944"
COSMOS, SUBSTRATE = "cosmos", "substrate"
PASSPHRASE_VARIABLE = "DESCENT_KEYRING_PASSPHRASE_FILE"
RETRY_FOR_S = 1.0  # a person at a terminal wants to know soon

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="Directory of keys and files. Default: $DESCENT_HOME, else .devnet when a devnet was"
        " started here, else ~/.descent.",
    ),
]
OutputOption = Annotated[str, typer.Option("--output", help="table or json.")]
NodeOption = Annotated[
    str | None,
    typer.Option(
        "--node",
        help="HOST:PORT of a node's gRPC door, or ws://HOST:PORT of its Substrate door; several,"
        " with commas between, where the next takes over. Default:"
        f" $DESCENT_NODE, else the devnet's, else {DEFAULT_NODE}.",
    ),
]
ClientOption = Annotated[
    str | None,
    typer.Option("--client", help="cosmos or substrate: which door --node defaults to."),
]
ChainIdOption = Annotated[
    str | None, typer.Option("--chain-id", help="Refuse to sign for any other chain.")
]
PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="File whose lines answer what is asked. Default: $DESCENT_KEYRING_PASSPHRASE_FILE.",
    ),
]
HeightOption = Annotated[
    int,
    typer.Option("--height", min=0, help="Answer as of this block, while it is kept. 0: newest."),
]
GasOption = Annotated[
    str, typer.Option("--gas", help="Gas limit, or auto: half more than a simulation used.")
]
FeeOption = Annotated[
    str | None,
    typer.Option("--fee", help="Fee, e.g. 5000udsc. Default: the node's price."),
]
GenerateOption = Annotated[
    bool,
    typer.Option(
        "--generate-only", help="Print the unsigned transaction for `tx sign`; no key is opened."
    ),
]
OfflineOption = Annotated[
    bool,
    typer.Option("--offline", help="Ask no node; goes with --generate-only, --gas and --fee."),
]
MemoOption = Annotated[str, typer.Option("--memo", help="Note kept with the transaction.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Simulate, show what would be sent, send nothing.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask before sending.")]

HOME = ("home", "output")
KEYS = (*HOME, "passphrase_file")
CHAIN = (*HOME, "node", "client", "chain_id")
QUERY = (*CHAIN, "at_height")
TX = (
    *(*CHAIN, "passphrase_file", "gas", "fee", "memo", "dry_run", "yes"),
    *("generate_only", "offline"),
)
AUTO = "auto"
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "home": (HomeOption, None),
    "output": (OutputOption, TABLE),
    "node": (NodeOption, None),
    "client": (ClientOption, None),
    "chain_id": (ChainIdOption, None),
    "at_height": (HeightOption, 0),
    "passphrase_file": (PassphraseOption, None),
    "gas": (GasOption, AUTO),
    "fee": (FeeOption, None),
    "memo": (MemoOption, ""),
    "dry_run": (DryRunOption, False),
    "yes": (YesOption, False),
    "generate_only": (GenerateOption, False),
    "offline": (OfflineOption, False),
}


@dataclass
class Context:
    """The common options of one command, and what they lead to."""

    home: Path
    output: str = TABLE
    node: str = DEFAULT_NODE
    chain_id: str | None = None
    at_height: int = 0
    passphrase_file: Path | None = None
    gas: str = AUTO
    fee: str | None = None
    memo: str = ""
    dry_run: bool = False
    yes: bool = False
    generate_only: bool = False
    offline: bool = False
    devnet: dict[str, Any] = field(default_factory=dict)  # devnet.json of the home, if any
    _passphrases: list[str] = field(default_factory=list)  # lines of the file not used yet
    given: frozenset[str] = frozenset()  # the common options that were typed

    def keyring(self, backend: str | None = None) -> "Keyring":
        """Return the keys of the home; a devnet keeps new ones plain unless told otherwise."""
        from chain_client.keys import Keyring

        default = "test" if self.devnet else "file"
        return Keyring(
            self.home,
            backend=backend or default,
            passphrase=self.ask_passphrase,
            new_passphrase=self.ask_new_passphrase,
        )

    def key(self, name: str) -> "Key":
        """Return a key ready to sign, by name; one that cannot where only its address counts."""
        if self.generate_only:
            from chain_client.keys import WatchedKey

            return WatchedKey(self.keyring().info(name))
        return self.keyring().get(name)

    def get_gas_limit(self) -> int | None:
        """Return the gas limit a person chose, None for what a simulation says.

        Raises:
            UsageFailed: neither auto nor a number.
        """
        if self.gas == AUTO:
            return None
        if not self.gas.isdecimal() or not int(self.gas):
            raise UsageFailed(f"--gas {self.gas!r} is neither {AUTO} nor a number above 0")
        return int(self.gas)

    def address(self, name_or_address: str) -> str:
        """Return the address a person meant: bech32, SS58, or the name of a key."""
        from chain_client.address import ACCOUNT_PREFIX, decode_address, decode_ss58, is_ss58

        if name_or_address.startswith(ACCOUNT_PREFIX + "1"):
            decode_address(name_or_address)
            return name_or_address
        if is_ss58(name_or_address):
            return decode_ss58(name_or_address)
        return self.keyring().info(name_or_address).address

    def client(self, *, retry_for_s: float = RETRY_FOR_S) -> "ChainClient":
        """Return a client of the node, for `async with`."""
        from chain_client.client import ChainClient

        return ChainClient.connect(
            self.node, self.chain_id, retry_for_s=retry_for_s, at_height=self.at_height
        )

    def ask_passphrase(self, question: str) -> str:
        """Return a passphrase from --passphrase-file or from the terminal, never from argv.

        Each question takes the file's next line; the last line answers all that come after.
        """
        if self.passphrase_file is not None:
            if not self._passphrases:
                self._passphrases = self._read_passphrases(self.passphrase_file)
            return self._passphrases.pop(0) if self._passphrases[1:] else self._passphrases[0]
        if not sys.stdin.isatty():
            raise CommandFailed(
                f"a passphrase is needed ({question}) and there is no terminal to ask at",
                hint=f"give --passphrase-file FILE or ${PASSPHRASE_VARIABLE}; /dev/fd/N for an"
                " open descriptor",
            )
        from getpass import getpass

        return getpass(f"{question}: ")

    def ask_new_passphrase(self, question: str) -> str:
        """Return a new passphrase; a person types it twice."""
        first = self.ask_passphrase(question)
        if self.passphrase_file is None and self.ask_passphrase("The same again") != first:
            raise CommandFailed("the two passphrases differ: nothing was changed")
        return first

    def _read_passphrases(self, path: Path) -> list[str]:
        try:
            return path.read_text().splitlines() or [""]
        except (OSError, UnicodeDecodeError) as error:
            raise CommandFailed(f"cannot read {path}: {error}") from None

    def confirm(self, what: str) -> None:
        """Ask before `what` is done: at a terminal, in table mode, without --yes."""
        if self.yes or self.output == JSON or not (sys.stdin.isatty() and sys.stderr.isatty()):
            return
        if not typer.confirm(f"{what}?", err=True):
            raise CommandFailed("nothing was sent", hint="--yes answers the question")

    async def submit(self, key: "Key", messages: Sequence[Any], what: str) -> dict[str, Any]:
        """Send a transaction, or only simulate it with --dry-run; return the document to print.

        Args:
            what: the deed in a few words, for the question, e.g. "send 5 DSC to miner-0".
        """
        from chain_client.amounts import parse_amount

        fee_udsc = None if self.fee is None else parse_amount(self.fee)
        gas = self.get_gas_limit()
        if self.offline and not self.generate_only:
            raise UsageFailed("--offline goes with --generate-only: nothing is sent without a node")
        if self.generate_only:
            raise Instead(await self._generate(key, messages, gas, fee_udsc))
        async with self.client() as client:
            if self.dry_run:
                gas_used = await client.simulate(key, messages, memo=self.memo)
                limit, fee = await self._price(client, gas_used, gas, fee_udsc)
                return {
                    "dry_run": True,
                    "signer": key.address,
                    "gas_used": gas_used,
                    "gas_limit": limit,
                    "fee_udsc": fee,
                    "messages": [_describe(message) for message in messages],
                }
            self.confirm(what)
            result = await client.submit(key, messages, gas=gas, memo=self.memo, fee_udsc=fee_udsc)
        return describe_result(result)

    async def _price(
        self, client: "ChainClient", gas_used: int, gas: int | None, fee_udsc: int | None
    ) -> tuple[int, int]:
        from chain_client.tx import compute_gas_limit

        limit = gas or compute_gas_limit(gas_used)
        return limit, await client.compute_fee(limit) if fee_udsc is None else fee_udsc

    async def _generate(
        self, key: "Key", messages: Sequence[Any], gas: int | None, fee_udsc: int | None
    ) -> dict[str, Any]:
        """Return the unsigned transaction as JSON."""
        from chain_client.tx import make_tx
        from cli.tx_file import to_json_document

        if self.offline:
            if gas is None or fee_udsc is None:
                raise UsageFailed("--offline needs --gas N and --fee AMOUNT: no node can be asked")
            limit, fee = gas, fee_udsc
        else:
            async with self.client() as client:
                gas_used = 0
                if gas is None:
                    gas_used = await client.simulate(key, messages, memo=self.memo)
                limit, fee = await self._price(client, gas_used, gas, fee_udsc)
        return to_json_document(make_tx(messages, gas_limit=limit, fee_udsc=fee, memo=self.memo))


def describe_result(result: "TxResult") -> dict[str, Any]:
    """Return the document of a transaction that is in a block."""
    return {
        "tx_hash": result.tx_hash,
        "height": result.height,
        "gas_used": result.gas_used,
        "gas_limit": result.gas_wanted,
        "fee_udsc": result.fee_udsc,
        "_result": result,
    }


def new_group(help_text: str) -> typer.Typer:
    """Return the app of a command group."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        callback=lambda: None,
    )


def new_single(help_text: str = "") -> typer.Typer:
    """Return the app of a command that has no sub-commands; give it exactly one."""
    return typer.Typer(help=help_text, add_completion=False, rich_markup_mode=None)


def command(
    app: typer.Typer,
    name: str,
    *,
    needs: Sequence[str] = CHAIN,
    home: Path | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a command of `app`; its function gets a `Context` first.

    Args:
        needs: `HOME`, `KEYS`, `CHAIN`, `QUERY` or `TX`: the common options it takes.
        home: default of --home for commands that create it, e.g. the devnet's.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function, eval_str=True)
        own = list(signature.parameters.values())[1:]
        common = [
            inspect.Parameter(
                option,
                inspect.Parameter.KEYWORD_ONLY,
                default=_OPTIONS[option][1],
                annotation=_OPTIONS[option][0],
            )
            for option in needs
        ]

        def run(**values: Any) -> None:
            options = {option: values.pop(option) for option in needs}
            context = make_context(options, default_home=home)
            try:
                result = function(context, **values)
                if inspect.iscoroutine(result):
                    result = run_async(result)
            except Instead as done:
                print(json.dumps(done.document, indent=2))
                return
            if isinstance(result, dict):
                result = {key: item for key, item in result.items() if not key.startswith("_")}
            if result is not None:
                emit(result, context.output)

        own = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in own]
        run.__signature__ = inspect.Signature([*own, *common])  # type: ignore[attr-defined]
        run.__name__, run.__doc__, run.__module__ = function.__name__, function.__doc__, __name__
        app.command(name)(run)
        return function

    return register


def make_context(options: dict[str, Any], *, default_home: Path | None = None) -> Context:
    """Find home, node and chain id: flag, then environment, then the devnet's file, then default.

    Raises:
        UsageFailed: --output is neither table nor json.
        CommandFailed: the home's devnet file cannot be read.
    """
    values = dict(options)
    if values.get("output", TABLE) not in (TABLE, JSON):
        raise UsageFailed(f"--output {values['output']!r} is neither table nor json")
    home = values.pop("home", None) or os.environ.get("DESCENT_HOME") or default_home
    if home is None and (DEVNET_HOME / DEVNET_FILE).exists():
        home = DEVNET_HOME
    home = Path(home or DEFAULT_HOME).expanduser()
    devnet = read_devnet_file(home)
    if "passphrase_file" in values and values["passphrase_file"] is None:
        named = os.environ.get(PASSPHRASE_VARIABLE)
        values["passphrase_file"] = Path(named) if named else None
    door = values.pop("client", None)
    if door not in (None, COSMOS, SUBSTRATE):
        raise UsageFailed(f"--client {door!r} is neither {COSMOS} nor {SUBSTRATE}")
    is_substrate = door == SUBSTRATE
    node = values.pop("node", None) or (None if is_substrate else os.environ.get("DESCENT_NODE"))
    found = join_endpoints(devnet.get("endpoints", {}), "substrate" if is_substrate else "grpc")
    node = node or found or (DEFAULT_SUBSTRATE_NODE if is_substrate else DEFAULT_NODE)
    chain_id = values.pop("chain_id", None) or devnet.get("chain_id")
    return Context(
        home=home,
        node=str(node).replace("grpc+http://", ""),
        chain_id=chain_id,
        devnet=devnet,
        given=frozenset(name for name, value in options.items() if value),
        **values,
    )


def join_endpoints(endpoints: dict[str, str], door: str) -> str:
    """Join the endpoints of one kind of door, of all nodes of a devnet; empty for none."""
    return ",".join(
        endpoint for name, endpoint in endpoints.items() if re.fullmatch(rf"{door}(-\d+)?", name)
    )


def read_devnet_file(home: Path) -> dict[str, Any]:
    """Return `<home>/devnet.json`, empty when there is none.

    Raises:
        CommandFailed: the file is not a JSON object.
    """
    path = home / DEVNET_FILE
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CommandFailed(
            f"cannot read {path}: {error}",
            hint="`descent devnet reset` starts afresh; --home names another directory",
        ) from None
    if not isinstance(document, dict):
        raise CommandFailed(f"{path} is not a devnet file")
    return document


def _describe(message: Any) -> dict[str, Any]:
    """Return a protobuf message as a document."""
    from cli.messages import to_document

    return {"type": "/" + message.DESCRIPTOR.full_name, **to_document(message)}
