"""A gateway that leaks or spins, in whole stories: restarted once for it, and never below its limits."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from sim_events import AnyEvent, Crash, Leak, Rules, Schedule, Spin, happens
from sim_make import schedule_of
from sim_run import play, unwell
from sim_site import Site
from sim_witness import BrokenPromiseError

from wasupervisor.decide.limits import Gauge
from wasupervisor.model.sessions import Reason

Kind = Literal["waha", "evolution"]
RULES = Rules(restarter="command", limits=True)


def story(kind: Kind, *events: tuple[float, AnyEvent], rules: Rules = RULES, **more: Any) -> Site:
    told = {"seed": 1, "sessions": 3, "poll": 5.0, "rules": rules, **more}
    return play(Schedule(kind=kind, events=tuple(happens(at, event) for at, event in events), **told))


def causes(site: Site) -> list[Reason]:
    return [one.remedy.cause for one in site.promises.gateway_restarts]


def texts(site: Site) -> str:
    return "\n".join(entry.text for _, entry in site.disk.journal)


@pytest.mark.parametrize("kind", ["waha", "evolution"])
def test_a_leaking_gateway_is_restarted_once_before_the_kernel_kills_it(kind: Kind) -> None:
    site = story(kind, (120.0, Leak(megabytes=50)))
    assert causes(site) == [Reason.MEMORY_HIGH]
    assert len(site.world.deaths) == 1
    assert site.body.oom_kills == 0
    assert "healed: the gateway is well again" in texts(site)
    assert unwell(site) == []


@pytest.mark.parametrize("kind", ["waha", "evolution"])
def test_a_spinning_gateway_is_restarted_once_and_a_busy_one_is_not(kind: Kind) -> None:
    assert causes(story(kind, (120.0, Spin()))) == [Reason.CPU_HIGH]
    assert causes(story(kind, (120.0, Spin(lasts=45.0)))) == []


def test_without_a_restarter_the_kernel_ends_it_and_the_journal_says_so() -> None:
    site = story("waha", (120.0, Leak(megabytes=200)), rules=Rules(limits=True))
    assert causes(site) == []
    assert "restarted, for the kernel killed it for want of memory (OOM)" in texts(site)
    assert "will reach its limit" not in texts(site)


def test_a_supervisor_that_dies_in_the_middle_restarts_it_no_second_time() -> None:
    crash = Crash(where="after_act", away=60.0)
    site = story("waha", (120.0, Leak(megabytes=50)), (200.0, crash))
    assert causes(site) == [Reason.MEMORY_HIGH]


def test_gateways_that_die_again_and_again_are_not_restarted_on_top() -> None:
    leaks = tuple((100.0 + 60.0 * number, Leak(megabytes=2000)) for number in range(8))
    site = story("waha", *leaks)
    assert causes(site) == []
    assert texts(site).count("dies again and again") == 1
    assert unwell(site) == []


def test_one_of_five_schedules_has_limits_and_the_others_are_as_they_were() -> None:
    made = [schedule_of(seed) for seed in range(200)]
    limited = [one for one in made if one.rules.limits]
    assert 20 <= len(limited) <= 60
    assert all(isinstance(at.event, Leak | Spin) is False for one in made if not one.rules.limits for at in one.events)


def test_the_witness_sees_a_restart_below_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gauge, "limit", lambda gauge, policy, level: 1.0)
    with pytest.raises(BrokenPromiseError, match="a gateway below its limits is not restarted for its resources"):
        story("waha", (120.0, Leak(megabytes=1)))
