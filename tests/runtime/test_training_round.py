"""One round to its reward on the whole chain: signatures, real stake, real beacon, a proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tendermint.abci import types_pb2 as abci

from node.pallets.weights.judgement import compute_commitment
from node.runtime.addresses import encode_operator
from node.store.proofs import Proof, ProofError
from proto.descent.lineage.v1 import lineage_pb2
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2
from tests.pallets.staking.staking_chain import build_create
from tests.pallets.training_chain import build_spec, encode_bitmap, encode_spec, hash_text
from tests.runtime.chain_driver import ChainDriver, Key

NAMES = ("owner", "miner-0", "miner-1", "validator-0")
MINERS = NAMES[1:3]
VALIDATOR = NAMES[3]
UDSC = 10**9
CHECKPOINT_1 = b"\x01" + (1).to_bytes(8, "big") + (1).to_bytes(4, "big")


class Life:
    """A chain with a run of one validator and two miners."""

    def __init__(self, path: Path) -> None:
        self.driver = ChainDriver(path, dict.fromkeys(NAMES, UDSC))
        self.driver.make_block()

    def send(self, name: str, *messages: Any) -> None:
        result = self.driver.deliver(self.driver.sign(Key(name), *messages))
        assert result.code == 0, result.log

    def ask(self, path: str, request: Any, response_class: Any) -> Any:
        response = self.driver.query(path, request)
        assert response.code == 0, response.log
        return response_class.FromString(response.value)

    def get_round(self, index: int) -> Any:
        request = rounds_pb2.QueryRoundRequest(run_id=1, round=index)
        path = "/descent.rounds.v1.Query/Round"
        return self.ask(path, request, rounds_pb2.QueryRoundResponse).round

    def wait_for_height(self, height: int) -> None:
        while self.driver.height < height:
            self.driver.make_block()

    def set_up(self) -> None:
        operator = encode_operator(Key(VALIDATOR).addr)
        self.send(VALIDATOR, build_create(VALIDATOR, 5_000, validator_address=operator))
        spec = encode_spec(build_spec(num_rounds=2, min_validators=1))
        owner = Key("owner").text
        self.send("owner", runs_pb2.MsgCreateRun(owner=owner, spec=spec, bounty_udsc=1_000))
        for name in (*MINERS, VALIDATOR):
            role = runs_pb2.ROLE_MINER if name in MINERS else runs_pb2.ROLE_VALIDATOR
            text = Key(name).text
            register = runs_pb2.MsgRegister(
                coldkey=text,
                hotkey=text,
                run_id=1,
                role=role,
                max_burn_udsc=10**6,
                endpoint="127.0.0.1:9300",
            )
            self.send(name, register)

    def play_round(self) -> Any:
        for name in MINERS:
            commit = rounds_pb2.MsgCommitPayload(
                hotkey=Key(name).text,
                run_id=1,
                payload_hash=hash_text(name),
                payload_size=100,
                trace_root=hash_text("trace"),
                optimiser_root_out=hash_text("optimiser"),
            )
            self.send(name, commit)
        self.wait_for_height(self.get_round(0).commit_deadline)
        hotkey = Key(VALIDATOR).text
        bitmap = encode_bitmap([0, 1])
        self.send(
            VALIDATOR, rounds_pb2.MsgAttestAvailability(hotkey=hotkey, run_id=1, bitmap=bitmap)
        )
        self.wait_for_height(self.get_round(0).attest_deadline)
        root = hash_text("theta/1")
        self.send(VALIDATOR, rounds_pb2.MsgAttestState(hotkey=hotkey, run_id=1, result_root=root))
        return self.get_round(0)

    def judge(self, settled: Any) -> None:
        judgement = weights_pb2.Judgement(
            run_id=1, validator_uid=2, uids=[0, 1], weights_u16=[2, 1]
        )
        for uid in (0, 1):
            judgement.verdicts.add(uid=uid, reason=weights_pb2.REASON_CODE_OK)
        hotkey, salt = Key(VALIDATOR).text, hash_text("salt")
        commitment = compute_commitment(judgement, salt)
        self.send(
            VALIDATOR,
            weights_pb2.MsgCommitWeights(hotkey=hotkey, run_id=1, commitment=commitment),
        )
        self.wait_for_height(settled.judge_commit_deadline)
        self.send(
            VALIDATOR, weights_pb2.MsgRevealWeights(hotkey=hotkey, judgement=judgement, salt=salt)
        )
        self.wait_for_height(settled.judge_reveal_deadline)


@pytest.fixture
def life(tmp_path: Path) -> Life:
    life = Life(tmp_path)
    life.set_up()
    return life


def test_round__to_its_reward(life: Life) -> None:
    settled = life.play_round()
    assert settled.phase == rounds_pb2.PHASE_JUDGING
    assert len(settled.beacon) == len(settled.judge_beacon) == 32
    assert settled.beacon != settled.judge_beacon
    before = life.driver.get_balance(Key("miner-0"))
    life.judge(settled)
    assert life.get_round(0).phase == rounds_pb2.PHASE_JUDGED
    request = weights_pb2.QueryLatestEpochRequest(run_id=1)
    path = "/descent.weights.v1.Query/LatestEpoch"
    epoch = life.ask(path, request, weights_pb2.QueryEpochResponse).epoch
    earned = epoch.entries[0].emission_udsc
    assert earned > epoch.entries[1].emission_udsc > 0
    assert life.driver.get_balance(Key("miner-0")) == before + earned


def test_checkpoint__is_proved_against_the_app_hash(life: Life) -> None:
    settled = life.play_round()
    driver = life.driver
    driver.make_block()
    answer = driver.app.query(
        abci.RequestQuery(
            path="/store/lineage/key", data=CHECKPOINT_1, height=driver.height, prove=True
        )
    )
    checkpoint = lineage_pb2.Checkpoint.FromString(answer.value)
    assert checkpoint.SerializeToString(deterministic=True) == answer.value
    assert checkpoint.root == settled.result_root
    assert checkpoint.previous_app_hash == driver.app_hashes[checkpoint.height - 1]
    proof = Proof.decode(answer.proof_ops.ops[0].data)
    app_hash = driver.app_hashes[driver.height]
    proof.verify(app_hash, "lineage", CHECKPOINT_1, answer.value)
    with pytest.raises(ProofError, match="value"):
        proof.verify(app_hash, "lineage", CHECKPOINT_1, answer.value + b"\x00")
