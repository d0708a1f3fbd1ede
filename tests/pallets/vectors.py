"""Call vectors: record scenarios, read them back, play them on an imported state.

`python -m tests.pallets.vectors` writes `tests/vectors/calls` again, when calls change on purpose.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cosmos.bank.v1beta1 import bank_pb2, tx_pb2
from cosmos.staking.v1beta1 import tx_pb2 as staking_tx

from node.runtime.addresses import compute_module_address, decode_account, encode_account
from node.runtime.coins import build_coin
from node.runtime.errors import ChainError
from node.runtime.events import format_attribute, get_event_shape
from node.runtime.state import EmptyReader, Overlay
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from tests.pallets.harness import Harness, build_base_pallets, make_text_addr
from tests.pallets.staking import staking_chain
from tests.pallets.training_chain import TrainingChain, build_spec, encode_spec, hash_text

FOLDER = Path(__file__).resolve().parents[1] / "vectors" / "calls"


def build_base_chain() -> Harness:
    """Build a chain of accounts and bank."""
    return Harness(*build_base_pallets())


def build_staking_chain() -> Harness:
    """Build a chain with staking."""
    return Harness(*staking_chain.build_pallets())


CHAINS: dict[str, Callable[[], Harness]] = {
    "bank": build_base_chain,
    "staking": build_staking_chain,
    "runs": TrainingChain,
    "rounds": TrainingChain,
}


def compute_state_hash(chain: Harness) -> str:
    """Compute the hash a vector has after a step."""
    text = json.dumps(chain.export_genesis(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def run_step(chain: Harness, step: dict[str, Any], message: Any = None) -> dict[str, Any]:
    """Run one step; returns it with what came of it.

    Args:
        message: of the step; read from the step's bytes if absent.
    """
    found = {
        key: step[key] for key in ("name", "message", "body", "blocks", "stake") if key in step
    }
    if "blocks" in step:
        chain.next_block(step["blocks"])
    elif "stake" in step:
        assert isinstance(chain, TrainingChain)
        account, stake = step["stake"]
        chain.stake.stakes[decode_account(account)] = stake
    else:
        if message is None:
            message_class = chain.runtime.calls[step["message"]].message_class
            message = message_class.FromString(bytes.fromhex(step["body"]))
        found.update(run_message(chain, message))
    return {**found, "state": compute_state_hash(chain)}


def run_message(chain: Harness, message: Any) -> dict[str, Any]:
    """Run a message; returns response, events and gas, or the error."""
    before = chain.compute_root()
    try:
        result = chain.run(message)
    except ChainError as error:
        assert chain.compute_root() == before
        return {"error": [error.codespace, error.code]}
    events = []
    for event in result.events:
        name, attributes = get_event_shape(type(event))
        events.append([name, *([a, format_attribute(getattr(event, a))] for a in attributes)])
    response = result.response
    return {
        "response": "" if response is None else response.SerializeToString().hex(),
        "events": events,
        "gas_used": result.gas_used,
    }


class Recorder:
    """Records what is done to a chain from here on."""

    def __init__(self, chain: Harness) -> None:
        self.chain = chain
        self.document: dict[str, Any] = {
            "pallets": list(chain.runtime.pallets),
            "block": {"height": chain.height, "time_ns": chain.block.time_ns},
            "pre": chain.export_genesis(),
            "steps": [],
        }
        if isinstance(chain, TrainingChain):
            stakes = {encode_account(addr): n for addr, n in chain.stake.stakes.items()}
            self.document["stakes"] = dict(sorted(stakes.items()))

    def run(self, name: str, message: Any) -> None:
        """Run a message."""
        body = message.SerializeToString(deterministic=True).hex()
        step = {"name": name, "message": "/" + message.DESCRIPTOR.full_name, "body": body}
        self.document["steps"].append(run_step(self.chain, step, message))

    def next_block(self, count: int = 1) -> None:
        """Make blocks."""
        self.document["steps"].append(run_step(self.chain, {"blocks": count}))

    def set_stake(self, name: str, stake: int) -> None:
        """Change a bonded stake."""
        step = {"stake": [make_text_addr(name), stake]}
        self.document["steps"].append(run_step(self.chain, step))


def restore_chain(scenario: str, document: dict[str, Any]) -> Harness:
    """Build a scenario's chain as it is before the first step."""
    chain = CHAINS[scenario]()
    assert list(chain.runtime.pallets) == document["pallets"]
    chain.state = Overlay(EmptyReader())
    chain.block = replace(chain.block, **document["block"])
    chain.runtime.import_genesis(chain.ctx(), document["pre"])
    if isinstance(chain, TrainingChain):
        chain.stake.stakes = {decode_account(a): n for a, n in document["stakes"].items()}
    return chain


# ------------------------------------------------------------------------------------- scenarios
def record_bank() -> Recorder:
    """Transfers and their refusals."""
    chain = build_base_chain()
    for name in ("alice", "bob"):
        chain.make_account(name, 1_000)
    recorder = Recorder(chain)
    for name, recipient, amount in (
        ("send", "bob", 300),
        ("send__everything_to_a_new_account", "carol", 700),
        ("invalid_send_without_funds", "bob", 1),
        ("invalid_send_nothing", "bob", 0),
        ("invalid_send_to_a_module", "", 1),
    ):
        address = make_text_addr(recipient)
        if not recipient:
            address = encode_account(compute_module_address("fee_collector"))
        coins = [build_coin("udsc", amount)]
        message = tx_pb2.MsgSend(
            from_address=make_text_addr("alice"), to_address=address, amount=coins
        )
        recorder.run(name, message)
    for name, total, outputs in (
        ("multi_send", 60, (("alice", 50), ("dora", 10))),
        ("invalid_multi_send_does_not_add_up", 60, (("alice", 50),)),
        ("invalid_multi_send_to_nobody", 60, ()),
        ("invalid_multi_send_to_oneself_without_funds", 1_300, (("bob", 1_200), ("bob", 100))),
    ):
        recorder.run(name, build_multi_send("bob", total, outputs))
    return recorder


def build_multi_send(sender: str, total: int, outputs: tuple[tuple[str, int], ...]) -> Any:
    """Build a MsgMultiSend of udsc."""
    entry = bank_pb2.Input(address=make_text_addr(sender), coins=[build_coin("udsc", total)])
    paid = [
        bank_pb2.Output(address=make_text_addr(name), coins=[build_coin("udsc", amount)])
        for name, amount in outputs
    ]
    return tx_pb2.MsgMultiSend(inputs=[entry], outputs=paid)


def record_staking() -> Recorder:
    """An operator, a delegator, and the way back."""
    chain = build_staking_chain()
    for name in ("val", "alice"):
        chain.make_account(name, 5_000)
    recorder = Recorder(chain)
    recorder.run("create_operator", staking_chain.build_create("val", 1_000))
    recorder.run("invalid_create_operator_twice", staking_chain.build_create("val", 1_000))
    recorder.run("delegate", staking_chain.build_delegate("alice", "val", 300))
    recorder.run("invalid_delegate_to_nobody", staking_chain.build_delegate("alice", "x", 1))
    recorder.run("undelegate", staking_chain.build_undelegate("alice", "val", 120))
    recorder.run("invalid_undelegate_too_much", staking_chain.build_undelegate("alice", "val", 181))
    recorder.next_block(2)
    cancel = staking_tx.MsgCancelUnbondingDelegation(
        delegator_address=make_text_addr("alice"),
        validator_address=staking_chain.make_operator_addr("val"),
        amount=build_coin("udsc", 20),
        creation_height=recorder.document["block"]["height"],
    )
    recorder.run("cancel_unbonding", cancel)
    recorder.run("invalid_undelegate_own", staking_chain.build_undelegate("val", "val", 950))
    return recorder


def record_runs() -> Recorder:
    """A run from its specification to its end, and who sits in it."""
    chain = TrainingChain()
    for name in ("alice", "bob", "carol"):
        chain.make_account(name, 10**7)
    recorder = Recorder(chain)
    owner = make_text_addr("owner")
    good = runs_pb2.MsgCreateRun(owner=owner, spec=encode_spec(build_spec()), bounty_udsc=700)
    recorder.run("create_run", good)
    spec = build_spec()
    spec.judge.num_heldout_sequences = 63
    bad = runs_pb2.MsgCreateRun(owner=owner, spec=encode_spec(spec))
    recorder.run("invalid_create_run_out_of_bounds", bad)
    recorder.run(
        "fund_run",
        runs_pb2.MsgFundRun(funder=make_text_addr("alice"), run_id=1, amount_udsc=5),
    )
    recorder.run("register", chain.build_register(1, "alice"))
    recorder.run("invalid_register_hotkey_taken", chain.build_register(1, "alice"))
    validator = {"role": runs_pb2.ROLE_VALIDATOR}
    recorder.run("invalid_register_without_stake", chain.build_register(1, "bob", **validator))
    recorder.set_stake("bob", 100)
    recorder.run("register__validator", chain.build_register(1, "bob", **validator))
    recorder.run("invalid_register_price", chain.build_register(1, "carol", max_burn_udsc=1))
    endpoint = {"hotkey": make_text_addr("alice"), "run_id": 1}
    recorder.run("set_endpoint", runs_pb2.MsgSetEndpoint(endpoint="10.0.0.7:9300", **endpoint))
    recorder.run("invalid_set_endpoint", runs_pb2.MsgSetEndpoint(endpoint="nowhere", **endpoint))
    rotate = {"coldkey": make_text_addr("alice"), "run_id": 1, "uid": 0}
    recorder.run(
        "rotate_hotkey",
        runs_pb2.MsgRotateHotkey(new_hotkey=make_text_addr("carol"), **rotate),
    )
    recorder.next_block(3)
    recorder.run("invalid_halt_run", runs_pb2.MsgHaltRun(owner=make_text_addr("bob"), run_id=1))
    recorder.run("halt_run", runs_pb2.MsgHaltRun(owner=owner, run_id=1))
    recorder.next_block()
    return recorder


def record_rounds() -> Recorder:
    """A round from its commitments to its rewards, with one miner caught."""
    chain = TrainingChain()
    chain.start_run(num_miners=3, stakes=(100, 150), bounty=10_000)
    miners, validators = ("miner-0", "miner-1", "miner-2"), ("validator-0", "validator-1")
    recorder = Recorder(chain)
    current = chain.get_round(1)
    for name in miners[:2]:
        recorder.run("commit_payload", chain.build_commit(1, name))
    recorder.run(
        "invalid_commit_payload_root", chain.build_commit(1, "miner-2", trace_root=b"short")
    )
    recorder.next_block(current.commit_deadline + 1 - chain.height)
    recorder.run("commit_payload__late", chain.build_commit(1, "miner-2"))
    for name in validators:
        recorder.run("attest_availability", chain.build_availability(1, name, [0, 1]))
    recorder.run("invalid_attest_by_a_miner", chain.build_availability(1, "miner-0", [0]))
    recorder.next_block(current.attest_deadline + 1 - chain.height)
    assert chain.get_round(1).phase == rounds_pb2.PHASE_SETTLING
    wrong = chain.build_state(1, "validator-0", result_root=hash_text("wrong"))
    recorder.run("attest_state__no_quorum_yet", wrong)
    for name in validators:
        recorder.run("attest_state", chain.build_state(1, name))
    recorder.next_block(1)
    judgements = {n: chain.build_judgement(1, n, {0: 5}, {1: 7}) for n in validators}
    for name, judgement in judgements.items():
        recorder.run("commit_weights", chain.build_weights_commit(name, judgement))
    early = chain.build_reveal("validator-0", judgements["validator-0"])
    recorder.run("invalid_reveal_too_early", early)
    judged = chain.get_round(1, 0)
    recorder.next_block(judged.judge_commit_deadline + 1 - chain.height)
    other = chain.build_reveal("validator-0", chain.build_judgement(1, "validator-0", {0: 6}))
    recorder.run("invalid_reveal_of_something_else", other)
    for name, judgement in judgements.items():
        recorder.run("reveal_weights", chain.build_reveal(name, judgement))
    recorder.run("invalid_reveal_twice", early)
    recorder.next_block(judged.judge_reveal_deadline + 1 - chain.height)
    return recorder


SCENARIOS: dict[str, Callable[[], Recorder]] = {
    "bank": record_bank,
    "staking": record_staking,
    "runs": record_runs,
    "rounds": record_rounds,
}


def encode_document(document: dict[str, Any]) -> str:
    """Write a vector, one step a line."""
    steps = ",\n".join(json.dumps(step) for step in document["steps"])
    head = json.dumps({key: value for key, value in document.items() if key != "steps"}, indent=1)
    return head[:-2] + ',\n "steps": [\n' + steps + "\n ]\n}\n"


if __name__ == "__main__":
    for scenario, record in SCENARIOS.items():
        (FOLDER / f"{scenario}.json").write_text(encode_document(record().document))
