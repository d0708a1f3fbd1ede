"""What a simulation is asked and answers: `cosmos.tx.v1beta1.Service/Simulate`.

The doors and the ABCI query answer it alike: wallets that know the CometBFT RPC only ask there.
Source: Cosmos SDK v0.53 x/auth/tx/service.go.
"""

from __future__ import annotations

from typing import Any

from cosmos.base.abci.v1beta1 import abci_pb2 as cosmos_abci
from cosmos.tx.v1beta1 import service_pb2, tx_pb2
from tendermint.abci import types_pb2 as abci

from node.runtime.errors import QueryInvalid
from node.runtime.executor import TxOutcome

SIMULATE_PATH = "/cosmos.tx.v1beta1.Service/Simulate"


def encode_tx(tx: Any) -> bytes:
    """Encode a `Tx` as the `TxRaw` a node takes.

    Bytes of body and auth info are re-encoded: only for simulation, where no signature is checked.
    """
    raw = tx_pb2.TxRaw(
        body_bytes=tx.body.SerializeToString(),
        auth_info_bytes=tx.auth_info.SerializeToString(),
        signatures=tx.signatures,
    )
    data: bytes = raw.SerializeToString()
    return data


def get_simulated_tx(request: Any) -> bytes:
    """Get the transaction of a `SimulateRequest`.

    Raises: QueryInvalid.
    """
    data: bytes = request.tx_bytes or (encode_tx(request.tx) if request.HasField("tx") else b"")
    if not data:
        raise QueryInvalid("empty txBytes is not allowed")
    return data


def describe_failure(outcome: TxOutcome) -> str:
    """Describe a simulation that failed, as the SDK does; clients look for the log in it."""
    return f"{outcome.log} with gas used: '{outcome.gas_used}'"


def build_simulation(outcome: TxOutcome) -> Any:
    """Build the `SimulationResponse` of a successful simulation."""
    response = cosmos_abci.SimulationResponse()
    response.gas_info.gas_used = outcome.gas_used
    response.gas_info.gas_wanted = outcome.gas_wanted
    response.result.data = outcome.data
    response.result.log = outcome.log
    response.result.events.extend(abci.Event.FromString(data) for data in outcome.events)
    response.result.msg_responses.extend(
        cosmos_abci.TxMsgData.FromString(outcome.data).msg_responses
    )
    return response


def build_simulate_response(outcome: TxOutcome) -> Any:
    """Build the `SimulateResponse` of a successful simulation."""
    simulation = build_simulation(outcome)
    return service_pb2.SimulateResponse(gas_info=simulation.gas_info, result=simulation.result)
