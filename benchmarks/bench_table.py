"""Tables for people: every figure beside a reference that was measured in the same run."""

from __future__ import annotations

from collections.abc import Sequence


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """A Markdown table that reads well on a terminal too."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [f"## {title}", "", _line(head, widths), "|" + "|".join("-" * (width + 2) for width in widths) + "|"]
    lines += [_line(row, widths) for row in rows]
    lines += ["", *notes] if notes else []
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.ljust(width) if not column else cell.rjust(width) for column, (cell, width) in _numbered(cells, widths)
    ]
    return "| " + " | ".join(padded) + " |"


def _numbered(cells: Sequence[str], widths: Sequence[int]) -> enumerate[tuple[str, int]]:
    return enumerate(zip(cells, widths, strict=True))


def ratio(ours: float, reference: float) -> str:
    """How many times the reference."""
    return f"{ours / reference:.2f}" if reference else "-"


def megabytes(size: float) -> str:
    """Of 1,048,576 bytes, as `ps` and `top` count."""
    return f"{size / 2**20:.1f}"


def milliseconds(seconds: float) -> str:
    """With the figures that mean something."""
    return (
        f"{seconds * 1000:.2f}"
        if seconds < 0.01
        else f"{seconds * 1000:.1f}"
        if seconds < 0.1
        else f"{seconds * 1000:.0f}"
    )
