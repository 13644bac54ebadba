"""The last look as metrics, in Prometheus' text format 0.0.4 (prometheus.io, "Exposition formats").

Loaded at the first scrape: most have no Prometheus. prometheus_client would add 3.4 MB (docs/dependencies.md).
"""

from __future__ import annotations

from collections.abc import Iterator

from wasupervisor.report.board import Board
from wasupervisor.report.document import Document
from wasupervisor.report.series import AGE, PREFIX, ROWS, Row, View

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Metrics:
    """Made once for each look; only the look's age is told anew each time."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._made: tuple[Document, bool, bytes] | None = None

    def render(self) -> bytes:
        """As they are now."""
        board = self._board
        shown, fresh = board.shown(), board.started and not board.is_stale()
        made = self._made
        if made is None or made[0] is not shown or made[1] is not fresh:
            made = self._made = (shown, fresh, encode(View(shown, board.snapshot.counts, fresh)))
        age = "\n".join((*_head(AGE), f"{PREFIX}{AGE.name} {round(board.age_seconds, 3)}\n"))
        return age.encode() + made[2]


def encode(view: View) -> bytes:
    """All but the age. What is unknown is left out, and what is told of the gateway when the look is too old."""
    return "".join(f"{line}\n" for row in ROWS if row.lasting or view.fresh for line in _lines(row, view)).encode()


def _lines(row: Row, view: View) -> Iterator[str]:
    # By its labels each once, for one series told twice makes Prometheus refuse all of them.
    samples = {labels: value for labels, value in row.read(view) if value is not None}
    if samples:
        yield from _head(row)
    for labels, value in samples.items():
        told = ",".join(f'{name}="{text.translate(_ESCAPED)}"' for name, text in zip(row.labels, labels, strict=True))
        # True is 1.
        yield f"{PREFIX}{row.name}{{{told}}} {+value}" if told else f"{PREFIX}{row.name} {+value}"


def _head(row: Row) -> tuple[str, str]:
    return f"# HELP {PREFIX}{row.name} {row.help}", f"# TYPE {PREFIX}{row.name} {row.kind}"
