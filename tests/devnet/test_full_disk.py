"""A disk that is full while the node of a living devnet writes a block."""

import psutil

from cli.devnet.layout import RUN_ID
from cli.devnet.processes import is_alive
from tests.support.devnet import Devnet


def test_node_stops_and_goes_on_once_there_is_room(devnet: Devnet) -> None:
    """The limit on file sizes is what a full disk is to the store: a write that gets no room."""
    node, miner = devnet.get_process("node"), devnet.get_process("miner-0")
    height = devnet.client.height()
    block_id = devnet.client.get_block(height).block_id.hash
    base_root = devnet.client.get_checkpoint(RUN_ID).checkpoint.root
    data = devnet.home / "node" / "data"
    size = min((data / name / "data.mdb").stat().st_size for name in ("blocks", "state"))
    node.rlimit(psutil.RLIMIT_FSIZE, (size, size))
    devnet.wait(lambda: not is_alive(node), 60, "the node stops")

    message = devnet.read_log("node").splitlines()[-1]
    assert "no room left on the disk" in message
    assert "make room and start the node again" in message
    assert "Traceback" not in devnet.read_log("node")
    assert [line for line in devnet.list_living() if "node" in line.split(" --")[0]] == []
    assert is_alive(miner)
    status = devnet.type("devnet", "status", code=3)
    assert f"no answer from the node at {devnet.grpc}" in status["message"]

    devnet.up()
    assert devnet.client.get_block(height).block_id.hash == block_id
    assert devnet.client.get_checkpoint_by_root(base_root).checkpoint.root == base_root
    assert devnet.client.height() > height
    assert devnet.get_process("miner-0") == miner
    index = devnet.client.get_current_round(RUN_ID).index
    devnet.wait_round(lambda current: current.index > index, "the next round")
