"""The changing verbs, on the control socket only: file permissions and peer credentials guard it."""

from __future__ import annotations

import pwd
import re
from collections.abc import Awaitable, Callable
from typing import Protocol
from urllib.parse import unquote

import msgspec

from wasupervisor.config.units import parse_duration
from wasupervisor.model.journal import Recorded
from wasupervisor.model.remedies import Order, OrderKind, Reply, Verdict
from wasupervisor.report.connection import Request, Response
from wasupervisor.runtime.inbox import Inbox, NoAnswerError
from wasupervisor.store.errors import StoreError

STATUS_OF: dict[Verdict, int] = {
    Verdict.ACCEPTED: 202,
    Verdict.WITHHELD: 409,
    Verdict.LATER: 429,
    Verdict.UNKNOWN_SESSION: 404,
}

HISTORY_LIMIT = 10_000


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a changing request; all of it may be left out."""

    force: bool = False
    reason: str = ""
    pause_for: str | None = msgspec.field(default=None, name="for")
    """As in the configuration: `30m`, `1h`."""


class Daemon(Protocol):
    """What the control socket needs of the daemon."""

    async def reload(self) -> tuple[bool, str]:
        """Read the configuration again. Gives whether it was taken, and a sentence."""
        ...

    async def history(
        self, session: str | None, since: float | None, kinds: tuple[str, ...], limit: int
    ) -> list[Recorded]:
        """Entries of the journal, the newest last; `since` in seconds since the epoch."""
        ...


class Control:
    """Answers on the control socket; what is not a verb goes to the read-only routes."""

    def __init__(
        self, daemon: Daemon, inbox: Inbox, *, read_only: Callable[[Request], Response], answer_within: float
    ) -> None:
        """`answer_within`: seconds after which an order that no step has taken is given up."""
        self._daemon = daemon
        self._inbox = inbox
        self._read_only = read_only
        self._answer_within = answer_within
        session = r"/sessions/([^/]+)"
        self._posts: tuple[tuple[re.Pattern[str], Callable[[Request, str, Wish], Awaitable[Response]]], ...] = (
            (re.compile(f"{session}/recover"), self._session_verb(OrderKind.RECOVER)),
            (re.compile(f"{session}/restart"), self._session_verb(OrderKind.RESTART)),
            (re.compile("/pause"), self._pause),
            (re.compile("/resume"), self._resume),
            (re.compile("/reload"), self._reload),
        )

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if request.method == "POST":
            for pattern, verb in self._posts:
                match = pattern.fullmatch(request.path)
                if match is not None:
                    return await self._with_wish(request, match, verb)
            return Response.json(404, {"error": f"there is no verb at {request.path}"})
        if request.method == "GET" and request.path == "/history":
            return await self._history(request)
        return self._read_only(request)

    async def _with_wish(
        self, request: Request, match: re.Match[str], verb: Callable[[Request, str, Wish], Awaitable[Response]]
    ) -> Response:
        try:
            wish = msgspec.json.decode(request.body or b"{}", type=Wish)
        except msgspec.MsgspecError as error:
            return Response.json(400, {"error": f"cannot read the request's body: {error}"})
        return await verb(request, unquote(match[1]) if match.groups() else "", wish)

    def _session_verb(self, kind: OrderKind) -> Callable[[Request, str, Wish], Awaitable[Response]]:
        async def verb(request: Request, name: str, wish: Wish) -> Response:
            return await self._order(Order(id="", kind=kind, session=name, force=wish.force, by=_who(request)))

        return verb

    async def _pause(self, request: Request, _name: str, wish: Wish) -> Response:
        try:
            lasts = None if wish.pause_for is None else parse_duration(wish.pause_for)
        except ValueError as error:
            return Response.json(400, {"error": f"cannot pause: {error}"})
        return await self._order(
            Order(id="", kind=OrderKind.PAUSE, pause_for=lasts, reason=wish.reason, by=_who(request))
        )

    async def _resume(self, request: Request, _name: str, _wish: Wish) -> Response:
        return await self._order(Order(id="", kind=OrderKind.RESUME, by=_who(request)))

    async def _reload(self, _request: Request, _name: str, _wish: Wish) -> Response:
        taken, text = await self._daemon.reload()
        return Response.json(200 if taken else 422, {"reloaded": taken, "text": text})

    async def _order(self, order: Order) -> Response:
        try:
            reply = await self._inbox.put(order, self._answer_within)
        except NoAnswerError:
            return Response.json(503, {"error": "the daemon did not come to it in time; try again"})
        return _response(reply)

    async def _history(self, request: Request) -> Response:
        query = {key: values[-1] for key, values in request.query.items()}
        try:
            since = float(query["since"]) if "since" in query else None
            limit = min(int(query.get("limit", "1000")), HISTORY_LIMIT)
        except ValueError:
            return Response.json(400, {"error": "since and limit are numbers"})
        kinds = tuple(request.query.get("kind", ()))
        try:
            found = await self._daemon.history(query.get("session"), since, kinds, limit)
        except StoreError as error:
            return Response.json(503, {"error": str(error)})
        return Response.json(200, {"entries": [{"id": one.id, "at": one.at, **_entry(one)} for one in found]})


def _entry(one: Recorded) -> dict[str, object]:
    entry = one.entry
    return {
        "kind": entry.kind,
        "session": entry.session,
        "reason": entry.reason,
        "remedy": entry.remedy,
        "outcome": entry.outcome,
        "warn": entry.warn,
        "text": entry.text,
    }


def _response(reply: Reply) -> Response:
    headers: tuple[tuple[str, str], ...] = ()
    if reply.retry_after is not None and reply.verdict is Verdict.LATER:
        headers = (("Retry-After", str(max(1, round(reply.retry_after)))),)
    return Response.json(
        STATUS_OF[reply.verdict],
        {
            "id": reply.action or reply.order_id,
            "accepted": reply.verdict is Verdict.ACCEPTED,
            "verdict": reply.verdict,
            "text": reply.text,
            "previous_status": reply.previous_status,
            "current_status": reply.current_status,
            "needs_qr": reply.needs_qr,
            "retry_after": reply.retry_after,
        },
        headers,
    )


def _who(request: Request) -> str:
    """The user who asks, by the peer credentials of the socket."""
    if request.peer is None:
        return ""
    try:
        return pwd.getpwuid(request.peer.uid).pw_name
    except KeyError:
        return f"uid {request.peer.uid}"
