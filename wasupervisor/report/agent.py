"""What HAProxy's agent-check reads: on connect one line, from the last look, and nothing more.

The words are those of HAProxy's manual (configuration.txt, `agent-check`), their effect was measured with 2.6.12:

* A word holds until the agent says otherwise, so each line of ours takes back what an earlier one said.
* `drain` and `maint` are taken back by `ready` alone, and `ready` also ends what a person ordered on HAProxy's own
  socket (`set server ... state maint`). A weight of 0% drains in the same way, and leaves a person's order alone.
* A reason needs a blank before its `#`: `down#gone` is no word to HAProxy, and changes nothing.
* A line with a reason alone changes nothing either. That is what is said when nothing is known.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable

import anyio
import msgspec

from wasupervisor.report.board import Board
from wasupervisor.report.connection import Limits, Request, Response, send_all
from wasupervisor.report.readiness import Check, Question, readiness

LIMITS = Limits(head=512, head_deadline=0.5, write_deadline=2.0)
"""For the port of the agent: `head` is the line that names a session, and half a second is more than a lost packet
costs. HAProxy asks every 2 s and waits no longer than that."""

_LINGER_READS = 8
_LINGER_READ = 65536
# HAProxy shows no more of it.
_LONGEST_REASON = 120


class Row(msgspec.Struct, frozen=True):
    """What is said when this is the first thing that stands against traffic."""

    question: Question | None
    """None: nothing stands against it."""
    words: str
    """Without the reason; empty: HAProxy keeps what it knows."""
    sentence: str


NOT_LOOKED = Row(
    Question.FRESH,
    "",
    "The supervisor has just started and has not looked yet: what it said before it stopped still holds.",
)
SILENT = Row(Question.READY_WHEN, "down", "The gateway does not answer.")
ROWS = (
    Row(
        Question.SUPERVISOR,
        "",
        "The supervisor stops, to be upgraded for instance: that says nothing about the gateway.",
    ),
    Row(Question.FRESH, "fail", "No look has finished for so long that nothing is known of the gateway any more."),
    Row(Question.GATEWAY, "down", "The gateway does not answer."),
    Row(Question.READY_WHEN, "fail", "It answers, but fewer sessions are usable than `health.ready_when` wants."),
    Row(Question.SESSION, "fail", "The session that was asked for is not usable, or not known."),
    Row(
        Question.RESTART,
        "up 0%",
        "The supervisor is about to restart the gateway: what is under way may end, nothing new begins.",
    ),
    Row(None, "up 100%", "Traffic should go there. Paused or held: as the sessions are, like everywhere."),
)
"""In the order in which they are tried: the first whose question has a check that fails."""


class Agent:
    """The handler of the agent's port. The path of a `Request` is the line that was sent, the answer one line."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def __call__(self, request: Request) -> Response:
        """Answer for the session that the line names, or for the whole gateway."""
        checks = readiness(self._board, [request.path] if request.path else [])
        row = self._row(checks)
        told = "; ".join(check.told for check in checks if check.question is row.question or row.question is None)
        return Response.text(200, f"{row.words} # {_printable(told)}".lstrip())

    def _row(self, checks: list[Check]) -> Row:
        failing = {check.question for check in checks if not check.holds}
        row = next(row for row in ROWS if row.question in failing or row.question is None)
        if row.question is Question.FRESH and not self._board.started:
            return NOT_LOOKED
        if row.question is Question.READY_WHEN and self._board.shown().gateway.reachable is False:
            return SILENT
        return row


class LineConnection:
    """One client of the agent's port: a line in, if it sends one, a line out, and the end."""

    def __init__(self, client: socket.socket, limits: Limits) -> None:
        self.scope = anyio.CancelScope()
        self.busy = False
        self._socket = client
        self._limits = limits
        client.setblocking(False)

    async def exchange(self, handle: Callable[[Request], Awaitable[Response]]) -> bool:
        """Read the line, have it answered, send the answer. Always False: there is one answer.

        Raises:
            OSError: the client went away, or does not read.
        """
        request = Request("LINE", await self._read(), {}, {}, b"", None)
        response = await handle(request)
        if response.status == 200:
            await self._write(response.body)
        return False

    def close(self) -> None:
        """Let go of the socket; may be called twice."""
        self._socket.close()

    async def _read(self) -> str:
        """The line, without its end; what has come of it by the deadline, when its end has not."""
        line = bytearray()
        with anyio.move_on_after(self._limits.head_deadline):
            while b"\n" not in line and len(line) < self._limits.head:
                await anyio.wait_readable(self._socket)
                with contextlib.suppress(BlockingIOError):
                    data = self._socket.recv(self._limits.head - len(line))
                    if not data:
                        break
                    line += data
        return line.partition(b"\n")[0].decode("utf-8", "replace").strip()

    async def _write(self, data: bytes) -> None:
        await send_all(self._socket, data, self._limits.write_deadline)
        # A close with unread input would be a reset, and the client may lose the line.
        with contextlib.suppress(BlockingIOError):
            self._socket.shutdown(socket.SHUT_WR)
            for _ in range(_LINGER_READS):
                if not self._socket.recv(_LINGER_READ):
                    return


def _printable(text: str) -> str:
    """A reason that stays on its line, whatever a session is called."""
    plain = "".join(char if " " <= char <= "~" else "?" for char in text)
    return plain if len(plain) <= _LONGEST_REASON else f"{plain[: _LONGEST_REASON - 3]}..."
