"""What honest miners look like to the scoring rules; prints JSON.

Trains the default model with honest miners for some rounds and reports, over all rounds: overlap
of payloads (duplicate screen), rounds won by the running test for honest miners and for miners that
send a peer's update, how far the lowest gain of the first round is from the mean, and how often
the held-out gain of an honest payload alone is not positive, when it is applied with the whole
outer step and with one part in the number of miners.

    python -m bench.honest_rounds [--rounds N] [--miners N] [--warmup-steps N]

Some 5 s a round.
"""

import argparse
import hashlib
import json
from dataclasses import dataclass, field

import numpy as np
import torch

from exact import codec, state
from exact.backends import AUTO, load_backend
from exact.config import ModelConfig, OptimiserConfig
from exact.data import corpus, sampling
from exact.families import build_program, fresh_optimiser, init_params
from exact.state import State
from scoring import aggregation, screen
from scoring.score import PairedGains, compute_round_sign

INNER_STEPS, BATCH_SIZE, NUM_JUDGED, OUTER_RATE, RUN_ID = 20, 8, 64, 2.0, 1


@dataclass
class Tally:
    """Numbers gathered over all rounds."""

    overlaps_within: list[int] = field(default_factory=list)
    overlaps_across: list[int] = field(default_factory=list)
    honest_signs: list[int] = field(default_factory=list)
    copier_signs: list[int] = field(default_factory=list)
    gains_whole: list[float] = field(default_factory=list)
    gains_part: list[float] = field(default_factory=list)


class Net:
    """Honest miners on the standard library's text."""

    def __init__(self, num_miners: int, warmup_steps: int) -> None:
        files = corpus.collect_stdlib_files()
        splits = corpus.choose_splits([file.path for file in files])
        streams: dict[str, list[bytes]] = {corpus.TRAIN: [], corpus.HELDOUT: []}
        for file in files:
            streams[splits[file.path]].append(corpus.read_source(file))
        self.train = np.frombuffer(b"".join(streams[corpus.TRAIN]), np.uint8)
        self.heldout = np.frombuffer(b"".join(streams[corpus.HELDOUT]), np.uint8)
        model = ModelConfig()
        self.length = model.context_length
        optimiser = OptimiserConfig(warmup_steps=warmup_steps)
        self.program = build_program(model, optimiser, BATCH_SIZE)
        self.backend = load_backend(AUTO)
        self.theta = init_params(model, 0)
        self.carried = {uid: fresh_optimiser(self.theta) for uid in range(num_miners)}
        self.seen: list[screen.ScreenedPayload] = []

    @property
    def params(self) -> State:
        return state.strip_prefix(self.theta, state.PARAM_PREFIX)

    def draw(self, round_index: int, uid: int) -> np.ndarray:
        """Return the sequences assigned to a uid."""
        count = sampling.count_sequences(len(self.train), self.length)
        beacon = hashlib.sha256(b"round %d" % round_index).digest()
        number = INNER_STEPS * BATCH_SIZE
        return sampling.assigned_sequences(count, RUN_ID, round_index, beacon, uid, number)

    def train_round(self, round_index: int, uid: int) -> codec.SparseUpdate:
        """Train one miner's round and return what its payload says."""
        tokens = sampling.gather(self.train, self.draw(round_index, uid), self.length)
        start = {**self.theta, **self.carried[uid]}
        batches = tokens.reshape(INNER_STEPS, BATCH_SIZE, self.length + 1)
        end = self.backend.train_interval(self.program, start, batches)
        after = state.strip_prefix(end, state.PARAM_PREFIX)
        feedback = state.strip_prefix(self.carried[uid], state.FEEDBACK_PREFIX)
        header = codec.PayloadHeader(RUN_ID, round_index, uid)
        delta = {name: tensor - after[name] for name, tensor in self.params.items()}
        payload, rest = codec.compress(delta, feedback, codec.CodecConfig(), header)
        self.carried[uid] = {
            **state.select_optimiser({**self.carried[uid], **end}),
            **state.add_prefix(rest, state.FEEDBACK_PREFIX),
        }
        return codec.decode(payload, codec.get_layout(delta), codec.CodecConfig(), expect=header)

    def compute_gains(
        self, update: codec.SparseUpdate, rate: float, tokens: np.ndarray
    ) -> list[int]:
        """Return the fall of each sequence's loss when one update is applied alone."""
        stepped = aggregation.compute_outer_step(self.params, {0: update}, np.float32(rate))
        alone = state.add_prefix(stepped, state.PARAM_PREFIX)
        before = self.backend.sequence_losses(self.program, self.theta, tokens)
        return (before - self.backend.sequence_losses(self.program, alone, tokens)).tolist()

    def step(self, updates: dict[int, codec.SparseUpdate]) -> None:
        stepped = aggregation.compute_outer_step(self.params, updates, np.float32(OUTER_RATE))
        self.theta = state.add_prefix(stepped, state.PARAM_PREFIX)


def judge(net: Net, round_index: int, updates: dict[int, codec.SparseUpdate], tally: Tally) -> None:
    """Measure one round before its outer step."""
    screened = [
        screen.make_screened(uid, round_index, b"", update.tensors)
        for uid, update in updates.items()
    ]
    tally.overlaps_within += [
        screen.compute_overlap_ppm(a, b) for i, a in enumerate(screened) for b in screened[:i]
    ]
    tally.overlaps_across += [screen.compute_overlap_ppm(a, b) for a in screened for b in net.seen]
    net.seen = screened
    beacon = hashlib.sha256(b"judge %d" % round_index).digest()
    count = sampling.count_sequences(len(net.heldout), net.length)
    drawn = sampling.heldout_draw(count, RUN_ID, round_index, beacon, NUM_JUDGED)
    heldout = sampling.gather(net.heldout, drawn, net.length)
    part = OUTER_RATE / len(updates)
    gains = {uid: net.compute_gains(update, part, heldout) for uid, update in updates.items()}
    for uid, update in updates.items():
        tally.gains_whole.append(float(np.mean(net.compute_gains(update, OUTER_RATE, heldout))))
        tally.gains_part.append(float(np.mean(gains[uid])))
        peer, copied = (uid + 1) % len(updates), (uid + 2) % len(updates)
        own_draw = net.draw(round_index, uid)
        chosen = sampling.assigned_eval(own_draw, RUN_ID, round_index, beacon, uid, NUM_JUDGED)
        assigned = sampling.gather(net.train, chosen, net.length)
        by_peer = net.compute_gains(updates[peer], part, assigned)
        for sender, signs in ((uid, tally.honest_signs), (copied, tally.copier_signs)):
            by_sender = net.compute_gains(updates[sender], part, assigned)
            paired = PairedGains(by_sender, by_peer, gains[sender], gains[peer])
            signs.append(compute_round_sign(paired))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--miners", type=int, default=4, help="at least 3")
    parser.add_argument("--warmup-steps", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    net, tally = Net(args.miners, args.warmup_steps), Tally()
    for round_index in range(args.rounds):
        updates = {uid: net.train_round(round_index, uid) for uid in range(args.miners)}
        judge(net, round_index, updates, tally)
        net.step(updates)
    first = tally.gains_part[: args.miners]
    print(
        json.dumps(
            {
                "rounds": args.rounds,
                "warmup_steps": args.warmup_steps,
                "first_round_lowest_gain_to_mean": round(min(first) * len(first) / sum(first), 3),
                "miners": args.miners,
                "overlap_within_ppm": [min(tally.overlaps_within), max(tally.overlaps_within)],
                "overlap_across_ppm_max": max(tally.overlaps_across, default=0),
                "judged": len(tally.honest_signs),
                "won_honest": tally.honest_signs.count(1),
                "won_copier": tally.copier_signs.count(1),
                "not_positive_whole_step": sum(gain <= 0 for gain in tally.gains_whole),
                "not_positive_part_step": sum(gain <= 0 for gain in tally.gains_part),
            }
        )
    )


if __name__ == "__main__":
    main()
