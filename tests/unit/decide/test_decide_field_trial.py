"""What operators saw in the field trial: the real daemon with default values beside the simulated gateways."""

from __future__ import annotations

from decide_scenes import Stage, all_of, failed, instance, names, starting, stopped, working
from msgspec.structs import replace

from wasupervisor.model.health import Status
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.policy import Budget, Policy
from wasupervisor.model.sessions import Condition, Reason, State

REAL = Policy()
"""The defaults of the configuration."""


def test_status_said_healthy_for_a_minute_while_nothing_worked() -> None:
    stage = Stage(policy=REAL).healthy("a", "b")
    stage.uplink = UplinkState.DOWN
    stage.change(starting("a"), starting("b"))
    stage.run(10)
    assert stage.status() is Status.HEALTHY  # a reconnect of a few seconds is no news
    stage.run(15)
    assert stage.status() is Status.UNHEALTHY
    assert stage.health().condition is Condition.FAILING
    assert stage.health().reason is Reason.UPLINK_DOWN
    stage.run(20)
    assert stage.whole.ready is False
    assert stage.made == []


def test_ready_said_no_while_the_session_worked_and_was_only_being_verified() -> None:
    stage = Stage(policy=REAL).healthy("a")
    stage.change(failed("a"))
    stage.run_until_remedy()
    stage.change(working("a"))
    stage.run(15)
    assert stage.health().group == "recovering"
    assert stage.health().usable
    assert stage.status() is Status.DEGRADED
    assert stage.whole.ready is True


def test_the_budget_of_all_sessions_filled_the_journal() -> None:
    policy = replace(REAL, budget=Budget(sessions_per_hour=3, spacing=0.0))
    many = names("s", 12)
    stage = Stage(policy=policy).healthy("w", *many)
    stage.change(*all_of(failed, many))
    stage.answers = None
    for _ in range(3):
        remedy = stage.run_until_remedy()
        stage.change(working(remedy.session))
        stage.run(120)
    stage.run(600)
    spent = [one for one in stage.withheld if "all sessions is spent" in one]
    assert len(spent) == 1


def test_the_incident_was_over_with_half_of_its_sessions_still_down() -> None:
    many = names("s", 20)
    stage = Stage(policy=REAL).healthy("w", *many)
    stage.change(*all_of(failed, many))
    stage.run(30)
    assert stage.whole.incident is not None
    stage.change(*all_of(working, many[:14]))
    stage.run(60)
    assert stage.whole.incident is not None
    stage.change(*all_of(working, many))
    stage.run(60)
    assert stage.whole.incident is None


def test_a_database_that_was_away_left_no_line_in_the_journal() -> None:
    stage = Stage(policy=replace(REAL, gateway_kind="evolution"), store_ok=True)
    stage.see(instance("open", State.WORKING))
    stage.run(60)
    stage.store_ok = False
    stage.run(30)
    stage.store_ok = None
    stage.run(30)
    stage.store_ok = True
    stage.run(30)
    told = [one for one in stage.told(EntryKind.GATEWAY) if "database" in one]
    assert [one.split(":")[0] for one in told] == [
        "the gateway's database does not answer",
        "the gateway's database answers again",
    ]


def test_the_note_on_the_uplink_stayed_after_all_was_well_again() -> None:
    stage = Stage(policy=REAL).healthy("a")
    stage.uplink = UplinkState.DOWN
    stage.change(starting("a"))
    stage.run(30)
    assert "WhatsApp cannot be reached" in stage.notes
    stage.change(working("a"))
    stage.run(5)
    assert "WhatsApp cannot be reached" not in stage.notes


def test_a_stop_of_three_seconds_was_called_the_operators() -> None:
    stage = Stage(policy=REAL).healthy("a")
    stage.change(stopped("a"))
    stage.run(5)
    assert stage.told(EntryKind.CONCLUDED, "a")[-1].startswith("suspect: it is stopped; whether by its operator")
