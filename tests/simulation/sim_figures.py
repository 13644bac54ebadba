"""Figures: each fault alone, under our supervisor and under two policies that people use today, in the same world."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Literal, NamedTuple

from sim_daemon import Daemon
from sim_events import AnyEvent, Rules, Schedule, happens
from sim_policies import RestartWhatIsNotWorking
from sim_promises import Promises
from sim_site import Site

from wasupervisor.simulator import faults
from wasupervisor.simulator.world import UplinkState

Policy = Literal["ours", "alone", "restart", "process"]
POLICIES: tuple[Policy, ...] = ("ours", "alone", "restart", "process")
NAMES: dict[Policy, str] = {
    "ours": "wasupervisor",
    "alone": "wasupervisor without a restarter",
    "restart": "restart what is not working, each minute",
    "process": "PM2-like: the process only",
}
OURS: tuple[Policy, ...] = ("ours", "alone")

BEGIN, WINDOW, SAMPLE = 90.0, 900.0, 0.5


class Fault(NamedTuple):
    """One fault alone."""

    name: str
    kind: Literal["waha", "evolution"]
    events: tuple[AnyEvent, ...]
    lasts: float = 0.0
    """Until it is over, seconds."""
    curable: bool = True
    process: bool = False
    """Only a new process heals it."""


def _uplink(state: UplinkState, lasts: float) -> faults.Uplink:
    return faults.Uplink(state=state, lasts=lasts)


U = UplinkState
FAULTS: tuple[Fault, ...] = (
    Fault("socket reset", "waha", (faults.Drop(session="*"),)),
    Fault("upgrade answered 503, 20 s", "waha", (_uplink(U.UPGRADE_503, 20.0),), 20.0),
    Fault("black hole, 40 s", "waha", (_uplink(U.BLACK_HOLE, 40.0),), 40.0),
    Fault("silent peer", "waha", (faults.Silent(session="*"),)),
    Fault("login without success, 30 s", "waha", (_uplink(U.NO_LOGIN, 30.0),), 30.0),
    Fault("WhatsApp refuses, 40 s", "waha", (_uplink(U.REFUSED, 40.0),), 40.0),
    Fault("WhatsApp refuses, 10 min", "waha", (_uplink(U.REFUSED, 600.0),), 600.0),
    Fault("FAILED, one restart cures", "waha", (faults.Failed(session="s1"),)),
    Fault("one session stuck in STARTING", "waha", (faults.Stuck(session="s1"),)),
    Fault("false WORKING, s1", "waha", (faults.FalseWorking(session="s1"),)),
    Fault("unlinked (401), s1", "waha", (faults.LoggedOut(session="s1"),), curable=False),
    Fault("banned (403), s1", "waha", (faults.Banned(session="s1"),), curable=False),
    Fault("hang (SIGSTOP), 30 s", "waha", (faults.Process(action="freeze", lasts=30.0),), 30.0),
    Fault("hang (SIGSTOP) for ever", "waha", (faults.Process(action="freeze"),), process=True),
    Fault("kill -9", "waha", (faults.Process(action="kill"),)),
    Fault("socket reset, s1", "evolution", (faults.Drop(session="s1"),)),
    Fault("stuck in connecting, s1", "evolution", (faults.Stuck(session="s1"),)),
    Fault(
        "WhatsApp unreachable 40 s, s1 dropped",
        "evolution",
        (faults.Uplink(state=U.REFUSED, cut=False, lasts=40.0), faults.Drop(session="s1")),
        40.0,
    ),
    Fault("WhatsApp refuses, 40 s", "evolution", (_uplink(U.REFUSED, 40.0),), 40.0),
    Fault("WhatsApp refuses, 10 min", "evolution", (_uplink(U.REFUSED, 600.0),), 600.0),
    Fault("silent peer, s1", "evolution", (faults.Silent(session="s1"),)),
    Fault(
        "PostgreSQL away 20 s, and a drop",
        "evolution",
        (faults.Store(database="down", lasts=20.0), faults.Drop(session="s1")),
        20.0,
        process=True,
    ),
    Fault(
        "Redis away 30 s, and a drop",
        "evolution",
        (faults.Store(redis="down", lasts=30.0), faults.Drop(session="s1")),
        30.0,
    ),
    Fault("logged out (401), s1", "evolution", (faults.LoggedOut(session="s1"),), curable=False),
    Fault("hang (SIGSTOP), 30 s", "evolution", (faults.Process(action="freeze", lasts=30.0),), 30.0),
    Fault("hang (SIGSTOP) for ever", "evolution", (faults.Process(action="freeze"),), process=True),
    Fault("kill -9", "evolution", (faults.Process(action="kill"),)),
    Fault("not loaded, s1", "evolution", (faults.NotLoaded(session="s1"),), process=True),
    Fault("login fight (440), s1", "evolution", (faults.Fight(session="s1"),), process=True),
)


@dataclass(frozen=True)
class Outcome:
    """Of one run."""

    healed_after: float | None
    """Seconds from the end of the fault until all was healthy and stayed so; None: not within the window."""
    calls: int
    """Remedies for sessions."""
    restarts: int
    """Of the gateway process, ordered by the policy."""
    logins: int
    """Of all sessions, from the fault on."""
    crashes: int
    """Ends of the gateway process by a remedy for a session."""
    harm: int
    """Of all kinds, crashes too."""
    lost: int
    """Accounts whose credentials are gone at the end and were not when the fault had struck."""
    sessions: int
    exits: tuple[int, ...] = ()
    """Exit codes of the gateway process."""


def play(fault: Fault, policy: Policy, seed: int, *, every: float = 60.0, window: float = WINDOW) -> Outcome:
    """One run; the phase of the fault against the looks is of the seed."""
    dice = Random(seed)
    begin = round(BEGIN + dice.uniform(0.0, max(every, 5.0)), 2)
    schedule = Schedule(
        seed=seed,
        kind=fault.kind,
        sessions=2 if fault.kind == "waha" else 3,
        poll=5.0,
        events=tuple(happens(begin, event) for event in fault.events),
        length=begin + fault.lasts + window,
        rules=Rules(restarter="command", park="auto", probe=True) if policy == "ours" else Rules(probe=True),
    )
    site = Site(schedule, Daemon, Promises, supervised=policy in OURS)
    naive = RestartWhatIsNotWorking(site.world, site.door, every)
    if policy == "restart":
        naive.begin(30.0)
    for one in schedule.events:
        site.world.later(one.at, partial(site.happen, one.event))
    site.world.advance(begin - 0.001)
    before = _logins(site)
    site.world.advance(begin)
    unpaired = _unpaired(site)
    well_since = _watch(site, begin, schedule.length)
    calls = site.promises.calls_made
    return Outcome(
        None if well_since is None else max(0.0, well_since - begin - fault.lasts),
        len(calls) if policy in OURS else naive.restarts + naive.connects,
        len(site.promises.gateway_restarts),
        _logins(site) - before,
        sum(1 for harm in site.world.harm if harm.what == "crash"),
        len(site.world.harm),
        max(0, _unpaired(site) - unpaired),
        len(site.world.sessions),
        tuple(death.exit_code for death in site.world.deaths),
    )


def play_some(job: tuple[int, Policy, range]) -> list[Outcome]:
    """Runs of one fault under one policy."""
    number, policy, seeds = job
    return [play(FAULTS[number], policy, seed) for seed in seeds]


def _logins(site: Site) -> int:
    return sum(session.logins for session in site.world.sessions.values())


def _unpaired(site: Site) -> int:
    return sum(1 for session in site.world.sessions.values() if not session.paired)


def _watch(site: Site, begin: float, end: float) -> float | None:
    """Since when all are healthy, until the end."""
    well_since: float | None = None
    now = begin
    while now < end:
        now += SAMPLE
        site.world.advance(now)
        if not all(_is_well(site, name) for name in site.world.sessions):
            well_since = None
        elif well_since is None:
            well_since = now
    return well_since


def _is_well(site: Site, name: str) -> bool:
    session = site.world.sessions[name]
    answers = site.world.alive and site.world.frozen_since is None
    return answers and bool(site.world.state_of(session)["healthy"])  # type: ignore[arg-type]
