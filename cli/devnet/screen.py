"""The live screen, and plain lines where there is no terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.devnet.view import DevnetView
from proto.descent.lineage.v1 import lineage_pb2

SPARKS = "▁▂▃▄▅▆▇█"
MAX_SPARKS = 40
MAX_NAME = 12


def render(view: DevnetView, notes: Sequence[str] = ()) -> RenderableType:
    """Draw one screen.

    Args:
        view: what there is to see.
        notes: lines about what is wrong.
    """
    parts: list[RenderableType] = [_render_head(view)]
    if view.members:
        parts.append(_render_members(view))
    if view.checkpoint is not None:
        parts.append(_render_lineage(view.checkpoint))
    parts += [Text(note, style="bold red") for note in notes]
    return Panel(Group(*parts), title="descent devnet", border_style="cyan")


def describe(view: DevnetView) -> str:
    """Say the same in one line."""
    if view.run_status == "none":
        return f"height {view.height}  no run yet"
    line = f"height {view.height}  run {view.run_status}  {describe_round(view)}"
    if view.losses:
        line += f"  loss {view.losses[-1][1]:.3f} bits/byte"
    paid = sum(member.paid_udsc for member in view.members if member.role == "miner")
    if paid:
        line += f"  paid to miners {paid / 1e6:.3f} DSC"
    return line


def describe_round(view: DevnetView) -> str:
    """Say which round is in work, in which phase, and how long that lasts."""
    if view.run_status == "pending":
        return f"registered: {view.registered}"
    text = f"round {view.round_index}/{view.num_rounds}  "
    if view.run_status == "halted":
        return text + "stopped by the owner"
    if view.phase == "judging" and view.run_status == "training":
        return text + "settled, the next one starts"
    if view.phase == "settling" or view.run_status == "completed":
        return text + view.phase
    blocks = "1 block" if view.blocks_left == 1 else f"{view.blocks_left} blocks"
    return text + f"{view.phase}, {blocks} left"


def draw_sparkline(values: Sequence[float]) -> str:
    """Draw a curve in one line of block characters."""
    shown = list(values)[-MAX_SPARKS:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    span = (high - low) or 1.0
    return "".join(SPARKS[int((value - low) / span * (len(SPARKS) - 1))] for value in shown)


def _render_head(view: DevnetView) -> RenderableType:
    head = Text()
    head.append(f"height {view.height}", style="bold")
    if view.run_status == "none":
        head.append("   no run yet", style="dim")
        return head
    head.append(f"   run 1 {view.run_status}   ", style="green")
    head.append(describe_round(view), style="bold")
    if view.losses:
        values = [loss for _, loss in view.losses]
        head.append("\nvalidation loss ", style="dim")
        head.append(f"{values[0]:.3f} -> {values[-1]:.3f} bits a byte  ", style="bold yellow")
        head.append(draw_sparkline(values), style="yellow")
    elif view.run_status != "pending":
        head.append("\nvalidation loss: after the first judged round", style="dim")
    return head


def _render_members(view: DevnetView) -> RenderableType:
    """Draw one line a participant; 80 columns hold it."""
    table = Table(expand=True, box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("\nname", no_wrap=True, min_width=MAX_NAME)
    for title, width in (
        ("\nrole", 9),
        ("\nuid", 3),
        ("gain\nmbit/B", 6),
        ("\nlast verdict", 15),
        ("\nincentive", 9),
        ("paid\nDSC", 7),
        ("balance\nDSC", 8),
    ):
        is_text = title in ("\nrole", "\nlast verdict")
        table.add_column(
            title, justify="left" if is_text else "right", no_wrap=True, min_width=width
        )
    for member in view.members:
        style = "red" if member.reason not in ("", "ok") else ""
        table.add_row(
            member.name if len(member.name) <= MAX_NAME else member.name[: MAX_NAME - 3] + "...",
            member.role,
            str(member.uid),
            _format_gain(member.score_millibits),
            Text(member.reason or "-", style=style),
            f"{member.incentive:.3f}",
            f"{member.paid_udsc / 1e6:.2f}",
            f"{member.balance_udsc / 1e6:.2f}",
        )
    return table


def _format_gain(millibits: float | None) -> str:
    if millibits is None:
        return "-"
    return f"{millibits:.1f}" if abs(millibits) < 1000 else f"{millibits:.0f}"


def _render_lineage(checkpoint: lineage_pb2.Checkpoint) -> RenderableType:
    when = datetime.fromtimestamp(checkpoint.time_unix_ms / 1000, UTC)
    origin = "from uids " + ", ".join(str(c.uid) for c in checkpoint.contributions)
    if not checkpoint.contributions:
        origin = "nobody's work" if checkpoint.round else "the first weights"
    return Text(
        f"checkpoint {checkpoint.round}  {checkpoint.root.hex()[:12]}  height {checkpoint.height}"
        f"  {when:%H:%M:%S} UTC  {origin}",
        style="dim",
        no_wrap=True,
        overflow="ellipsis",
    )
