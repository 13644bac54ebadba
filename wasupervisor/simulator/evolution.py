"""Evolution API 2.3.6's HTTP, as recorded: the same routes, status codes, keys and texts, from a simulated world."""

# ruff: noqa: ARG002
# All handlers take the same arguments, also those that need only one of them.

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from wasupervisor.simulator.evolution_world import EvolutionSession, EvolutionWorld
from wasupervisor.simulator.httpd import Reply, Request, json_reply
from wasupervisor.simulator.routes import Result, Routes
from wasupervisor.simulator.virtual import Pending
from wasupervisor.simulator.world import UplinkState

VERSION = "2.3.6"
URL = "http://127.0.0.1:18080"
COMMON = (
    ("X-Powered-By", "Express"),
    ("Vary", "Origin, Accept-Encoding"),
    ("Access-Control-Allow-Credentials", "true"),
    ("Date", "Sat, 21 Nov 2026 11:15:21 GMT"),
)
OBJECT_OBJECT = {"error": True, "message": "[object Object]"}
SETTINGS = {
    "rejectCall": False,
    "msgCall": "",
    "groupsIgnore": False,
    "alwaysOnline": False,
    "readMessages": False,
    "readStatus": False,
    "syncFullHistory": False,
    "wavoipToken": "",
}
PRISMA_DOWN = (
    "\nInvalid `this.prismaRepository.instance.findMany()` invocation in\n<evolution>/dist/main.js:18628:60\n\n"
    "  18625   },\n  18626   clientName\n  18627 } : { clientName };\n"
    "→ 18628 const instances = await this.prismaRepository.instance.findMany(\n"
    "Can't reach database server at 127.0.0.1:15432"
)
PRISMA_CONFLICT = (
    "\nInvalid `this.prismaRepository.setting.upsert()` invocation in\n<evolution>/dist/main.js:6526:41\n\n"
    "  6525 async setSettings(data) {\n→ 6526   await this.prismaRepository.setting.upsert(\n"
    "Foreign key constraint violated on the constraint: `Setting_instanceId_fkey`"
)


def reply(status: int, document: object) -> Reply:
    """JSON with the headers of this Express."""
    return _with_etag(json_reply(status, document, COMMON))


def error(status: int, message: object) -> Reply:
    """The one error body; `message` is a text or a list."""
    names = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 500: "Internal Server Error"}
    return reply(status, {"status": status, "error": names[status], "response": {"message": message}})


def _with_etag(plain: Reply) -> Reply:
    digest = b64encode(hashlib.sha1(plain.body, usedforsecurity=False).digest())[:27].decode()
    return Reply(plain.status, plain.body, (*plain.headers, ("ETag", f'W/"{len(plain.body):x}-{digest}"')))


class EvolutionHttp:
    """Answers requests from a world."""

    def __init__(self, world: EvolutionWorld, api_key: str | None = None, *, metrics: bool = True) -> None:
        self.world = world
        self._api_key = api_key
        self._metrics = metrics
        self._routes = Routes()
        self._fill()

    def answer(self, request: Request) -> Pending[Reply]:
        """The answer, now or after some time of the world."""
        handler = self._routes.find(request)
        if handler is None:
            return Pending.of(error(404, [f"Cannot {request.method} {request.path}"]))
        result = handler(request)
        return result if isinstance(result, Pending) else Pending.of(result)

    def _fill(self) -> None:
        add, named = self._routes.add, self._named
        add("GET", "/", self._root)
        if self._metrics:
            add("GET", "/metrics", self._show_metrics)
        add("POST", "/verify-creds", self._verify_creds)
        add("GET", "/instance/fetchInstances", self._fetch_instances)
        add("POST", "/instance/create", self._create)
        add("GET", "/instance/connectionState/{name}", named(self._connection_state))
        add("GET", "/instance/connect/{name}", named(self._connect))
        add("POST", "/instance/restart/{name}", named(self._restart))
        add("POST", "/instance/setPresence/{name}", named(self._set_presence))
        add("DELETE", "/instance/logout/{name}", named(self._logout))
        add("DELETE", "/instance/delete/{name}", named(self._delete))
        add("POST", "/chat/whatsappNumbers/{name}", named(self._whatsapp_numbers))
        add("GET", "/chat/fetchPrivacySettings/{name}", named(lambda _request, _session: reply(200, {})))
        add("POST", "/chat/fetchProfilePictureUrl/{name}", named(self._picture))
        add("GET", "/group/fetchAllGroups/{name}", named(self._groups))
        add("POST", "/message/sendText/{name}", named(self._send_text))
        add("GET", "/settings/find/{name}", named(lambda _request, _session: reply(200, SETTINGS)))
        add("GET", "/webhook/find/{name}", named(lambda _request, _session: reply(200, None)))
        add("POST", "/webhook/set/{name}", named(self._webhook_set))

    # Guards

    def _named(self, handler: Callable[[Request, EvolutionSession], Result]) -> Callable[..., Result]:
        """First the instance must exist, then the key be right: an unknown instance is 404 with a wrong key too."""

        def guarded(request: Request, name: str) -> Pending[Reply]:
            def go(_: None) -> Pending[Reply]:
                session = self.world.sessions.get(name)
                if session is None or (session.memory is None and self.world.mode == "A"):
                    return Pending.of(error(404, [f'The "{name}" instance does not exist']))
                if self._global_key(request) or self._token_of(request) is session:
                    result = handler(request, session)
                    return result if isinstance(result, Pending) else Pending.of(result)
                return Pending.of(error(401, "Unauthorized"))

            # The existence guard asks Redis; node-redis queues the question while Redis is down.
            return self.world.redis_answers().bind(go)

        return guarded

    def _global_key(self, request: Request) -> bool:
        if self._api_key is None:
            return True
        return hmac.compare_digest(request.headers.get("apikey", "").encode(), self._api_key.encode())

    def _token_of(self, request: Request) -> EvolutionSession | None:
        """Whose token the key is; tokens are looked up in PostgreSQL, so without it they are wrong."""
        key = request.headers.get("apikey")
        if not self.world.database_up:
            return None
        return next((session for session in self.world.sessions.values() if session.token == key), None)

    # The server

    def _root(self, request: Request) -> Result:
        document = {
            "status": 200,
            "message": "Welcome to the Evolution API, it is working!",
            "version": VERSION,
            "clientName": "evolution",
            "manager": f"{URL}/manager",
            "documentation": "https://doc.evolution-api.com",
            "whatsappWebVersion": "2.3000.1027934701",
        }
        if self.world.uplink is UplinkState.BLACK_HOLE:
            return self.world.call()  # it awaits web.whatsapp.com/sw.js without a time-out
        return reply(200, document)

    def _verify_creds(self, request: Request) -> Result:
        if not self._global_key(request):
            return error(401, "Unauthorized")
        return reply(200, {"status": 200, "message": "Credentials are valid"})

    def _show_metrics(self, request: Request) -> Result:
        loaded = [session for session in self.world.sessions.values() if session.memory is not None]
        lines = [
            "# HELP evolution_environment_info Environment information",
            "# TYPE evolution_environment_info gauge",
            f'evolution_environment_info{{version="{VERSION}",clientName="evolution",serverUrl="{URL}"}} 1',
            "# HELP evolution_instances_total Total number of instances",
            "# TYPE evolution_instances_total gauge",
            f"evolution_instances_total {len(loaded)}",
            "# HELP evolution_instance_up 1 if instance state is open, else 0",
            "# TYPE evolution_instance_up gauge",
            "# HELP evolution_instance_state Instance state as a labelled metric",
            "# TYPE evolution_instance_state gauge",
        ]
        for session in loaded:
            name = session.name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            labels = f'instance="{name}",integration="WHATSAPP-BAILEYS"'
            lines.append(f"evolution_instance_up{{{labels}}} {int(session.memory == 'open')}")
            lines.append(f'evolution_instance_state{{{labels},state="{session.memory}"}} 1')
        headers = (
            *COMMON,
            ("Content-Type", "text/plain; charset=utf-8; version=0.0.4"),
            ("Cache-Control", "no-cache, no-store, must-revalidate"),
        )
        return _with_etag(Reply(200, ("\n".join(lines) + "\n").encode(), headers))

    # Instances

    def _fetch_instances(self, request: Request) -> Result:
        owner = self._token_of(request)
        if not self._global_key(request) and owner is None:
            return error(401, "Unauthorized")
        if not self.world.database_up:
            return error(500, PRISMA_DOWN)
        rows = list(self.world.sessions.values()) if self._global_key(request) or owner is None else [owner]
        query = request.query
        wanted = query.get("instanceName") or query.get("instanceId") or query.get("number")
        if wanted:
            loaded = [row for row in rows if row.memory is not None]
            rows = [row for row in loaded if wanted in (row.name, row.instance_id)]
            if not rows:
                return error(404, [f'Instance "{wanted}" not found'])
        return reply(200, [self._row(row) for row in rows])

    def _row(self, session: EvolutionSession) -> dict[str, object]:
        created, updated = self.world.date(session.created_at), self.world.date(session.updated_at)
        known = session.known
        setting = {"id": f"cmw{session.instance_id[:22]}", **SETTINGS, "createdAt": created, "updatedAt": created}
        return {
            "id": session.instance_id,
            "name": session.name,
            "connectionStatus": session.database,
            "ownerJid": f"{session.number}@s.whatsapp.net" if known else None,
            "profileName": f"Lab {session.number}" if known else None,
            "profilePicUrl": None,
            "integration": "WHATSAPP-BAILEYS",
            "number": None,
            "businessId": None,
            "token": session.token,
            "clientName": "evolution",
            "disconnectionReasonCode": session.reason_code,
            "disconnectionObject": session.reason_object,
            "disconnectionAt": None if session.reason_at is None else self.world.date(session.reason_at),
            "createdAt": created,
            "updatedAt": updated,
            **dict.fromkeys(("Chatwoot", "Proxy", "Rabbitmq", "Nats", "Sqs", "Websocket")),
            "Setting": {**setting, "instanceId": session.instance_id} if session.has_setting else None,
            "_count": {"Message": session.messages, "Contact": 0, "Chat": 0},
        }

    def _connection_state(self, request: Request, session: EvolutionSession) -> Result:
        return _state(session)

    def _connect(self, request: Request, session: EvolutionSession) -> Result:
        if session.memory is None:
            return reply(200, OBJECT_OBJECT)
        if session.memory == "open":
            return _state(session)
        if session.memory == "close" and self.world.uplink is UplinkState.BLACK_HOLE:
            return self.world.call()  # axios without a time-out
        return self.world.connect_verb(session).map(lambda _: reply(200, _qr(session)))

    def _restart(self, request: Request, session: EvolutionSession) -> Result:
        state = self.world.restart(session)
        if state is None:
            return reply(200, OBJECT_OBJECT)
        # The state was read before the close, the QR may be an old one: neither says anything of success.
        return _state(session, "open") if state == "open" else reply(200, _qr(session))

    def _logout(self, request: Request, session: EvolutionSession) -> Result:
        if not self.world.logout(session):
            return error(400, [f'The "{session.name}" instance is not connected'])
        return reply(200, {"status": "SUCCESS", "error": False, "response": {"message": "Instance logged out"}})

    def _delete(self, request: Request, session: EvolutionSession) -> Result:
        self.world.delete(session)
        return reply(200, {"status": "SUCCESS", "error": False, "response": {"message": "Instance deleted"}})

    def _create(self, request: Request) -> Result:
        if not self._global_key(request):
            return error(401, "Unauthorized")
        body = _body(request)
        name = str(body.get("instanceName") or "")
        there = self.world.sessions.get(name)
        if there is not None and there.memory is None and self.world.mode == "A":
            # The existing row and all its data are deleted (instance.controller.ts:289).
            self.world.delete(there)
            return error(400, [PRISMA_CONFLICT])
        if there is not None:
            return error(403, [f'This name "{name}" is already in use.'])
        if body.get("integration") != "WHATSAPP-BAILEYS":
            return error(400, ["Invalid integration"])
        with_qr = body.get("qrcode") is True
        if with_qr and self.world.uplink is UplinkState.BLACK_HOLE:
            return self.world.call()
        return self.world.create(name, with_qr=with_qr).map(lambda session: reply(201, _created(session, with_qr)))

    # Probes

    def _set_presence(self, request: Request, session: EvolutionSession) -> Result:
        if session.socket.value in ("open", "silent"):
            return reply(201, {"presence": _body(request).get("presence")})
        return error(400, ["Error: Connection Closed"])

    def _whatsapp_numbers(self, request: Request, session: EvolutionSession) -> Result:
        numbers = [str(number) for number in _body(request).get("numbers") or ()]
        found = [{"jid": f"{number}@s.whatsapp.net", "exists": True, "number": number} for number in numbers]
        payload = {"statusCode": 428, "error": "Precondition Required", "message": "Connection Closed"}
        output = {"statusCode": 428, "payload": payload, "headers": {}}
        closed = {"data": None, "isBoom": True, "isServer": False, "output": output}
        return self.world.query(session).map(lambda ok: reply(200, found) if ok else reply(400, closed))

    def _groups(self, request: Request, session: EvolutionSession) -> Result:
        return self.world.query(session).map(lambda ok: reply(200, []) if ok else error(500, "Connection Closed"))

    def _picture(self, request: Request, session: EvolutionSession) -> Result:
        wuid = {"wuid": f"{_body(request).get('number')}@s.whatsapp.net"}
        ok = session.socket.value == "open"
        return reply(200, wuid if ok else {**wuid, "profilePictureUrl": None})

    def _send_text(self, request: Request, session: EvolutionSession) -> Result:
        sent = {"key": {"fromMe": True}, "status": "PENDING"}
        return self.world.query(session).map(lambda ok: reply(201, sent) if ok else error(500, "Connection Closed"))

    def _webhook_set(self, request: Request, session: EvolutionSession) -> Result:
        wish = _body(request).get("webhook") or {}
        enabled = bool(wish.get("enabled"))
        date = self.world.date(self.world.now)
        return reply(
            201,
            {
                "id": "cmwqbj2ow0000s47dfhf6s5ip",
                "url": wish.get("url"),
                "headers": None,
                "enabled": enabled,
                "events": wish.get("events") or [] if enabled else [],
                "webhookByEvents": False,
                "webhookBase64": False,
                "createdAt": date,
                "updatedAt": date,
                "instanceId": session.instance_id,
            },
        )


def _state(session: EvolutionSession, state: str | None = None) -> Reply:
    state = state or session.memory
    told = {} if state is None else {"state": state}
    return reply(200, {"instance": {"instanceName": session.name, **told}})


def _qr(session: EvolutionSession) -> dict[str, object]:
    if session.qr_count == 0:
        return {"count": 0}
    return {
        "pairingCode": None,
        "code": "2@c2ltdWxhdGVk,c2ltdWxhdGVk,c2ltdWxhdGVk,simulated",
        "base64": "data:image/png;base64,c2ltdWxhdGVk",
        "count": session.qr_count,
    }


def _created(session: EvolutionSession, with_qr: bool) -> dict[str, object]:
    document: dict[str, object] = {
        "instance": {
            "instanceName": session.name,
            "instanceId": session.instance_id,
            "integration": "WHATSAPP-BAILEYS",
            "webhookWaBusiness": None,
            "accessTokenWaBusiness": "",
            "status": session.memory,
        },
        "hash": session.token,
        **{name: {} for name in ("webhook", "websocket", "rabbitmq", "nats", "sqs")},
        "settings": SETTINGS,
    }
    return {**document, "qrcode": _qr(session)} if with_qr else document


def _body(request: Request) -> dict[str, Any]:
    document = json.loads(request.body) if request.body else {}
    return document if isinstance(document, dict) else {}
