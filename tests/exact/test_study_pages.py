"""The pages of the studies say what their results say."""

from pathlib import Path

from bench import parity, price
from bench.parity_report import summarise, write_page
from bench.results import read_results

DOCS = Path(__file__).parents[2] / "docs"


def test_price(tmp_path: Path) -> None:
    price.write_page(read_results(DOCS / "price.json"), tmp_path / "price.md")
    assert (tmp_path / "price.md").read_text() == (DOCS / "price.md").read_text()


def test_parity(tmp_path: Path) -> None:
    results = read_results(DOCS / "parity.json")
    table = summarise(results, parity.STUDIES, parity.get_key)
    write_page(table, results["machines"], tmp_path / "parity.md")
    assert (tmp_path / "parity.md").read_text() == (DOCS / "parity.md").read_text()
    assert sum(entry["recipes"]["default"]["unseen"]["pairs"] for entry in table.values()) >= 47
