"""WAHA 2024.10.8's HTTP, as recorded: the same routes, status codes, keys and error texts, from a simulated world."""

# ruff: noqa: ARG001, ARG002
# All handlers take the same arguments, also those that need only one of them.

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any

from wasupervisor.simulator.httpd import Reply, Request, json_reply
from wasupervisor.simulator.routes import Result, Routes
from wasupervisor.simulator.virtual import Pending
from wasupervisor.simulator.waha_world import WahaSession, WahaWorld

VERSION = {"version": "2024.10.8", "engine": "NOWEB", "tier": "CORE", "browser": "/usr/bin/chromium"}
POWERED = (("X-Powered-By", "Express"),)
ONLY_DEFAULT = (
    "WAHA Core support only 'default' session. If you want to run more then one WhatsApp account - "
    "please get WAHA PLUS version. Check this out: https://waha.devlike.pro/"
)
ONLY_PLUS = "The feature is available only in Plus version. Check this out: https://waha.devlike.pro/"
ENVIRONMENT = (
    *(f"WAHA_{name}" for name in ("LOG_FORMAT", "LOG_LEVEL", "MEDIA_STORAGE", "PRINT_QR")),
    *(f"WHATSAPP_{name}" for name in ("API_PORT", "API_SCHEMA", "DEFAULT_ENGINE", "HOOK_EVENTS", "HOOK_URL")),
    "WHATSAPP_START_SESSION",
)
QR = "2@SIMULATED0x0x8ax8o7h,UJpxyta52V9T5sMckb1MehzLoFtRJORVdLZEuPzvjUA=,bm90IGEgc2VjcmV0,c2ltdWxhdGVk"
PNG = b"\x89PNG\r\n\x1a\n" + b"not a real picture"
PAGE = (
    b'<!DOCTYPE html>\n<html lang="en">\n<head><title>WAHA - WhatsApp HTTP API</title></head>\n<body></body></html>\n'
)

Handler = Callable[[Request, WahaSession], Result]


def reply(status: int, document: object = None) -> Reply:
    """JSON, or an empty body without a content type, as Express sends `undefined`."""
    return Reply(status, b"", POWERED) if document is None else json_reply(status, document, POWERED)


def error(status: int, message: object) -> Reply:
    """The error body of NestJS."""
    names = {400: "Bad Request", 404: "Not Found", 422: "Unprocessable Entity"}
    return reply(status, {"statusCode": status, "message": message, "error": names[status]})


def not_started(name: str) -> Reply:
    """What most routes say of a session that is STOPPED or unknown."""
    return error(
        404,
        f"We didn't find a session with name '{name}'.\n"
        f"Please start it first by using POST /api/sessions/{name}/start request",
    )


def as_listed(session: WahaSession) -> dict[str, object]:
    """One row of the list."""
    status = session.claim or session.status
    return {"name": session.name, "status": status, "config": session.config, "me": session.me}


def with_activity(session: WahaSession, epoch: float) -> dict[str, object]:
    """One row of the list as from 2025 on."""
    at = None if session.active_at is None else round((epoch + session.active_at) * 1000)
    return {**as_listed(session), "presence": None, "timestamps": {"activity": at}}


def as_info(session: WahaSession) -> dict[str, object]:
    """The single session."""
    return {**as_listed(session), "engine": {} if session.status == "STOPPED" else {"engine": "NOWEB"}}


class WahaHttp:
    """Answers requests from a world."""

    def __init__(self, world: WahaWorld, api_key: str | None = None) -> None:
        self.world = world
        self._api_key = api_key
        self._routes = Routes()
        self._fill()

    def answer(self, request: Request) -> Pending[Reply]:
        """The answer, now or after some time of the world."""
        if request.path != "/" and not self._authorised(request):
            return Pending.of(reply(401, {"message": "Unauthorized", "statusCode": 401}))
        handler = self._routes.find(request)
        if handler is None:
            return Pending.of(error(404, f"Cannot {request.method} {request.target}"))
        try:
            result = handler(request)
        except json.JSONDecodeError as problem:
            message = f"Expected property name or '}}' in JSON at position {problem.pos}"
            return Pending.of(error(400, message))
        return result if isinstance(result, Pending) else Pending.of(result)

    def _authorised(self, request: Request) -> bool:
        if self._api_key is None:
            return True
        given = request.headers.get("x-api-key") or request.query.get("x-api-key", "")
        return hmac.compare_digest(given.encode(), self._api_key.encode())

    def _fill(self) -> None:
        add = self._routes.add
        add("GET", "/", lambda _: Reply(200, PAGE, (*POWERED, ("Content-Type", "text/html; charset=utf-8"))))
        add("GET", "/ping", lambda _: reply(200, {"message": "pong"}))
        add("GET", "/health", lambda _: error(422, ONLY_PLUS))
        add("GET", "/api/version", lambda _: reply(200, VERSION))
        add("GET", "/api/server/version", lambda _: reply(200, VERSION))
        add("GET", "/api/server/status", self._server_status)
        add("GET", "/api/server/environment", self._environment)
        add("POST", "/api/server/stop", self._server_stop)
        add("GET", "/api/sessions", self._list)
        add("POST", "/api/sessions", self._create)
        add("POST", "/api/sessions/start", self._start_deprecated)
        add("POST", "/api/sessions/stop", self._stop_deprecated)
        add("POST", "/api/sessions/logout", self._logout_deprecated)
        add("GET", "/api/sessions/{name}", self._get)
        add("PUT", "/api/sessions/{name}", self._put)
        add("DELETE", "/api/sessions/{name}", self._delete)
        add("GET", "/api/sessions/{name}/me", self._me)
        add("POST", "/api/sessions/{name}/restart", self._restart)
        add("POST", "/api/sessions/{name}/start", self._start)
        add("POST", "/api/sessions/{name}/stop", self._stop)
        add("POST", "/api/sessions/{name}/logout", self._logout)
        add("GET", "/api/{name}/auth/qr", self._qr)
        add("POST", "/api/{name}/presence", self._presence)
        add("GET", "/api/contacts/check-exists", self._check_exists)
        add("POST", "/api/sendText", self._send_text)
        add("GET", "/api/screenshot", self._screenshot)

    # The server

    def _server_status(self, request: Request) -> Result:
        world = self.world
        started = round((world.epoch + world.started_at) * 1000)
        uptime = round((world.now - world.started_at) * 1000)
        return reply(200, {"startTimestamp": started, "uptime": uptime, "worker": {"id": ""}})

    def _environment(self, request: Request) -> Result:
        # The real one tells its key to whoever asks.
        return reply(200, {**dict.fromkeys(ENVIRONMENT, "simulated"), "WHATSAPP_API_KEY": self._api_key or ""})

    def _server_stop(self, request: Request) -> Result:
        self.world.server_stop(force=_body(request).get("force") is True)
        return reply(201, {"stopping": True})

    # Sessions

    def _list(self, request: Request) -> Result:
        wanted = request.query.get("all", "false")
        if wanted not in ("true", "false"):
            return error(400, ["all must be a boolean value"])
        rows = [session for session in self.world.sessions.values() if session.listed]
        rows = [row for row in rows if wanted == "true" or row.status != "STOPPED"]
        tells, epoch = self.world.tells_activity, self.world.epoch
        return reply(200, [with_activity(row, epoch) if tells else as_listed(row) for row in rows])

    def _get(self, request: Request, name: str) -> Result:
        session = self.world.find(name)
        return error(404, "Session not found") if session is None else reply(200, as_info(session))

    def _me(self, request: Request, name: str) -> Result:
        session = self.world.find(name)
        if session is None or session.status == "STOPPED":
            return not_started(name)
        return reply(200, session.me)

    def _create(self, request: Request) -> Result:
        body = _body(request)
        name = str(body.get("name") or "default")
        if self.world.find(name) is not None:
            return error(422, f"Session '{name}' already exists. Use PUT to update it.")
        if self.world.core and name != "default":
            return error(422, ONLY_DEFAULT)
        session = self.world.create(name, body.get("config"), start=body.get("start", True) is not False)
        info = as_info(session)
        if "config" not in body:
            del info["config"]
        return reply(201, info)

    def _put(self, request: Request, name: str) -> Result:
        return self._missing(name) or self.world.configure(name, _body(request).get("config")).map(_info(200))

    def _delete(self, request: Request, name: str) -> Result:
        return self.world.delete(name).map(lambda _: reply(200))

    def _restart(self, request: Request, name: str) -> Result:
        return self._missing(name) or self.world.restart(name).map(_info(201))

    def _start(self, request: Request, name: str) -> Result:
        return self._missing(name) or self._running(name) or self.world.start(name).map(_info(201))

    def _stop(self, request: Request, name: str) -> Result:
        if self.world.core and name != "default":
            return error(422, ONLY_DEFAULT)
        return self.world.stop(name).map(lambda session: reply(201, session and as_info(session)))

    def _logout(self, request: Request, name: str) -> Result:
        return self._missing(name) or self.world.logout(name).map(_info(201))

    def _start_deprecated(self, request: Request) -> Result:
        name = str(_body(request).get("name") or "")
        if self.world.core and name != "default":
            return error(422, ONLY_DEFAULT)
        if self.world.find(name) is None:
            self.world.create(name, None, start=False)
        running = self._running(name)
        if running is not None:
            return running
        started = self.world.start(name)
        return started.map(lambda session: reply(201, {"name": name, "status": session.status if session else ""}))

    def _stop_deprecated(self, request: Request) -> Result:
        body = _body(request)
        name = str(body.get("name") or "")
        stopped = self.world.stop(name)
        if body.get("logout") is True:
            stopped = stopped.bind(lambda _: self.world.delete(name))
        return stopped.map(lambda _: reply(201))

    def _logout_deprecated(self, request: Request) -> Result:
        return self.world.delete(str(_body(request).get("name") or "")).map(lambda _: reply(201))

    def _missing(self, name: str) -> Reply | None:
        if self.world.core and name != "default":
            return error(422, ONLY_DEFAULT)
        return error(404, "Session not found") if self.world.find(name) is None else None

    def _running(self, name: str) -> Reply | None:
        session = self.world.find(name)
        if session is None or session.status == "STOPPED":
            return None
        return error(422, f"Session '{name}' is already started.")

    # What needs a status

    def _expecting(self, request: Request, name: str, status: str, then: Handler) -> Result:
        session = self.world.find(name)
        if session is None or session.status == "STOPPED":
            return not_started(name)

        def judge(fits: bool) -> Pending[Reply]:
            if fits:
                result = then(request, session)
                return result if isinstance(result, Pending) else Pending.of(result)
            text = "Session status is not as expected. Try again later or restart the session"
            body = {"error": text, "session": name, "status": session.status, "expected": [status]}
            return Pending.of(reply(422, body))

        return self.world.expect(session, status).bind(judge)

    def _qr(self, request: Request, name: str) -> Result:
        return self._expecting(request, name, "SCAN_QR_CODE", _show_qr)

    def _check_exists(self, request: Request) -> Result:
        return self._expecting(request, request.query.get("session", "default"), "WORKING", self._exists)

    def _exists(self, request: Request, session: WahaSession) -> Result:
        phone = request.query.get("phone")
        if phone is None:
            return _exception(request, "TypeError", "Cannot read properties of undefined (reading 'split')")
        found = reply(200, {"numberExists": True, "chatId": f"{phone}@c.us"})
        lost = _exception(request, "Error", "Timed Out")
        return self.world.check_exists(session).map(lambda answered: found if answered else lost)

    def _presence(self, request: Request, name: str) -> Result:
        # Fire and forget: 201 proves nothing.
        return self._expecting(request, name, "WORKING", lambda _request, _session: reply(201))

    def _send_text(self, request: Request) -> Result:
        name = str(_body(request).get("session") or "default")
        no_session = _exception(request, "SessionError", "No sessions")
        return self._expecting(request, name, "WORKING", lambda _request, _session: no_session)

    def _screenshot(self, request: Request) -> Result:
        name = request.query.get("session", "default")
        session = self.world.find(name)
        if session is not None and session.status == "STARTING":
            return error(422, "The session is starting, please try again after few seconds")
        return self._expecting(request, name, "SCAN_QR_CODE", _show_qr)


def _body(request: Request) -> dict[str, Any]:
    document = json.loads(request.body) if request.body else {}
    return document if isinstance(document, dict) else {}


def _info(status: int) -> Callable[[WahaSession | None], Reply]:
    return lambda session: error(404, "Session not found") if session is None else reply(status, as_info(session))


def _show_qr(request: Request, session: WahaSession) -> Reply:
    if request.query.get("format") == "raw":
        return reply(200, {"value": QR})
    return Reply(200, PNG, (*POWERED, ("Content-Type", "image/png")))


def _exception(request: Request, name: str, message: str) -> Reply:
    """What WAHA's last filter writes: it echoes the request, and a stack."""
    return reply(
        500,
        {
            "statusCode": 500,
            "timestamp": "2026-11-21T11:00:17.674Z",
            "exception": {"stack": f"{name}: {message}\n    at simulated.js:1:1", "message": message, "name": name},
            "request": {
                "path": request.target,
                "method": request.method,
                "body": _body(request),
                "query": request.query,
            },
            "version": VERSION,
        },
    )
