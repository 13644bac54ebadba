"""What both simulated gateways share: one process with sessions, an uplink, a keeper, and a list of the harm done.

Pure: no I/O and no clock. Time comes in through `advance`, so the same world serves the HTTP simulator (real time)
and a simulation of days in seconds (virtual time). The measured behaviour is in `waha_world.py` and
`evolution_world.py`; this file knows only what any process that keeps sockets open does.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from wasupervisor.simulator.timings import Timings
from wasupervisor.simulator.virtual import Pending, Timeline


class UplinkState(StrEnum):
    """What a gateway gets that connects to WhatsApp."""

    UP = "up"
    REFUSED = "refused"
    """Nobody listens, or the name is not known: fails at once."""
    BLACK_HOLE = "black_hole"
    """TCP is accepted and never answered."""
    UPGRADE_503 = "upgrade_503"
    """The websocket upgrade is answered by anything but 101: a proxy, a captive portal, WhatsApp itself."""
    NO_LOGIN = "no_login"
    """The websocket opens, the login is never answered."""


@dataclass(frozen=True)
class Harm:
    """Something that was done to the gateway and that a supervisor must never do."""

    at: float
    what: str
    """logout, delete, create, connect, crash, false_open, second_client, qr_burned, force_stop."""
    session: str


@dataclass(frozen=True)
class Death:
    """One end of the gateway process."""

    at: float
    exit_code: int


@dataclass
class Ailment:
    """Why the next logins of a session fail, and how many restarts take it away; None: no restart does."""

    outcome: str
    """failed, or stuck."""
    restarts_left: int | None = 1


@dataclass
class Session:
    """What both gateways know of a session."""

    name: str
    number: str
    """The phone number of its account."""
    life: int = 0
    """Grows when what was under way for the session no longer counts."""
    paired: bool = True
    """Whether good credentials are stored."""
    unlinked: int | None = None
    """Why WhatsApp refuses the account: 401 logged out, 403 banned."""
    unreachable: UplinkState | None = None
    """An uplink of its own, worse than the world's."""
    ailment: Ailment | None = None
    restarts: int = 0
    """How often it was really restarted by a verb."""
    logins: int = 0
    """How often it logged in to WhatsApp or tried to."""
    causes: int = 0
    """Grows with each fault, so that the end of an old one does not end a newer one."""
    messages: int = 0
    """How many it heard or said."""
    active_at: float | None = None
    """When it heard or said something last."""

    def restarted(self) -> None:
        """Count a restart by a verb."""
        self.restarts += 1
        self.relieve()

    def free(self) -> None:
        """Take every cause away that is not in the credentials; what heals by itself does then."""
        self.ailment = self.unlinked = self.unreachable = None

    def relieve(self) -> None:
        """A restart, of the session or of the process, takes the ailment away when it is the last one needed."""
        if self.ailment is not None and self.ailment.restarts_left is not None:
            self.ailment.restarts_left -= 1
            if self.ailment.restarts_left <= 0:
                self.ailment = None


S = TypeVar("S", bound=Session)


class World(ABC, Generic[S]):
    """One gateway process and what lies around it."""

    kind: str

    def __init__(self, now: float, timings: Timings, *, keeper: bool, epoch: float) -> None:
        self._timeline = Timeline(now)
        self._timings = timings
        self.keeper = keeper
        """Whether something (systemd, docker) starts the process again when it ends."""
        self.epoch = epoch
        """The wall time at the world's time 0, seconds since 1970: what the gateway prints as dates."""
        self.alive = True
        self.frozen_since: float | None = None
        self.run = 1
        """Which run of the process this is."""
        self.started_at = now
        self.uplink = UplinkState.UP
        self.sessions: dict[str, S] = {}
        self.harm: list[Harm] = []
        self.deaths: list[Death] = []
        self._calls: list[Pending[Any]] = []
        self._thawed: list[Pending[None]] = []
        self._listeners: list[Callable[[], None]] = []

    # Time

    @property
    def now(self) -> float:
        """The world's time, seconds."""
        return self._timeline.now

    @property
    def next_at(self) -> float | None:
        """When something will happen by itself next; None: never."""
        return self._timeline.next_at

    def advance(self, now: float) -> None:
        """Live until `now`."""
        self._timeline.advance(now)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Let something happen around the gateway, whatever becomes of the process."""
        self._timeline.add(self.now + seconds, action, inside=False)
        self.changed()

    def after(self, seconds: float, action: Callable[[], None], session: S | None = None) -> None:
        """A timer of this run of the process, and of this life of the session when one is given."""
        run, life = self.run, session.life if session else 0

        def fire() -> None:
            if self.alive and self.run == run and (session is None or session.life == life):
                action()

        self._timeline.add(self.now + seconds, fire, inside=True)
        self.changed()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Be told when `next_at`, the process or the uplink may have changed."""
        self._listeners.append(listener)

    def changed(self) -> None:
        """Tell the listeners."""
        for listener in self._listeners:
            listener()

    # Calls

    def call(self) -> Pending[Any]:
        """A call that the process is working on; it breaks when the process ends."""
        self._calls = [pending for pending in self._calls if not pending.done]
        pending: Pending[Any] = Pending()
        self._calls.append(pending)
        return pending

    def thawed(self) -> Pending[None]:
        """Ends when the process runs: at once, or after its SIGCONT."""
        if self.frozen_since is None:
            return Pending.of(None)
        pending: Pending[None] = Pending()
        self._thawed.append(pending)
        return pending

    def hurt(self, what: str, session: str) -> None:
        """Write down harm."""
        self.harm.append(Harm(self.now, what, session))

    # The process

    def kill(self, exit_code: int = 137, back_after: float | None = None) -> None:
        """End the process now. It answers again after `back_after` seconds, or when its keeper has started it."""
        if not self.alive:
            return
        self.alive = False
        self.run += 1
        self.deaths.append(Death(self.now, exit_code))
        self._thaw_calls()
        self._forget()
        calls, self._calls = self._calls, []
        for pending in calls:
            pending.drop()
        if back_after is None and self.keeper:
            back_after = self._timings.boot
        if back_after is not None:
            self.boot(back_after)
        self.changed()

    def boot(self, seconds: float | None = None) -> None:
        """Start the process; the port opens after `seconds` (default: what it takes)."""
        run = self.run

        def up() -> None:
            if not self.alive and self.run == run:
                self.alive = True
                self.started_at = self.now
                self._restore()
                self.changed()

        self.later(self._timings.boot if seconds is None else seconds, up)

    def freeze(self) -> None:
        """SIGSTOP: TCP connects, nothing answers, and no timer of the process runs."""
        if self.alive and self.frozen_since is None:
            self.frozen_since = self.now
            self._timeline.held = True

    def thaw(self) -> None:
        """SIGCONT: what waited is worked on now, also the calls whose callers gave up."""
        if self.frozen_since is None:
            return
        frozen_for = self.now - self.frozen_since
        self._thaw_calls()
        self._woke(frozen_for)
        self.changed()

    def _thaw_calls(self) -> None:
        self.frozen_since = None
        self._timeline.held = False
        waiting, self._thawed = self._thawed, []
        for pending in waiting:
            if self.alive:
                pending.finish(None)
            else:
                pending.drop()

    # The uplink

    def set_uplink(self, state: UplinkState, *, cut: bool = True) -> None:
        """Change what WhatsApp does; `cut` also resets the sockets that are open, else nothing is felt at first."""
        self.uplink = state
        if cut and state is not UplinkState.UP:
            for session in self.sessions.values():
                self.drop(session)
        self.changed()

    def uplink_of(self, session: S) -> UplinkState:
        """What this session gets that connects now."""
        return session.unreachable or self.uplink

    # What each gateway does in its own way

    @abstractmethod
    def terminate(self, back_after: float | None = None) -> None:
        """SIGTERM."""

    @abstractmethod
    def connect(self, session: S) -> None:
        """Open a socket to WhatsApp and log in."""

    @abstractmethod
    def drop(self, session: S) -> None:
        """WhatsApp's side resets the session's socket."""

    @abstractmethod
    def scan(self, session: S) -> None:
        """A person scans the QR of the session."""

    @abstractmethod
    def _forget(self) -> None:
        """The process has ended: drop what was only in its memory."""

    @abstractmethod
    def _restore(self) -> None:
        """The process has started: do with the sessions what it does."""

    @abstractmethod
    def _woke(self, frozen_for: float) -> None:
        """The process was frozen for so many seconds."""

    @abstractmethod
    def state_of(self, session: S) -> dict[str, object]:
        """The session as the snapshot shows it."""

    # For people and tests

    def chosen(self, name: str) -> Iterable[S]:
        """The session of that name, or all for `*`. Raises ValueError for an unknown one."""
        if name == "*":
            return tuple(self.sessions.values())
        if name not in self.sessions:
            raise ValueError(
                f"the simulated gateway has no session {name!r}; it has {', '.join(self.sessions) or 'none'}"
            )
        return (self.sessions[name],)

    def snapshot(self) -> dict[str, object]:
        """The truth, as JSON: what the gateway would never tell."""
        return {
            "kind": self.kind,
            "now": round(self.now, 3),
            "process": {"alive": self.alive, "frozen": self.frozen_since is not None, "run": self.run},
            "uplink": str(self.uplink),
            "sessions": {
                name: {
                    **self.state_of(session),
                    "paired": session.paired,
                    "restarts": session.restarts,
                    "logins": session.logins,
                }
                for name, session in self.sessions.items()
            },
            "harm": [dataclasses.asdict(harm) for harm in self.harm],
            "deaths": [dataclasses.asdict(death) for death in self.deaths],
        }
