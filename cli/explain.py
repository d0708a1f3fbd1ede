"""`descent explain`: why a miner got its score, with evidence and the way to check it."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.context import CHAIN, Context, command, new_single
from cli.output import CommandFailed, VerificationFailed, say
from proto.descent.weights.v1 import weights_pb2

if TYPE_CHECKING:
    from chain_client.client import ChainClient

app = new_single()
FETCH_SECONDS = 5.0


@command(app, "explain", needs=CHAIN)
async def explain(
    context: Context,
    run: Annotated[int, typer.Argument(help="The run.", min=1)],
    uid: Annotated[int, typer.Option(help="The miner's seat.", min=0)],
    round_index: Annotated[
        int | None, typer.Option("--round", help="Judged round; the newest without it.", min=0)
    ] = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Evaluate the payload again and compare.")
    ] = False,
    dataset: Annotated[Path | None, typer.Option(help="Folder with the run's text.")] = None,
) -> Any:
    """Say why a miner got the score it got in a round."""
    from scoring.reasons import REASON_TEXTS, RECOMPUTE_HINTS, ReasonCode

    async with context.client() as client:
        await client.get_run(run)
        if round_index is None:
            round_index = await _find_newest_round(client, run)
        response = await client.get_judgements(run, round_index)
        verdicts = [
            (stored, verdict)
            for stored in response.judgements
            for verdict in stored.judgement.verdicts
            if verdict.uid == uid
        ]
        if not verdicts:
            raise await _make_refusal(client, run, round_index, uid)
        evidence = await _fetch_evidence(client, run, verdicts)
        epoch = await _get_entry(client, run, round_index, uid)
        code = ReasonCode(epoch["reason_code"] if epoch else verdicts[0][1].reason)
        document: dict[str, Any] = {
            "run": run,
            "round": round_index,
            "uid": uid,
            "reason": code.name,
            "meaning": REASON_TEXTS[code],
            **({} if epoch is None else epoch["numbers"]),
            "verdicts": [
                _describe(stored, verdict, evidence.get(verdict.evidence_hash))
                for stored, verdict in verdicts
            ],
            "how_to_recompute": RECOMPUTE_HINTS[code],
            "command": f"descent explain {run} --uid {uid} --round {round_index} --recompute",
        }
        if recompute:
            document["recomputed"] = await _recompute(
                context, client, run, round_index, verdicts[0][1], dataset
            )
    return document


async def _find_newest_round(client: "ChainClient", run: int) -> int:
    from chain_client.errors import NotFound

    try:
        return (await client.get_epoch(run)).round
    except NotFound:
        raise CommandFailed(
            f"no round of run {run} is judged yet", hint="a round is judged while the next one runs"
        ) from None


async def _make_refusal(
    client: "ChainClient", run: int, round_index: int, uid: int
) -> CommandFailed:
    """Say why there is no verdict on a uid in a round."""
    from proto.descent.runs.v1 import runs_pb2

    member = await client.get_participant(run, uid=uid)
    if member.role == runs_pb2.ROLE_VALIDATOR:
        return CommandFailed(
            f"uid {uid} of run {run} is a validator: only miners are judged",
            hint=f"`descent run show {run}` lists the miners",
        )
    return CommandFailed(
        f"no validator has revealed a verdict on uid {uid} in round {round_index} of run {run}",
        hint="a round is judged while the next one runs",
    )


async def _get_entry(
    client: "ChainClient", run: int, round_index: int, uid: int
) -> dict[str, Any] | None:
    from chain_client.errors import NotFound

    try:
        epoch = await client.get_epoch(run, round_index)
    except NotFound:
        return None
    for entry in epoch.entries:
        if entry.uid == uid:
            return {
                "reason_code": entry.reason,
                "numbers": {
                    "incentive": f"{entry.incentive_u16 / 65535:.4f}",
                    "emission_udsc": entry.emission_udsc,
                    "epoch_height": epoch.height,
                },
            }
    return None


async def _fetch_evidence(
    client: "ChainClient", run: int, verdicts: list[Any]
) -> dict[bytes, dict[str, Any]]:
    """Return evidence hash -> document, for what the validators still serve."""
    from chain_client.blob.address import KIND_BLOB
    from chain_client.blob.client import BlobClient, FetchLimits
    from chain_client.blob.errors import BlobError
    from chain_client.blob.store import BlobStore
    from validator.evidence import MAX_EVIDENCE_BYTES, decode_evidence

    members = {member.uid: member for member in await client.get_participants(run)}
    limits = FetchLimits(max_size=MAX_EVIDENCE_BYTES, deadline_s=FETCH_SECONDS)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        blobs = BlobClient(BlobStore(Path(folder)))
        for stored, verdict in verdicts:
            member = members.get(stored.judgement.validator_uid)
            if member is None or not member.endpoint:
                continue
            address = verdict.evidence_hash
            try:
                data = await blobs.fetch(KIND_BLOB, address, [member.endpoint], limits)
                found[address] = decode_evidence(data, address)
            except (BlobError, ValueError) as error:
                say(f"evidence of validator {stored.judgement.validator_uid}: {error}")
    return found


def _describe(
    stored: weights_pb2.StoredJudgement,
    verdict: weights_pb2.Verdict,
    evidence: dict[str, Any] | None,
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "validator_uid": stored.judgement.validator_uid,
        "stake_udsc": stored.stake_udsc,
        "reason": weights_pb2.ReasonCode.Name(verdict.reason).removeprefix("REASON_CODE_"),
        "detail": verdict.detail,
        "base_heldout_loss_nanonats": stored.judgement.base_heldout_loss_nanonats,
        "heldout_gain_nanonats": verdict.heldout_gain_nanonats,
        "assigned_gain_nanonats": verdict.assigned_gain_nanonats,
        "evidence_hash": verdict.evidence_hash,
        "evidence": "served, hash checked" if evidence else "not served now",
    }
    if verdict.HasField("audit"):
        described["audit"] = {
            "interval": verdict.audit.interval,
            "claimed_root": verdict.audit.claimed_root,
            "replayed_root": verdict.audit.replayed_root,
            "matches": verdict.audit.matches,
        }
    if evidence and "heldout" in evidence:
        described["heldout_sequences"] = len(evidence["heldout"]["sequences"])
        described["assigned_sequences"] = len(evidence["assigned"]["sequences"])
    return described


async def _recompute(
    context: Context,
    client: "ChainClient",
    run_id: int,
    round_index: int,
    verdict: weights_pb2.Verdict,
    dataset: Path | None,
) -> dict[str, Any]:
    """Evaluate the payload again and compare with the verdict."""
    from miner.errors import ParticipantError
    from validator.recompute import recompute_gains

    _keep_logs_off_stdout()
    folder = context.home.resolve() / "data"
    try:
        gains = await recompute_gains(client, run_id, round_index, verdict.uid, folder, dataset)
    except ParticipantError as error:
        raise CommandFailed(str(error)) from error
    if gains is None:
        return {"result": "there is no payload to evaluate"}
    heldout, assigned = gains
    if (heldout, assigned) != (verdict.heldout_gain_nanonats, verdict.assigned_gain_nanonats):
        raise VerificationFailed(
            f"recomputed gains {heldout} and {assigned} nano-nats are not the verdict's "
            f"{verdict.heldout_gain_nanonats} and {verdict.assigned_gain_nanonats}"
        )
    return {
        "heldout_gain_nanonats": heldout,
        "assigned_gain_nanonats": assigned,
        "result": "the same bits",
    }


def _keep_logs_off_stdout() -> None:
    """Let what a participant would log go to stderr, and only if something is wrong."""
    import logging
    import sys

    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
