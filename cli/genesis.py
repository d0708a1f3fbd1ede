"""`descent genesis`: what a chain starts with, made by its operators together.

One of them makes the file and adds accounts, each signs a gentx with its stake, one collects them;
every step prints the hash of the file, so that all can see that they have the same.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from chain_client.address import decode_address, is_address
from chain_client.amounts import parse_amount
from cli.commission_options import (
    CommissionOption,
    MaxCommissionChangeOption,
    MaxCommissionOption,
)
from cli.context import HOME, KEYS, Context, command, new_group
from cli.node_data import explain_refusals
from cli.output import CommandFailed, UsageFailed, say
from cli.params import parse_fraction

app = new_group("Make the genesis of a chain together, and check it.")

P2P_ADDRESS = "127.0.0.1:26656"

GenesisOption = Annotated[
    Path | None,
    typer.Option("--genesis", help="The genesis file. Default: <home>/config/genesis.json."),
]


@command(app, "init", needs=HOME)
def init(
    context: Context,
    chain_id: Annotated[str, typer.Option("--chain-id", help="Name of the chain, e.g. my-1.")],
    genesis: GenesisOption = None,
    devnet: Annotated[
        bool, typer.Option("--devnet", help="Accounts with published keys are accepted.")
    ] = False,
) -> Any:
    """Make a genesis without accounts; it starts now, and other files of the chain are copies."""
    from genesis.builder import GenesisBuilder
    from genesis.document import save_document
    from node.engine.genesis_doc import CHAIN_ID_SIZE_MAX

    path = _find_file(context, genesis)
    if not 0 < len(chain_id) <= CHAIN_ID_SIZE_MAX:
        raise UsageFailed(f"--chain-id has 1 to {CHAIN_ID_SIZE_MAX} characters")
    if path.exists():
        raise CommandFailed(f"{path} is there: remove it, or name another --genesis")
    seconds = int(time.time()) * 10**9
    with explain_refusals():
        document = GenesisBuilder(chain_id, seconds, is_devnet=devnet).build()
        digest = save_document(path, document)
    return {"file": str(path), "chain_id": chain_id, "genesis_hash": digest}


@command(app, "add-account", needs=HOME)
def add_account(
    context: Context,
    who: Annotated[
        str, typer.Argument(metavar="NAME|ADDRESS", help="A key of the home, or an address.")
    ],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="1000DSC.")],
    genesis: GenesisOption = None,
) -> Any:
    """Give an account coins from the start."""
    from genesis.builder import GenesisBuilder
    from genesis.document import load_document

    path, amount_udsc = _find_file(context, genesis), parse_amount(amount)
    address = who if is_address(who) else context.address(who)
    with explain_refusals():
        builder = GenesisBuilder.load(load_document(path))
        builder.add_account(decode_address(address), amount_udsc)
        digest = _save(path, builder.build())
    return {"address": address, "amount_udsc": amount_udsc, "genesis_hash": digest}


@command(app, "gentx", needs=KEYS)
def gentx(
    context: Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Key of the operator.")],
    stake: Annotated[str, typer.Argument(metavar="STAKE", help="What it bonds, e.g. 100DSC.")],
    genesis: GenesisOption = None,
    node_home: Annotated[
        Path | None,
        typer.Option("--node-home", help="What `descent node init` made. Default: the home."),
    ] = None,
    moniker: Annotated[
        str, typer.Option("--moniker", help="Name shown to people. Default: NAME.")
    ] = "",
    commission: CommissionOption = "10%",
    max_commission: MaxCommissionOption = "20%",
    max_commission_change: MaxCommissionChangeOption = "1%",
    p2p_address: Annotated[
        str, typer.Option("--p2p-address", help="HOST:PORT where other nodes reach this one.")
    ] = P2P_ADDRESS,
    out: Annotated[
        Path | None, typer.Option("--out", help="File. Default: <home>/config/gentx/NAME.json.")
    ] = None,
) -> Any:
    """Sign that an account bonds stake and decides blocks with this node from the start."""
    from genesis.builder import GenesisBuilder
    from genesis.document import load_document
    from genesis.gentx import Commission, apply_gentx, build_gentx, parse_gentx

    key, stake_udsc = context.key(name), parse_amount(stake)
    fractions = (commission, max_commission, max_commission_change)
    with explain_refusals():
        found = load_document(_find_file(context, genesis))
        builder = GenesisBuilder.load(found)
        node = _read_node(node_home or context.home, key.address, p2p_address)
        chain_id = builder.ctx.block.chain_id
        rates = Commission(*(parse_fraction(text) for text in fractions))
        document = build_gentx(key, stake_udsc, moniker or name, rates, node, chain_id)
        apply_gentx(builder, parse_gentx(document, chain_id))  # what `collect` would refuse
        builder.build()
    path = out or context.home / "config" / "gentx" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
    return {"file": str(path), "chain_id": chain_id, **document["summary"]}


@command(app, "collect", needs=HOME)
def collect(
    context: Context,
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Default: all in <home>/config/gentx."),
    ] = None,
    genesis: GenesisOption = None,
) -> Any:
    """Put the operators who signed a gentx into the genesis."""
    from genesis.builder import GenesisBuilder, list_validators
    from genesis.document import load_document
    from genesis.gentx import apply_gentx, load_gentx

    path = _find_file(context, genesis)
    folder = context.home / "config" / "gentx"
    paths = sorted(files or folder.glob("*.json"))
    if not paths:
        raise CommandFailed(f"there is no gentx in {folder}: `descent genesis gentx` makes one")
    with explain_refusals():
        builder = GenesisBuilder.load(load_document(path))
        found = [load_gentx(item, builder.ctx.block.chain_id) for item in paths]
        for item in found:
            apply_gentx(builder, item)
        digest = _save(path, builder.build())
        num_validators = len(list_validators(builder.chain, builder.ctx))
    say("Every node needs this file as config/genesis.json, and the others as peers.")
    return {
        "file": str(path),
        "operators": [item.summarise() for item in found],
        "num_validators": num_validators,
        "genesis_hash": digest,
    }


@command(app, "validate", needs=HOME)
def validate(
    context: Context,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Default: <home>/config/genesis.json."),
    ] = None,
) -> Any:
    """Check a genesis as a node will, and print its hash: all operators need the same."""
    import hashlib

    from genesis.builder import GenesisBuilder, list_validators
    from genesis.document import load_document

    path = _find_file(context, file)
    with explain_refusals():
        document = load_document(path)
        builder = GenesisBuilder.load(document)
    chain, ctx = builder.chain, builder.ctx
    validators = list_validators(chain, ctx)
    if not validators:
        say("nobody decides blocks in this genesis: `descent genesis gentx` and `collect` add who")
    return {
        "file": str(path),
        "chain_id": document["chain_id"],
        "genesis_time": document["genesis_time"],
        "initial_height": int(document.get("initial_height") or 1),
        "num_accounts": sum(1 for _ in chain.accounts.storage.accounts.iterate(ctx)),
        "supply_udsc": chain.mint.storage.issued_udsc.expect(ctx),
        "num_validators": len(validators),
        "total_power": sum(int(item["power"]) for item in validators),
        "is_devnet": document["app_state"].get("devnet") is True,
        "genesis_hash": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def _find_file(context: Context, given: Path | None) -> Path:
    return given or context.home / "config" / "genesis.json"


def _save(path: Path, document: dict[str, Any]) -> str:
    """Write a genesis that a node would take; return its hash.

    Raises: GenesisError.
    """
    from genesis.check import check_document
    from genesis.document import save_document

    check_document(document)
    return save_document(path, document)


def _read_node(home: Path, address: str, p2p_address: str) -> Any:
    """Read what the genesis needs of a node's folder.

    Raises:
        CommandFailed: it is another operator's.
        EngineError, OnionError: the folder is none of a node.
    """
    from genesis.gentx import NodeFacts
    from node.engine.keys import read_key
    from node.onion import OnionKeeper, load_seed

    config = home / "config"
    node_id = read_key(config / "node_key.json").address.hex()
    key = read_key(config / "priv_validator_key.json")
    try:
        operator = (config / "operator").read_text().strip()
    except OSError:
        operator = "nobody"
    if operator != address:
        raise CommandFailed(
            f"the node in {home} is operated by {operator}, not by {address}",
            hint=f"descent node init --operator {address} with another --home",
        )
    anchor = OnionKeeper(load_seed(config / "onion_seed"), decode_address(address)).first_anchor
    return NodeFacts(key.public_key, anchor, f"{node_id}@{p2p_address}")
