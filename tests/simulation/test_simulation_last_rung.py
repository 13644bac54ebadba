"""The last rung and parking in whole stories: what the invariants hold in each step, told once from begin to end."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import pytest
from sim_events import AnyEvent, Crash, DiskLow, Mistyped, Ordered, RestarterTrouble, Rules, Schedule, happens
from sim_run import play, unwell
from sim_site import Site

from wasupervisor.model.remedies import Outcome, RemedyKind
from wasupervisor.simulator import faults
from wasupervisor.simulator.waha_world import WahaWorld

RULES = Rules(restarter="command", park="auto", probe=True)
HANG = faults.Process(action="freeze")
Kind = Literal["waha", "evolution"]


def story(kind: Kind, *events: tuple[float, AnyEvent], length: float = 1200.0, **more: Any) -> Site:
    """Play it."""
    told = {"seed": 1, "sessions": 3, "poll": 5.0, "rules": RULES, "length": length, **more}
    return play(Schedule(kind=kind, events=tuple(happens(at, event) for at, event in events), **told))


def status_of(site: Site, name: str) -> str:
    """WAHA: as it really is."""
    assert isinstance(site.world, WahaWorld)
    return site.world.sessions[name].status


PARK = Ordered(order="park", session="s1")
KILL = faults.Process(action="kill")


def test_a_parked_session_stays_parked_whatever_is_restarted() -> None:
    restart = Ordered(order="restart_gateway")
    site = story("waha", (100.0, PARK), (200.0, Crash(away=20.0)), (300.0, KILL), (400.0, restart))
    assert status_of(site, "s1") == "STOPPED"
    assert unwell(site) == ["s1"]
    assert [one.outcome for one in site.promises.gateway_restarts] == [Outcome.ACCEPTED]


def test_recover_starts_a_parked_session() -> None:
    site = story("waha", (100.0, PARK), (200.0, Crash(away=20.0)), (300.0, Ordered(order="recover", session="s1")))
    assert unwell(site) == []
    assert [call.remedy.kind for call in site.promises.calls_made] == [
        RemedyKind.PARK_SESSION,
        RemedyKind.START_SESSION,
    ]


def test_a_banned_account_is_parked_and_hammers_no_more() -> None:
    site = story("waha", (100.0, faults.Banned(session="s1")), length=3600.0)
    logins = site.world.sessions["s1"].logins
    assert status_of(site, "s1") == "STOPPED"
    site.world.advance(7200.0)
    assert site.world.sessions["s1"].logins == logins


@pytest.mark.parametrize("park", ["ask", "never"])
def test_nobody_is_parked_unasked(park: Any) -> None:
    rules = Rules(restarter="command", park=park)
    site = story("waha", (100.0, faults.Banned(session="s1")), length=3600.0, rules=rules)
    assert site.promises.parked == set()
    assert status_of(site, "s1") != "STOPPED"


@pytest.mark.parametrize("event", [KILL, HANG, Ordered(order="restart_gateway")], ids=["kill", "hang", "order"])
def test_an_operators_stop_is_not_undone_by_a_restart_of_the_gateway(event: AnyEvent) -> None:
    site = story("waha", (100.0, faults.Stopped(session="s1")), (200.0, event))
    assert status_of(site, "s1") == "STOPPED"
    assert {call.remedy.session for call in site.promises.calls_made} <= {"s2", "s3"}


@pytest.mark.parametrize("kind", ["waha", "evolution"])
@pytest.mark.parametrize("answer", ["refuses", "slow", "hangs"])
def test_a_restarter_that_fails_is_asked_ever_more_rarely_and_in_the_end_heals(kind: Kind, answer: Any) -> None:
    trouble = RestarterTrouble(answer=answer, lasts=3000.0)
    site = story(kind, (100.0, trouble), (200.0, HANG), length=9000.0)
    made = [one.at for one in site.promises.gateway_restarts]
    assert unwell(site) == []
    assert len(made) <= 4
    assert all(later - earlier >= 300.0 for earlier, later in pairwise(made))


def test_hands_off_while_paused_and_then_it_is_healed() -> None:
    pause, resume = Ordered(order="pause"), Ordered(order="resume")
    site = story("waha", (100.0, pause), (200.0, HANG), (900.0, resume), length=1500.0)
    assert [one.at > 900.0 for one in site.promises.gateway_restarts] == [True]
    assert unwell(site) == []


@pytest.mark.parametrize("rules", [Rules(restarter="command", act=False), Rules()], ids=["observe", "none"])
def test_nobody_restarts_the_gateway_where_that_is_not_configured(rules: Rules) -> None:
    site = story("evolution", (200.0, HANG), (900.0, faults.NotLoaded(session="s1")), rules=rules)
    assert site.promises.gateway_restarts == []


def test_a_false_open_waits_for_the_store() -> None:
    away = faults.Store(database="down", lasts=900.0)
    site = story("evolution", (200.0, away), (210.0, faults.Drop(session="s1")), length=2400.0)
    assert [one.at > 1100.0 for one in site.promises.gateway_restarts] == [True]
    assert unwell(site) == []


@pytest.mark.parametrize("force", [False, True])
def test_a_mistyped_key_forbids_every_restart_of_the_gateway(*, force: bool) -> None:
    order = Ordered(order="restart_gateway", force=force)
    events = ((100.0, Mistyped(session="s2", lasts=800.0)), (200.0, faults.NotLoaded(session="s1")), (300.0, order))
    site = story("evolution", *events, length=1800.0, redis_watched=True)
    assert [one.at > 900.0 for one in site.promises.gateway_restarts] == [True]
    assert site.world.sessions["s2"].paired


def test_a_disk_that_is_nearly_full_keeps_the_gateway_running() -> None:
    site = story("evolution", (100.0, DiskLow(lasts=900.0)), (200.0, faults.NotLoaded(session="s1")), length=1800.0)
    assert [one.at > 1000.0 for one in site.promises.gateway_restarts] == [True]
    assert unwell(site) == []
