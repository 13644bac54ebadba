"""The ladder is interrupted at every step: the supervisor dies right before it writes a remedy down, right after, and
right after the call. The promises hold, and the fault is healed in the end."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from sim_events import AnyEvent, Crash, Rules, Schedule, happens
from sim_run import play, unwell

from wasupervisor.model.remedies import RemedyKind
from wasupervisor.simulator import faults
from wasupervisor.simulator.world import UplinkState

START, RESTART = RemedyKind.START_SESSION, RemedyKind.RESTART_SESSION
PARK, GATEWAY = RemedyKind.PARK_SESSION, RemedyKind.RESTART_GATEWAY

FAULT_AT, LENGTH = 200.0, 5400.0
REFUSES_UPGRADE = faults.Uplink(state=UplinkState.UPGRADE_503, lasts=20.0)
NO_RESTARTER, WITH_RESTARTER = Rules(probe=True), Rules(probe=True, restarter="command", park="auto")


class Case(NamedTuple):
    """A fault, and the remedy on its ladder at which the supervisor dies."""

    name: str
    kind: Any
    events: tuple[AnyEvent, ...]
    remedy: RemedyKind
    rules: Rules = WITH_RESTARTER
    more: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it


CASES = (
    Case("FAILED", "waha", (faults.Failed(session="s1"),), RESTART),
    Case("stuck", "waha", (faults.Stuck(session="s1"),), RESTART),
    Case("stuck twice", "waha", (faults.Stuck(session="s1", heals_after_restarts=2),), RESTART),
    Case("false WORKING", "waha", (faults.FalseWorking(session="s1"),), RESTART),
    Case("503, the lone canary", "waha", (REFUSES_UPGRADE,), RESTART, NO_RESTARTER),
    Case("503", "waha", (REFUSES_UPGRADE,), GATEWAY),
    Case("hung", "waha", (faults.Process(action="freeze"),), GATEWAY),
    Case("gone", "waha", (faults.Process(action="kill"),), GATEWAY, more={"process": "unkept"}),
    Case("core", "waha", (faults.Process(action="kill"),), START, more={"core": True, "sessions": 1}),
    Case("banned", "waha", (faults.Banned(session="s1"),), PARK),
    Case("stuck", "evolution", (faults.Stuck(session="s1"),), RESTART),
    Case("all stuck", "evolution", (faults.Stuck(session="*"),), RESTART),
    Case("not loaded", "evolution", (faults.NotLoaded(session="s1"),), GATEWAY),
    Case("false open", "evolution", (faults.FalseWorking(session="s1"),), GATEWAY),
    Case("fight", "evolution", (faults.Fight(session="s1"),), GATEWAY),
    Case("hung", "evolution", (faults.Process(action="freeze"),), GATEWAY),
)


@pytest.mark.parametrize("away", [1.0, 150.0], ids=["back-at-once", "away-for-minutes"])
@pytest.mark.parametrize("where", ["before_persist", "after_persist", "after_act"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.name}-{case.remedy}".replace(" ", "-"))
def test_interrupted_at_every_step(case: Case, where: Any, away: float) -> None:
    crash = happens(FAULT_AT - 1.0, Crash(where=where, away=away, remedy=case.remedy))
    events = (crash, *(happens(FAULT_AT, event) for event in case.events))
    plain = {"seed": 1, "sessions": 3, "poll": 5.0, "length": LENGTH, "rules": case.rules}
    site = play(Schedule(kind=case.kind, events=events, **{**plain, **case.more}))
    assert site.lives == 2, "the supervisor was not interrupted"
    if case.remedy is PARK:
        assert site.promises.parked == {"s1"}
        assert unwell(site) == ["s1"]
    else:
        assert unwell(site) == []
