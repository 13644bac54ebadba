"""WAHA with GOWS whose engine ends, in whole stories: one restart of the gateway, and none while a session works."""

from __future__ import annotations

from typing import Any

import pytest
from sim_events import AnyEvent, Crash, EngineEnds, Ordered, Rules, Schedule, happens
from sim_make import schedule_of
from sim_run import play, run, unwell
from sim_site import Site

from wasupervisor.model.sessions import Condition, Reason
from wasupervisor.simulator import faults

RULES = Rules(restarter="command")


def story(*events: tuple[float, AnyEvent], rules: Rules = RULES, **more: Any) -> Site:
    told = {"seed": 1, "kind": "waha", "sessions": 3, "poll": 5.0, "rules": rules, **more}
    return play(Schedule(events=tuple(happens(at, event) for at, event in events), **told))


def causes(site: Site) -> list[Reason]:
    return [one.remedy.cause for one in site.promises.gateway_restarts]


@pytest.mark.parametrize("poll", [1.0, 5.0, 30.0])
@pytest.mark.parametrize("process", ["kept", "unkept"])
def test_the_gateway_is_restarted_once_and_no_session_before(poll: float, process: str) -> None:
    site = story((120.0, EngineEnds()), poll=poll, process=process)
    assert causes(site) == [Reason.ENGINE_GONE]
    assert site.promises.calls_made == []
    assert len(site.world.deaths) == 1
    assert unwell(site) == []


def test_each_time_that_it_ends_within_the_budget() -> None:
    site = story((120.0, EngineEnds()), (600.0, EngineEnds()))
    assert causes(site) == [Reason.ENGINE_GONE] * 2
    assert unwell(site) == []


def test_a_process_that_cannot_be_seen_has_no_engine_to_be_missed() -> None:
    site = story((120.0, EngineEnds()), process="unseen")
    assert Reason.ENGINE_GONE not in causes(site)


def test_a_supervisor_that_comes_back_after_it_knows_that_it_was_there() -> None:
    assert causes(story((115.0, Crash(away=20.0)), (120.0, EngineEnds()))) == [Reason.ENGINE_GONE]


def test_while_another_session_works_nothing_is_restarted_for_it() -> None:
    site = story(
        (120.0, EngineEnds()), (121.0, faults.Healed(session="s2")), (122.0, Ordered(order="restart", session="s2"))
    )
    assert causes(site) == []


@pytest.mark.parametrize("rules", [Rules(), Rules(restarter="command", act=False)], ids=["none", "observe"])
def test_nobody_restarts_it_where_that_is_not_configured_and_no_account_is_called_unlinked(rules: Rules) -> None:
    site = story((120.0, EngineEnds()), rules=rules)
    assert causes(site) == []
    assert site.daemon is not None
    assert {(one.condition, one.cause) for one in site.daemon.memory.sessions.values()} == {
        (Condition.FAILING, Reason.ENGINE_GONE)
    }


def test_it_is_among_the_random_schedules() -> None:
    found = [schedule_of(seed) for seed in range(60)]
    with_engine = [one for one in found if any(isinstance(at.event, EngineEnds) for at in one.events)]
    assert with_engine
    assert {one.kind for one in with_engine} == {"waha"}
    assert run(with_engine[0]).broken is None
