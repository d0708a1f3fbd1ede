"""A chain of pallets with a run on it: what tests of runs, rounds, weights and lineage share.

    chain = TrainingChain()
    run_id = chain.create_run(build_spec(min_miners=2))
    chain.register(run_id, "miner-0")                    # uid 0; coldkey = hotkey = the name
    chain.register(run_id, "validator-0", stake=100)
    chain.advance_to_phase(run_id, PHASE_TRAINING)

Only stake and the beacon are scripted; everything else is the real pallet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from node.pallets.bank.pallet import BankPallet
from node.pallets.lineage.pallet import LineagePallet
from node.pallets.mint.pallet import MintPallet
from node.pallets.rounds.pallet import RoundsPallet
from node.pallets.runs.pallet import RunsPallet
from node.pallets.runs.types import RUNS_MODULE
from node.pallets.weights.judgement import compute_commitment
from node.pallets.weights.pallet import WeightsPallet
from node.pallets.weights.types import WEIGHTS_MODULE
from node.runtime.context import Context
from node.runtime.events import Event
from node.runtime.pallet import Pallet
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2
from tests.pallets.harness import Harness, build_base_pallets, make_addr, make_text_addr

OWNER_UDSC = 10**9
PARTICIPANT_UDSC = 10**7
MODULES: dict[str, tuple[str, ...]] = {
    "fee_collector": (),
    RUNS_MODULE: (),
    WEIGHTS_MODULE: (),
}
TIMELINE = {
    "commit_blocks": 4,
    "attest_blocks": 3,
    "judge_commit_blocks": 2,
    "judge_reveal_blocks": 2,
}


def hash_text(text: str) -> bytes:
    """Hash a text to the 32 bytes tests use for a root."""
    return hashlib.sha256(text.encode()).digest()


class ScriptedStake:
    """Bonded stake by operator address, set by the test."""

    def __init__(self) -> None:
        self.stakes: dict[bytes, int] = {}

    def get_bonded_stake(self, ctx: Context, operator_addr: bytes) -> int:
        return self.stakes.get(operator_addr, 0)


class ScriptedBeacon:
    """A beacon that is a hash of the height."""

    def get_value(self, ctx: Context, height: int) -> bytes:
        return hash_text(f"beacon/{height}")


def build_spec(num_rounds: int = 3, **membership: int) -> Any:
    """Build a small, valid run specification; keywords change membership."""
    seats = {
        "max_participants": 8,
        "max_accepted": 6,
        "min_miners": 2,
        "min_validators": 2,
        "immunity_rounds": 1,
        "initial_burn_udsc": 1_000,
        "min_burn_udsc": 100,
        "max_burn_udsc": 100_000,
        "burn_half_life_blocks": 100,
        "burn_increase_ppm": 1_260_000,
        **membership,
    }
    return runs_pb2.RunSpec(
        name="tiny",
        model=runs_pb2.ModelSpec(
            family="gpt",
            vocab_size=256,
            context_length=32,
            d_model=16,
            num_layers=1,
            num_heads=2,
            mlp_ratio=4,
        ),
        precision=runs_pb2.PrecisionSpec(operand_max=511, block_size=64),
        inner=runs_pb2.InnerOptimiserSpec(
            learning_rate_ppb=1_000_000,
            beta1_ppb=900_000_000,
            beta2_ppb=990_000_000,
            epsilon_ppb=10,
        ),
        outer=runs_pb2.OuterOptimiserSpec(learning_rate_ppb=700_000_000),
        codec=runs_pb2.CodecSpec(chunk_size=4096, top_k=64, feedback_ppb=950_000_000),
        work=runs_pb2.WorkSpec(inner_steps=8, batch_size=8, interval_steps=4),
        data=runs_pb2.DataSpec(
            dataset_root=hash_text("dataset"),
            tokenizer_hash=hash_text("descent/bytes"),
            num_train_bytes=1_000_000,
            num_heldout_bytes=100_000,
        ),
        timeline=runs_pb2.TimelineSpec(**TIMELINE),
        judge=runs_pb2.JudgeSpec(
            num_assigned_sequences=64,
            num_heldout_sequences=64,
            audit_rate_ppm=1_000_000,
            num_auditors=2,
            probation_rounds=1,
        ),
        membership=runs_pb2.MembershipSpec(**seats),
        incentive=runs_pb2.IncentiveSpec(
            variant=runs_pb2.YUMA_VARIANT_YUMA3,
            bonds_moving_average_ppm=900_000,
            bonds_penalty_u16=65_535,
            kappa_u16=32_767,
        ),
        num_rounds=num_rounds,
        verification="exact",
        init_seed=1,
        initial_root=hash_text("theta/0"),
    )


def encode_spec(spec: Any) -> bytes:
    """Encode a specification as its canonical bytes."""
    data: bytes = spec.SerializeToString(deterministic=True)
    return data


def encode_bitmap(uids: list[int]) -> bytes:
    """Encode uids as an availability bitmap."""
    bitmap = bytearray(max(uids, default=-1) // 8 + 1)
    for uid in uids:
        bitmap[uid // 8] |= 1 << (uid % 8)
    return bytes(bitmap)


class DirectPay:
    """Pays validators themselves: nobody delegated to them."""

    def __init__(self, bank: BankPallet) -> None:
        self._bank = bank

    def pay_operator(self, ctx: Context, payer: bytes, operator: bytes, amount: int) -> None:
        self._bank.transfer(ctx, payer, operator, amount)


class TrainingChain(Harness):
    """A harness with the training pallets and the moves of a run."""

    def __init__(self) -> None:
        self.stake = ScriptedStake()
        self.names: dict[str, str] = {}
        super().__init__(*self.build_pallets())
        self.make_account("owner", OWNER_UDSC)

    def build_pallets(self) -> list[Pallet[Any]]:
        """Build the pallets in execution order."""
        accounts, bank = build_base_pallets(MODULES)
        lineage = LineagePallet()
        runs = RunsPallet(bank, self.stake, lineage)
        rounds = RoundsPallet(runs, ScriptedBeacon(), lineage)
        mint = MintPallet(bank)
        weights = WeightsPallet(runs, rounds, lineage, mint, bank, DirectPay(bank))
        runs.add_listener(rounds)
        runs.add_listener(weights)
        return [accounts, bank, mint, lineage, runs, rounds, weights]

    def make_account(self, name: str, udsc: int = 0) -> str:
        """Make an account with coins; they count as issued."""
        self.get_pallet("mint").issue(self.ctx(), make_addr(name), udsc)
        return super().make_account(name)

    # Runs

    def create_run(self, spec: Any = None, bounty: int = 0) -> int:
        """Create a run of the owner."""
        message = runs_pb2.MsgCreateRun(
            owner=make_text_addr("owner"),
            spec=encode_spec(spec if spec is not None else build_spec()),
            bounty_udsc=bounty,
        )
        return int(self.run(message).response.run_id)

    def set_stake(self, name: str, stake: int) -> None:
        """Set the bonded stake of a named operator."""
        self.stake.stakes[make_addr(name)] = stake

    def build_register(self, run_id: int, name: str, **fields: Any) -> Any:
        """Build the registration of a miner; the name is coldkey and hotkey."""
        values: dict[str, Any] = {
            "coldkey": make_text_addr(name),
            "hotkey": make_text_addr(name),
            "run_id": run_id,
            "role": runs_pb2.ROLE_MINER,
            "max_burn_udsc": 10**6,
            "endpoint": "127.0.0.1:9300",
        }
        return runs_pb2.MsgRegister(**{**values, **fields})

    def register(self, run_id: int, name: str, stake: int = 0, **fields: Any) -> int:
        """Register a miner, or a validator if it has stake; returns the uid."""
        self.make_account(name, PARTICIPANT_UDSC)
        self.names[make_text_addr(name)] = name
        if stake:
            self.set_stake(name, stake)
            fields["role"] = runs_pb2.ROLE_VALIDATOR
        return int(self.run(self.build_register(run_id, name, **fields)).response.uid)

    def start_run(
        self, num_miners: int = 3, stakes: tuple[int, ...] = (100, 100, 100), **spec: Any
    ) -> int:
        """Create a run with miner-0..., uids 0..., then validator-0...; go to its first round."""
        bounty = spec.pop("bounty", 0)
        run_id = self.create_run(spec.pop("run_spec", None) or build_spec(**spec), bounty)
        for index in range(num_miners):
            self.register(run_id, f"miner-{index}")
        for index, stake in enumerate(stakes):
            self.register(run_id, f"validator-{index}", stake)
        self.next_block()
        return run_id

    def get_run(self, run_id: int) -> Any:
        """Get a run."""
        request = runs_pb2.QueryRunRequest(run_id=run_id)
        return self.query("/descent.runs.v1.Query/Run", request).run

    def get_seat(self, run_id: int, uid: int) -> Any:
        """Get a participant."""
        request = runs_pb2.QueryParticipantRequest(run_id=run_id, uid=uid)
        return self.query("/descent.runs.v1.Query/Participant", request).participant

    def list_names(self, run_id: int, role: int) -> list[str]:
        """List the names of a run's miners or validators by uid."""
        request = runs_pb2.QueryParticipantsRequest(run_id=run_id)
        seats = self.query("/descent.runs.v1.Query/Participants", request).participants
        return [self.names[seat.hotkey] for seat in seats if seat.role == role]

    # Rounds

    def get_round(self, run_id: int, index: int | None = None) -> Any:
        """Get a round, the newest one by default."""
        if index is None:
            newest = rounds_pb2.QueryCurrentRoundRequest(run_id=run_id)
            return self.query("/descent.rounds.v1.Query/CurrentRound", newest).round
        request = rounds_pb2.QueryRoundRequest(run_id=run_id, round=index)
        return self.query("/descent.rounds.v1.Query/Round", request).round

    def advance_to_phase(self, run_id: int, phase: int, limit: int = 40) -> Any:
        """Make blocks until the newest round is in a phase."""
        for _ in range(limit):
            current = self.get_round(run_id)
            if current.phase == phase:
                return current
            self.next_block()
        raise AssertionError(f"round {current.index} stays in phase {current.phase}")

    def build_commit(self, run_id: int, name: str, **fields: Any) -> Any:
        """Build a commitment for the newest round that goes on from the carried state."""
        hotkey = make_text_addr(name)
        request = runs_pb2.QueryParticipantRequest(run_id=run_id, hotkey=hotkey)
        seat = self.query("/descent.runs.v1.Query/Participant", request).participant
        index = self.get_round(run_id).index
        values: dict[str, Any] = {
            "hotkey": hotkey,
            "run_id": run_id,
            "round": index,
            "payload_hash": hash_text(f"payload/{name}/{index}"),
            "payload_size": 1_000,
            "trace_root": hash_text(f"trace/{name}/{index}"),
            "optimiser_root_in": seat.optimiser_root,
            "optimiser_root_out": hash_text(f"optimiser/{name}/{index}"),
        }
        return rounds_pb2.MsgCommitPayload(**{**values, **fields})

    def commit(self, run_id: int, name: str, **fields: Any) -> bool:
        """Commit a payload; returns whether it was late."""
        return bool(self.run(self.build_commit(run_id, name, **fields)).response.late)

    def build_availability(self, run_id: int, name: str, uids: list[int], **fields: Any) -> Any:
        """Build a statement of which payloads a validator holds."""
        values: dict[str, Any] = {
            "hotkey": make_text_addr(name),
            "run_id": run_id,
            "round": self.get_round(run_id).index,
            "bitmap": encode_bitmap(uids),
        }
        return rounds_pb2.MsgAttestAvailability(**{**values, **fields})

    def attest(self, run_id: int, name: str, uids: list[int]) -> None:
        """Attest the availability of payloads."""
        self.run(self.build_availability(run_id, name, uids))

    def build_state(self, run_id: int, name: str, **fields: Any) -> Any:
        """Build a statement of which checkpoint the newest round makes."""
        index = self.get_round(run_id).index
        values: dict[str, Any] = {
            "hotkey": make_text_addr(name),
            "run_id": run_id,
            "round": index,
            "result_root": hash_text(f"theta/{index + 1}"),
        }
        return rounds_pb2.MsgAttestState(**{**values, **fields})

    def attest_state(self, run_id: int, name: str, **fields: Any) -> bool:
        """Attest a result; returns whether it made the quorum."""
        return bool(self.run(self.build_state(run_id, name, **fields)).response.settled)

    def play_round(
        self,
        run_id: int,
        miners: Sequence[str] | None = None,
        validators: Sequence[str] | None = None,
    ) -> Any:
        """Play the newest round from its training phase until it is settled.

        Args:
            miners: who commits, everybody by default.
            validators: who attests, everybody by default.
        """
        if miners is None:
            miners = self.list_names(run_id, runs_pb2.ROLE_MINER)
        if validators is None:
            validators = self.list_names(run_id, runs_pb2.ROLE_VALIDATOR)
        current = self.advance_to_phase(run_id, rounds_pb2.PHASE_TRAINING)
        for name in miners:
            self.commit(run_id, name)
        self.advance_to_phase(run_id, rounds_pb2.PHASE_ATTESTING)
        request = rounds_pb2.QueryCommitmentsRequest(run_id=run_id, round=current.index)
        found = self.query("/descent.rounds.v1.Query/Commitments", request).commitments
        for name in validators:
            self.attest(run_id, name, [entry.uid for entry in found])
        for _ in range(20):
            current = self.get_round(run_id, current.index)
            if current.settled_height:
                return current
            if current.phase == rounds_pb2.PHASE_SETTLING and not self.has_attested(current):
                for name in validators:
                    self.attest_state(run_id, name)
            self.next_block()
        raise AssertionError(f"round {current.index} does not settle")

    def has_attested(self, current: Any) -> bool:
        """Tell whether any validator attested the result of a round."""
        request = rounds_pb2.QueryAttestationsRequest(run_id=current.run_id, round=current.index)
        return bool(self.query("/descent.rounds.v1.Query/Attestations", request).attestations)

    # Weights

    def build_judgement(
        self,
        run_id: int,
        name: str,
        weights: dict[int, int],
        reasons: dict[int, int] | None = None,
        round_index: int | None = None,
    ) -> Any:
        """Build a judgement of the newest settled round: OK for uids with weight.

        Args:
            reasons: reason code of further miners, by uid.
        """
        run = self.get_run(run_id)
        index = run.current_round - 1 if round_index is None else round_index
        judgement = weights_pb2.Judgement(
            run_id=run_id,
            round=index,
            validator_uid=self.find_uid(run_id, name),
            uids=sorted(weights),
            weights_u16=[weights[uid] for uid in sorted(weights)],
            base_heldout_loss_nanonats=5_000_000_000 - index,
        )
        codes = dict.fromkeys(weights, weights_pb2.REASON_CODE_OK)
        for uid, reason in sorted({**codes, **(reasons or {})}.items()):
            verdict = judgement.verdicts.add(uid=uid, reason=reason)
            verdict.evidence_hash = hash_text(f"evidence/{index}/{uid}")
            verdict.heldout_gain_nanonats = 1_000
            if reason == weights_pb2.REASON_CODE_REPLAY_MISMATCH:
                verdict.audit.CopyFrom(
                    weights_pb2.Audit(claimed_root=hash_text("claimed"), matches=False)
                )
        return judgement

    def find_uid(self, run_id: int, name: str) -> int:
        """Find the uid of a name."""
        request = runs_pb2.QueryParticipantRequest(run_id=run_id, hotkey=make_text_addr(name))
        seat = self.query("/descent.runs.v1.Query/Participant", request).participant
        return int(seat.uid)

    def build_weights_commit(self, name: str, judgement: Any, **fields: Any) -> Any:
        """Build the commitment of a judgement, salted with the name."""
        values: dict[str, Any] = {
            "hotkey": make_text_addr(name),
            "run_id": judgement.run_id,
            "round": judgement.round,
            "commitment": compute_commitment(judgement, hash_text(name)),
        }
        return weights_pb2.MsgCommitWeights(**{**values, **fields})

    def build_reveal(self, name: str, judgement: Any, **fields: Any) -> Any:
        """Build the reveal of a judgement, salted with the name."""
        values: dict[str, Any] = {
            "hotkey": make_text_addr(name),
            "judgement": judgement,
            "salt": hash_text(name),
        }
        return weights_pb2.MsgRevealWeights(**{**values, **fields})

    def judge(self, run_id: int, judgements: dict[str, Any]) -> list[Event]:
        """Commit and reveal judgements by validator name, then make the epoch run.

        Returns: the events of the block that ran it.
        """
        index = self.get_run(run_id).current_round - 1
        judged = self.get_round(run_id, index)
        for name, judgement in judgements.items():
            self.run(self.build_weights_commit(name, judgement))
        self.next_block(judged.judge_commit_deadline + 1 - self.height)
        for name, judgement in judgements.items():
            self.run(self.build_reveal(name, judgement))
        return self.next_block(judged.judge_reveal_deadline + 1 - self.height)

    def get_epoch(self, run_id: int, index: int) -> Any:
        """Get the epoch of a round."""
        request = weights_pb2.QueryEpochRequest(run_id=run_id, round=index)
        return self.query("/descent.weights.v1.Query/Epoch", request).epoch

    def get_vestings(self, run_id: int, uid: int) -> list[Any]:
        """Get what has yet to vest for a uid."""
        request = weights_pb2.QueryVestingsRequest(run_id=run_id, uid=uid)
        return list(self.query("/descent.weights.v1.Query/Vestings", request).vestings)
