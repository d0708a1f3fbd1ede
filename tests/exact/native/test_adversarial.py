"""Adversarial operands on every path: a few thousand products here, 10^5 in `make soak`."""

import pytest

from tests.exact.native.conftest import LIBRARY, PATHS
from tests.exact.native.products import compare_products


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_adversarial_products() -> None:
    assert compare_products(LIBRARY, PATHS, 1_000, 1) >= 1_000


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_adversarial_products__many() -> None:
    num_operands = -(-100_000 // len(PATHS))
    num_cases = compare_products(LIBRARY, PATHS, num_operands, 2)
    print(f"{num_cases} products on {', '.join(PATHS)}, 0 mismatches")
    assert num_cases >= 100_000
