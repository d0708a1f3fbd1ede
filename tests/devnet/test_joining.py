"""Joining a run that is under way, with the commands as the README types them."""

import shutil

import pytest

from chain_client.errors import NotFound
from chain_client.keys import Keyring
from cli.devnet.layout import RUN_ID
from proto.descent.weights.v1 import weights_pb2
from tests.support.devnet import Devnet, get_key

JOINED_SECONDS = 90.0


def test_fourth_miner_and_third_validator(devnet: Devnet) -> None:
    """Both start from the newest checkpoint, fetched by hash; one earns, the other counts."""
    devnet.join("miner-3", "miner", "run", "--run", "1", "--key", "miner-3")
    devnet.join("validator-2", "validator", "run", "--run", "1", "--key", "validator-2")
    devnet.wait_log("miner-3", "checkpoint_fetched")
    devnet.wait_log("validator-2", "weights_revealed")
    miner, judge = devnet.get_member("miner-3"), devnet.get_member("validator-2")
    assert miner.endpoint.endswith(str(9300 + devnet.port_offset + miner.uid))

    def is_paid() -> bool:
        return all(devnet.get_member(name).total_paid_udsc for name in ("miner-3", "validator-2"))

    devnet.wait(is_paid, JOINED_SECONDS, "both are paid")
    names = ("validator-0", "validator-1", "validator-2")
    uids = [devnet.get_member(name).uid for name in names]

    def find_good_epoch() -> weights_pb2.Epoch | None:
        """The newest, if it is of a round in which all judged and the miner lowered the loss."""
        epoch = devnet.client.get_epoch(RUN_ID)
        entries = {entry.uid: entry for entry in epoch.entries}
        is_good = entries[miner.uid].reason == weights_pb2.REASON_CODE_OK
        return epoch if is_good and epoch.num_judgements == len(names) else None

    epoch = devnet.wait(find_good_epoch, JOINED_SECONDS, "a round with everybody's work")
    entries = {entry.uid: entry for entry in epoch.entries}
    assert entries[judge.uid].stake_udsc == entries[uids[0]].stake_udsc
    judgements = devnet.client.get_judgements(RUN_ID, epoch.round).judgements
    by_uid = {found.judgement.validator_uid: found.judgement for found in judgements}
    rows = [by_uid[uid] for uid in uids]
    for row in rows[1:]:
        assert list(row.weights_u16) == list(rows[0].weights_u16)
        assert [v.heldout_gain_nanonats for v in row.verdicts] == [
            v.heldout_gain_nanonats for v in rows[0].verdicts
        ]


def test_machine_with_other_text(devnet: Devnet) -> None:
    """A miner on a machine of its own, whose text differs, fetches what differs by hash."""
    home, text = devnet.folder / "elsewhere", devnet.folder / "other-text"
    shutil.copytree(devnet.text, text)
    (text / "uuid.py").write_text("# another version\n" * 100)
    Keyring(home, backend="test").add(get_key("miner-5"))
    place = ("--home", str(home), "--node", devnet.grpc, "--port-offset", str(devnet.port_offset))
    command = ("miner", "run", "--run", "1", "--key", "miner-5", "--dataset", str(text))
    devnet.join("miner-5", *command, *place)
    log = devnet.wait_log("miner-5", "round_started")
    assert "uuid.py differs" in log
    assert "registered" in log
    assert devnet.leave("miner-5") == 0


def test_text_that_cannot_be_read(devnet: Devnet) -> None:
    home = devnet.folder / "elsewhere-too"
    Keyring(home, backend="test").add(get_key("miner-6"))
    place = ("--home", str(home), "--node", devnet.grpc)
    command = ("miner", "run", "--run", "1", "--key", "miner-6", "--dataset", "absent")
    error = devnet.type(*command, *place, code=1)
    assert "absent" in error["message"]


def test_port_that_is_taken(devnet: Devnet) -> None:
    """A chosen port is tried before anything is paid; the words say how to choose another."""
    taken = devnet.get_member("miner-0").endpoint.rpartition(":")[2]
    command = ("miner", "run", "--run", "1", "--key", "miner-7", "--port", taken)
    error = devnet.type(*command, code=1)
    assert f"cannot listen on 127.0.0.1:{taken}" in error["message"]
    assert "--port-offset" in error["hint"]
    with pytest.raises(NotFound):
        devnet.get_member("miner-7")


def test_participants_end_on_request(devnet: Devnet) -> None:
    """Ctrl-C ends a participant; the run goes on without it."""
    for name in ("miner-3", "validator-2"):
        if name in devnet.joined:
            assert devnet.leave(name) == 0
            assert "Traceback" not in devnet.read_log(name)
    index = devnet.client.get_current_round(RUN_ID).index
    devnet.wait_round(lambda current: current.index > index, "the next round")
