"""The changing verbs, for whoever was let in: by control_peers.py on the socket, by control_token.py on the port."""

from __future__ import annotations

import math
import pwd
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Protocol
from urllib.parse import unquote

import anyio
import msgspec
from anyio import to_thread
from msgspec.structs import replace

from wasupervisor.config.units import parse_duration
from wasupervisor.model.journal import EntryKind, Recorded
from wasupervisor.model.remedies import Order, OrderKind, Reply, Verdict
from wasupervisor.report.connection import Request, Response
from wasupervisor.runtime.control_redis import PREFIX, answer_redis
from wasupervisor.runtime.inbox import Inbox, NoAnswerError
from wasupervisor.runtime.reload import Reloaded
from wasupervisor.store.errors import StoreError

if TYPE_CHECKING:
    from wasupervisor.gateways.operator import QrAnswer
    from wasupervisor.runtime.queues import Ordered
    from wasupervisor.runtime.redis_orders import RedisOrders

STATUS_OF: dict[Verdict, int] = {
    Verdict.ACCEPTED: 202,
    Verdict.WITHHELD: 409,
    Verdict.LATER: 429,
    Verdict.UNKNOWN_SESSION: 404,
}

HISTORY = "/history"
RETRY_FAILED = "/queue/retry-failed"

HISTORY_LIMIT = 10_000
REASON_LIMIT = 500
"""Characters of a pause's reason: it stands in the state, in the journal and in the health document."""

NAME_WITHIN = 1.0
"""Seconds for which the name of a user is waited for; it may come from a directory service."""


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a changing request; all of it may be left out."""

    force: bool = False
    reason: str = ""
    pause_for: str | None = msgspec.field(default=None, name="for")
    """As in the configuration: `30m`, `1h`."""


class RetryWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `/queue/retry-failed`."""

    queue: str | None = None
    """None: all that are configured."""
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Daemon(Protocol):
    """What the verbs need of the daemon."""

    async def reload(self) -> Reloaded:
        """Read the configuration again."""
        ...

    async def show_qr(self, session: str, by: str) -> QrAnswer:
        """Fetch the QR code of a session for somebody; that it may be, is on the books."""
        ...

    async def retry_failed(self, queue: str | None, limit: int | None, by: str) -> Ordered:
        """Put failed jobs back for somebody, and journal it."""
        ...

    def redis_orders(self, by: str) -> RedisOrders:
        """The keys of the gateway's Redis, for somebody; what is done is journaled."""
        ...

    async def history(
        self,
        session: str | None,
        since: float | None,
        kinds: tuple[EntryKind, ...],
        limit: int,
        until: float | None = None,
        shared: bool = False,
    ) -> list[Recorded]:
        """Entries of the journal, the newest last; `since` and `until` in seconds since the epoch.

        `shared`: with those that name no session.
        """
        ...


_Verb = Callable[[Request, str, Wish], Awaitable[Response]]


class Control:
    """Answers whoever was let in; what is not a verb goes to the read-only routes."""

    def __init__(
        self,
        daemon: Daemon,
        inbox: Inbox,
        *,
        read_only: Callable[[Request], Response],
        answer_within: Callable[[], float],
    ) -> None:
        """`answer_within`: gives the seconds after which an order that no step has taken is given up."""
        self._daemon = daemon
        self._inbox = inbox
        self._read_only = read_only
        self._answer_within = answer_within
        session = r"/sessions/([^/]+)"
        self._qr = re.compile(f"{session}/qr")
        self._verbs: tuple[tuple[re.Pattern[str], _Verb], ...] = (
            (re.compile(f"{session}/recover"), self._session_verb(OrderKind.RECOVER)),
            (re.compile(f"{session}/restart"), self._session_verb(OrderKind.RESTART)),
            (re.compile(f"{session}/park"), self._session_verb(OrderKind.PARK)),
            (re.compile("/gateway/restart"), self._restart_gateway),
            (re.compile("/pause"), self._pause),
            (re.compile("/resume"), self._resume),
            (re.compile("/reload"), self._reload),
        )

    def knows(self, path: str) -> bool:
        """Whether this is a verb's path, and none of the read-only routes."""
        fixed = path in (HISTORY, RETRY_FAILED) or path.startswith(PREFIX)
        return fixed or any(one.fullmatch(path) for one in (self._qr, *(pattern for pattern, _verb in self._verbs)))

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if request.path == HISTORY:
            return await self._history(request) if request.method in ("GET", "HEAD") else _only("GET, HEAD")
        if (asked := self._qr.fullmatch(request.path)) is not None:
            return await self._show_qr(request, unquote(asked[1])) if request.method == "GET" else _only("GET")
        if request.path.startswith(PREFIX):
            return await answer_redis(request, self._daemon.redis_orders(await _who(request)))
        if request.path == RETRY_FAILED:
            return await self._retry_failed(request) if request.method == "POST" else _only("POST")
        for pattern, verb in self._verbs:
            match = pattern.fullmatch(request.path)
            if match is not None:
                return await self._with_wish(request, match, verb) if request.method == "POST" else _only("POST")
        return self._read_only(request)

    async def _with_wish(self, request: Request, match: re.Match[str], verb: _Verb) -> Response:
        try:
            wish = msgspec.json.decode(request.body or b"{}", type=Wish)
        except msgspec.MsgspecError as error:
            return _bad(f"cannot read the request's body: {error}")
        return await verb(request, unquote(match[1]) if match.groups() else "", wish)

    def _session_verb(self, kind: OrderKind) -> _Verb:
        async def verb(request: Request, name: str, wish: Wish) -> Response:
            return await self._order(Order(id="", kind=kind, session=name, force=wish.force, by=await _who(request)))

        return verb

    async def _restart_gateway(self, request: Request, _name: str, wish: Wish) -> Response:
        order = Order(id="", kind=OrderKind.RESTART_GATEWAY, force=wish.force, by=await _who(request))
        return await self._order(order)

    async def _pause(self, request: Request, _name: str, wish: Wish) -> Response:
        try:
            lasts = None if wish.pause_for is None else parse_duration(wish.pause_for)
        except ValueError as error:
            return _bad(f"cannot pause for that long: {error}")
        if lasts == 0:
            return _bad("cannot pause for no time at all; leave it out to pause until somebody resumes")
        reason = _one_line(wish.reason)
        if len(reason) > REASON_LIMIT:
            return _bad(f"cannot keep a reason of more than {REASON_LIMIT} characters")
        order = Order(id="", kind=OrderKind.PAUSE, pause_for=lasts, reason=reason, by=await _who(request))
        return await self._order(order)

    async def _resume(self, request: Request, _name: str, _wish: Wish) -> Response:
        return await self._order(Order(id="", kind=OrderKind.RESUME, by=await _who(request)))

    async def _reload(self, _request: Request, _name: str, _wish: Wish) -> Response:
        reloaded = await self._daemon.reload()
        body = {"reloaded": reloaded.taken, "text": reloaded.text, "problems": reloaded.problems}
        return Response.json(200 if reloaded.taken else 422, body)

    async def _order(self, order: Order) -> Response:
        try:
            reply = await self._inbox.put(order, self._answer_within())
        except NoAnswerError as error:
            return Response.json(503, {"error": str(error)})
        return _response(reply)

    async def _show_qr(self, request: Request, name: str) -> Response:
        """The one answer with a secret in it: decided and on the books first, fetched then, and kept nowhere."""
        by = await _who(request)
        try:
            reply = await self._inbox.put(Order(id="", kind=OrderKind.QR, session=name, by=by), self._answer_within())
        except NoAnswerError as error:
            return Response.json(503, {"error": str(error)})
        if reply.verdict is not Verdict.ACCEPTED:
            return _response(reply)
        answer = await self._daemon.show_qr(name, by)
        if answer.code is None:
            return _response(replace(reply, verdict=Verdict.WITHHELD, text=answer.text))
        return Response.json(200, {**_body(reply), "text": answer.text, "qr": answer.code})

    async def _retry_failed(self, request: Request) -> Response:
        try:
            wish = msgspec.json.decode(request.body or b"{}", type=RetryWish)
        except msgspec.MsgspecError as error:
            return _bad(f"cannot read the request's body: {error}")
        ordered = await self._daemon.retry_failed(wish.queue, wish.limit, await _who(request))
        if ordered.error is not None:
            return Response.json(409, {"error": ordered.error})
        return Response.json(200, {"queues": [msgspec.structs.asdict(one) for one in ordered.queues]})

    async def _history(self, request: Request) -> Response:
        query = {key: values[-1] for key, values in request.query.items()}
        try:
            since, until = (float(query[key]) if key in query else None for key in ("since", "until"))
            limit = min(int(query.get("limit", "1000")), HISTORY_LIMIT)
        except ValueError:
            return _bad("since, until and limit are numbers")
        try:
            kinds = tuple(map(EntryKind, request.query.get("kind", ())))
        except ValueError as error:
            return _bad(f"cannot look for this: {error}; a kind is one of {', '.join(EntryKind)}")
        try:
            found = await self._daemon.history(query.get("session"), since, kinds, limit, until, "shared" in query)
        except StoreError as error:
            return Response.json(503, {"error": str(error)})
        return Response.json(200, {"entries": [{"id": one.id, "at": one.at, **_entry(one)} for one in found]})


def _bad(text: str) -> Response:
    return Response.json(400, {"error": text})


def _only(methods: str) -> Response:
    return Response.json(405, {"error": f"only {methods} is answered here"}, (("Allow", methods),))


def _one_line(text: str) -> str:
    """Without line breaks and what else a terminal or a log would stumble over."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


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
        headers = (("Retry-After", str(max(1, math.ceil(reply.retry_after)))),)
    return Response.json(STATUS_OF[reply.verdict], _body(reply), headers)


def _body(reply: Reply) -> dict[str, object]:
    return {
        "action": reply.action,
        "accepted": reply.verdict is Verdict.ACCEPTED,
        "verdict": reply.verdict,
        "text": reply.text,
        "previous_status": reply.previous_status,
        "current_status": reply.current_status,
        "needs_qr": reply.needs_qr,
        "retry_after": reply.retry_after,
    }


async def _who(request: Request) -> str:
    """The user who asks, by the peer credentials of the socket; of who has the token, the address."""
    if request.peer is None:
        return f"the token, from {request.address}"
    with anyio.move_on_after(NAME_WITHIN):
        return await to_thread.run_sync(_name_of, request.peer.uid, abandon_on_cancel=True)
    return f"uid {request.peer.uid}"


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
