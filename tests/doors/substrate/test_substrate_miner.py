"""A miner that speaks only to the Substrate door: registers, commits, is paid; cosmpy agrees."""

import time
from typing import Any

from cosmpy.aerial.client import LedgerClient, NetworkConfig
from cosmpy.crypto.address import Address
from substrateinterface import Keypair, SubstrateInterface

from chain_client.keys import Key
from chain_client.sync_client import SyncChainClient
from node.pallets.weights.judgement import compute_commitment
from node.runtime.addresses import encode_account
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from proto.descent.weights.v1 import weights_pb2
from tests.doors.substrate.conftest import fund
from tests.pallets.training_chain import build_spec, encode_bitmap, encode_spec, hash_text
from tests.support.devnet_node import DevnetNode, get_secret

OWNER, VALIDATOR = (Key(name, get_secret(name)) for name in ("owner", "validator-3"))
MINER = Keypair.create_from_uri("//Miner")
TIMELINE = {  # four seconds each at least: time enough for a machine that does something else
    "commit_blocks": 20,
    "attest_blocks": 16,
    "judge_commit_blocks": 16,
    "judge_reveal_blocks": 16,
}
TIMEOUT_S = 60.0


class Run:
    """A run of one miner and one validator, seen through the Substrate door."""

    def __init__(self, node: DevnetNode, chain: SubstrateInterface, client: SyncChainClient):
        self.node = node
        self.chain = chain
        self.client = client
        spec = build_spec(num_rounds=2, min_validators=1, min_miners=1)
        spec.timeline.CopyFrom(runs_pb2.TimelineSpec(**TIMELINE))
        message = runs_pb2.MsgCreateRun(
            owner=OWNER.address, spec=encode_spec(spec), bounty_udsc=1_000
        )
        self.client.submit(OWNER, [message])
        self.run_id = chain.query("Runs", "NextRunId").value - 1

    def call(self, module: str, function: str, **arguments: Any) -> Any:
        """Send a call of the miner and wait for it."""
        call = self.chain.compose_call(module, function, {"run_id": self.run_id, **arguments})
        signed = self.chain.create_signed_extrinsic(call, MINER)
        receipt = self.chain.submit_extrinsic(signed, wait_for_inclusion=True)
        assert receipt.is_success, receipt.error_message
        return receipt

    def get_round(self) -> Any:
        """Get the first round."""
        return self.chain.query("Rounds", "Rounds", [self.run_id, 0]).value

    def wait_for(self, what: Any) -> Any:
        """Wait until the first round is as wanted."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            current = self.get_round()
            if current is not None and what(current):
                return current
            assert time.monotonic() < deadline, current
            time.sleep(0.1)

    def wait_for_height(self, height: int) -> None:
        """Wait for a block."""
        self.node.wait_until(lambda: self.node.get_height() >= height, TIMEOUT_S)

    def play_validator(self) -> None:
        """Do what the validator does until the epoch."""
        hotkey = VALIDATOR.address
        self.wait_for_height(self.get_round()["commit_deadline"])
        bitmap = encode_bitmap([0])
        availability = rounds_pb2.MsgAttestAvailability(
            hotkey=hotkey, run_id=self.run_id, bitmap=bitmap
        )
        self.client.submit(VALIDATOR, [availability])
        self.wait_for(lambda current: current["phase"] == "PHASE_SETTLING")
        root = hash_text("theta/1")
        state = rounds_pb2.MsgAttestState(hotkey=hotkey, run_id=self.run_id, result_root=root)
        self.client.submit(VALIDATOR, [state])
        settled = self.wait_for(lambda current: current["phase"] == "PHASE_JUDGING")
        judgement = weights_pb2.Judgement(
            run_id=self.run_id, validator_uid=1, uids=[0], weights_u16=[65_535]
        )
        judgement.verdicts.add(uid=0, reason=weights_pb2.REASON_CODE_OK)
        commitment = compute_commitment(judgement, hash_text("salt"))
        self.client.submit(
            VALIDATOR,
            [
                weights_pb2.MsgCommitWeights(
                    hotkey=hotkey, run_id=self.run_id, commitment=commitment
                )
            ],
        )
        self.wait_for_height(settled["judge_commit_deadline"])
        reveal = weights_pb2.MsgRevealWeights(
            hotkey=hotkey, judgement=judgement, salt=hash_text("salt")
        )
        self.client.submit(VALIDATOR, [reveal])


def test_register_commit_and_be_paid(devnet_node: DevnetNode, chain: SubstrateInterface) -> None:
    fund(devnet_node, MINER.public_key, 100_000_000)
    with SyncChainClient.connect(f"127.0.0.1:{devnet_node.grpc_port}") as client:
        run = Run(devnet_node, chain, client)
        seat = {"hotkey": MINER.ss58_address, "max_burn_udsc": 10**6}
        receipt = run.call("Runs", "register", role="ROLE_MINER", endpoint="127.0.0.1:9300", **seat)
        registered = [e.value["attributes"] for e in receipt.triggered_events]
        assert {"uid": 0, "role": "miner", "coldkey": MINER.ss58_address}.items() <= next(
            item for item in registered if isinstance(item, dict) and "participant_id" in item
        ).items()
        register = runs_pb2.MsgRegister(
            coldkey=VALIDATOR.address,
            hotkey=VALIDATOR.address,
            run_id=run.run_id,
            role=runs_pb2.ROLE_VALIDATOR,
            max_burn_udsc=10**6,
            endpoint="127.0.0.1:9301",
        )
        client.submit(VALIDATOR, [register])
        seats = {
            key.value: value.value["hotkey"]
            for key, value in chain.query_map("Runs", "Participants", [run.run_id])
        }
        assert seats[0] == MINER.ss58_address
        assert set(seats) == {0, 1}
        run.wait_for(lambda current: current["phase"] == "PHASE_TRAINING")
        run.call(
            "Rounds",
            "commit_payload",
            round=0,
            payload_hash="0x" + hash_text("payload").hex(),
            payload_size=100,
            trace_root="0x" + hash_text("trace").hex(),
            optimiser_root_in="0x",
            optimiser_root_out="0x" + hash_text("optimiser").hex(),
        )
        before = chain.query("System", "Account", [MINER.ss58_address]).value["data"]["free"]
        run.play_validator()
        run.wait_for(lambda current: current["phase"] == "PHASE_JUDGED")
        free = chain.query("System", "Account", [MINER.ss58_address]).value["data"]["free"]
    assert free > before
    config = NetworkConfig(
        chain_id=devnet_node.chain_id,
        url=f"grpc+http://127.0.0.1:{devnet_node.grpc_port}",
        fee_minimum_gas_price=0.01,
        fee_denomination="udsc",
        staking_denomination="udsc",
    )
    ledger = LedgerClient(config)
    assert ledger.query_bank_balance(Address(encode_account(MINER.public_key)), "udsc") == free
