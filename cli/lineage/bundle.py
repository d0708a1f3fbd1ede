"""What a verification of lineage needs: chain records with proofs, payloads, weights.

Store keys of the records (the READMEs of the pallets `runs` and `lineage` state them):

    runs      0x01 | run_id, 8 bytes big-endian                  -> descent.runs.v1.Run
    lineage   0x01 | run_id, 8 bytes | round, 4 bytes big-endian -> Checkpoint
    lineage   0x02 | run_id, 8 bytes | round, 4 bytes big-endian -> CheckpointJudgement
"""

from dataclasses import dataclass, field

from proto.descent.lineage.v1 import lineage_pb2
from proto.descent.runs.v1 import runs_pb2


class LineageMismatch(Exception):
    """A bundle does not show what it should; the text names the first thing that differs."""


@dataclass(frozen=True)
class Record:
    """One stored value with its proof.

    Attributes:
        store: pallet store.
        key: in that store.
        value: protobuf bytes.
        proof: encoded `node.store.proofs.Proof`.
    """

    store: str
    key: bytes
    value: bytes
    proof: bytes


@dataclass
class Bundle:
    """Everything that shows how one checkpoint came to be.

    Attributes:
        chain_id: of the chain.
        height: at which the records were read.
        app_hash: state root after that height, 32 bytes: what the proofs are checked against.
        run: the run's record.
        checkpoints: records of consecutive rounds, first to last.
        judgements: round -> record, where the checkpoint is judged.
        payloads: sha256 -> bytes, of every contribution after the first checkpoint.
        base: safetensors bytes of the first checkpoint, None when it is the seed's.
        weights: safetensors bytes of the last checkpoint, None to take the recomputed ones.
    """

    chain_id: str
    height: int
    app_hash: bytes
    run: Record
    checkpoints: list[Record]
    judgements: dict[int, Record] = field(default_factory=dict)
    payloads: dict[bytes, bytes] = field(default_factory=dict)
    base: bytes | None = None
    weights: bytes | None = None

    def parse_run(self) -> runs_pb2.Run:
        """Return the run."""
        return runs_pb2.Run.FromString(self.run.value)

    def parse_checkpoints(self) -> list[lineage_pb2.Checkpoint]:
        """Return the checkpoints in order."""
        return [lineage_pb2.Checkpoint.FromString(r.value) for r in self.checkpoints]

    def parse_judgements(self) -> dict[int, lineage_pb2.CheckpointJudgement]:
        """Return round -> judgement."""
        return {
            index: lineage_pb2.CheckpointJudgement.FromString(record.value)
            for index, record in self.judgements.items()
        }


def make_run_key(run_id: int) -> bytes:
    """Return the key of a run in store `runs`."""
    return b"\x01" + run_id.to_bytes(8, "big")


def make_checkpoint_key(run_id: int, round_index: int) -> bytes:
    """Return the key of a checkpoint in store `lineage`."""
    return b"\x01" + run_id.to_bytes(8, "big") + round_index.to_bytes(4, "big")


def make_judgement_key(run_id: int, round_index: int) -> bytes:
    """Return the key of a checkpoint's judgement in store `lineage`."""
    return b"\x02" + run_id.to_bytes(8, "big") + round_index.to_bytes(4, "big")
