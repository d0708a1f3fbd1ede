"""MsgRegister: price, seats, roles, and who is replaced."""

from __future__ import annotations

import pytest

from node.pallets.bank.types import CoinsBurned
from node.pallets.runs.errors import (
    BurnPriceAboveLimit,
    ColdkeyHasSeat,
    HotkeyTaken,
    InvalidEndpoint,
    InvalidRole,
    NoBondedStake,
    RunFull,
    RunNotFound,
    RunNotOpen,
)
from node.pallets.runs.types import ParticipantRegistered, ParticipantReplaced
from node.runtime.errors import InsufficientFunds, InvalidAddress
from proto.descent.rounds.v1 import rounds_pb2
from proto.descent.runs.v1 import runs_pb2
from tests.pallets.harness import make_text_addr
from tests.pallets.training_chain import PARTICIPANT_UDSC, TrainingChain, build_spec


@pytest.fixture
def chain() -> TrainingChain:
    chain = TrainingChain()
    chain.create_run(bounty=5)
    for name in ("alice", "bob", "carol"):
        chain.make_account(name, PARTICIPANT_UDSC)
    return chain


def get_price(chain: TrainingChain, run_id: int = 1) -> int:
    request = runs_pb2.QueryBurnPriceRequest(run_id=run_id)
    return int(chain.query("/descent.runs.v1.Query/BurnPrice", request).price_udsc)


def test_register(chain: TrainingChain) -> None:
    result = chain.run(chain.build_register(1, "alice"))
    assert (result.response.uid, result.response.burned_udsc) == (0, 1_000)
    assert chain.get_balance("alice") == PARTICIPANT_UDSC - 1_000
    alice = make_text_addr("alice")
    assert result.get_events(CoinsBurned) == [CoinsBurned(alice, "1000udsc")]
    assert result.get_events(ParticipantRegistered) == [
        ParticipantRegistered(1, 0, 1, "miner", alice, alice, 1_000)
    ]
    seat = chain.get_seat(1, 0)
    assert (seat.role, seat.coldkey, seat.endpoint) == (1, alice, "127.0.0.1:9300")
    assert (seat.registered_height, seat.optimiser_root) == (1, b"")
    assert chain.get_run(1).num_participants == 1


def test_register__price_rises_by_sale_and_decays_by_block(chain: TrainingChain) -> None:
    chain.run(chain.build_register(1, "alice"))
    result = chain.run(chain.build_register(1, "bob", endpoint=""))
    assert result.response.burned_udsc == 1_260
    price = get_price(chain)
    chain.next_block(100)
    assert get_price(chain) in (price // 2, price // 2 + 1)
    chain.next_block(1_000)
    assert get_price(chain) == 100


def test_register__uids_have_no_gaps(chain: TrainingChain) -> None:
    uids = [chain.register(1, f"miner-{index}") for index in range(4)]
    uids.append(chain.register(1, "validator-0", stake=1))
    assert uids == [0, 1, 2, 3, 4]


def test_register__while_training(chain: TrainingChain) -> None:
    run_id = chain.start_run()
    chain.play_round(run_id)
    chain.next_block()
    chain.register(run_id, "late")
    assert chain.get_seat(run_id, 6).registered_round == 1


def test_register__full_run_replaces_least_paid_of_the_role() -> None:
    chain = TrainingChain()
    run_id = chain.start_run(num_miners=3, stakes=(100, 100), max_participants=5, max_accepted=3)
    assert chain.get_seat(run_id, 0).participant_id == 1
    chain.play_round(run_id)
    chain.advance_to_phase(run_id, rounds_pb2.PHASE_TRAINING)
    runs = chain.get_pallet("runs")
    for uid, earned in ((0, 5), (1, 3), (2, 3)):
        runs.record_epoch(
            chain.ctx(), run_id, uid, earned_udsc=earned, incentive_u16=0, dividends_u16=0
        )
    chain.make_account("new", PARTICIPANT_UDSC)
    result = chain.run(chain.build_register(run_id, "new"))
    old = make_text_addr("miner-1")
    assert result.response.uid == 1
    assert result.get_events(ParticipantReplaced) == [ParticipantReplaced(run_id, 1, 2, old)]
    seat = chain.get_seat(run_id, 1)
    assert (seat.participant_id, seat.last_paid_udsc, seat.optimiser_root) == (6, 0, b"")
    assert chain.get_run(run_id).num_participants == 5
    chain.run(chain.build_register(run_id, "miner-1"))


def test_register__replaced_miner_leaves_the_open_round() -> None:
    chain = TrainingChain()
    run_id = chain.start_run(
        num_miners=3, stakes=(100, 100), max_participants=5, max_accepted=3, immunity_rounds=0
    )
    chain.advance_to_phase(run_id, rounds_pb2.PHASE_TRAINING)
    chain.commit(run_id, "miner-0")
    chain.commit(run_id, "miner-1")
    chain.register(run_id, "new")
    assert chain.get_round(run_id).num_commitments == 1
    chain.commit(run_id, "new")
    assert chain.get_round(run_id).num_commitments == 2


def test_register__room_is_left_for_the_other_role() -> None:
    chain = TrainingChain()
    run_id = chain.create_run(build_spec(max_participants=4, max_accepted=2))
    for index in range(2):
        chain.register(run_id, f"miner-{index}")
    chain.make_account("third", PARTICIPANT_UDSC)
    chain.assert_noop(chain.build_register(run_id, "third"), RunFull, "2 miner seats")
    for index in range(2):
        chain.register(run_id, f"validator-{index}", stake=5)
    chain.next_block()
    assert chain.get_run(run_id).status == runs_pb2.RUN_STATUS_TRAINING


def test_invalid_run(chain: TrainingChain) -> None:
    chain.assert_noop(chain.build_register(9, "alice"), RunNotFound, "run 9")
    chain.run(runs_pb2.MsgHaltRun(owner=make_text_addr("owner"), run_id=1))
    chain.assert_noop(chain.build_register(1, "alice"), RunNotOpen, "run 1 is halted")


def test_invalid_run_is_verifying() -> None:
    chain = TrainingChain()
    run_id = chain.start_run(num_rounds=1)
    chain.play_round(run_id)
    chain.make_account("late", PARTICIPANT_UDSC)
    chain.assert_noop(chain.build_register(run_id, "late"), RunNotOpen, "last round")


def test_invalid_role(chain: TrainingChain) -> None:
    chain.assert_noop(chain.build_register(1, "alice", role=0), InvalidRole, "role 0")


def test_invalid_hotkey(chain: TrainingChain) -> None:
    chain.assert_noop(chain.build_register(1, "alice", hotkey="alice"), InvalidAddress)
    chain.run(chain.build_register(1, "alice"))
    again = chain.build_register(1, "bob", hotkey=make_text_addr("alice"))
    chain.assert_noop(again, HotkeyTaken)


def test_invalid_price(chain: TrainingChain) -> None:
    chain.assert_noop(
        chain.build_register(1, "alice", max_burn_udsc=999),
        BurnPriceAboveLimit,
        "the price is 1000udsc, max_burn_udsc is 999",
    )
    chain.make_account("poor", 999)
    chain.assert_noop(chain.build_register(1, "poor"), InsufficientFunds)


def test_invalid_validator_without_stake(chain: TrainingChain) -> None:
    message = chain.build_register(1, "alice", role=runs_pb2.ROLE_VALIDATOR)
    chain.assert_noop(message, NoBondedStake)


def test_invalid_second_validator_on_one_stake(chain: TrainingChain) -> None:
    chain.register(1, "operator", stake=10)
    message = chain.build_register(
        1, "operator", role=runs_pb2.ROLE_VALIDATOR, hotkey=make_text_addr("other")
    )
    chain.assert_noop(message, ColdkeyHasSeat, "uid 0")


@pytest.mark.parametrize(
    "endpoint",
    [
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:http",
        "127.0.0.1:09",
        ":9300",
        "a b:1",
        "http://a:1",
        "[::1:9300",
        "[x]:1",
        "-a:1",
        "x" * 127 + ":1",
    ],
)
def test_invalid_endpoint(chain: TrainingChain, endpoint: str) -> None:
    chain.assert_noop(chain.build_register(1, "alice", endpoint=endpoint), InvalidEndpoint)
