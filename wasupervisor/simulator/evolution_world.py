"""How Evolution API 2.3.6 lives, as measured: three truths (memory, database, socket) that need not agree.

Pure, in virtual time. Mode A keeps the credentials in Redis, mode B in PostgreSQL. Not modelled: webhooks, and what a
mistyped Redis key does beyond `creds_readable`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from zlib import crc32

from wasupervisor.simulator.timings import EvolutionTimings
from wasupervisor.simulator.virtual import Pending
from wasupervisor.simulator.world import Session, UplinkState, World

FIRST_NUMBER = 5511900000001


class Socket(StrEnum):
    """The third truth, which no GET tells."""

    NONE = "none"
    CONNECTING = "connecting"
    OPEN = "open"
    SILENT = "silent"


@dataclass
class EvolutionSession(Session):
    """An instance of Evolution API."""

    instance_id: str = ""
    token: str = ""
    memory: str | None = "close"
    """None: in the database only, not loaded."""
    database: str = "close"
    socket: Socket = Socket.NONE
    known: bool = True
    """It was paired at some time, so the row has an owner."""
    has_setting: bool = True
    """False: a row that was written by hand."""
    creds_readable: bool = True
    qr_count: int = 0
    second_client: bool = False
    reason_code: int | None = None
    reason_object: str | None = None
    reason_at: float | None = None
    created_at: float = 0.0
    updated_at: float = 0.0


class EvolutionWorld(World[EvolutionSession]):
    """One Evolution API."""

    kind = "evolution"

    def __init__(
        self,
        names: Sequence[str],
        *,
        now: float = 0.0,
        timings: EvolutionTimings | None = None,
        keeper: bool = False,
        mode: str = "A",
        qr_limit: int = 30,
        epoch: float = 0.0,
    ) -> None:
        self.timings = timings or EvolutionTimings()
        super().__init__(now, self.timings, keeper=keeper, epoch=epoch)
        self.mode = mode
        self.qr_limit = qr_limit
        self.database_up = True
        self.redis_up = True
        self._redis_waiters: list[Callable[[], None]] = []
        for position, name in enumerate(names):
            session = self._add(name, position)
            session.memory = session.database = "open"
            session.socket, session.logins, session.qr_count = Socket.OPEN, 1, 1

    def _add(self, name: str, position: int) -> EvolutionSession:
        session = EvolutionSession(name, str(FIRST_NUMBER + position))
        # Made from the name, so that two runs of a test see the same world.
        session.instance_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"simulator:{name}"))
        session.token = str(uuid.uuid5(uuid.NAMESPACE_URL, f"token:{name}")).upper()
        session.created_at = session.updated_at = self.now
        self.sessions[name] = session
        return session

    # Verbs

    def restart(self, session: EvolutionSession) -> str | None:
        """Restart; gives the state that is answered: open (read before the close), connecting, or None: refused."""
        if session.memory == "open":
            if session.socket is not Socket.NONE:
                session.restarted()
                if self.database_up:
                    self.connect(session)
                else:
                    self.hurt("false_open", session.name)
                    self._lose_event(session)
            # Else a false open: the old client has ended, no event comes, nothing happens.
            return "open"
        if session.memory != "connecting":
            return None
        if session.database == "connecting":
            self.hurt("qr_burned", session.name)
        session.restarted()
        self.connect(session)
        return "connecting"

    def connect_verb(self, session: EvolutionSession) -> Pending[Any]:
        """`GET connect`: on `close` it starts a client, also beside one that is reconnecting by itself."""
        if session.memory != "close":
            return Pending.of(None)
        if session.database == "open":
            self.hurt("second_client", session.name)
            session.second_client = True
        else:
            self.hurt("connect", session.name)
        pending = self.call()
        self.connect(session)
        self.after(self.timings.connect_wait, lambda: pending.finish(None))
        return pending

    def logout(self, session: EvolutionSession) -> bool:
        """Unlink and delete the credentials; false: it was not connected."""
        if session.memory is None:
            return True  # mode B answers SUCCESS and does nothing
        if session.memory == "close":
            return False
        self.hurt("logout", session.name)
        self.close_for_good(session, 401, "Unauthorized", f"Log out instance: {session.name}")
        return True

    def delete(self, session: EvolutionSession) -> None:
        """Delete the instance with all its data."""
        self.hurt("delete", session.name)
        session.life += 1
        del self.sessions[session.name]

    def create(self, name: str, *, with_qr: bool) -> Pending[EvolutionSession]:
        """A new instance without an account."""
        self.hurt("create", name)
        session = self._add(name, len(self.sessions))
        session.paired = session.known = False
        if not with_qr:
            return Pending.of(session)
        pending = self.call()
        self.connect(session)
        self.after(self.timings.create_wait, lambda: pending.finish(session))
        return pending

    def query(self, session: EvolutionSession) -> Pending[bool]:
        """A round trip to WhatsApp; false: the socket is closed, or nobody answered."""
        if session.socket is not Socket.SILENT:
            return Pending.of(session.socket is Socket.OPEN)
        pending = self.call()
        self.after(self.timings.query, lambda: pending.finish(False))
        return pending

    # The client

    def connect(self, session: EvolutionSession) -> None:
        """Start a client and log in, as Evolution does at each start and after each loss."""
        session.life += 1
        session.socket = Socket.NONE
        if self.mode == "A" and not self.redis_up:
            session.memory = "close"
            life = session.life
            self._redis_waiters.append(lambda: self.connect(session) if session.life == life else None)
            return
        session.memory = "connecting"
        session.socket = Socket.CONNECTING
        match self.uplink_of(session):
            case UplinkState.REFUSED:
                self.after(self.timings.refused, lambda: self._closed(session), session)
            case UplinkState.BLACK_HOLE:
                self.after(self.timings.handshake_timeout, lambda: self._closed(session), session)
            case UplinkState.UPGRADE_503 | UplinkState.NO_LOGIN:
                pass  # Baileys registers `unexpected-response` and nobody handles it: for ever
            case UplinkState.UP:
                # Also a client that the next one replaces logs in: queued restarts are all carried out.
                session.logins += 1
                self.after(self.timings.login, lambda: self._login(session), session)
        self.changed()

    def _closed(self, session: EvolutionSession) -> None:
        session.memory, session.socket = "close", Socket.NONE
        self.after(self.timings.retry, lambda: self.connect(session), session)

    def _login(self, session: EvolutionSession) -> None:
        if self.uplink_of(session) is not UplinkState.UP:
            self.connect(session)
            return
        if session.unlinked is not None:
            error = {401: "Unauthorized", 403: "Forbidden"}.get(session.unlinked, "Not Acceptable")
            self.close_for_good(session, session.unlinked, error, "Connection Failure")
        elif not session.paired or not session.creds_readable:
            self.show_qr(session)
        elif session.ailment is None:
            self._open(session)
        self.changed()

    def _open(self, session: EvolutionSession) -> None:
        session.socket = Socket.OPEN
        if not self.database_up:
            return  # the event is lost: memory stays as it was
        session.known = True
        session.memory = session.database = "open"
        session.updated_at = self.now
        if session.second_client:
            self.after(self._blow(session), lambda: self._kicked(session), session)

    def _kicked(self, session: EvolutionSession) -> None:
        # 440: each of the two clients logs in again at once, without back-off, for ever.
        session.memory, session.socket = "connecting", Socket.CONNECTING
        session.logins += 1
        self.after(self._blow(session), lambda: self._login(session), session)

    def _blow(self, session: EvolutionSession) -> float:
        # The rate of a fight wanders, so that no poll ever sees but one phase of it; the same in each run.
        wanders = crc32(f"{session.name} {session.logins} {session.memory}".encode()) / 2**32
        return self.timings.fight * (0.5 + 3.0 * wanders)

    def show_qr(self, session: EvolutionSession) -> None:
        """One more QR; after QRCODE_LIMIT of them Evolution gives up."""
        if session.qr_count >= self.qr_limit:
            self.give_up_qr(session)
            return
        session.qr_count += 1
        session.memory, session.socket = "connecting", Socket.OPEN
        self._write(session, "connecting")
        wait = self.timings.first_qr if session.qr_count == 1 else self.timings.next_qr
        self.after(wait, lambda: self.show_qr(session), session)

    def give_up_qr(self, session: EvolutionSession) -> None:
        """The QR limit: memory close, database connecting."""
        session.life += 1
        session.memory, session.socket, session.qr_count = "close", Socket.NONE, 0
        self._write(session, "connecting")

    def close_for_good(self, session: EvolutionSession, code: int, error: str, message: str) -> None:
        """A final close (401, 402, 403, 406): Evolution deletes the credentials itself and stores the reason."""
        session.life += 1
        session.paired, session.unlinked, session.ailment = False, None, None
        session.memory, session.socket, session.qr_count = "close", Socket.NONE, 0
        session.reason_code, session.reason_at = code, self.now
        reason = {
            "data": None,
            "isBoom": True,
            "isServer": False,
            "output": {
                "statusCode": code,
                "payload": {"statusCode": code, "error": error, "message": message},
                "headers": {},
            },
        }
        session.reason_object = json.dumps({"error": reason, "date": self.date(self.now)}, separators=(",", ":"))
        self._write(session, "close")

    def _write(self, session: EvolutionSession, status: str) -> None:
        if self.database_up:
            session.database = status
            session.updated_at = self.now

    def _lose_event(self, session: EvolutionSession) -> None:
        # The handler first awaits PostgreSQL; the close event is lost, nobody reconnects: a false open for ever.
        session.life += 1
        session.socket = Socket.NONE

    # What WhatsApp's side and people do

    def drop(self, session: EvolutionSession) -> None:
        """The socket is reset: connecting, then open; or a false open when PostgreSQL is down right now."""
        if session.memory is None or session.socket in (Socket.NONE, Socket.CONNECTING):
            return
        if not self.database_up:
            self._lose_event(session)
            return
        session.life += 1
        session.memory, session.socket = "connecting", Socket.NONE
        self.after(self.timings.reconnect, lambda: self.connect(session), session)

    def fall_silent(self, session: EvolutionSession) -> None:
        """The peer says nothing any more; the keep-alive notices after 35 to 65 s."""
        if session.socket is Socket.OPEN:
            session.life += 1
            session.socket = Socket.SILENT
            self.after(self.timings.notice_silence, lambda: self.drop(session), session)

    def get_stuck(self, session: EvolutionSession) -> None:
        """The upgrade was answered by anything but 101: connecting for ever, in the database open."""
        session.life += 1
        session.memory, session.database, session.socket = "connecting", "open", Socket.CONNECTING

    def unload(self, session: EvolutionSession) -> None:
        """In the database only, until the process starts anew."""
        session.life += 1
        session.memory, session.socket = None, Socket.NONE

    def fight(self, session: EvolutionSession) -> None:
        """Two clients log in for one session and kick each other, until the process starts anew."""
        session.second_client = True
        self.connect(session)

    def open_falsely(self, session: EvolutionSession) -> None:
        """Memory, database and metrics say open; there is no socket."""
        session.memory = session.database = "open"
        self._lose_event(session)

    def scan(self, session: EvolutionSession) -> None:
        """A person scans the QR."""
        session.unlinked, session.paired, session.known = None, True, True
        if session.memory == "connecting":
            self.connect(session)

    # Stores

    def set_database(self, *, up: bool) -> None:
        """PostgreSQL comes or goes."""
        self.database_up = up

    def set_redis(self, *, up: bool) -> None:
        """Redis comes or goes; what waited for it is done when it is back, also what nobody waits for any more."""
        self.redis_up = up
        if up:
            waiters, self._redis_waiters = self._redis_waiters, []
            for waiter in waiters:
                waiter()

    def redis_answers(self) -> Pending[None]:
        """Ends when Redis answers; only mode A asks it in each call for an instance."""
        if self.redis_up or self.mode != "A":
            return Pending.of(None)
        pending: Pending[None] = self.call()
        self._redis_waiters.append(lambda: pending.finish(None))
        return pending

    # The process

    def terminate(self, back_after: float | None = None) -> None:
        """SIGTERM: there is no handler, dead in 3 ms; the rows stay as they are."""
        if self.frozen_since is not None:
            self.thawed().map(lambda _: self.terminate(back_after))
            return
        self.kill(143, back_after)

    def _forget(self) -> None:
        self._redis_waiters.clear()
        for session in self.sessions.values():
            session.life += 1
            session.memory, session.socket, session.second_client, session.qr_count = None, Socket.NONE, False, 0

    def _restore(self) -> None:
        # Once, right at the start; what cannot be read then is never loaded.
        self.after(self.timings.load, self._load)

    def _load(self) -> None:
        if self.database_up:
            for session in self.sessions.values():
                session.relieve()
                self.connect(session)

    def _woke(self, frozen_for: float) -> None:
        if frozen_for > self.timings.keep_alive:
            for session in self.sessions.values():
                self.drop(session)

    # Views

    def date(self, at: float) -> str:
        """A time of this world as JavaScript prints it."""
        text = datetime.fromtimestamp(self.epoch + at, UTC).isoformat(timespec="milliseconds")
        return text.replace("+00:00", "Z")

    def state_of(self, session: EvolutionSession) -> dict[str, object]:
        """The three truths."""
        healthy = session.memory == "open" and session.socket is Socket.OPEN and not session.second_client
        return {
            "memory": session.memory,
            "database": session.database,
            "socket": str(session.socket),
            "healthy": healthy,
        }

    def snapshot(self) -> dict[str, object]:
        """The truth, with the stores."""
        stores = {"database": "up" if self.database_up else "down", "redis": "up" if self.redis_up else "down"}
        return {**super().snapshot(), "stores": stores, "mode": self.mode}
