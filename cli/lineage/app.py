"""`descent lineage`: where did these weights come from?"""

from pathlib import Path
from typing import Annotated, Any

import typer
from google.protobuf.message import DecodeError

from cli.context import CHAIN, Context, command, new_group
from cli.lineage.bundle import Bundle, LineageMismatch
from cli.lineage.verify import Report, verify_bundle
from cli.output import TABLE, CommandFailed, UsageFailed, VerificationFailed, say
from proto.descent.lineage.v1 import lineage_pb2
from proto.descent.weights.v1 import weights_pb2

app = new_group("Where did these weights come from?")

RunArgument = Annotated[int, typer.Argument(help="The run.", min=1)]
RoundOption = Annotated[
    int | None, typer.Option("--round", help="Checkpoint; the newest without it.", min=0)
]
HASH_CHARS = 64


@command(app, "show", needs=CHAIN)
async def show(context: Context, run: RunArgument, round_index: RoundOption = None) -> Any:
    """Show one checkpoint's record."""
    async with context.client() as client:
        await client.get_run(run)
        found = await client.get_checkpoint(run, round_index)
    document = _describe_checkpoint(found.checkpoint)
    if found.HasField("judgement"):
        document["judgement"] = _describe_judgement(found.judgement)
    return document


@command(app, "tree", needs=CHAIN)
async def tree(context: Context, run: RunArgument) -> Any:
    """Show the line of descent of a run, newest first, down into the runs it came from."""
    rows = []
    async with context.client() as client:
        await client.get_run(run)
        checkpoints = await client.get_checkpoints(run)
        if not checkpoints:
            raise CommandFailed(f"run {run} has no checkpoint yet")
        while checkpoints:
            rows += [_describe_row(checkpoint) for checkpoint in reversed(checkpoints)]
            outer = [p for p in checkpoints[0].parents if p.run_id != checkpoints[0].run_id]
            if not outer:
                break
            checkpoints = [
                checkpoint
                for checkpoint in await client.get_checkpoints(outer[0].run_id)
                if checkpoint.round <= outer[0].round
            ]
    return rows


@command(app, "verify", needs=CHAIN)
async def verify(
    context: Context,
    what: Annotated[str, typer.Argument(help="A run's number, or an exported folder.")],
    round_index: RoundOption = None,
    from_genesis: Annotated[
        bool, typer.Option("--from-genesis", help="Recompute every round from the first weights.")
    ] = False,
    app_hash: Annotated[
        str | None, typer.Option(help="Trusted app hash in hex; without it, the source's own.")
    ] = None,
) -> Any:
    """Recompute a checkpoint from files and proofs; a folder needs no chain."""
    bundle = await _get_bundle(context, what, round_index, from_genesis)
    trusted = _parse_app_hash(app_hash)
    if trusted is None:
        trusted = bundle.app_hash
        say(
            f"trusting app hash {trusted.hex()} of height {bundle.height} as "
            f"{'the folder' if not what.isdigit() else 'the node'} gives it; pass --app-hash to "
            "check against one from a source of your own"
        )
    report = _verify(bundle, trusted, context)
    return {
        "verified": True,
        "run": report.run_id,
        "round": report.last_round,
        "root": report.root,
        "from_round": report.first_round,
        "from_seed": report.from_seed,
        "payloads_applied": report.num_payloads,
        "height": report.height,
        "app_hash": report.app_hash,
    }


@command(app, "export", needs=CHAIN)
async def export(
    context: Context,
    run: RunArgument,
    to: Annotated[Path, typer.Option("--to", help="Folder to write.")],
    round_index: RoundOption = None,
) -> Any:
    """Verify a checkpoint from the first weights on, and write it with its proofs."""
    from cli.lineage.export import write_folder

    bundle = await _get_bundle(context, str(run), round_index, True)
    report = _verify(bundle, bundle.app_hash, context)
    try:
        write_folder(bundle, report, to)
    except FileExistsError as error:
        raise CommandFailed(str(error)) from error
    return {
        "folder": str(to),
        "run": run,
        "round": report.last_round,
        "root": report.root,
        "height": bundle.height,
        "app_hash": bundle.app_hash,
        "weights_bytes": len(bundle.weights or b""),
        "payloads": len(bundle.payloads),
    }


# ------------------------------------------------------------------------------------- the steps
async def _get_bundle(
    context: Context, what: str, round_index: int | None, from_genesis: bool
) -> Bundle:
    if not what.isdigit():
        from cli.lineage.export import read_folder

        if round_index is not None:
            raise UsageFailed("--round does not go with a folder: it holds one checkpoint")
        if not Path(what).is_dir():
            raise CommandFailed(
                f"there is no folder {what}",
                hint="give a run's number, or a folder that `descent lineage export` wrote",
            )
        try:
            return read_folder(Path(what))
        except LineageMismatch as error:
            raise VerificationFailed(str(error)) from error
    from cli.lineage.collect import collect_bundle

    run_id = int(what)
    async with context.client() as client:
        await client.get_run(run_id)
        try:
            last = (await client.get_checkpoint(run_id, round_index)).checkpoint.round
            first = 0 if from_genesis else max(0, last - 1)
            return await collect_bundle(client, run_id, last_round=last, first_round=first)
        except LineageMismatch as error:
            raise CommandFailed(str(error)) from error


def _verify(bundle: Bundle, app_hash: bytes, context: Context) -> Report:
    def tell(done: int, total: int) -> None:
        if context.output == TABLE and (done == total or done % 10 == 0):
            say(f"recomputed {done} of {total} rounds")

    try:
        return verify_bundle(bundle, app_hash, tell)
    except LineageMismatch as error:
        raise VerificationFailed(str(error)) from error
    except DecodeError as error:
        raise VerificationFailed(f"a record is damaged: {error}") from error


def _parse_app_hash(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        if len(text) != HASH_CHARS:
            raise ValueError
        return bytes.fromhex(text)
    except ValueError as error:
        raise UsageFailed(f"--app-hash {text!r} is not {HASH_CHARS} hex digits") from error


def _describe_row(checkpoint: lineage_pb2.Checkpoint) -> dict[str, Any]:
    return {
        "run": checkpoint.run_id,
        "round": checkpoint.round,
        "root": checkpoint.root.hex()[:16],
        "parent": checkpoint.parent_roots[0].hex()[:16] if checkpoint.parent_roots else "",
        "uids": [c.uid for c in checkpoint.contributions],
        "height": checkpoint.height,
    }


def _describe_checkpoint(checkpoint: lineage_pb2.Checkpoint) -> dict[str, Any]:
    return {
        "run": checkpoint.run_id,
        "round": checkpoint.round,
        "root": checkpoint.root,
        "parents": [
            {"run": parent.run_id, "round": parent.round, "root": root}
            for parent, root in zip(checkpoint.parents, checkpoint.parent_roots, strict=False)
        ],
        "spec_hash": checkpoint.spec_hash,
        "dataset_root": checkpoint.dataset_root,
        "data_beacon": checkpoint.data_beacon,
        "sequences": f"{checkpoint.first_sequence} + {checkpoint.num_sequences}",
        "contributions": [
            {
                "uid": c.uid,
                "hotkey": c.hotkey,
                "payload_hash": c.payload_hash,
                "payload_bytes": c.payload_size,
                "weight_ppm": c.weight_ppm,
            }
            for c in checkpoint.contributions
        ],
        "attested_stake_udsc": checkpoint.attested_stake_udsc,
        "total_stake_udsc": checkpoint.total_stake_udsc,
        "attested_by": [f"uid {a.uid}" for a in checkpoint.attestations],
        "height": checkpoint.height,
        "time_unix_ms": checkpoint.time_unix_ms,
        "previous_app_hash": checkpoint.previous_app_hash,
    }


def _describe_judgement(judgement: lineage_pb2.CheckpointJudgement) -> dict[str, Any]:
    return {
        "base_heldout_loss_nanonats": judgement.base_heldout_loss_nanonats,
        "scores": [
            {
                "uid": entry.uid,
                "reason": weights_pb2.ReasonCode.Name(entry.reason).removeprefix("REASON_CODE_"),
                "incentive": f"{entry.incentive_u16 / 65535:.4f}",
                "dividends": f"{entry.dividends_u16 / 65535:.4f}",
                "emission_udsc": entry.emission_udsc,
            }
            for entry in judgement.entries
        ],
        "audits": [
            {
                "uid": record.uid,
                "by": record.validator_uid,
                "interval": record.audit.interval,
                "matches": record.audit.matches,
                "evidence_hash": record.evidence_hash,
            }
            for record in judgement.audits
        ],
        "rewards": [
            {"uid": reward.uid, "coldkey": reward.coldkey, "amount_udsc": reward.amount_udsc}
            for reward in judgement.rewards
        ],
        "owner_udsc": judgement.owner_udsc,
        "height": judgement.height,
    }
