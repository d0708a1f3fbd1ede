"""Time a Yuma epoch; prints JSON. Run as `python -m bench.yuma [--repeats N] [--clear]`."""

import argparse
import json
import platform
import time

import numpy as np

from scoring.yuma import compute_epoch_clear
from scoring.yuma_fast import compute_epoch
from scoring.yuma_types import (
    EMPTY_ROW,
    EpochFunction,
    SparseRow,
    YumaInput,
    YumaParams,
    YumaVariant,
)

SIZES = ((256, 64), (4096, 256))  # uids, validators
SEED = 1


def make_state(num_uids: int, num_validators: int) -> YumaInput:
    """Dense random weights of every validator on every other uid."""
    rng = np.random.RandomState(SEED)
    uids = np.arange(num_uids, dtype=np.uint16)
    rows = [
        SparseRow(uids, rng.randint(1, 65536, num_uids).astype(np.uint16))
        if uid < num_validators
        else EMPTY_ROW
        for uid in range(num_uids)
    ]
    stakes = [int(s) for s in rng.randint(10**6, 10**12, num_validators)]
    return YumaInput(
        now_block=1000,
        last_epoch_block=900,
        stakes_units=(*stakes, *(0,) * (num_uids - num_validators)),
        permits=tuple(uid < num_validators for uid in range(num_uids)),
        last_update_blocks=(990,) * num_uids,
        registered_at_blocks=(0,) * num_uids,
        weights=tuple(rows),
        bonds=(EMPTY_ROW,) * num_uids,
        emission_units=10**9,
    )


def time_epochs(
    function: EpochFunction, params: YumaParams, state: YumaInput, repeats: int
) -> list[float]:
    """Return milliseconds of epochs that build on each other's bonds, fastest first."""
    fields = {name: getattr(state, name) for name in state.__dataclass_fields__}
    times = []
    for _ in range(repeats + 1):
        state = YumaInput(**fields)
        start = time.perf_counter()
        output = function(params, state)
        times.append(1000 * (time.perf_counter() - start))
        fields["bonds"] = output.bonds
    return sorted(times[1:])  # the first epoch has no bonds yet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clear", action="store_true", help="time the clear version as well")
    args = parser.parse_args()
    functions: dict[str, EpochFunction] = {"fast": compute_epoch}
    if args.clear:
        functions["clear"] = compute_epoch_clear
    results = []
    for num_uids, num_validators in SIZES:
        state = make_state(num_uids, num_validators)
        for variant in YumaVariant:
            for liquid_alpha in (False, True) if variant is YumaVariant.YUMA3 else (False,):
                params = YumaParams(
                    variant=variant, liquid_alpha=liquid_alpha, max_validators=num_validators
                )
                for name, function in functions.items():
                    times = time_epochs(function, params, state, args.repeats)
                    results.append(
                        {
                            "uids": num_uids,
                            "validators": num_validators,
                            "variant": variant.name.lower(),
                            "liquid_alpha": liquid_alpha,
                            "version": name,
                            "median_ms": round(times[len(times) // 2], 2),
                            "best_ms": round(times[0], 2),
                        }
                    )
    print(json.dumps({"machine": platform.processor() or platform.machine(), "yuma": results}))


if __name__ == "__main__":
    main()
