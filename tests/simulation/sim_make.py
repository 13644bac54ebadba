"""Makes a schedule from a seed: dense with faults that overlap, at every poll interval."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import sim_events as events
from msgspec.structs import replace
from sim_events import AnyEvent, At, Rules, Schedule, happens

from wasupervisor.simulator import faults
from wasupervisor.simulator.world import UplinkState

SETTLED = 60.0
"""The supervisor has seen all healthy by then."""

POLLS = (1.0, 2.0, 5.0, 5.0, 10.0, 15.0, 30.0)
"""Seconds between two looks."""

Make = Callable[[Random, str], AnyEvent]


def schedule_of(seed: int) -> Schedule:
    """The schedule of a seed."""
    dice = Random(seed)
    kind = dice.choice(("waha", "evolution"))
    core = kind == "waha" and dice.random() < 0.15
    empty = Schedule(
        seed=seed,
        kind=kind,  # type: ignore[arg-type]
        sessions=1 if core else dice.choice((1, 2, 2, 3, 3, 4, 5, 6)),
        poll=dice.choice(POLLS),
        events=(),
        process=dice.choices(("kept", "unkept", "unseen"), (6, 2, 2))[0],
        core=core,
        mode=dice.choice(("A", "A", "B")),
        redis_watched=dice.random() < 0.5,
        rules=_rules(dice),
    )
    return _with_engine(_with_limits(empty.with_events(_events(dice, empty))))


def _with_engine(schedule: Schedule) -> Schedule:
    """One WAHA of six has an engine of its own, which ends. By dice of its own, as the limits."""
    dice = Random(f"engine of {schedule.seed}")
    if schedule.kind != "waha" or dice.random() >= 1 / 6:
        return schedule
    times = [dice.uniform(SETTLED, schedule.length - 300.0) for _ in range(dice.randint(1, 2))]
    found = (*schedule.events, *(happens(at, events.EngineEnds()) for at in times))
    return schedule.with_events(tuple(sorted(found, key=lambda one: one.at)))


def _with_limits(schedule: Schedule) -> Schedule:
    """One of five has limits, and leaks or spins. By dice of its own: all else is as it was without these faults."""
    dice = Random(f"limits of {schedule.seed}")
    if dice.random() >= 0.2:
        return schedule
    makes: tuple[Callable[[], AnyEvent], ...] = (
        lambda: events.Leak(megabytes=dice.choice((20, 40, 60, 100, 500))),
        lambda: events.Spin(lasts=dice.choice((None, 30.0, 120.0, 300.0))),
    )
    times = [dice.uniform(SETTLED, schedule.length - 600.0) for _ in range(dice.randint(1, 4))]
    found = (*schedule.events, *(happens(at, dice.choice(makes)()) for at in times))
    rules = replace(schedule.rules, limits=True)
    return replace(schedule, rules=rules, events=tuple(sorted(found, key=lambda one: one.at)))


def _rules(dice: Random) -> Rules:
    if dice.random() < 0.3:
        return Rules()
    return Rules(
        backoff_max=dice.choice((30.0, 60.0, 300.0)),
        failures=dice.choice((1, 2, 3, 5)),
        open_for=dice.choice((30.0, 60.0)),
        open_max=dice.choice((120.0, 300.0, 600.0)),
        per_session_per_hour=dice.choice((1, 2, 3, 6, 20)),
        sessions_per_hour=dice.choice((2, 5, 60)),
        concurrent=dice.choice((1, 1, 2, 4)),
        gateway_per_hour=dice.choice((1, 2, 4)),
        starting_timeout=dice.choice((30.0, 60.0, 90.0)),
        expect_all=dice.random() < 0.15,
        act=dice.random() < 0.95,
        restarter=dice.choice(("none", "command", "command")),
        park=dice.choice(("ask", "auto", "auto", "never")),
        probe=dice.random() < 0.6,
        tell=dice.random() < 0.6,
    )


def _events(dice: Random, schedule: Schedule) -> tuple[At, ...]:
    rows = _WAHA if schedule.kind == "waha" else _EVOLUTION
    makes, weights = [row[1] for row in rows], [row[0] for row in rows]
    found: list[At] = []
    count = dice.randint(2, 25)
    centre = dice.uniform(SETTLED, schedule.length - 300.0)
    for make in dice.choices(makes, weights, k=count):
        name = "*" if dice.random() < 0.15 else dice.choice(schedule.names)
        # Half of them close together, so that they overlap.
        near = dice.random() < 0.5
        at = dice.uniform(centre, centre + 200.0) if near else dice.uniform(SETTLED, schedule.length - 30.0)
        found.append(happens(at, make(dice, name)))
    return tuple(sorted(found, key=lambda one: one.at))


def _lasting(dice: Random) -> float:
    lowest, highest = dice.choice(((1.0, 10.0), (10.0, 60.0), (60.0, 180.0), (180.0, 600.0)))
    return round(dice.uniform(lowest, highest), 1)


def _maybe(dice: Random) -> float | None:
    return _lasting(dice) if dice.random() < 0.7 else None


def _named(name: str) -> str:
    return name


def _uplink(dice: Random, name: str) -> AnyEvent:
    bad = (UplinkState.REFUSED, UplinkState.BLACK_HOLE, UplinkState.UPGRADE_503, UplinkState.NO_LOGIN)
    return faults.Uplink(state=dice.choice(bad), cut=dice.random() < 0.7, lasts=_lasting(dice))


def _process(dice: Random, name: str) -> AnyEvent:
    action = dice.choice(("kill", "terminate", "restart", "freeze", "freeze"))
    if action == "freeze":
        return faults.Process(action="freeze", lasts=_lasting(dice))
    return faults.Process(action=action)  # type: ignore[arg-type]


def _http(dice: Random, name: str) -> AnyEvent:
    answers = ("hang", "slow", "status", "html", "truncated", "empty", "huge", "redirect", "drop")
    paths = ("*", "*", "/api/sessions*", "*/restart*", "*/start", "/metrics", "/instance/*", "/api/server/*")
    return faults.Http(
        answer=dice.choice(answers),  # type: ignore[arg-type]
        path=dice.choice(paths),
        times=dice.choice((None, None, 1, 2, 5)),
        seconds=round(dice.uniform(0.5, 20.0), 1),
        status=dice.choice((401, 404, 500, 502, 503, 504)),
        lasts=_lasting(dice),
    )


def _store(dice: Random, name: str) -> AnyEvent:
    which = dice.choice(("database", "redis", "both"))
    return faults.Store(
        database="down" if which != "redis" else None,
        redis="down" if which != "database" else None,
        lasts=_lasting(dice),
    )


def _crash(dice: Random, name: str) -> AnyEvent:
    where = dice.choice(("now", "now", "before_persist", "after_persist", "after_act"))
    return events.Crash(where=where, away=dice.choice((0.5, 2.0, 5.0, 30.0, 120.0)))  # type: ignore[arg-type]


def _order(dice: Random, name: str) -> AnyEvent:
    order = dice.choice(("recover", "recover", "recover", "restart", "park", "restart_gateway", "pause", "resume"))
    session = None if order in ("pause", "resume", "restart_gateway") or name == "*" else name
    if order in ("recover", "restart", "park") and session is None:
        order = "resume"
    pause_for = round(dice.uniform(10.0, 400.0)) if order == "pause" else None
    force = order in ("restart", "restart_gateway") and dice.random() < 0.2
    return events.Ordered(order=order, session=session, pause_for=pause_for, force=force)  # type: ignore[arg-type]


def _operator_restart(dice: Random, name: str) -> AnyEvent:
    return faults.Drop(session=name) if name == "*" else events.OperatorRestart(session=name)


def _failed(dice: Random, name: str) -> AnyEvent:
    return faults.Failed(session=name, heals_after_restarts=dice.choice((1, 1, 1, None)))


def _stuck(dice: Random, name: str) -> AnyEvent:
    return faults.Stuck(session=name, heals_after_restarts=dice.choice((1, 1, 2, 3, None)), lasts=_maybe(dice))


def _restarter_trouble(dice: Random, name: str) -> AnyEvent:
    answer = dice.choice(("refuses", "slow", "hangs"))
    return events.RestarterTrouble(answer=answer, lasts=_lasting(dice))  # type: ignore[arg-type]


_BOTH: tuple[tuple[int, Make], ...] = (
    (8, _failed),
    (8, _stuck),
    (2, lambda dice, name: faults.FalseWorking(session=name)),
    (4, lambda dice, name: faults.Silent(session=name)),
    (6, lambda dice, name: faults.Drop(session=name)),
    (4, lambda dice, name: faults.Unreachable(session=name, lasts=_lasting(dice))),
    (2, lambda dice, name: faults.QrWanted(session=name)),
    (1, lambda dice, name: faults.QrExpired(session=name)),
    (2, lambda dice, name: faults.LoggedOut(session=name)),
    (2, lambda dice, name: faults.Banned(session=name, lasts=_maybe(dice))),
    (2, lambda dice, name: faults.NotLoaded(session=name)),
    (4, lambda dice, name: faults.Scanned(session=name)),
    (3, lambda dice, name: faults.Healed(session=name)),
    (9, _uplink),
    (6, _process),
    (6, _http),
    (7, _crash),
    (2, lambda dice, name: events.StopDaemon(away=dice.choice((0.5, 5.0, 60.0)))),
    (3, lambda dice, name: events.Unwritable(lasts=_lasting(dice))),
    (1, lambda dice, name: events.Reboot(away=dice.choice((5.0, 30.0)))),
    (2, lambda dice, name: events.WallClock(by=dice.choice((-86400.0, -60.0, 3600.0, 1e8)))),
    (5, _order),
    (4, lambda dice, name: events.Ordered(order="pause", pause_for=dice.choice((120.0, 600.0, None)))),
    (2, lambda dice, name: events.Ordered(order="resume")),
    (3, _operator_restart),
    (3, _restarter_trouble),
    (1, lambda dice, name: events.DiskLow(lasts=_lasting(dice))),
)
_WAHA: tuple[tuple[int, Make], ...] = (
    *_BOTH,
    (4, lambda dice, name: faults.Stopped(session=name)),
    (4, lambda dice, name: faults.Started(session=name)),
    (1, lambda dice, name: faults.Claims(session=name, status=dice.choice(("QUANTUM", "PASSKEY_REQUIRED")))),
    (2, lambda dice, name: faults.Claims(session=name, status=None)),
)
_EVOLUTION: tuple[tuple[int, Make], ...] = (
    *_BOTH,
    (7, _store),
    (
        1,
        lambda dice, name: (
            faults.Drop(session=name) if name == "*" else events.Mistyped(session=name, lasts=_lasting(dice))
        ),
    ),
    (1, lambda dice, name: faults.Fight(session=name)),
)
