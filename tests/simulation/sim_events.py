"""The language of a schedule: what goes wrong when, as values that are printed as JSON and read back.

The faults of a gateway are those of `wasupervisor.simulator.faults`. Here are the ones of the supervisor itself, of its
disk, of the machine's clock, and the wishes of operators.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from wasupervisor.model.alerts import AlertKind
from wasupervisor.model.policy import Backoff, BreakerRule, Budget, LimitRule, Policy, ProbeRule
from wasupervisor.model.remedies import RemedyKind
from wasupervisor.simulator import faults
from wasupervisor.simulator.faults import Fault

MEMORY = LimitRule(warn=800e6, restart=1000e6, lasts=30.0)
CPU = LimitRule(warn=70.0, restart=90.0, lasts=60.0)
"""The limits, where there are any."""


class Crash(Fault, frozen=True, tag="crash", kw_only=True):
    """The supervisor dies (kill -9) and is started again `away` seconds later.

    `now`: between two steps. The others wait for the next step that has a remedy, and strike right there.
    """

    where: Literal["now", "before_persist", "after_persist", "after_act"] = "now"
    away: float = 1.0
    remedy: RemedyKind | None = None
    """Only at this one; None: at any."""


class StopDaemon(Fault, frozen=True, tag="stop_daemon", kw_only=True):
    """SIGTERM: what is under way gets its time, what was heard is written down; started again `away` seconds later."""

    away: float = 1.0


class Unwritable(Fault, frozen=True, tag="unwritable", kw_only=True):
    """The state cannot be written for `lasts` seconds."""


class Reboot(Fault, frozen=True, tag="reboot", kw_only=True):
    """The machine starts anew: gateway and supervisor die, CLOCK_BOOTTIME begins at 0, another boot id."""

    away: float = 20.0


class WallClock(Fault, frozen=True, tag="wall_clock", kw_only=True):
    """The wall clock is set by so many seconds."""

    by: float


class Ordered(Fault, frozen=True, tag="ordered", kw_only=True):
    """An operator orders something of the supervisor."""

    order: Literal["recover", "restart", "park", "restart_gateway", "pause", "resume"]
    session: str | None = None
    pause_for: float | None = None
    force: bool = False


class OperatorRestart(Fault, frozen=True, tag="operator_restart", kw_only=True):
    """An operator restarts a session in the gateway itself."""

    session: str


class RestarterTrouble(Fault, frozen=True, tag="restarter_trouble", kw_only=True):
    """What restarts the gateway process refuses, takes two minutes longer, or hangs with nothing done."""

    answer: Literal["refuses", "slow", "hangs"]


class Mistyped(Fault, frozen=True, tag="mistyped", kw_only=True):
    """Evolution: the key of a session's credentials in Redis gets a wrong type; a login then loses its identity."""

    session: str


class DiskLow(Fault, frozen=True, tag="disk_low", kw_only=True):
    """There is hardly room on the disk."""


class Leak(Fault, frozen=True, tag="leak", kw_only=True):
    """The gateway's memory grows by so much each 20 s, until its process ends."""

    megabytes: int


class Spin(Fault, frozen=True, tag="spin", kw_only=True):
    """The gateway uses all of its CPU, until its process ends."""


class EngineEnds(Fault, frozen=True, tag="engine_ends", kw_only=True):
    """WAHA with GOWS: its engine's process ends, and the gateway lives on without it until its own process ends."""


OurFault: TypeAlias = (
    Crash
    | StopDaemon
    | Unwritable
    | Reboot
    | WallClock
    | Ordered
    | OperatorRestart
    | RestarterTrouble
    | Mistyped
    | DiskLow
    | Leak
    | Spin
    | EngineEnds
)
AnyEvent: TypeAlias = faults.AnyFault | OurFault


class At(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event at its time, in seconds of the world."""

    at: float
    event: AnyEvent


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What of the policy differs from schedule to schedule: narrow enough that every limit is met in half an hour."""

    backoff_max: float = 60.0
    failures: int = 5
    open_for: float = 60.0
    open_max: float = 300.0
    per_session_per_hour: int = 6
    sessions_per_hour: int = 60
    concurrent: int = 1
    gateway_per_hour: int = 2
    starting_timeout: float = 60.0
    expect_all: bool = False
    act: bool = True
    restarter: Literal["none", "command"] = "none"
    park: Literal["ask", "auto", "never"] = "ask"
    probe: bool = False
    tell: bool = False
    """A person is told of everything, and again each ten minutes."""
    limits: bool = False
    """Memory and CPU are measured, and have limits."""

    def policy(self, kind: str, poll: float) -> Policy:
        """The policy with these rules for a kind of gateway."""
        default = Policy()
        return replace(
            default,
            gateway_kind=kind,
            act=self.act,
            expect_all=self.expect_all,
            poll_every=poll,
            starting_timeout=self.starting_timeout,
            backoff=Backoff(max=self.backoff_max),
            breaker=BreakerRule(failures=self.failures, open_for=self.open_for, open_max=self.open_max),
            budget=Budget(
                per_session_per_hour=self.per_session_per_hour,
                sessions_per_hour=self.sessions_per_hour,
                gateway_per_hour=self.gateway_per_hour,
                concurrent=self.concurrent,
            ),
            restarter=self.restarter,
            park=self.park,
            tell=tuple(AlertKind) if self.tell else (),
            remind=600.0 if self.tell else None,
            probe=ProbeRule(every=120.0) if self.probe else None,
            memory=MEMORY if self.limits else None,
            cpu=CPU if self.limits else None,
            restart_spacing=60.0 if kind == "evolution" else 0.0,
        )


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One story: a gateway, a supervisor, and what happens to them."""

    seed: int
    kind: Literal["waha", "evolution"]
    sessions: int
    poll: float
    events: tuple[At, ...]
    process: Literal["kept", "unkept", "unseen"] = "kept"
    """kept: something starts it again and we know it. unkept: nothing does. unseen: something does, unknown to us."""
    core: bool = False
    """WAHA: the old core with one session, stopped after each start of the process."""
    mode: Literal["A", "B"] = "A"
    """Evolution: credentials in Redis, or in PostgreSQL."""
    redis_watched: bool = False
    """Evolution: the supervisor looks at its Redis."""
    length: float = 1800.0
    rules: Rules = Rules()

    @property
    def names(self) -> list[str]:
        """The names of its sessions."""
        return ["default"] if self.core else [f"s{number}" for number in range(1, self.sessions + 1)]

    def with_events(self, events: tuple[At, ...]) -> Schedule:
        """The same story with other events."""
        return replace(self, events=events)

    def as_json(self) -> str:
        """One line that `read_schedule` reads."""
        return msgspec.json.encode(self).decode()


def read_schedule(text: str | bytes) -> Schedule:
    """A schedule from its JSON."""
    return msgspec.json.decode(text, type=Schedule)


def happens(at: float, event: AnyEvent) -> At:
    """An event at a time, with the time fit to be read."""
    return At(at=round(at, 2), event=event)


def told(schedule: Schedule) -> str:
    """The schedule for a person, an event on each line."""
    head: dict[str, Any] = msgspec.to_builtins(schedule.with_events(()))
    lines = [f"{one.at:8.2f}  {msgspec.json.encode(one.event).decode()}" for one in schedule.events]
    return "\n".join([str(head), *lines])
