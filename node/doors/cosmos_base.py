"""Cosmos services that belong to no pallet: node, blocks, reflection.

`cosmos.base.tendermint`, `cosmos.base.node`, `cosmos.base.reflection`.
Source: Cosmos SDK v0.53 client/grpc.
"""

from __future__ import annotations

import sys
from typing import Any

import grpc
from cosmos.base.node.v1beta1 import query_pb2 as node_pb2
from cosmos.base.reflection.v1beta1 import reflection_pb2
from cosmos.base.tendermint.v1beta1 import query_pb2 as comet_pb2
from cosmos.base.tendermint.v1beta1 import types_pb2 as sdk_types_pb2
from cosmos.crypto.ed25519 import keys_pb2 as ed25519_pb2
from google.protobuf.any_pb2 import Any as AnyMessage

import proto  # noqa: F401  (puts cosmos.* on the path)
from node.doors.grpc_services import MethodError, Query, ServiceTable
from node.doors.node_view import COMETBFT_VERSION, NodeView
from node.runtime.addresses import encode_consensus

APP_NAME = "descent"
APP_VERSION = "0.1.0"
SDK_API_VERSION = "0.53.7"  # the Cosmos API these services have; clients read it as PEP 440
MSG_INTERFACE = "cosmos.base.v1beta1.Msg"
DEFAULT_LIMIT = 100
_INVALID = grpc.StatusCode.INVALID_ARGUMENT


class CometService:
    """`cosmos.base.tendermint.v1beta1.Service`."""

    def __init__(self, view: NodeView, moniker: str) -> None:
        self.view = view
        self.moniker = moniker

    def build_table(self) -> ServiceTable:
        """Build the table of methods."""
        return ServiceTable(
            comet_pb2.DESCRIPTOR.services_by_name["Service"],
            {
                "GetNodeInfo": self.get_node_info,
                "GetSyncing": self.get_syncing,
                "GetLatestBlock": self.get_latest_block,
                "GetBlockByHeight": self.get_block_by_height,
                "GetLatestValidatorSet": self.get_latest_validator_set,
                "GetValidatorSetByHeight": self.get_validator_set_by_height,
                "ABCIQuery": self.abci_query,
            },
        )

    async def get_node_info(self, request: Any, query: Query) -> Any:
        """Answer who this node is and what it runs."""
        response = comet_pb2.GetNodeInfoResponse()
        info = response.default_node_info
        info.protocol_version.p2p, info.protocol_version.block = 8, 11
        info.default_node_id = self.view.node_id
        info.network = self.view.chain_id
        info.version = COMETBFT_VERSION
        info.moniker = self.moniker
        info.other.tx_index = "on"
        version = response.application_version
        version.name, version.app_name, version.version = APP_NAME, APP_NAME, APP_VERSION
        version.go_version = f"python {sys.version_info.major}.{sys.version_info.minor}"
        version.cosmos_sdk_version = SDK_API_VERSION
        return response

    async def get_syncing(self, request: Any, query: Query) -> Any:
        """Answer false: the embedded engine has nobody to catch up with."""
        return comet_pb2.GetSyncingResponse(syncing=False)

    def build_block(self, response: Any, height: int) -> Any:
        """Fill a block response: CometBFT's block, and the SDK's with a bech32 proposer."""
        block = self.view.load_block(height)
        if block is None:
            raise MethodError(grpc.StatusCode.NOT_FOUND, f"block {height} not found")
        response.block_id.CopyFrom(self.view.load_block_id(height))
        response.block.CopyFrom(block)
        sdk_block = response.sdk_block
        header = block.header
        fields = {field.name for field in sdk_types_pb2.Header.DESCRIPTOR.fields}
        for field, value in header.ListFields():
            if field.name in fields and field.name != "proposer_address":
                target = getattr(sdk_block.header, field.name)
                if hasattr(target, "CopyFrom"):
                    target.CopyFrom(value)
                else:
                    setattr(sdk_block.header, field.name, value)
        sdk_block.header.proposer_address = encode_consensus(header.proposer_address)
        sdk_block.data.CopyFrom(block.data)
        sdk_block.last_commit.CopyFrom(block.last_commit)
        return response

    async def get_latest_block(self, request: Any, query: Query) -> Any:
        """Answer the newest block; raises MethodError before there is one."""
        latest = self.view.get_heights()[1]
        return self.build_block(comet_pb2.GetLatestBlockResponse(), latest)

    def check_height(self, height: int) -> int:
        """Check that a block is kept.

        Raises:
            MethodError: INVALID_ARGUMENT.
        """
        earliest, latest = self.view.get_heights()
        if height > latest:
            raise MethodError(_INVALID, "requested block height is bigger then the chain length")
        if height < earliest or height <= 0:
            raise MethodError(
                _INVALID, f"height {height} is not available, lowest height is {earliest}"
            )
        return height

    async def get_block_by_height(self, request: Any, query: Query) -> Any:
        """Answer a block; raises MethodError if it is not kept."""
        height = self.check_height(request.height)
        return self.build_block(comet_pb2.GetBlockByHeightResponse(), height)

    def build_validators(self, response: Any, height: int, page: Any) -> Any:
        """Fill a page of the consensus set."""
        validators = self.view.load_validators(height)
        limit = page.limit or DEFAULT_LIMIT
        response.block_height = height
        for item in validators[page.offset : page.offset + limit]:
            key = AnyMessage()
            key.Pack(ed25519_pb2.PubKey(key=item.pub_key.ed25519), type_url_prefix="/")
            response.validators.add(
                address=encode_consensus(item.address),
                pub_key=key,
                voting_power=item.voting_power,
                proposer_priority=item.proposer_priority,
            )
        response.pagination.total = len(validators)
        return response

    async def get_latest_validator_set(self, request: Any, query: Query) -> Any:
        """Answer the consensus set of the newest block."""
        response = comet_pb2.GetLatestValidatorSetResponse()
        return self.build_validators(response, self.view.get_heights()[1], request.pagination)

    async def get_validator_set_by_height(self, request: Any, query: Query) -> Any:
        """Answer the consensus set of a block; raises MethodError if it is not kept."""
        height = self.check_height(request.height)
        response = comet_pb2.GetValidatorSetByHeightResponse()
        return self.build_validators(response, height, request.pagination)

    async def abci_query(self, request: Any, query: Query) -> Any:
        """Answer an ABCI query, with proof when asked."""
        answer = self.view.abci_query(request.path, request.data, request.height, request.prove)
        response = comet_pb2.ABCIQueryResponse(
            code=answer.code,
            log=answer.log,
            info=answer.info,
            index=answer.index,
            key=answer.key,
            value=answer.value,
            height=answer.height,
            codespace=answer.codespace,
        )
        for op in answer.proof_ops.ops:
            response.proof_ops.ops.add(type=op.type, key=op.key, data=op.data)
        return response


class BaseServices:
    """Node configuration, reflection, and the answer about rewards."""

    def __init__(self, view: NodeView) -> None:
        self.view = view

    def build_tables(self) -> list[ServiceTable]:
        """Build the tables of methods."""
        return [
            ServiceTable(
                node_pb2.DESCRIPTOR.services_by_name["Service"],
                {"Config": self.get_config, "Status": self.get_status},
            ),
            ServiceTable(
                reflection_pb2.DESCRIPTOR.services_by_name["ReflectionService"],
                {
                    "ListAllInterfaces": self.list_interfaces,
                    "ListImplementations": self.list_implementations,
                },
            ),
        ]

    async def get_config(self, request: Any, query: Query) -> Any:
        """Answer this node's own settings."""
        return node_pb2.ConfigResponse(minimum_gas_price=self.view.minimum_gas_price)

    async def get_status(self, request: Any, query: Query) -> Any:
        """Answer the newest committed height, its time and app hash."""
        earliest, latest = self.view.get_state_heights()
        response = node_pb2.StatusResponse(
            earliest_store_height=earliest, height=latest, app_hash=self.view.load_app_hash()
        )
        block = self.view.load_block(latest)
        if block is not None:
            response.timestamp.CopyFrom(block.header.time)
            response.validator_hash = block.header.next_validators_hash
        return response

    async def list_interfaces(self, request: Any, query: Query) -> Any:
        """List the interfaces `ListImplementations` knows."""
        return reflection_pb2.ListAllInterfacesResponse(interface_names=[MSG_INTERFACE])

    async def list_implementations(self, request: Any, query: Query) -> Any:
        """List the message types the pallets take.

        Raises:
            MethodError: another interface.
        """
        if request.interface_name != MSG_INTERFACE:
            raise MethodError(_INVALID, f"unknown interface {request.interface_name[:80]!r}")
        names = sorted(self.view.runtime.list_message_types())
        return reflection_pb2.ListImplementationsResponse(implementation_message_names=names)
