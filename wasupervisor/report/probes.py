"""The read-only routes. Each answers from the board: constant time, and no call to anybody."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from wasupervisor.model.health import Status
from wasupervisor.model.policy import ReadyWhen
from wasupervisor.report.board import Board
from wasupervisor.report.connection import Request, Response
from wasupervisor.report.document import NOT_YET
from wasupervisor.report.health_json import MEDIA_TYPE, encode_health_json
from wasupervisor.report.readiness import MOST_ECHOED, readiness

if TYPE_CHECKING:
    from wasupervisor.report.metrics import Metrics

ALLOWED = ("GET", "HEAD", "OPTIONS")

_SESSION = "/health/sessions/"
_WELL = (Status.HEALTHY, Status.DEGRADED)


class Probes:
    """The handler of the health port: a `Request` in, a `Response` out."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._made_metrics: Metrics | None = None
        self._routes: dict[str, Callable[[Request], Response]] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/startupz": self._startupz,
            "/health": self._health,
            "/healthz": self._health,
            "/metrics": self._metrics,
        }

    def __call__(self, request: Request) -> Response:
        """Answer; paths are exact, and what is not built does not exist."""
        route = self._routes.get(request.path) or (self._session if _is_session(request.path) else None)
        if route is None:
            return Response.json(404, {"error": "there is nothing at this path"})
        allow = (("Allow", ", ".join(ALLOWED)),)
        if request.method not in ALLOWED:
            return Response.json(405, {"error": f"only {', '.join(ALLOWED)} are answered here"}, allow)
        response = route(request)
        added: tuple[tuple[str, str], ...] = allow if request.method == "OPTIONS" else ()
        if response.status == 503:
            added += (("Retry-After", str(self._board.snapshot.retry_after)),)
        return replace(response, headers=(*response.headers, *added)) if added else response

    def _livez(self, _: Request) -> Response:
        # While it stops no cycle finishes, and nobody may kill it for that.
        if self._board.ending or not self._board.is_stale():
            return Response.text(200, f"ok: {self._board.age()}")
        return Response.text(503, self._board.age())

    def _startupz(self, _: Request) -> Response:
        return Response.text(200, "started") if self._board.started else Response.text(503, NOT_YET)

    def _health(self, request: Request) -> Response:
        shown = self._board.shown()
        status = 200 if shown.status in _WELL else 503
        if MEDIA_TYPE in request.headers.get("accept", "").lower():
            return Response(status, self._board.encoded(encode_health_json), MEDIA_TYPE)
        return Response(status, self._board.body())

    def _metrics(self, _: Request) -> Response:
        from wasupervisor.report.metrics import CONTENT_TYPE, Metrics  # noqa: PLC0415 - most have no Prometheus

        if self._made_metrics is None:
            self._made_metrics = Metrics(self._board)
        return Response(200, self._made_metrics.render(), CONTENT_TYPE)

    def _session(self, request: Request) -> Response:
        board = self._board
        if not board.started or board.is_stale():
            return Response.json(503, {"error": board.age()})
        session = board.snapshot.sessions.get(urllib.parse.unquote(request.path.removeprefix(_SESSION)))
        if session is None:
            return Response.json(404, {"error": "no session of this name is known"})
        return Response.json(200 if session.usable else 503, session)

    def _readyz(self, request: Request) -> Response:
        try:
            policies = [ReadyWhen.parse(text) for text in request.query.get("policy", [])]
        except ValueError as error:
            return Response.json(400, {"error": f"policy: {str(error)[: 2 * MOST_ECHOED]}"})
        checks = readiness(self._board, request.query.get("session", []), policies)
        ready = all(check.holds for check in checks)
        verdict = "ready" if ready else "not ready"
        told = "; ".join(check.told for check in checks if check.holds is ready)
        lines = [f"{verdict}: {told}"]
        if "verbose" in request.query:
            lines[:0] = [f"[{'+' if check.holds else '-'}] {check.name}: {check.told}" for check in checks]
        return Response.text(200 if ready else 503, "\n".join(lines))


def _is_session(path: str) -> bool:
    name = path.removeprefix(_SESSION)
    return path.startswith(_SESSION) and name != "" and "/" not in name
