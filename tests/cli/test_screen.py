"""The live screen in the terminals people have."""

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from chain_client.keys import Key, Keyring
from cli.devnet import screen
from cli.devnet.view import AccountNames, DevnetView, MemberView
from proto.descent.lineage.v1 import lineage_pb2

MEMBERS = [
    MemberView("validator-10", "validator", 0, "", None, 0.5, 10**9, 1_027_100_000, 10_009_271_000),
    MemberView("miner-0", "miner", 1, "ok", 758.08, 0.311, 0, 6_382_000, 105_122_000),
    MemberView("miner-3", "miner", 12, "replay mismatch", -1204.5, 0.0, 0, 0, 99_000_000),
]
CHECKPOINT = lineage_pb2.Checkpoint(
    round=12, root=b"\xab" * 32, height=1_234, time_unix_ms=1_795_275_627_798
)
CHECKPOINT.contributions.add(uid=1)
VIEW = DevnetView(
    height=1_240,
    run_status="training",
    round_index=12,
    phase="attesting",
    blocks_left=3,
    num_rounds=1_000,
    losses=[(0, 7.338), (1, 6.1), (2, 4.356)],
    members=MEMBERS,
    checkpoint=CHECKPOINT,
    judged_round=11,
)


def draw(view: DevnetView, width: int, notes: list[str] | None = None) -> list[str]:
    console = Console(width=width, height=24, file=io.StringIO())
    console.print(screen.render(view, notes or []))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 120])
def test_screen_shows_everything(width: int) -> None:
    lines = draw(VIEW, width)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    for part in (
        *("height 1240", "round 12/1000", "attesting, 3 blocks left", "7.338 -> 4.356 bits a byte"),
        *("validator-10", "1027.10", "10009.27", "miner-0", "758.1", "0.311", "replay mismatch"),
        *("-1204", "105.12", "checkpoint 12", "abababababab", "from uids 1"),
    ):
        assert part in text, part


def test_screen__before_the_run_starts() -> None:
    pending = DevnetView(height=4, run_status="pending", registered="1 of 3 miners, 0 of 2")
    text = "\n".join(draw(pending, 80, ["not running: miner-2"]))
    assert "registered: 1 of 3 miners" in text
    assert "blocks left" not in text
    assert "not running: miner-2" in text
    assert "no run yet" in "\n".join(draw(DevnetView(height=2), 80))


@pytest.mark.parametrize(
    ("status", "phase", "words"),
    [
        ("training", "settling", "round 12/1000  settling"),
        ("training", "judging", "settled, the next one starts"),
        ("verifying", "judging", "judging, 3 blocks left"),
        ("halted", "training", "stopped by the owner"),
    ],
)
def test_describe_round(status: str, phase: str, words: str) -> None:
    view = dataclasses.replace(VIEW, run_status=status, phase=phase)
    assert words in screen.describe_round(view)
    assert words in screen.describe(view)


def test_account_names(tmp_path: Path) -> None:
    names = AccountNames(tmp_path)
    key = Keyring(tmp_path, backend="test").add(Key("late", b"\x01" * 32))
    assert names.find(key.address) == "late"
    assert names.find("descent1unknownaddress") == "...wnaddress"
