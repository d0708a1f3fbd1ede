"""The 22 situations of the public Yuma simulator, as data. Run this module to write the vectors.

Each case has three validators (uids 0..2) and two or three servers (uids 3..) over 40 epochs. The
simulator publishes no numbers for them, so `tests/vectors/yuma/cases.json` holds our own: they show
that nothing changed, not that it is right (the published tables do that).

The simulator's option "server-side winner takes all" is not part of the epoch: cases 20 and 22 have
the raw weights here. Cases 19 to 22 use noise of our own, with a fixed seed, rounded to u16.

Source: `reference/chain.md` section 1.12.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scoring.yuma_types import (
    EMPTY_ROW,
    EpochFunction,
    SparseRow,
    YumaOutput,
    YumaParams,
    YumaVariant,
)
from tests.scoring.yuma_helpers import make_input

VECTORS = Path(__file__).parents[1] / "vectors" / "yuma" / "cases.json"
NUM_EPOCHS = 40
NUM_VALIDATORS = 3
EMISSION_UNITS = 10**9

PARAMS = {
    "yuma3": YumaParams(max_validators=NUM_VALIDATORS),
    "yuma3_liquid": YumaParams(max_validators=NUM_VALIDATORS, liquid_alpha=True),
    "original": YumaParams(max_validators=NUM_VALIDATORS, variant=YumaVariant.ORIGINAL),
}

Matrix = list[list[float]]
S1, S2 = [1.0, 0.0], [0.0, 1.0]
HONEST_STAKES = [80, 10, 10]


@dataclass(frozen=True)
class Case:
    """One situation.

    Attributes:
        weights: epoch -> share each validator gives each server.
        stakes: epoch -> stake of each validator.
        reset: (server, epoch): bonds on the server are wiped before this epoch.
    """

    weights: Callable[[int], Matrix]
    stakes: Callable[[int], list[int]] = lambda epoch: HONEST_STAKES
    reset: tuple[int, int] | None = None


def steps(*changes: tuple[int, str]) -> Callable[[int], Matrix]:
    """Two servers: from an epoch on, one digit per validator names its server."""

    def weights(epoch: int) -> Matrix:
        digits = [text for start, text in changes if epoch >= start][-1]
        return [S1 if digit == "1" else S2 for digit in digits]

    return weights


def stable(share: float) -> Callable[[int], Matrix]:
    """Three servers: the third always has `share`, the rest moves from the first to the second."""
    moving = steps((0, "111"), (1, "121"), (2, "221"), (3, "222"))

    def weights(epoch: int) -> Matrix:
        return [[(1 - share) * w for w in row] + [share] for row in moving(epoch)]

    return weights


def clipping_demo(epoch: int) -> Matrix:
    return [[0.3, 0.7], [0.6, 0.4], [0.61, 0.39] if epoch < 20 else [0.3, 0.61]]


def minimal_support(epoch: int) -> Matrix:
    if 1 <= epoch <= 20:
        return [S2, [0.001, 0.999], S2]
    return [S1, [0.999, 0.001], S1]


def big_alone(epoch: int) -> Matrix:
    return [S2, [0.5, 0.5], S2 if epoch <= 20 else [0.5, 0.5]]


def noisy(
    means: list[float], deviations: list[float], *, winner_only: bool
) -> Callable[[int], Matrix]:
    """Noise around the servers' quality; with `winner_only` a validator names the best it saw."""

    def weights(epoch: int) -> Matrix:
        rng = np.random.RandomState(42 + epoch)
        rows = []
        for deviation in deviations:
            row = np.clip(np.array(means) + deviation * rng.standard_normal(len(means)), 0, 1)
            if winner_only:
                row = (np.arange(row.size) == np.argmax(row)).astype(float)
            rows.append((row / row.sum()).tolist())
        return rows

    return weights


def merged(epoch: int) -> list[int]:
    return HONEST_STAKES if epoch <= 5 else [80, 20, 0]


def fixed(*stakes: int) -> Callable[[int], list[int]]:
    return lambda epoch: list(stakes)


def _make_cases() -> dict[str, Case]:
    two = {"means": [0.6, 0.55], "deviations": [0.05, 0.15, 0.15]}
    three = {"means": [0.3, 0.35, 0.4], "deviations": [0.05, 0.1, 0.1]}
    there = [(0, "111"), (1, "122"), (2, "222")]
    kappa_second = [(0, "111"), (1, "121"), (2, "221"), (3, "222")]
    even = fixed(34, 33, 33)
    return {
        "01 kappa moves first": Case(steps((0, "111"), (1, "211"), (2, "221"), (3, "222"))),
        "02 kappa moves second": Case(steps(*kappa_second)),
        "03 kappa moves third": Case(steps((0, "111"), (1, "121"), (2, "122"), (3, "222"))),
        "04 all validators switch": Case(steps((0, "111"), (1, "222"))),
        "05 kappa second, then third": Case(
            steps(*there, (21, "212"), (22, "211"), (23, "111")), reset=(1, 20)
        ),
        "06 kappa second, then all": Case(steps(*kappa_second, (21, "111")), reset=(0, 21)),
        "07 big late, then all but one": Case(
            steps(*there, (21, "221"), (22, "111")), reset=(0, 21)
        ),
        "08 big late, then late again": Case(
            steps(*there, (21, "211"), (22, "111")), reset=(1, 20)
        ),
        "09 small validators merge": Case(steps((0, "222")), stakes=merged),
        "10 kappa delayed": Case(steps((0, "111"), (1, "121"), (10, "221"), (11, "222"))),
        "11 clipping": Case(clipping_demo, stakes=fixed(49, 49, 2), reset=(1, 20)),
        "12 minimal support": Case(minimal_support, reset=(1, 20)),
        "13 big alone": Case(big_alone, reset=(0, 20)),
        "14 switch for one epoch": Case(
            steps((0, "111"), (20, "112"), (21, "111")), stakes=fixed(33, 33, 34)
        ),
        "15 stable miner 0.25": Case(stable(0.25)),
        "16 stable miner 0.5": Case(stable(0.5)),
        "17 stable miner 0.75": Case(stable(0.75)),
        "18 stable miner 0.9": Case(stable(0.9)),
        "19 winner only, two servers": Case(noisy(**two, winner_only=True), fixed(49, 49, 2)),
        "20 proportional, two servers": Case(noisy(**two, winner_only=False), fixed(49, 49, 2)),
        "21 winner only, three servers": Case(noisy(**three, winner_only=True), even),
        "22 proportional, three servers": Case(noisy(**three, winner_only=False), even),
    }


CASES = _make_cases()


def compute_weights_u16(case: Case, epoch: int) -> list[list[int]]:
    """Return each validator's row over the servers, the largest value 65535."""
    return [[round(65535 * w / max(row)) for w in row] for row in case.weights(epoch)]


def drop_server(row: SparseRow, server: int) -> SparseRow:
    kept = [pair for pair in row.to_pairs() if pair[0] != NUM_VALIDATORS + server]
    return SparseRow.from_ints([uid for uid, _ in kept], [value for _, value in kept])


def run_case(case: Case, params: YumaParams, function: EpochFunction) -> list[YumaOutput]:
    """Run all epochs; bonds are carried."""
    num_servers = len(case.weights(0)[0])
    bonds = (EMPTY_ROW,) * (NUM_VALIDATORS + num_servers)
    outputs = []
    for epoch in range(NUM_EPOCHS):
        if case.reset is not None and case.reset[1] == epoch:
            bonds = tuple(drop_server(row, case.reset[0]) for row in bonds)
        rows = compute_weights_u16(case, epoch)
        state = make_input(
            [*case.stakes(epoch), *[0] * num_servers],
            {uid: dict(enumerate(row, start=NUM_VALIDATORS)) for uid, row in enumerate(rows)},
            epoch_index=epoch + 2,
            num_permits=NUM_VALIDATORS,
            bonds=bonds,
            emission_units=EMISSION_UNITS,
        )
        outputs.append(function(params, state))
        bonds = outputs[-1].bonds
    return outputs


def describe_case(case: Case, function: EpochFunction) -> dict[str, object]:
    """Return the case as it stands in the vectors: inputs, then outputs per rule."""
    document: dict[str, object] = {
        "stakes": [case.stakes(epoch) for epoch in range(NUM_EPOCHS)],
        "weights": [compute_weights_u16(case, epoch) for epoch in range(NUM_EPOCHS)],
        "reset": case.reset and list(case.reset),
    }
    for name, params in PARAMS.items():
        outputs = run_case(case, params, function)
        num_servers = len(outputs[0].bonds) - NUM_VALIDATORS
        document[name] = {
            "dividends": [list(o.dividends_u16[:NUM_VALIDATORS]) for o in outputs],
            "incentive": [list(o.incentive_u16[NUM_VALIDATORS:]) for o in outputs],
            "bonds": [
                [
                    [dict(row.to_pairs()).get(NUM_VALIDATORS + s, 0) for s in range(num_servers)]
                    for row in o.bonds[:NUM_VALIDATORS]
                ]
                for o in outputs
            ],
        }
    return document


def main() -> None:
    from scoring.yuma import compute_epoch_clear

    lines = [
        json.dumps(name)
        + ": "
        + json.dumps(describe_case(case, compute_epoch_clear), separators=(",", ":"))
        for name, case in CASES.items()
    ]
    VECTORS.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
