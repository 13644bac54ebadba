"""Long healthy runs: nothing happens but what heals alone, and so each remedy is one too many."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Literal

from sim_daemon import Daemon
from sim_events import AnyEvent, Rules, Schedule, happens
from sim_figures import OURS, Policy
from sim_policies import RestartWhatIsNotWorking
from sim_promises import Promises
from sim_site import Site

from wasupervisor.simulator import faults
from wasupervisor.simulator.world import UplinkState

DAY, SESSIONS = 86400.0, 6
RECONNECT = 1800.0
"""Seconds: each session loses its connection about so often and is back in 2 s (WAHA: WORKING, STARTING, WORKING)."""
SILENCES, OUTAGES = 4, 2
"""A day: peers that fall silent, and outages of WhatsApp of up to 40 s."""


@dataclass(frozen=True)
class Healthy:
    """What a policy did in some days in which nothing had to be done."""

    session_days: float
    remedies: int
    logins: int
    deaths: int
    harm: int


def live(job: tuple[Literal["waha", "evolution"], Policy, int]) -> Healthy:
    """One day of a gateway with some sessions."""
    kind, policy, seed = job
    schedule = Schedule(
        seed=seed,
        kind=kind,
        sessions=SESSIONS,
        poll=5.0,
        events=(),
        length=DAY,
        rules=Rules(restarter="command", probe=True),
    )
    site = Site(schedule, Daemon, Promises, supervised=policy in OURS)
    naive = RestartWhatIsNotWorking(site.world, site.door, 60.0)
    if policy == "restart":
        naive.begin(30.0)
    for at, event in _day(Random(seed), schedule.names):
        site.world.later(happens(at, event).at, partial(site.happen, event))
    site.world.advance(DAY)
    logins = sum(session.logins for session in site.world.sessions.values())
    ours = len(site.promises.calls_made) + len(site.promises.gateway_restarts)
    remedies = ours + naive.restarts + naive.connects
    return Healthy(float(SESSIONS), remedies, logins, len(site.world.deaths), len(site.world.harm))


def _day(dice: Random, names: list[str]) -> list[tuple[float, AnyEvent]]:
    found: list[tuple[float, AnyEvent]] = []
    for name in names:
        at = dice.uniform(60.0, RECONNECT)
        while at < DAY - 120.0:
            found.append((at, faults.Drop(session=name)))
            at += RECONNECT * dice.uniform(0.9, 1.1)
    times = [dice.uniform(300.0, DAY - 300.0) for _ in range(SILENCES + OUTAGES)]
    found += [(at, faults.Silent(session=dice.choice(names))) for at in times[:SILENCES]]
    refused = [faults.Uplink(state=UplinkState.REFUSED, lasts=round(dice.uniform(2.0, 40.0), 1)) for _ in times]
    found += list(zip(times[SILENCES:], refused, strict=False))
    return found
