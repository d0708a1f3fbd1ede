"""The epoch: who is paid, what vests, what is burned, what is recorded."""

from __future__ import annotations

from typing import Any

from node.pallets.weights.types import AuditFailed, EpochRan, RewardPaid, RewardVesting
from node.runtime.addresses import compute_module_address
from proto.descent.lineage.v1 import lineage_pb2
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2
from tests.pallets.harness import make_text_addr
from tests.pallets.training_chain import OWNER_UDSC, TrainingChain, build_spec, hash_text

BLOCK_UDSC = 9 * 10**5
"""The part of a block's emission that is for runs."""
VALIDATORS = ("validator-0", "validator-1", "validator-2")
MISMATCH = weights_pb2.REASON_CODE_REPLAY_MISMATCH


def build_vesting_spec(audit_rate_ppm: int, num_rounds: int = 3, num_auditors: int = 3) -> Any:
    spec = build_spec(num_rounds=num_rounds)
    spec.judge.audit_rate_ppm = audit_rate_ppm
    spec.judge.num_auditors = num_auditors
    spec.judge.probation_rounds = 2
    return spec


def judge_all(
    chain: TrainingChain, weights: dict[int, int], reasons: dict[int, int] | None = None
) -> list[Any]:
    judgements = {name: chain.build_judgement(1, name, weights, reasons) for name in VALIDATORS}
    return chain.judge(1, judgements)


def get_supply(chain: TrainingChain) -> int:
    return int(chain.get_pallet("bank").get_supply(chain.ctx()))


def get_lineage(chain: TrainingChain, index: int) -> Any:
    request = lineage_pb2.QueryCheckpointRequest(run_id=1, round=index)
    return chain.query("/descent.lineage.v1.Query/Checkpoint", request)


def test_epoch__pays_owner_miners_and_validators() -> None:
    chain = TrainingChain()
    chain.start_run()
    chain.play_round(1)
    supply, owner = get_supply(chain), chain.get_balance("owner")
    miner = chain.get_balance("miner-0")
    events = judge_all(chain, {0: 30_000, 1: 20_000, 2: 10_000})
    epoch = chain.get_epoch(1, 0)
    num_blocks = epoch.height - chain.get_run(1).started_height + 1
    assert epoch.emission_udsc == num_blocks * BLOCK_UDSC
    assert epoch.owner_udsc == epoch.emission_udsc * 18 // 100
    assert epoch.validators_udsc == epoch.emission_udsc * 41 // 100
    assert epoch.owner_udsc + epoch.miners_udsc + epoch.validators_udsc == epoch.emission_udsc
    assert get_supply(chain) == supply + epoch.emission_udsc
    assert chain.get_balance("owner") == owner + epoch.owner_udsc
    lines = {line.uid: line for line in epoch.entries}
    assert lines[0].incentive_u16 > lines[1].incentive_u16 > lines[2].incentive_u16 > 0
    assert sum(lines[uid].emission_udsc for uid in (0, 1, 2)) == epoch.miners_udsc
    assert chain.get_balance("miner-0") == miner + lines[0].emission_udsc
    assert len([e for e in events if isinstance(e, RewardPaid)]) == 6
    assert len([e for e in events if isinstance(e, EpochRan)]) == 1
    assert chain.get_round(1, 0).phase == rounds_pb2.PHASE_JUDGED
    seat = chain.get_seat(1, 0)
    assert (seat.last_paid_udsc, seat.total_paid_udsc) == (lines[0].emission_udsc,) * 2
    assert (seat.rounds_paid, seat.incentive_u16) == (1, lines[0].incentive_u16)
    assert lines[0].reason == weights_pb2.REASON_CODE_OK
    assert lines[3].dividends_u16 > 0


def test_epoch__lineage() -> None:
    chain = TrainingChain()
    chain.start_run()
    chain.play_round(1)
    judge_all(chain, {0: 1, 1: 1})
    epoch, entry = chain.get_epoch(1, 0), get_lineage(chain, 1).judgement
    assert (entry.round, entry.owner_udsc, entry.height) == (1, epoch.owner_udsc, epoch.height)
    assert entry.entries == epoch.entries
    assert entry.base_heldout_loss_nanonats == 5_000_000_000
    assert [r.uid for r in entry.rewards] == [0, 1, 3, 4, 5]
    assert entry.rewards[0].coldkey == make_text_addr("miner-0")


def test_epoch__without_judgements_pays_nobody() -> None:
    chain = TrainingChain()
    chain.start_run(bounty=900)
    settled = chain.play_round(1)
    supply = get_supply(chain)
    chain.next_block(settled.judge_reveal_deadline + 1 - chain.height)
    epoch = chain.get_epoch(1, 0)
    assert (epoch.num_judgements, epoch.miners_udsc, epoch.owner_udsc) == (0, 0, 0)
    assert epoch.emission_udsc > 300
    assert get_supply(chain) == supply
    assert chain.get_run(1).bounty_udsc == 900
    assert get_lineage(chain, 1).HasField("judgement")
    assert chain.get_round(1, 0).phase == rounds_pb2.PHASE_JUDGED


def test_epoch__miners_side_that_nobody_earned_is_not_minted() -> None:
    chain = TrainingChain()
    chain.start_run(bounty=900)
    chain.play_round(1)
    supply = get_supply(chain)
    no_gain = weights_pb2.REASON_CODE_NO_IMPROVEMENT
    judge_all(chain, {}, {0: no_gain, 1: no_gain, 2: no_gain})
    epoch = chain.get_epoch(1, 0)
    assert (epoch.bounty_udsc, epoch.miners_udsc) == (300, 0)
    assert epoch.validators_udsc > 0
    paid_bounty = 300 * 18 // 100 + 300 * 41 // 100
    assert chain.get_run(1).bounty_udsc == 900 - paid_bounty
    assert get_supply(chain) - supply == epoch.owner_udsc + epoch.validators_udsc - paid_bounty
    assert [line.reason for line in epoch.entries][:3] == [no_gain] * 3


def test_epoch__vests_by_audit_rate() -> None:
    chain = TrainingChain()
    chain.start_run(run_spec=build_vesting_spec(400_000))
    balance = chain.get_balance("miner-0")
    chain.play_round(1)
    events = judge_all(chain, {0: 1, 1: 1, 2: 1})
    [vesting] = chain.get_vestings(1, 0)
    assert (vesting.round_earned, vesting.release_round) == (0, 2)
    assert len([e for e in events if isinstance(e, RewardVesting)]) == 3
    assert chain.get_balance("miner-0") == balance
    held = chain.get_pallet("bank").get_balance(chain.ctx(), compute_module_address("weights"))
    assert held == chain.get_epoch(1, 0).miners_udsc
    chain.play_round(1)
    judge_all(chain, {0: 1})
    assert len(chain.get_vestings(1, 0)) == 2
    assert chain.get_balance("miner-0") == balance
    chain.play_round(1)
    judge_all(chain, {0: 1})
    assert chain.get_vestings(1, 0) == []
    earned = sum(chain.get_epoch(1, index).entries[0].emission_udsc for index in range(3))
    assert chain.get_balance("miner-0") == balance + earned
    assert chain.get_run(1).status == runs_pb2.RUN_STATUS_COMPLETED


def test_epoch__mismatch_burns_and_resets() -> None:
    chain = TrainingChain()
    chain.start_run(run_spec=build_vesting_spec(400_000))
    chain.play_round(1)
    judge_all(chain, {0: 1, 1: 1, 2: 1})
    [vesting] = chain.get_vestings(1, 0)
    chain.play_round(1)
    assert chain.get_seat(1, 0).optimiser_root == hash_text("optimiser/miner-0/1")
    balance, supply = chain.get_balance("miner-0"), get_supply(chain)
    events = judge_all(chain, {1: 1, 2: 1}, {0: MISMATCH})
    assert [e for e in events if isinstance(e, AuditFailed)] == [
        AuditFailed(1, 1, 0, vesting.amount_udsc, hash_text("evidence/1/0"))
    ]
    epoch = chain.get_epoch(1, 1)
    line = epoch.entries[0]
    assert (line.reason, line.emission_udsc, line.incentive_u16) == (MISMATCH, 0, 0)
    assert chain.get_vestings(1, 0) == []
    assert chain.get_seat(1, 0).optimiser_root == b""
    assert chain.get_balance("miner-0") == balance
    assert get_supply(chain) == supply + epoch.emission_udsc - vesting.amount_udsc
    audits = get_lineage(chain, 2).judgement.audits
    assert [(a.uid, a.validator_uid) for a in audits] == [(0, 3), (0, 4), (0, 5)]


def test_epoch__mismatch_needs_more_than_half_of_the_stake() -> None:
    chain = TrainingChain()
    chain.start_run(stakes=(100, 100))
    chain.play_round(1)
    honest = chain.build_judgement(1, "validator-0", {0: 1, 1: 1})
    accuser = chain.build_judgement(1, "validator-1", {1: 1}, {0: MISMATCH})
    events = chain.judge(1, {"validator-0": honest, "validator-1": accuser})
    assert not [e for e in events if isinstance(e, AuditFailed)]
    assert chain.get_seat(1, 0).optimiser_root != b""


def test_epoch__only_auditors_say_whether_work_replays() -> None:
    chain = TrainingChain()
    chain.start_run(run_spec=build_vesting_spec(1_000_000, num_auditors=1))
    chain.play_round(1)
    request = rounds_pb2.QueryAuditTargetsRequest(run_id=1, round=0)
    targets = chain.query("/descent.rounds.v1.Query/AuditTargets", request).targets
    auditors = {target.uid: target.auditors[0] for target in targets}
    weights = {0: 1, 1: 1, 2: 1}
    judgements = {}
    for name in VALIDATORS:
        uid = chain.find_uid(1, name)
        # miner 0's auditor has a case; miner 1 is accused by everybody who did not replay its work
        accused = [0] if auditors[0] == uid else []
        accused += [1] if auditors[1] != uid else []
        judgements[name] = chain.build_judgement(
            1, name, {u: w for u, w in weights.items() if u not in accused}, _accuse(accused)
        )
    events = chain.judge(1, judgements)
    assert [e.uid for e in events if isinstance(e, AuditFailed)] == [0]
    lines = chain.get_epoch(1, 0).entries
    assert (lines[0].reason, lines[0].emission_udsc) == (MISMATCH, 0)


def test_epoch__suspect_is_audited_and_its_reward_held() -> None:
    chain = TrainingChain()
    chain.start_run(run_spec=build_vesting_spec(1_000_000, num_rounds=6))
    balance = chain.get_balance("miner-0")
    chain.play_round(1)
    judge_all(chain, {1: 1, 2: 1}, {0: MISMATCH})
    seat = chain.get_seat(1, 0)
    assert (seat.suspect_from_round, seat.suspect_until_round) == (2, 4)
    for _ in range(2):  # rounds 1 and 2 replay, and the reward waits for round 3
        chain.play_round(1)
        judge_all(chain, {0: 1, 1: 1, 2: 1})
    earned = sum(chain.get_epoch(1, index).entries[0].emission_udsc for index in (1, 2))
    [vesting] = chain.get_vestings(1, 0)
    assert (vesting.release_round, vesting.amount_udsc) == (3, earned)
    assert chain.get_balance("miner-0") == balance
    chain.play_round(1)
    judge_all(chain, {1: 1, 2: 1}, {0: MISMATCH})
    seat = chain.get_seat(1, 0)
    assert (seat.suspect_from_round, seat.suspect_until_round) == (5, 7)
    assert chain.get_vestings(1, 0) == []
    assert chain.get_balance("miner-0") == balance


def test_epoch__suspect_that_replays_is_paid_in_the_end() -> None:
    chain = TrainingChain()
    chain.start_run(run_spec=build_vesting_spec(1_000_000, num_rounds=6))
    balance = chain.get_balance("miner-0")
    chain.play_round(1)
    judge_all(chain, {1: 1, 2: 1}, {0: MISMATCH})
    for _ in range(3):
        chain.play_round(1)
        judge_all(chain, {0: 1, 1: 1, 2: 1})
    earned = sum(chain.get_epoch(1, index).entries[0].emission_udsc for index in (1, 2, 3))
    assert earned > 0
    assert chain.get_balance("miner-0") == balance + earned


def _accuse(uids: list[int]) -> dict[int, int]:
    return dict.fromkeys(uids, MISMATCH)


def test_epoch__late_and_missing_earn_nothing_whatever_is_said() -> None:
    chain = TrainingChain()
    chain.start_run()
    chain.commit(1, "miner-0")
    chain.advance_to_phase(1, rounds_pb2.PHASE_ATTESTING)
    chain.commit(1, "miner-1")
    for name in VALIDATORS:
        chain.attest(1, name, [0, 1])
    chain.advance_to_phase(1, rounds_pb2.PHASE_SETTLING)
    for name in VALIDATORS:
        chain.attest_state(1, name)
    chain.next_block()
    judge_all(chain, {0: 1, 1: 1, 2: 1})
    lines = chain.get_epoch(1, 0).entries
    assert [line.reason for line in lines][:3] == [1, 3, 2]
    assert lines[0].emission_udsc > 0
    assert (lines[1].emission_udsc, lines[2].emission_udsc) == (0, 0)


def test_epoch__silent_validator_earns_nothing() -> None:
    chain = TrainingChain()
    chain.start_run()
    chain.play_round(1)
    names = VALIDATORS[:2]
    chain.judge(1, {name: chain.build_judgement(1, name, {0: 1}) for name in names})
    epoch = chain.get_epoch(1, 0)
    assert [line.emission_udsc > 0 for line in epoch.entries][3:] == [True, True, False]
    assert epoch.num_judgements == 2


def test_epoch__emission_is_split_over_runs() -> None:
    chain = TrainingChain()
    chain.start_run()
    second = chain.create_run()
    for index in range(2):
        chain.run(chain.build_register(second, f"miner-{index}"))
        role = runs_pb2.ROLE_VALIDATOR
        chain.run(chain.build_register(second, f"validator-{index}", role=role))
    chain.play_round(1)
    judge_all(chain, {0: 1})
    epoch = chain.get_epoch(1, 0)
    alone = chain.get_run(second).started_height - chain.get_run(1).started_height
    shared = epoch.height - chain.get_run(second).started_height + 1
    assert epoch.emission_udsc == alone * BLOCK_UDSC + shared * BLOCK_UDSC // 2


def test_run__bounty_is_paid_whole_and_run_completes() -> None:
    chain = TrainingChain()
    chain.start_run(num_rounds=2, bounty=1_001)
    supply = get_supply(chain)
    for _ in range(2):
        chain.play_round(1)
        judge_all(chain, {0: 1, 1: 1, 2: 1})
    run = chain.get_run(1)
    assert (run.status, run.bounty_udsc) == (runs_pb2.RUN_STATUS_COMPLETED, 0)
    epochs = [chain.get_epoch(1, index) for index in range(2)]
    assert [epoch.bounty_udsc for epoch in epochs] == [500, 501]
    minted = sum(epoch.emission_udsc - epoch.bounty_udsc for epoch in epochs)
    assert get_supply(chain) == supply + minted
    chain.next_block(5)
    assert get_supply(chain) == supply + minted


def test_run__halted_pays_what_had_yet_to_vest() -> None:
    chain = TrainingChain()
    chain.start_run(run_spec=build_vesting_spec(100_000), bounty=900)
    balance = chain.get_balance("miner-0")
    chain.play_round(1)
    judge_all(chain, {0: 1})
    [vesting] = chain.get_vestings(1, 0)
    chain.run(runs_pb2.MsgHaltRun(owner=make_text_addr("owner"), run_id=1))
    chain.next_block()
    assert chain.get_vestings(1, 0) == []
    assert chain.get_balance("miner-0") == balance + vesting.amount_udsc
    assert chain.get_balance("owner") > OWNER_UDSC - 900
    supply = get_supply(chain)
    chain.next_block(5)
    assert get_supply(chain) == supply


def test_run__replaced_miner_keeps_what_has_yet_to_vest() -> None:
    chain = TrainingChain()
    spec = build_vesting_spec(500_000)
    spec.membership.max_participants = spec.membership.max_accepted = 6
    chain.start_run(run_spec=spec)
    chain.play_round(1)
    judge_all(chain, {0: 3, 1: 1, 2: 3})
    old = chain.get_balance("miner-1")
    [vesting] = chain.get_vestings(1, 1)
    assert chain.register(1, "fresh") == 1
    chain.play_round(1)
    judge_all(chain, {0: 1, 1: 1, 2: 1})
    assert chain.get_balance("miner-1") == old + vesting.amount_udsc
    assert chain.get_seat(1, 1).total_paid_udsc == 0
    assert [entry.coldkey for entry in chain.get_vestings(1, 1)] == [make_text_addr("fresh")]


def test_genesis_round_trips() -> None:
    chain = TrainingChain()
    chain.start_run(run_spec=build_vesting_spec(100_000), bounty=77)
    chain.play_round(1)
    judge_all(chain, {0: 2, 1: 1})
    chain.play_round(1)
    judgement = chain.build_judgement(1, "validator-0", {0: 1})
    chain.run(chain.build_weights_commit("validator-0", judgement))
    chain.next_block(3)
    chain.run(chain.build_reveal("validator-0", judgement))
    chain.assert_genesis_round_trips(*TrainingChain().build_pallets())
