"""`descent run`: training runs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from chain_client.amounts import format_dsc, parse_amount
from chain_client.errors import NotFound
from cli.context import CHAIN, HOME, TX, Context, command, new_group
from cli.output import JSON, UsageFailed, say

app = new_group("Create, list, show and join training runs.")

RunArgument = Annotated[int, typer.Argument(metavar="RUN", min=1, help="Id of the run.")]
KeyOption = Annotated[str, typer.Option("--key", help="Key that signs and pays.")]


@command(app, "template", needs=HOME)
def template(context: Context) -> None:
    """Print a specification with every field, its default and what it means."""
    from cli.spec_file import DEFAULTS_FILE

    print(DEFAULTS_FILE.read_text(), end="")


@command(app, "create", needs=TX)
async def create(
    context: Context,
    spec_file: Annotated[Path, typer.Argument(metavar="SPEC", help="A TOML file.")],
    key: KeyOption = "owner",
    bounty: Annotated[
        str, typer.Option("--bounty", help="Deposit paid out to participants, e.g. 100DSC.")
    ] = "0DSC",
) -> Any:
    """Publish a specification; the run starts once enough participants have registered."""
    from cli.spec_file import encode_spec, load_spec
    from proto.descent.runs.v1 import runs_pb2

    bounty_udsc = parse_amount(bounty)
    spec = load_spec(spec_file, datasets_dir=context.home / "data")
    owner = context.key(key)
    message = runs_pb2.MsgCreateRun(
        owner=owner.address, spec=encode_spec(spec), bounty_udsc=bounty_udsc
    )
    what = f"Create run {spec.name!r} with a bounty of {format_dsc(bounty_udsc)}"
    document = await context.submit(owner, [message], what)
    result = document.get("_result")
    created = {} if result is None else _created(result.response(runs_pb2.MsgCreateRunResponse))
    return {**created, "spec_hash": _sha256(message.spec), "owner": owner.address, **document}


@command(app, "list", needs=CHAIN)
async def list_runs(context: Context) -> Any:
    """List the runs of the chain."""
    async with context.client() as client:
        return [_summary(run) for run in await client.get_runs()]


@command(app, "show", needs=CHAIN)
async def show(context: Context, run_id: RunArgument) -> Any:
    """Show a run: state, specification, round in work and participants."""
    from cli.messages import to_document
    from proto.descent.runs.v1 import runs_pb2

    async with context.client() as client:
        run = await client.get_run(run_id)
        participants = await client.get_participants(run_id)
        try:
            current = to_document(await client.get_current_round(run_id))
        except NotFound:
            current = None
        seat_price_udsc = await client.get_burn_price(run_id)
    return {
        **_summary(run),
        "spec_hash": run.spec_hash,
        "started_height": run.started_height,
        "seat_price_udsc": seat_price_udsc,
        "round": current,
        "participants": [_participant(item) for item in participants],
        "spec": to_document(runs_pb2.RunSpec.FromString(run.spec)),
    }


@command(app, "register", needs=TX)
async def register(
    context: Context,
    run_id: RunArgument,
    key: KeyOption,
    role: Annotated[str, typer.Option("--role", help="miner or validator.")] = "miner",
    hotkey: Annotated[
        str, typer.Option("--hotkey", help="Key that signs the work. Default: --key.")
    ] = "",
    max_burn: Annotated[
        str,
        typer.Option(
            "--max-burn",
            help="Refuse a seat dearer than this. Default: the price now and a half more.",
        ),
    ] = "",
    endpoint: Annotated[
        str, typer.Option("--endpoint", help="HOST:PORT where others reach it; can be set later.")
    ] = "",
) -> Any:
    """Buy a seat in a run; the price is burned."""
    from proto.descent.runs.v1 import runs_pb2

    if role not in ("miner", "validator"):
        raise UsageFailed(f"--role {role!r} is neither miner nor validator")
    coldkey = context.key(key)
    message = runs_pb2.MsgRegister(
        coldkey=coldkey.address,
        run_id=run_id,
        role=runs_pb2.ROLE_MINER if role == "miner" else runs_pb2.ROLE_VALIDATOR,
        hotkey=context.address(hotkey) if hotkey else coldkey.address,
        endpoint=endpoint,
    )
    if max_burn:
        message.max_burn_udsc = parse_amount(max_burn)
    else:
        async with context.client() as client:
            price_udsc = await client.get_burn_price(run_id)
        message.max_burn_udsc = price_udsc + price_udsc // 2
    what = f"Register {key} as {role} of run {run_id} for {format_dsc(message.max_burn_udsc)}"
    document = await context.submit(coldkey, [message], what + " at most")
    result = document.get("_result")
    seat = {} if result is None else _seat(result.response(runs_pb2.MsgRegisterResponse))
    return {"run_id": run_id, "role": role, **seat, "hotkey": message.hotkey, **document}


@command(app, "halt", needs=TX)
async def halt(context: Context, run_id: RunArgument, key: KeyOption = "owner") -> Any:
    """Stop a run for good; what is left of its bounty goes back to the owner."""
    from proto.descent.runs.v1 import runs_pb2

    owner = context.key(key)
    async with context.client() as client:
        bounty_udsc = (await client.get_run(run_id)).bounty_udsc
    message = runs_pb2.MsgHaltRun(owner=owner.address, run_id=run_id)
    what = f"Halt run {run_id} for good, with {format_dsc(bounty_udsc)} of bounty going back"
    document = await context.submit(owner, [message], what)
    result = document.get("_result")
    if result is not None:
        document["returned_udsc"] = _get_amount(result, "bounty_returned", "amount_udsc")
    return {"run_id": run_id, "owner": owner.address, **document}


@command(app, "fund", needs=TX)
async def fund(
    context: Context,
    run_id: RunArgument,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="5DSC or 5000000udsc.")],
    key: KeyOption = "owner",
) -> Any:
    """Add to the bounty of a run; anybody may."""
    from proto.descent.runs.v1 import runs_pb2

    amount_udsc = parse_amount(amount)
    funder = context.key(key)
    message = runs_pb2.MsgFundRun(funder=funder.address, run_id=run_id, amount_udsc=amount_udsc)
    what = f"Add {format_dsc(amount_udsc)} to the bounty of run {run_id}"
    document = await context.submit(funder, [message], what)
    result = document.get("_result")
    if result is not None:
        document["bounty_udsc"] = _get_amount(result, "run_funded", "bounty_udsc")
    return {"run_id": run_id, "funder": funder.address, "amount_udsc": amount_udsc, **document}


@command(app, "sample", needs=CHAIN)
async def sample(
    context: Context,
    run_id: RunArgument,
    prompt: Annotated[str, typer.Option("--prompt", help="Text to go on from.")] = "",
    tokens: Annotated[
        int, typer.Option("--tokens", min=1, max=100_000, help="How many to write.")
    ] = 200,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**64 - 1, help="Another seed, another text.")
    ] = 0,
    top_k: Annotated[
        int, typer.Option("--top-k", min=1, help="Draw among so many likeliest; 1 is greedy.")
    ] = 40,
    checkpoint: Annotated[
        int | None,
        typer.Option("--checkpoint", min=0, metavar="ROUND", help="The newest without it."),
    ] = None,
    backend: Annotated[
        str, typer.Option("--backend", help="auto, native, torch or numpy.")
    ] = "auto",
) -> Any:
    """Let a checkpoint write text; the same bytes on every machine."""
    import asyncio
    import os

    from cli import sample as sampling
    from proto.descent.runs.v1 import runs_pb2

    raw_prompt = os.fsencode(prompt)
    async with context.client() as client:
        run = await client.get_run(run_id)
        record = await sampling.find_checkpoint(client, run, checkpoint)
        params = await sampling.obtain_params(client, run, record, context.home)
    spec = runs_pb2.RunSpec.FromString(run.spec)
    draw = sampling.Draw(num_tokens=tokens, seed=seed, top_k=top_k)
    added = await asyncio.to_thread(sampling.generate, spec, params, raw_prompt, draw, backend)
    if context.output == JSON:
        return {
            "run_id": run_id,
            "checkpoint": record.round,
            "root": record.root,
            "prompt": prompt,
            "text": sampling.to_text(added),
            "text_bytes": added,
            "seed": seed,
            "top_k": top_k,
        }
    say(f"checkpoint {record.round} of run {run_id} ({spec.name}), root {record.root.hex()[:16]}")
    print(sampling.to_text(raw_prompt + added))
    return None


def _get_amount(result: Any, event_type: str, attribute: str) -> int:
    """Return an amount from the event a call left; 0 when it left none."""
    found = [event.get(attribute) for event in result.events if event.type == event_type]
    return int(found[0]) if found else 0


def _created(response: Any) -> dict[str, Any]:
    return {"run_id": response.run_id}


def _seat(response: Any) -> dict[str, Any]:
    return {"uid": response.uid, "burned_udsc": response.burned_udsc}


def _summary(run: Any) -> dict[str, Any]:
    from cli.messages import enum_word
    from proto.descent.runs.v1 import runs_pb2

    spec = runs_pb2.RunSpec.FromString(run.spec)
    return {
        "run_id": run.id,
        "name": spec.name,
        "status": enum_word(runs_pb2.RunStatus.DESCRIPTOR, run.status),
        "current_round": run.current_round,
        "num_rounds": spec.num_rounds,
        "num_participants": run.num_participants,
        "bounty_udsc": run.bounty_udsc,
        "owner": run.owner,
    }


def _participant(item: Any) -> dict[str, Any]:
    from cli.messages import enum_word
    from proto.descent.runs.v1 import runs_pb2

    return {
        "uid": item.uid,
        "role": enum_word(runs_pb2.Role.DESCRIPTOR, item.role),
        "hotkey": item.hotkey,
        "coldkey": item.coldkey,
        "endpoint": item.endpoint,
        "incentive_u16": item.incentive_u16,
        "dividends_u16": item.dividends_u16,
        "total_paid_udsc": item.total_paid_udsc,
    }


def _sha256(raw: bytes) -> bytes:
    import hashlib

    return hashlib.sha256(raw).digest()
