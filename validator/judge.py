"""Judge one round: evaluate, audit, decide, write the evidence, set the weights."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from exact.state import State
from miner.follower import RunFollower
from miner.metrics import VERDICTS
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2 as w
from scoring import score
from validator.audit import Auditor, AuditReport
from validator.availability import Received
from validator.evaluate import (
    Draw,
    Gain,
    apply_part,
    compute_gain,
    compute_mean_loss,
    draw_assigned,
    draw_heldout,
)
from validator.evidence import encode_evidence

MAX_DETAIL_BYTES = 200

log = structlog.get_logger()


@dataclass
class Finding:
    """All that was found about one miner in one round."""

    uid: int
    reason: int
    detail: str
    received: Received | None = None
    assigned: Gain | None = None
    heldout: Gain | None = None
    audit: AuditReport | None = None


class Judge:
    """Judges rounds of one run for one validator.

    Args:
        follower: of the run.
        uid: the validator's seat.
        fetch_seconds: deadline for one state of an audit.
        get_seconds_left: round -> time for its audits.
    """

    def __init__(
        self,
        follower: RunFollower,
        uid: int,
        fetch_seconds: float,
        get_seconds_left: Callable[[int], float],
    ) -> None:
        self._follower = follower
        self._setup = follower.setup
        self._uid = uid
        self._auditor = Auditor(follower, fetch_seconds, get_seconds_left)

    async def judge(
        self, round_info: rounds_pb2.Round, received: dict[int, Received]
    ) -> w.Judgement:
        """Find a verdict for every registered miner.

        Args:
            round_info: with its accepted set fixed.
            received: from `Availability.collect`.
        """
        theta = await self._follower.get_checkpoint(round_info.index)
        miners = self._get_miners(round_info)
        audits = asyncio.gather(
            *(
                self._audit(round_info, theta, received, t)
                for t in await self._get_targets(round_info)
            )
        )
        heldout = await asyncio.to_thread(draw_heldout, self._setup, theta, round_info)
        findings = []
        for uid in miners:
            findings.append(
                await asyncio.to_thread(
                    self._evaluate, round_info, theta, heldout, uid, received.get(uid)
                )
            )
        reports = dict(await audits)
        for finding in findings:
            finding.audit = reports.get(finding.uid)
            _decide(finding)
        return self._conclude(round_info, heldout, findings)

    def _get_miners(self, round_info: rounds_pb2.Round) -> list[int]:
        return [
            uid
            for uid, member in sorted(self._follower.participants.items())
            if member.role == runs_pb2.ROLE_MINER
            and member.registered_height <= round_info.commit_deadline
        ]

    async def _get_targets(self, round_info: rounds_pb2.Round) -> list[rounds_pb2.AuditTarget]:
        targets = await self._follower.client.get_audit_targets(
            self._setup.run_id, round_info.index
        )
        return [target for target in targets if self._uid in target.auditors]

    async def _audit(
        self,
        round_info: rounds_pb2.Round,
        theta: State,
        received: dict[int, Received],
        target: rounds_pb2.AuditTarget,
    ) -> tuple[int, AuditReport | None]:
        item = received.get(target.uid)
        if item is None or item.update is None or item.payload is None:
            return target.uid, None
        return target.uid, await self._auditor.audit(
            round_info, theta, item.commitment, target, item.payload
        )

    def _evaluate(
        self,
        round_info: rounds_pb2.Round,
        theta: State,
        heldout: Draw,
        uid: int,
        item: Received | None,
    ) -> Finding:
        if item is None:
            return Finding(uid, w.REASON_CODE_MISSING, "no commitment in this round")
        finding = Finding(uid, item.reason, item.detail, received=item)
        if item.update is not None:
            num_accepted = len(round_info.accepted)
            stepped = apply_part(self._setup, theta, item.update, num_accepted)
            finding.heldout = compute_gain(self._setup, stepped, heldout)
            assigned = draw_assigned(self._setup, theta, round_info, uid)
            finding.assigned = compute_gain(self._setup, stepped, assigned)
        return finding

    def _conclude(
        self, round_info: rounds_pb2.Round, heldout: Draw, findings: list[Finding]
    ) -> w.Judgement:
        weights = score.compute_weights(
            {
                finding.uid: score.Evidence(
                    reason=score.ReasonCode(finding.reason),
                    assigned_gain_nanonats=_get_nanonats(finding.assigned),
                    heldout_gain_nanonats=_get_nanonats(finding.heldout),
                )
                for finding in findings
            }
        )
        verdicts = []
        for finding in findings:
            document = self._make_evidence(round_info, heldout, finding)
            evidence_hash = self._follower.store.put_blob(encode_evidence(document))
            verdicts.append(_make_verdict(finding, evidence_hash))
            reason = w.ReasonCode.Name(finding.reason)
            VERDICTS.labels(reason.removeprefix("REASON_CODE_").lower()).inc()
            log.info(
                "verdict",
                round=round_info.index,
                uid=finding.uid,
                reason=reason,
                heldout_gain_nanonats=_get_nanonats(finding.heldout),
                assigned_gain_nanonats=_get_nanonats(finding.assigned),
                why=finding.detail,
            )
        return w.Judgement(
            run_id=self._setup.run_id,
            round=round_info.index,
            validator_uid=self._uid,
            uids=sorted(weights),
            weights_u16=[weights[uid] for uid in sorted(weights)],
            verdicts=verdicts,
            base_heldout_loss_nanonats=compute_mean_loss(heldout),
        )

    def _make_evidence(
        self, round_info: rounds_pb2.Round, heldout: Draw, finding: Finding
    ) -> dict[str, object]:
        document: dict[str, object] = {
            "version": 1,
            "run_id": self._setup.run_id,
            "round": round_info.index,
            "uid": finding.uid,
            "validator_uid": self._uid,
            "reason": w.ReasonCode.Name(finding.reason),
            "detail": finding.detail,
            "base_root": round_info.base_root.hex(),
            "beacon": round_info.beacon.hex(),
            "judge_beacon": round_info.judge_beacon.hex(),
            "spec_hash": self._setup.spec_hash.hex(),
            "dataset_root": self._setup.spec.data.dataset_root.hex(),
        }
        if finding.received is not None:
            commitment = finding.received.commitment
            document["commitment"] = {
                "height": commitment.height,
                "late": commitment.late,
                "payload_hash": commitment.payload_hash.hex(),
                "payload_size": commitment.payload_size,
                "trace_root": commitment.trace_root.hex(),
            }
        for name, gain in (("heldout", finding.heldout), ("assigned", finding.assigned)):
            if gain is not None:
                document[name] = _describe_gain(gain)
        if finding.audit is not None:
            document["audit"] = _describe_audit(finding.audit)
        return document


def _decide(finding: Finding) -> None:
    """Turn what was found into one reason code, in the precedence of scoring.ReasonCode."""
    if finding.reason != w.REASON_CODE_OK:
        return
    if finding.audit is not None and not finding.audit.matches:
        finding.reason = w.REASON_CODE_REPLAY_MISMATCH
        finding.detail = finding.audit.finding
    elif _get_nanonats(finding.heldout) <= 0:
        finding.reason = w.REASON_CODE_NO_IMPROVEMENT
        finding.detail = "the payload alone does not lower the held-out loss"
    else:
        finding.detail = "the payload alone lowers the held-out loss"


def _make_verdict(finding: Finding, evidence_hash: bytes) -> w.Verdict:
    verdict = w.Verdict(
        uid=finding.uid,
        reason=finding.reason,
        assigned_gain_nanonats=_get_nanonats(finding.assigned),
        heldout_gain_nanonats=_get_nanonats(finding.heldout),
        evidence_hash=evidence_hash,
        detail=finding.detail.encode()[:MAX_DETAIL_BYTES].decode(errors="ignore"),
    )
    report = finding.audit
    if report is not None:
        verdict.audit.CopyFrom(
            w.Audit(
                interval=report.interval,
                step=report.step,
                claimed_root=report.claimed_root,
                replayed_root=report.replayed_root,
                inside_root=report.inside_root,
                matches=report.matches,
            )
        )
    return verdict


def _get_nanonats(gain: Gain | None) -> int:
    return 0 if gain is None else gain.nanonats


def _describe_gain(gain: Gain) -> dict[str, object]:
    return {
        "sequences": [int(index) for index in gain.draw.indices],
        "losses_before": [int(loss) for loss in gain.draw.base_losses],
        "losses_after": [int(loss) for loss in gain.losses],
        "num_tokens": gain.draw.num_tokens,
        "gain_nanonats": gain.nanonats,
    }


def _describe_audit(report: AuditReport) -> dict[str, object]:
    return {
        "interval": report.interval,
        "step": report.step,
        "claimed_root": report.claimed_root.hex(),
        "replayed_root": report.replayed_root.hex(),
        "inside_root": report.inside_root.hex(),
        "matches": report.matches,
        "finding": report.finding,
    }
