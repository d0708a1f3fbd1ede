"""CometBFT RPC routes that read the chain: status, blocks, results, transactions, searches.

Answers come from `NodeView`; texts of refusals and paging rules are CometBFT v0.39's
(rpc/core), because CosmJS and other clients match on them.
"""

from __future__ import annotations

import base64
import json

from node.doors import comet_json as cj
from node.doors.event_query import EventQuery, QuerySyntaxError, parse_query
from node.doors.jsonrpc import Call, InternalError, Kind, Param, Route
from node.doors.node_view import COMETBFT_VERSION, NodeView
from node.doors.tx_proofs import build_tx_proof
from node.doors.tx_search import find_blocks, find_txs
from node.engine.genesis_doc import format_params

DEFAULT_PER_PAGE = 30
MAX_PER_PAGE = 100
MAX_HEADERS = 20
GENESIS_CHUNK_BYTES = 16 * 2**20
BLOCK_PROTOCOL, P2P_PROTOCOL = 11, 8
NO_P2P_ADDRESS = "tcp://127.0.0.1:0"  # CosmJS refuses a node without an address


def compute_page(page: int | None, per_page: int | None, total: int) -> tuple[int, int]:
    """Compute the slice [start, end) of a page.

    Raises:
        InternalError: no such page.
    """
    size = compute_per_page(per_page)
    pages = max(1, -(-total // size))
    number = 1 if page is None else page
    if not 1 <= number <= pages:
        raise InternalError(f"page should be within [1, {pages}] range, given {number}")
    return (number - 1) * size, min(total, number * size)


def compute_per_page(per_page: int | None) -> int:
    """Compute the page size: 30 unless told, 100 at most."""
    if per_page is None or per_page < 1:
        return DEFAULT_PER_PAGE
    return min(per_page, MAX_PER_PAGE)


def parse_search(query: str, order_by: str) -> EventQuery:
    """Parse the query of a search.

    Raises:
        InternalError: not a query, or an unknown order.
    """
    if order_by not in ("", "asc", "desc"):
        raise InternalError(
            f"invalid order_by: expected either `asc` or `desc` or empty but got {order_by}"
        )
    try:
        return parse_query(query)
    except QuerySyntaxError as error:
        raise InternalError(f"failed to parse query: {error}") from None


class ChainRoutes:
    """Routes over committed blocks.

    Args:
        view: the node's home, read-only.
        moniker: name of this node in `status`.
        rpc_address: what `status` says clients connect to, as `tcp://host:port`.
    """

    def __init__(self, view: NodeView, moniker: str, rpc_address: str) -> None:
        self.view = view
        self.moniker = moniker
        self.rpc_address = rpc_address

    def list_routes(self) -> dict[str, Route]:
        """List the routes by name."""
        height = Param("height", Kind.INT64)
        block_hash = Param("hash", Kind.BYTES, b"")
        paging = (Param("page", Kind.INT64), Param("per_page", Kind.INT64))
        order = Param("order_by", Kind.STRING, "")
        query, prove = Param("query", Kind.STRING, ""), Param("prove", Kind.BOOL, False)
        return {
            "health": Route(self.get_health),
            "status": Route(self.get_status),
            "net_info": Route(self.get_net_info),
            "genesis": Route(self.get_genesis),
            "genesis_chunked": Route(self.get_genesis_chunk, (Param("chunk", Kind.UINT, 0),)),
            "blockchain": Route(
                self.get_blockchain,
                (Param("minHeight", Kind.INT64, 0), Param("maxHeight", Kind.INT64, 0)),
            ),
            "block": Route(self.get_block, (height,)),
            "block_by_hash": Route(self.get_block_by_hash, (block_hash,)),
            "block_results": Route(self.get_block_results, (height,)),
            "header": Route(self.get_header, (height,)),
            "header_by_hash": Route(self.get_header_by_hash, (Param("hash", Kind.HEX_BYTES, b""),)),
            "commit": Route(self.get_commit, (height,)),
            "validators": Route(self.get_validators, (height, *paging)),
            "consensus_params": Route(self.get_consensus_params, (height,)),
            "consensus_state": Route(self.get_consensus_state),
            "dump_consensus_state": Route(self.get_consensus_state),
            "tx": Route(self.get_tx, (block_hash, prove)),
            "tx_search": Route(self.search_txs, (query, prove, *paging, order)),
            "block_search": Route(self.search_blocks, (query, *paging, order)),
        }

    # Node

    async def get_health(self, call: Call) -> cj.Json:
        """Answer an empty object: the door runs and can read the node's state."""
        self.view.get_heights()
        return {}

    def build_node_info(self) -> cj.Json:
        """Build CometBFT's node info of a node without peers."""
        return {
            "protocol_version": {
                "p2p": str(P2P_PROTOCOL),
                "block": str(BLOCK_PROTOCOL),
                "app": "0",
            },
            "id": self.view.node_id,
            "listen_addr": NO_P2P_ADDRESS,
            "network": self.view.chain_id,
            "version": COMETBFT_VERSION,
            "channels": "",
            "moniker": self.moniker,
            "other": {"tx_index": "on", "rpc_address": self.rpc_address},
        }

    def build_sync_part(self, name: str, height: int) -> cj.Json:
        """Build the members of `sync_info` about one height."""
        block = self.view.load_block(height) if height else None
        empty = {"hash": "", "app": "", "time": "0001-01-01T00:00:00Z"}
        if block is not None:
            empty["hash"] = cj.format_hex(self.view.load_block_id(height).hash)
            empty["app"] = cj.format_hex(block.header.app_hash)
            empty["time"] = cj.format_time(block.header.time)
        return {
            f"{name}_block_hash": empty["hash"],
            f"{name}_app_hash": empty["app"],
            f"{name}_block_height": str(height),
            f"{name}_block_time": empty["time"],
        }

    async def get_status(self, call: Call) -> cj.Json:
        """Answer node, sync and validator info."""
        earliest, latest = self.view.get_heights()
        validators = self.view.load_validators(latest) if latest else []
        own = [cj.format_validator(item) for item in validators[:1]]
        info = own[0] if own else {"address": "", "pub_key": None, "voting_power": "0"}
        info.pop("proposer_priority", None)
        return {
            "node_info": self.build_node_info(),
            "sync_info": {
                **self.build_sync_part("latest", latest),
                **self.build_sync_part("earliest", earliest),
                "catching_up": False,
            },
            "validator_info": info,
        }

    async def get_net_info(self, call: Call) -> cj.Json:
        """Answer that there are no peers: the embedded engine has none."""
        return {"listening": False, "listeners": [], "n_peers": "0", "peers": []}

    async def get_genesis(self, call: Call) -> cj.Json:
        """Answer the genesis document.

        Raises:
            InternalError: it is larger than one chunk.
        """
        raw = self.view.read_genesis()
        if len(raw) > GENESIS_CHUNK_BYTES:
            raise InternalError(
                "genesis response is too large, please use the genesis_chunked API instead"
            )
        return {"genesis": json.loads(raw)}

    async def get_genesis_chunk(self, call: Call, chunk: int) -> cj.Json:
        """Answer one 16 MiB piece of the genesis document.

        Raises:
            InternalError: no such chunk.
        """
        raw = self.view.read_genesis()
        total = max(1, -(-len(raw) // GENESIS_CHUNK_BYTES))
        if chunk >= total:
            raise InternalError(f"there are {total - 1} chunks, {chunk} is invalid")
        piece = raw[chunk * GENESIS_CHUNK_BYTES : (chunk + 1) * GENESIS_CHUNK_BYTES]
        data = base64.b64encode(piece).decode()
        return {"chunk": str(chunk), "total": str(total), "data": data}

    # Blocks

    def check_height(self, height: int | None, ahead: int = 0) -> int:
        """Check a height argument; None is the newest (plus `ahead`).

        Raises:
            InternalError: not a height that is kept.
        """
        earliest, latest = self.view.get_heights()
        latest += ahead
        if height is None:
            return latest
        if height <= 0:
            raise InternalError(f"height must be greater than 0, but got {height}")
        if height > latest:
            raise InternalError(
                f"height {height} must be less than or equal to "
                f"the current blockchain height {latest}"
            )
        if height < earliest:
            raise InternalError(f"height {height} is not available, lowest height is {earliest}")
        return height

    def build_block(self, height: int) -> cj.Json:
        """Build a block with its id; both empty when it is not there."""
        block = self.view.load_block(height) if height else None
        if block is None:
            empty = {"hash": "", "parts": {"total": 0, "hash": ""}}
            return {"block_id": empty, "block": None}
        block_id = cj.format_block_id(self.view.load_block_id(height))
        return {"block_id": block_id, "block": cj.format_block(block)}

    async def get_blockchain(self, call: Call, minHeight: int, maxHeight: int) -> cj.Json:
        """Answer up to 20 block metas, newest first.

        Raises:
            InternalError: a negative height, or an empty range.
        """
        earliest, latest = self.view.get_heights()
        if minHeight < 0 or maxHeight < 0:
            raise InternalError("heights must be non-negative")
        high = min(latest, maxHeight or latest)
        low = max(earliest, minHeight or 1, high - MAX_HEADERS + 1)
        if low > high:
            raise InternalError(f"min height {low} can't be greater than max height {high}")
        metas = []
        for height in range(high, low - 1, -1):
            block = self.view.load_block(height)
            if block is not None:
                metas.append(cj.format_block_meta(block, self.view.load_block_id(height)))
        return {"last_height": str(latest), "block_metas": metas}

    async def get_block(self, call: Call, height: int | None) -> cj.Json:
        """Answer a block; raises InternalError for a height that is not kept."""
        return self.build_block(self.check_height(height))

    async def get_block_by_hash(self, call: Call, hash: bytes) -> cj.Json:  # noqa: A002
        """Answer the block with a hash, or an empty one."""
        return self.build_block(self.view.find_block_height(hash) or 0)

    async def get_header(self, call: Call, height: int | None) -> cj.Json:
        """Answer a header; raises InternalError for a height that is not kept."""
        block = self.view.load_block(self.check_height(height))
        return {"header": None if block is None else cj.format_header(block.header)}

    async def get_header_by_hash(self, call: Call, hash: bytes) -> cj.Json:  # noqa: A002
        """Answer the header of the block with a hash, or null."""
        height = self.view.find_block_height(hash)
        block = self.view.load_block(height) if height else None
        return {"header": None if block is None else cj.format_header(block.header)}

    async def get_block_results(self, call: Call, height: int | None) -> cj.Json:
        """Answer the results of a block.

        Raises:
            InternalError: the height, or its results, are not kept.
        """
        number = self.check_height(height)
        results = self.view.load_results(number)
        if results is None:
            raise InternalError(f"could not find results for height #{number}")
        return cj.format_block_results(number, results)

    async def get_commit(self, call: Call, height: int | None) -> cj.Json:
        """Answer the signed header; `canonical` once the next block carries the commit."""
        number = self.check_height(height)
        block = self.view.load_block(number)
        commit = self.view.load_commit(number)
        if block is None or commit is None:
            raise InternalError(f"no commit for height {number}")
        signed = {"header": cj.format_header(block.header), "commit": cj.format_commit(commit)}
        is_canonical = number < self.view.get_heights()[1]
        return {"signed_header": signed, "canonical": is_canonical}

    async def get_validators(
        self, call: Call, height: int | None, page: int | None, per_page: int | None
    ) -> cj.Json:
        """Answer a page of the consensus set; raises InternalError for a bad height or page."""
        number = self.check_height(height, ahead=1)
        validators = self.view.load_validators(number)
        start, end = compute_page(page, per_page, len(validators))
        chosen = [cj.format_validator(item) for item in validators[start:end]]
        return {
            "block_height": str(number),
            "validators": chosen,
            "count": str(len(chosen)),
            "total": str(len(validators)),
        }

    async def get_consensus_params(self, call: Call, height: int | None) -> cj.Json:
        """Answer the consensus parameters; raises InternalError for a bad height."""
        number = self.check_height(height, ahead=1)
        params = format_params(self.view.load_consensus_params(number))
        return {"block_height": str(number), "consensus_params": params}

    async def get_consensus_state(self, call: Call) -> cj.Json:
        """Answer the height being decided; the embedded engine has no votes to show."""
        latest = self.view.get_heights()[1]
        return {"round_state": {"height/round/step": f"{latest + 1}/0/1"}}

    # Transactions

    def build_tx(self, height: int, index: int, is_proved: bool) -> cj.Json | None:
        """Build a transaction with its result, and its proof of inclusion when asked."""
        block, results = self.view.load_block(height), self.view.load_results(height)
        if block is None or results is None or index >= len(block.data.txs):
            return None
        txs = list(block.data.txs)
        proof = build_tx_proof(txs, index) if is_proved else None
        return cj.format_tx(height, index, txs[index], results.tx_results[index], proof)

    async def get_tx(self, call: Call, hash: bytes, prove: bool) -> cj.Json:  # noqa: A002
        """Answer a transaction by hash.

        Raises:
            InternalError: it is in no kept block.
        """
        place = self.view.find_tx(hash)
        built = self.build_tx(*place, prove) if place else None
        if built is None:
            raise InternalError(f"tx ({cj.format_hex(hash)}) not found")
        return built

    async def search_txs(
        self,
        call: Call,
        query: str,
        prove: bool,
        page: int | None,
        per_page: int | None,
        order_by: str,
    ) -> cj.Json:
        """Answer a page of the transactions whose events match.

        Raises:
            InternalError: not a query, an unknown order, or no such page.
        """
        places = await find_txs(self.view, parse_search(query, order_by))
        if order_by == "desc":
            places.reverse()
        start, end = compute_page(page, per_page, len(places))
        built = [self.build_tx(*place, prove) for place in places[start:end]]
        return {"txs": [tx for tx in built if tx], "total_count": str(len(places))}

    async def search_blocks(
        self, call: Call, query: str, page: int | None, per_page: int | None, order_by: str
    ) -> cj.Json:
        """Answer a page of the blocks whose events match, newest first unless told.

        Raises:
            InternalError: not a query, an unknown order, or no such page.
        """
        parsed = parse_search(query, order_by)
        heights = await find_blocks(self.view, parsed)
        if order_by != "asc":
            heights.reverse()
        start, end = compute_page(page, per_page, len(heights))
        blocks = [self.build_block(height) for height in heights[start:end]]
        return {"blocks": blocks, "total_count": str(len(heights))}
