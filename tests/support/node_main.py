"""A node in a process: embedded engine, control socket and doors over a home with a genesis.

`python -m tests.support.node_main HOME GRPC_PORT RPC_PORT`
"""

import asyncio
import signal
import sys
from pathlib import Path

from node.chain import build_chain
from node.doors.supervisor import Door, DoorSupervisor
from node.engine.control_server import ControlServer
from node.engine.embedded import EmbeddedEngine, EngineOptions
from node.onion import OnionKeeper
from node.runtime.ante import GasPrice
from node.runtime.options import NodeOptions
from node.store.state import StateStore
from tests.runtime.chain_driver import Key

UDSC_PER_MILLION_GAS = 1_000
BLOCK_INTERVAL_S = 0.25
ONION_SEED = b"\x07" * 32
OPERATOR = "validator-0"


async def run(home: Path, grpc_port: int, rpc_port: int) -> None:
    chain = build_chain()
    keeper = OnionKeeper(ONION_SEED, Key(OPERATOR).addr)
    options = NodeOptions(min_gas_price=GasPrice(UDSC_PER_MILLION_GAS))
    more = ("--udsc-per-million-gas", str(UDSC_PER_MILLION_GAS))
    doors = [
        Door("Cosmos gRPC", "node.doors.grpc_door", grpc_port, more),
        Door("CometBFT RPC", "node.doors.rpc_door", rpc_port, more),
    ]
    supervisor = DoorSupervisor(home, doors, log_dir=home / "logs")
    with StateStore.open(home / "data" / "state") as store:
        application = chain.open_application(store, options, keeper.make_extender(chain.beacon))
        engine = EmbeddedEngine(
            home, application, options=EngineOptions(interval_s=BLOCK_INTERVAL_S)
        )
        engine.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, engine.stop)
        server = ControlServer(engine)
        await server.start()
        supervisor.start()
        try:
            await engine.run()
        finally:
            supervisor.stop()
            await server.stop()
            engine.close()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
