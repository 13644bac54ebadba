"""How WAHA 2024.10.8 with the NOWEB engine lives, as measured (docs of the gateways' behaviour, section 2).

Pure, in virtual time. Not modelled: WEBJS and GOWS, the half-hourly reconnect, events over websocket and webhook.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from wasupervisor.simulator.timings import WahaTimings
from wasupervisor.simulator.virtual import Pending
from wasupervisor.simulator.world import Session, UplinkState, World

FIRST_NUMBER = 12025550100


class Socket(StrEnum):
    """What is behind the status, and what no call of the API tells."""

    NONE = "none"
    CONNECTING = "connecting"
    LOGIN = "login"
    OPEN = "open"
    RESET = "reset"
    """Closed by WhatsApp, not noticed yet: false WORKING."""
    SILENT = "silent"
    """Nothing comes any more: false WORKING until the keep-alive notices."""
    DEAF = "deaf"
    """Pings are answered, queries are not: false WORKING for ever."""


@dataclass
class WahaSession(Session):
    """A session of WAHA."""

    status: str = "STOPPED"
    socket: Socket = Socket.NONE
    connecting_until: float = 0.0
    wanted: bool = True
    """It ran when the process ended, so WAHA (PLUS, or 2026.6 and later) starts it again."""
    listed: bool = True
    claim: str | None = None
    """A status to show instead of the true one, for statuses that nobody knows yet."""
    has_me: bool = True
    config: object = None
    waiting: deque[Callable[[], None]] = field(default_factory=deque)
    """Verbs that wait for the session's lock, oldest first."""

    @property
    def me(self) -> dict[str, str] | None:
        """The account as WAHA gives it: also in STARTING and FAILED, also when it was unlinked, never when STOPPED."""
        if self.status == "STOPPED" or not self.has_me:
            return None
        return {"id": f"{self.number}@c.us", "pushName": f"Lab {self.number}"}


class WahaWorld(World[WahaSession]):
    """One WAHA."""

    kind = "waha"

    def __init__(
        self,
        names: Sequence[str],
        *,
        now: float = 0.0,
        timings: WahaTimings | None = None,
        keeper: bool = False,
        core: bool = False,
        epoch: float = 0.0,
        tells_activity: bool = False,
    ) -> None:
        self.timings = timings or WahaTimings()
        super().__init__(now, self.timings, keeper=keeper, epoch=epoch)
        self.core = core
        """The single-session core until 2026.5: only `default`, and STOPPED after each start of the process."""
        self.tells_activity = tells_activity
        """The list has `timestamps`, as from 2025 on (from the docs; 2024.10.8 has none)."""
        for position, name in enumerate(names):
            self._add(name, position)
        for session in self.sessions.values():
            session.status, session.socket, session.logins = "WORKING", Socket.OPEN, 1

    def _add(self, name: str, position: int) -> WahaSession:
        session = WahaSession(name, str(FIRST_NUMBER + position))
        self.sessions[name] = session
        return session

    def find(self, name: str) -> WahaSession | None:
        """The session as the API knows it."""
        session = self.sessions.get(name)
        return session if session is not None and session.listed else None

    # Verbs. Each ends with the session, or None when there was none (any more).

    def restart(self, name: str) -> Pending[WahaSession | None]:
        """Stop and start, from any status. Kills the process when the socket is CONNECTING and stays so."""

        def work(session: WahaSession, end: Callable[[], None]) -> None:
            if session.status == "SCAN_QR_CODE":
                self.hurt("qr_burned", session.name)
            session.restarted()
            self._stop(session, lambda: self._start_and(session, end))

        return self._locked(name, work)

    def start(self, name: str) -> Pending[WahaSession | None]:
        """Start a session that is STOPPED; the caller has looked whether it is."""

        def work(session: WahaSession, end: Callable[[], None]) -> None:
            if session.status == "STOPPED":
                self._start(session)
            end()

        return self._locked(name, work)

    def stop(self, name: str) -> Pending[WahaSession | None]:
        """Stop a session; WAHA remembers that it is not wanted."""

        def work(session: WahaSession, end: Callable[[], None]) -> None:
            session.wanted = False
            self._stop(session, end)

        return self._locked(name, work)

    def logout(self, name: str) -> Pending[WahaSession | None]:
        """Destroy the credentials; a session that ran comes back and asks for a QR."""

        def work(session: WahaSession, end: Callable[[], None]) -> None:
            self.hurt("logout", session.name)
            ran = session.status != "STOPPED"
            session.paired = False

            def gone() -> None:
                session.has_me = False
                session.ailment = None
                if ran:
                    self._start(session)
                end()

            self._stop(session, gone)

        return self._locked(name, work)

    def delete(self, name: str) -> Pending[WahaSession | None]:
        """Destroy the credentials and forget the session."""

        def work(session: WahaSession, end: Callable[[], None]) -> None:
            self.hurt("delete", session.name)

            def gone() -> None:
                self.sessions.pop(session.name, None)
                end()

            self._stop(session, gone)

        return self._locked(name, work)

    def create(self, name: str, config: object, *, start: bool) -> WahaSession:
        """A new session without an account."""
        self.hurt("create", name)
        session = self._add(name, len(self.sessions))
        session.paired = session.has_me = False
        session.config = config
        if start:
            self._start(session)
        return session

    def configure(self, name: str, config: object) -> Pending[WahaSession | None]:
        """Change the configuration, which stops and starts a running session."""

        def work(session: WahaSession, end: Callable[[], None]) -> None:
            session.config = config
            if session.status == "STOPPED":
                end()
            else:
                self._stop(session, lambda: self._start_and(session, end))

        return self._locked(name, work)

    def _locked(
        self, name: str, work: Callable[[WahaSession, Callable[[], None]], None]
    ) -> Pending[WahaSession | None]:
        """Calls on one session queue on a lock: three restarts at once take 3, 7 and 11 s [measured]."""
        session = self.find(name)
        if session is None:
            return Pending.of(None)
        pending: Pending[Any] = self.call()

        def end() -> None:
            session.waiting.popleft()
            pending.finish(self.find(name))
            if session.waiting:
                session.waiting[0]()

        session.waiting.append(lambda: work(session, end))
        if len(session.waiting) == 1:
            session.waiting[0]()
        return pending

    # What the verbs are made of

    def _stop(self, session: WahaSession, then: Callable[[], None]) -> None:
        if session.status == "STOPPED":
            then()
            return
        wait = max(0.0, session.connecting_until - self.now) if session.socket is Socket.CONNECTING else 0.0
        session.life += 1
        session.status = "STOPPED"
        if wait > self.timings.end_wait:
            self.after(self.timings.end_wait, lambda: self._crash(session.name))
            return
        session.socket = Socket.NONE
        self.after(wait + self.timings.stop, then)

    def _crash(self, name: str) -> None:
        # 'WebSocket was closed before the connection was established', uncaught: exit code 7, all sessions go down.
        self.hurt("crash", name)
        self.kill(exit_code=7)

    def _start(self, session: WahaSession) -> None:
        session.wanted = True
        self.connect(session)

    def _start_and(self, session: WahaSession, end: Callable[[], None]) -> None:
        self._start(session)
        end()

    def connect(self, session: WahaSession) -> None:
        """Open a socket and log in, as WAHA does at each start and after each loss."""
        session.life += 1
        session.status = "STARTING"
        session.socket = Socket.CONNECTING
        match self.uplink_of(session):
            case UplinkState.REFUSED:
                session.socket = Socket.NONE
                self.after(self.timings.retry, lambda: self.connect(session), session)
            case UplinkState.BLACK_HOLE:
                session.connecting_until = self.now + self.timings.connect_timeout
                self.after(self.timings.connect_timeout, lambda: self._gave_up(session), session)
            case UplinkState.UPGRADE_503:
                # Baileys listens to `unexpected-response`, so `ws` neither fails nor times out.
                session.connecting_until = math.inf
            case UplinkState.NO_LOGIN:
                session.logins += 1
                session.socket = Socket.LOGIN
            case UplinkState.UP:
                session.socket = Socket.LOGIN
                self.after(self.timings.login, lambda: self._login(session), session)
        self.changed()

    def _gave_up(self, session: WahaSession) -> None:
        session.socket = Socket.NONE
        self.after(self.timings.retry, lambda: self.connect(session), session)

    def _login(self, session: WahaSession) -> None:
        if self.uplink_of(session) is not UplinkState.UP:
            self.connect(session)
            return
        session.logins += 1
        if session.unlinked == 403:
            # Only 401 is final; a banned account logs in again every 2.2 s for ever.
            self._gave_up(session)
        elif session.unlinked is not None:
            self.fail(session)
        elif not session.paired:
            self._ask_for_scan(session)
        elif session.ailment is None:
            session.has_me = True
            session.status, session.socket = "WORKING", Socket.OPEN
        elif session.ailment.outcome == "failed":
            self.fail(session)
        else:
            session.socket = Socket.LOGIN
        self.changed()

    def _ask_for_scan(self, session: WahaSession) -> None:
        session.has_me = False
        session.status, session.socket = "SCAN_QR_CODE", Socket.OPEN
        self.after(self.timings.qr, lambda: self._gave_up_qr(session), session)

    def _gave_up_qr(self, session: WahaSession) -> None:
        session.status = "STARTING"
        self._gave_up(session)

    def fail(self, session: WahaSession) -> None:
        """FAILED does not heal by itself; credentials and `me` stay."""
        session.life += 1
        session.status, session.socket = "FAILED", Socket.NONE

    def get_stuck(self, session: WahaSession) -> None:
        """The login was accepted by TCP and is never answered: STARTING for ever."""
        session.life += 1
        session.status, session.socket = "STARTING", Socket.LOGIN

    def go_deaf(self, session: WahaSession) -> None:
        """The peer answers pings and nothing else: WORKING for ever."""
        session.life += 1
        session.status, session.socket = "WORKING", Socket.DEAF

    def unlist(self, session: WahaSession) -> None:
        """The session is not in the list any more, until the process starts anew."""
        session.life += 1
        session.listed = False

    # What WhatsApp's side does

    def drop(self, session: WahaSession) -> None:
        """The socket is reset; WORKING stays for 2.1 s."""
        if session.socket in (Socket.NONE, Socket.RESET) or session.status not in ("WORKING", "SCAN_QR_CODE"):
            return
        session.life += 1
        session.socket = Socket.RESET
        self.after(self.timings.notice_reset, lambda: self.connect(session), session)

    def fall_silent(self, session: WahaSession) -> None:
        """The peer says nothing any more; the keep-alive notices after 35 to 67 s."""
        if session.status == "WORKING":
            session.life += 1
            session.socket = Socket.SILENT
            self.after(self.timings.notice_silence, lambda: self.connect(session), session)

    def scan(self, session: WahaSession) -> None:
        """A person scans the QR."""
        session.unlinked, session.paired, session.has_me = None, True, True
        if session.status == "SCAN_QR_CODE":
            session.life += 1
            self.after(self.timings.scan, lambda: self.connect(session), session)

    def check_exists(self, session: WahaSession) -> Pending[bool]:
        """A round trip to WhatsApp: true, or false after the 120 s that nobody answers."""
        pending: Pending[bool] = self.call()
        if session.socket is Socket.OPEN:
            pending.finish(True)
        elif session.socket is Socket.RESET:
            pending.finish(False)
        else:
            self.after(self.timings.query, lambda: pending.finish(False))
        return pending

    def expect(self, session: WahaSession, status: str) -> Pending[bool]:
        """Whether it has that status; a no takes 5 s."""
        if session.status == status:
            return Pending.of(True)
        pending: Pending[bool] = self.call()
        self.after(self.timings.status_wait, lambda: pending.finish(session.status == status))
        return pending

    # The process

    def terminate(self, back_after: float | None = None) -> None:
        """SIGTERM: all STOPPED at once, HTTP answers for 3 s more, exit 0; with a CONNECTING socket 10 s and exit 7."""
        if not self.alive:
            return
        if self.frozen_since is not None:
            self.thawed().map(lambda _: self.terminate(back_after))
            return
        connecting = any(
            session.socket is Socket.CONNECTING and session.connecting_until > self.now + self.timings.end_wait
            for session in self.sessions.values()
        )
        seconds, code = (self.timings.end_wait, 7) if connecting else (self.timings.sigterm, 0)
        for session in self.sessions.values():
            session.life += 1
            session.status, session.socket = "STOPPED", Socket.NONE
        self.after(seconds, lambda: self.kill(code, back_after))

    def server_stop(self, *, force: bool) -> None:
        """`POST /api/server/stop`: the process ends, after 11 s or, forced, by SIGKILL to itself."""
        if force:
            self.hurt("force_stop", "*")
        seconds = self.timings.server_stop_forced if force else self.timings.server_stop
        self.after(seconds, lambda: self.kill(137 if force else 0))

    def _forget(self) -> None:
        for session in self.sessions.values():
            session.life += 1
            session.status, session.socket = "STOPPED", Socket.NONE
            session.waiting.clear()

    def _restore(self) -> None:
        for session in self.sessions.values():
            session.listed = True
            if self.core:
                session.config = None
            elif session.wanted:
                session.relieve()
                self.connect(session)

    def _woke(self, frozen_for: float) -> None:
        if frozen_for > self.timings.keep_alive:
            for session in self.sessions.values():
                self.drop(session)

    def state_of(self, session: WahaSession) -> dict[str, object]:
        """Status and socket."""
        healthy = session.status == "WORKING" and session.socket is Socket.OPEN
        return {"status": session.status, "socket": str(session.socket), "healthy": healthy, "listed": session.listed}
