"""The embedded engine: one process, one validator, blocks on a timer or on demand.

It drives the application exactly as CometBFT v0.39 drives one validator: Info, replay of what the
application missed, InitChain at height 0; then for each block PrepareProposal, ProcessProposal,
ExtendVote, FinalizeBlock, Commit, recheck of the mempool. Headers, hashes, commits and votes are
CometBFT's, so a light client cannot tell.

A block goes through these steps, each of them durable before the next begins; `on_step` is told
each one when it is done, which is where tests kill the process:

    block_saved -> block_finalized -> results_saved -> app_committed

Everything here runs in one thread. Source: CometBFT internal/consensus/state.go, replay.go,
state/execution.go.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tendermint.abci import types_pb2 as abci
from tendermint.types import block_pb2, types_pb2, validator_pb2
from tendermint.version import types_pb2 as version_pb2

from node.engine.blockstore import BlockStore, EngineState, strip_extensions
from node.engine.errors import (
    ApplicationBroken,
    GenesisInvalid,
    HandshakeFailed,
    HomeMismatch,
    NotEnoughPower,
)
from node.engine.genesis_doc import BLOCK_BYTES_MAX, GenesisDoc
from node.engine.hashing import (
    ZERO_TIME_SECONDS,
    fill_block,
    get_time_ns,
    hash_commit,
    hash_consensus_params,
    hash_txs,
    make_block_id,
    make_time,
    make_vote_sign_bytes,
    merkle_root,
)
from node.engine.keys import compute_address, load_node_id, load_validator_key
from node.engine.mempool import Mempool, MempoolLimits
from node.engine.transition import Application, advance_state, merge_params
from node.engine.validators import ValidatorSet
from node.runtime.extensions import make_extension_sign_bytes

logger = logging.getLogger(__name__)

COMETBFT_VERSION = "0.39.4"  # whose behaviour this is
BLOCK_PROTOCOL, P2P_PROTOCOL = 11, 8
ABCI_VERSION = "2.0.0"
BLOCK_INTERVAL_S = 0.5
OWN_POWER = 10  # consensus power where the genesis names no validator
VOTE_STEP_NS = 1_000_000  # a vote is at least this much later than its block
HEADER_BYTES_MAX = 626
BLOCK_OVERHEAD_BYTES = 11
COMMIT_OVERHEAD_BYTES, COMMIT_SIGNATURE_BYTES = 94, 109

COMMIT_FLAG = validator_pb2.BLOCK_ID_FLAG_COMMIT
ABSENT_FLAG = validator_pb2.BLOCK_ID_FLAG_ABSENT


StepHook = Callable[[str, int], None]


def ignore_step(step: str, height: int) -> None:
    """Do nothing after a step."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Settings of this node's engine.

    interval_s: seconds from the start of one block to the start of the next.
    clock: nanoseconds since 1970; the only source of time.
    on_step: called with the name of each finished step and the height.
    """

    interval_s: float = BLOCK_INTERVAL_S
    limits: MempoolLimits = field(default_factory=MempoolLimits)
    clock: Callable[[], int] = time.time_ns
    on_step: StepHook = ignore_step


@dataclass(frozen=True, slots=True)
class CommittedBlock:
    """What a step gives back: the block, its id and its results."""

    block: Any
    block_id: Any
    results: Any

    @property
    def height(self) -> int:
        """Height of the block."""
        return int(self.block.header.height)


class EmbeddedEngine:
    """Orders blocks for one application in one home directory.

    The home holds `config/genesis.json`, `config/priv_validator_key.json`, `config/node_key.json`
    (both keys are made where they are missing) and `data/blocks/`.
    """

    def __init__(
        self,
        home: Path,
        application: Application,
        *,
        genesis: GenesisDoc | None = None,
        options: EngineOptions | None = None,
    ) -> None:
        """Open the home; `start` does the handshake.

        Raises:
            GenesisInvalid, KeyFileInvalid, HomeMismatch: files in the home are not usable.
            StoreBusy, StoreCorrupt, StoreFull: the block store cannot be opened.
        """
        self.home = home
        self.genesis = genesis or GenesisDoc.load(home / "config" / "genesis.json")
        self.key = load_validator_key(home / "config" / "priv_validator_key.json")
        self.node_id = load_node_id(home / "config" / "node_key.json")
        self.options = options or EngineOptions()
        self.blocks = BlockStore.open(home / "data" / "blocks")
        self.mempool = Mempool(application.check_tx, self.options.limits)
        self._app = application
        self._state: EngineState | None = None
        self._stop = asyncio.Event()
        self._failure: Exception | None = None
        self._listeners: list[Callable[[CommittedBlock], None]] = []

    def close(self) -> None:
        """Let go of the block store."""
        self.blocks.close()

    @property
    def state(self) -> EngineState:
        """State to build the next block on; after `start` only."""
        if self._state is None:
            raise HandshakeFailed("the engine was not started")
        return self._state

    def on_block(self, listener: Callable[[CommittedBlock], None]) -> None:
        """Call `listener` after every committed block."""
        self._listeners.append(listener)

    # Start

    def start(self) -> None:
        """Bring application and blocks to the same height: InitChain, or replay.

        Raises:
            HomeMismatch: the data belongs to another chain or genesis.
            HandshakeFailed: the application is ahead of the blocks, or replay differs.
            ApplicationBroken: the application answered what ABCI does not allow.
            NotEnoughPower: this node alone cannot decide blocks.
        """
        info = self._app.info(
            abci.RequestInfo(
                version=COMETBFT_VERSION,
                block_version=BLOCK_PROTOCOL,
                p2p_version=P2P_PROTOCOL,
                abci_version=ABCI_VERSION,
            )
        )
        state = self.blocks.load_state()
        if state is not None:
            self._ensure_same_chain(state)
        app_height = info.last_block_height
        if state is None or (app_height == 0 and state.height < state.initial_height):
            if app_height:
                raise HandshakeFailed(
                    f"the application is at height {app_height} but there are no blocks in "
                    f"{self.home / 'data'}: restore the whole data folder or remove it"
                )
            state = self._init_chain(info.app_version)
            self.blocks.save_genesis(state)
        elif app_height == 0:
            self._init_chain(info.app_version)
        self._state = state
        self._replay(app_height, info.last_block_app_hash)
        self._ensure_power()

    def _ensure_same_chain(self, state: EngineState) -> None:
        if state.chain_id != self.genesis.chain_id:
            raise HomeMismatch(
                f"{self.home} holds chain {state.chain_id}, the genesis file is of chain "
                f"{self.genesis.chain_id}: use another home, or remove {self.home / 'data'}"
            )
        if state.genesis_digest != self.genesis.digest:
            raise HomeMismatch(
                f"the genesis file in {self.home} is not the one the chain was started from: put "
                f"the old one back, or remove {self.home / 'data'} to start again"
            )

    def _init_chain(self, app_version: int) -> EngineState:
        genesis = self.genesis
        validators = genesis.validators
        if not validators.powers:
            validators = ValidatorSet.make({self.key.public_key: OWN_POWER})
        response = self._app.init_chain(
            abci.RequestInitChain(
                time=make_time(genesis.time_ns),
                chain_id=genesis.chain_id,
                consensus_params=genesis.params,
                validators=validators.make_updates(),
                app_state_bytes=genesis.app_state,
                initial_height=genesis.initial_height,
            )
        )
        if response.validators:
            validators = ValidatorSet.from_updates(response.validators)
        params = genesis.params
        if response.HasField("consensus_params"):
            params = merge_params(params, response.consensus_params)
        app_hash = response.app_hash or genesis.app_hash
        if genesis.app_hash and genesis.app_hash != app_hash:
            raise GenesisInvalid(
                f"app_hash of the genesis file is {genesis.app_hash.hex()}, but its app_state "
                f"gives {app_hash.hex()}"
            )
        return EngineState(
            chain_id=genesis.chain_id,
            genesis_digest=genesis.digest,
            initial_height=genesis.initial_height,
            height=genesis.initial_height - 1,
            block_id=types_pb2.BlockID(),
            block_time_ns=genesis.time_ns,
            app_hash=app_hash,
            results_hash=merkle_root([]),
            app_version=app_version,
            validators=validators,
            next_validators=validators,
            params=params,
        )

    def _replay(self, app_height: int, app_hash: bytes) -> None:
        """Execute the blocks that are kept but that the application does not have."""
        state = self.state
        saved_height = max(self.blocks.block_height, state.height)
        if app_height > state.height:
            raise HandshakeFailed(
                f"the application is at height {app_height}, the blocks end at {state.height}: "
                "restore the whole data folder from one backup or start again from genesis"
            )
        if app_height == state.height and app_height and app_hash != state.app_hash:
            raise HandshakeFailed(
                f"the application's hash at height {app_height} is {app_hash.hex()}, the block's "
                f"is {state.app_hash.hex()}: restore the data folder or start again from genesis"
            )
        first = max(app_height + 1, state.initial_height)
        for height in range(first, saved_height + 1):
            logger.info("replaying block %d of %d", height, saved_height)
            block, block_id = self.blocks.load_block(height), self.blocks.load_block_id(height)
            if block is None or block_id is None:
                raise HandshakeFailed(
                    f"block {height} is needed to bring the application up but is not kept: "
                    "restore the data folder from a backup or start again from genesis"
                )
            self._execute(block, block_id)

    def _ensure_power(self) -> None:
        validators = self.state.validators
        own = dict(validators.powers).get(self.key.public_key, 0)
        if 3 * own <= 2 * validators.total_power:
            raise NotEnoughPower(
                f"this node's key has {own} of {validators.total_power} consensus power at height "
                f"{self.state.height + 1}: the embedded engine needs more than two thirds; run "
                "the validators with --engine cometbft"
            )

    # Blocks

    def step(self) -> CommittedBlock:
        """Make, decide, execute and commit one block.

        Raises:
            ApplicationBroken: the application answered what ABCI does not allow.
            NotEnoughPower: this node alone cannot decide the block.
            StoreFull: no room on the disk; start again once there is.
        """
        self._ensure_power()
        last_commit = self._load_last_commit()
        block = self._propose(last_commit)
        block_id = make_block_id(block)
        self._ensure_accepted(block, block_id)
        commit = self._decide(block, block_id)
        self.blocks.save_block(block, block_id, commit)
        self.options.on_step("block_saved", block.header.height)
        results = self._execute(block, block_id)
        self.mempool.update(block.data.txs, results.tx_results)
        committed = CommittedBlock(block, block_id, results)
        for listener in self._listeners:
            listener(committed)
        return committed

    def _load_last_commit(self) -> Any:
        """Return the ExtendedCommit of the last block, an empty one before the first."""
        state = self.state
        if state.height < state.initial_height:
            return types_pb2.ExtendedCommit()
        commit = self.blocks.load_extended_commit(state.height)
        if commit is None:
            raise HandshakeFailed(f"the commit of block {state.height} is not kept")
        return commit

    def _propose(self, last_commit: Any) -> Any:
        """Make the next block from the mempool, as the application wants it."""
        state = self.state
        height = state.height + 1
        commit = strip_extensions(last_commit)
        # Time of a block is when the block before was signed (BFT time with one signer).
        time_ns = self.genesis.time_ns
        if last_commit.extended_signatures:
            times = [
                get_time_ns(item.timestamp)
                for item in last_commit.extended_signatures
                if item.block_id_flag == COMMIT_FLAG
            ]
            time_ns = max(times)
        max_bytes = self._compute_data_bytes(len(commit.signatures))
        request = abci.RequestPrepareProposal(
            max_tx_bytes=max_bytes,
            txs=self.mempool.reap(max_bytes, state.params.block.max_gas),
            local_last_commit=self._make_extended_info(last_commit),
            height=height,
            time=make_time(time_ns),
            next_validators_hash=state.next_validators.compute_hash(),
            proposer_address=self.key.address,
        )
        txs = list(self._app.prepare_proposal(request).txs)
        if sum(len(tx) for tx in txs) > max_bytes:
            raise ApplicationBroken(f"the proposal for height {height} is over {max_bytes} bytes")
        header = types_pb2.Header(
            version=version_pb2.Consensus(block=BLOCK_PROTOCOL, app=state.app_version),
            chain_id=state.chain_id,
            height=height,
            time=make_time(time_ns),
            last_block_id=state.block_id,
            data_hash=hash_txs(txs),
            validators_hash=state.validators.compute_hash(),
            next_validators_hash=state.next_validators.compute_hash(),
            consensus_hash=hash_consensus_params(state.params),
            app_hash=state.app_hash,
            last_results_hash=state.results_hash,
            evidence_hash=merkle_root([]),
            proposer_address=self.key.address,
        )
        block = block_pb2.Block(header=header, data=types_pb2.Data(txs=txs), last_commit=commit)
        fill_block(block)
        block.header.last_commit_hash = hash_commit(block.last_commit)
        return block

    def _compute_data_bytes(self, num_signatures: int) -> int:
        """Compute the bytes that a block has for transactions."""
        limit = self.state.params.block.max_bytes
        whole = BLOCK_BYTES_MAX if limit == -1 else limit
        commit = COMMIT_OVERHEAD_BYTES + COMMIT_SIGNATURE_BYTES * num_signatures
        return max(0, int(whole) - BLOCK_OVERHEAD_BYTES - HEADER_BYTES_MAX - commit)

    def _make_extended_info(self, commit: Any) -> Any:
        votes = [
            abci.ExtendedVoteInfo(
                validator=validator,
                vote_extension=item.extension,
                extension_signature=item.extension_signature,
                block_id_flag=item.block_id_flag,
            )
            for validator, item in self._pair_votes(commit.height, commit.extended_signatures)
        ]
        return abci.ExtendedCommitInfo(round=commit.round, votes=votes)

    def _make_commit_info(self, commit: Any) -> Any:
        votes = [
            abci.VoteInfo(validator=validator, block_id_flag=item.block_id_flag)
            for validator, item in self._pair_votes(commit.height, commit.signatures)
        ]
        return abci.CommitInfo(round=commit.round, votes=votes)

    def _pair_votes(self, height: int, signatures: Any) -> list[tuple[Any, Any]]:
        """Pair the signatures of a commit with the validators of its height."""
        if not signatures:
            return []
        validators = self.blocks.load_validators(height)
        if validators is None:
            raise HandshakeFailed(f"the validators of height {height} are not kept")
        return [
            (abci.Validator(address=known.address, power=known.voting_power), item)
            for known, item in zip(validators.validators, signatures, strict=True)
        ]

    def _make_block_fields(self, block: Any, block_hash: bytes) -> dict[str, Any]:
        """Return the fields that the requests about one block share."""
        header = block.header
        return {
            "txs": block.data.txs,
            "hash": block_hash,
            "height": header.height,
            "time": header.time,
            "next_validators_hash": header.next_validators_hash,
            "proposer_address": header.proposer_address,
        }

    def _ensure_accepted(self, block: Any, block_id: Any) -> None:
        response = self._app.process_proposal(
            abci.RequestProcessProposal(
                proposed_last_commit=self._make_commit_info(block.last_commit),
                **self._make_block_fields(block, block_id.hash),
            )
        )
        if response.status != abci.ResponseProcessProposal.ACCEPT:
            raise ApplicationBroken(
                f"the application rejects its own proposal for height {block.header.height}"
            )

    def _decide(self, block: Any, block_id: Any) -> Any:
        """Sign the block, with a vote extension where they are on; return an ExtendedCommit."""
        height, chain_id = block.header.height, self.state.chain_id
        vote_ns = max(self.options.clock(), get_time_ns(block.header.time) + VOTE_STEP_NS)
        vote_time = make_time(vote_ns)
        own = types_pb2.ExtendedCommitSig(
            block_id_flag=COMMIT_FLAG,
            validator_address=self.key.address,
            timestamp=vote_time,
            signature=self.key.sign(make_vote_sign_bytes(chain_id, height, 0, block_id, vote_time)),
        )
        enable_height = self.state.params.abci.vote_extensions_enable_height
        if 0 < enable_height <= height:
            own.extension = self._app.extend_vote(
                abci.RequestExtendVote(
                    proposed_last_commit=self._make_commit_info(block.last_commit),
                    **self._make_block_fields(block, block_id.hash),
                )
            ).vote_extension
            own.extension_signature = self.key.sign(
                make_extension_sign_bytes(chain_id, height, 0, own.extension)
            )
        absent = types_pb2.ExtendedCommitSig(block_id_flag=ABSENT_FLAG)
        absent.timestamp.seconds = ZERO_TIME_SECONDS
        signatures = [
            own if compute_address(key) == self.key.address else absent
            for key, _ in self.state.validators.powers
        ]
        return types_pb2.ExtendedCommit(
            height=height, round=0, block_id=block_id, extended_signatures=signatures
        )

    def _execute(self, block: Any, block_id: Any) -> Any:
        """Finalize a saved block, save its results, commit; return ResponseFinalizeBlock."""
        height = block.header.height
        results = self._app.finalize_block(
            abci.RequestFinalizeBlock(
                decided_last_commit=self._make_commit_info(block.last_commit),
                **self._make_block_fields(block, block_id.hash),
            )
        )
        if len(results.tx_results) != len(block.data.txs):
            raise ApplicationBroken(
                f"{len(results.tx_results)} results for {len(block.data.txs)} transactions of "
                f"block {height}"
            )
        self.options.on_step("block_finalized", height)
        if height <= self.state.height:
            self._ensure_same_results(height, results)
        else:
            self._state = advance_state(self.state, block, block_id, results)
            self.blocks.save_results(results, block.data.txs, self._state)
        self.options.on_step("results_saved", height)
        response = self._app.commit(abci.RequestCommit())
        self.options.on_step("app_committed", height)
        if response.retain_height > 0:
            self.blocks.prune(response.retain_height)
        return results

    def _ensure_same_results(self, height: int, results: Any) -> None:
        """Refuse a replay that differs from what was saved."""
        saved = self.blocks.load_results(height)
        if saved is None or saved.app_hash != results.app_hash:
            raise HandshakeFailed(
                f"replaying block {height} gives app hash {results.app_hash.hex()} instead of "
                f"{saved.app_hash.hex() if saved else 'a kept one'}: the application is not "
                "deterministic or was changed; start the version that made the chain"
            )

    def get_status(self) -> dict[str, Any]:
        """Return what the engine is at: JSON with hashes as hex and times in nanoseconds."""
        state = self.state
        return {
            "chain_id": state.chain_id,
            "node_id": self.node_id,
            "height": max(state.height, 0),
            "initial_height": state.initial_height,
            "block_hash": state.block_id.hash.hex(),
            "block_time_ns": state.block_time_ns,
            "app_hash": state.app_hash.hex(),
            "validator_address": self.key.address.hex(),
            "validator_public_key": self.key.public_key.hex(),
            "num_unconfirmed": len(self.mempool),
            "unconfirmed_bytes": self.mempool.total_bytes,
        }

    # Loop

    async def run(self) -> None:
        """Make a block every interval until `stop`; other tasks run between blocks.

        Raises:
            Whatever `step` raises: the node has to stop then.
        """
        loop = asyncio.get_running_loop()
        while not self._stop.is_set():
            started = loop.time()
            self.step()
            pause = max(0.0, started + self.options.interval_s - loop.time())
            await asyncio.sleep(0)
            try:
                await asyncio.wait_for(self._stop.wait(), pause)
            except TimeoutError:
                continue
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Make `run` return after the block it is working on."""
        self._stop.set()

    def fail(self, error: Exception) -> None:
        """Make `run` end with an error that came up outside of a block."""
        self._failure = error
        self._stop.set()
