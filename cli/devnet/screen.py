"""The live screen, and plain lines where there is no terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.devnet.view import DevnetView

SPARKS = "▁▂▃▄▅▆▇█"
MAX_SPARKS = 40


def render(view: DevnetView, stopped: Sequence[str] = ()) -> RenderableType:
    """Draw one screen.

    Args:
        view: what there is to see.
        stopped: names of processes that are not running.
    """
    parts: list[RenderableType] = [_render_head(view), _render_members(view)]
    if view.checkpoint is not None:
        parts.append(_render_lineage(view))
    if stopped:
        parts.append(Text(f"not running: {', '.join(stopped)}", style="bold red"))
    return Panel(Group(*parts), title="descent devnet", border_style="cyan")


def describe(view: DevnetView) -> str:
    """Say the same in one line."""
    if view.run_status == "none":
        return f"height {view.height}  no run yet"
    line = (
        f"height {view.height}  run {view.run_status}  round {view.round_index} {view.phase}"
        f" ({view.blocks_left} blocks left)"
    )
    if view.losses:
        line += f"  loss {view.losses[-1][1]:.3f} bits/byte"
    paid = sum(member.paid_udsc for member in view.members if member.role == "miner")
    if paid:
        line += f"  paid to miners {paid / 1e6:.3f} DSC"
    return line


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
        head.append("   waiting for the owner to create the run", style="dim")
        return head
    head.append(f"   run 1 {view.run_status}", style="green")
    head.append(f"   round {view.round_index}/{view.num_rounds}", style="bold")
    head.append(f"   {view.phase}, {view.blocks_left} blocks left\n")
    if view.losses:
        values = [loss for _, loss in view.losses]
        head.append("validation loss ", style="dim")
        head.append(f"{values[0]:.3f} -> {values[-1]:.3f} bits a byte  ", style="bold yellow")
        head.append(draw_sparkline(values), style="yellow")
    else:
        head.append("validation loss: after the first judged round", style="dim")
    return head


def _render_members(view: DevnetView) -> RenderableType:
    table = Table(expand=True, box=None, pad_edge=False)
    for title, justify in (
        ("name", "left"),
        ("role", "left"),
        ("uid", "right"),
        ("last verdict", "left"),
        ("gain mbit/B", "right"),
        ("incentive", "right"),
        ("paid DSC", "right"),
        ("balance DSC", "right"),
    ):
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for member in view.members:
        style = "red" if member.reason not in ("", "ok") else ""
        table.add_row(
            member.name,
            member.role,
            str(member.uid),
            Text(member.reason or "-", style=style),
            "-" if member.score_millibits is None else f"{member.score_millibits:.2f}",
            f"{member.incentive:.3f}",
            f"{member.paid_udsc / 1e6:.3f}",
            f"{member.balance_udsc / 1e6:.3f}",
        )
    return table


def _render_lineage(view: DevnetView) -> RenderableType:
    checkpoint = view.checkpoint
    assert checkpoint is not None
    when = datetime.fromtimestamp(checkpoint.time_unix_ms / 1000, UTC)
    uids = ", ".join(str(c.uid) for c in checkpoint.contributions) or "nobody"
    return Text(
        f"last checkpoint {checkpoint.round}  {checkpoint.root.hex()[:16]}...  "
        f"height {checkpoint.height}  {when:%H:%M:%S} UTC  from uids {uids}",
        style="dim",
    )
