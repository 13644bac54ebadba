"""WAHA with GOWS whose engine has ended while the gateway itself lives on."""

from __future__ import annotations

from typing import Any

import pytest
from decide_scenes import CALM, Stage, failed, starting, stopped, told, wants_qr, working
from msgspec.structs import replace

from wasupervisor.decide.engine import ENOUGH, GONE_FOR
from wasupervisor.model.alerts import AlertKind, Event
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Outcome, RemedyKind
from wasupervisor.model.sessions import Condition, Reason, Sighting, State

POLICY = replace(CALM, restarter="systemd", startup_grace=30.0, tell=(AlertKind.CRASHES,))
GATEWAY, RESTART = RemedyKind.RESTART_GATEWAY, RemedyKind.RESTART_SESSION
TOLD = "the process of the gateway's engine (gows) is gone for 30 s, and the gateway lives on"
BACK = "the process of the gateway's engine (gows) is there again"


def gows(*sessions: str, policy: Policy = POLICY, **rest: Any) -> Stage:
    stage = Stage(policy=policy, programs=("gows",), **rest)
    stage.run(30)
    return stage.healthy(*(sessions or ("a", "b")))


def engine_ends(stage: Stage, *sightings: Sighting) -> Stage:
    """Between two looks."""
    stage.programs = ()
    stage.change(*(sightings or (failed("a"), starting("b"))))
    return stage


def gateway_told(stage: Stage) -> list[str]:
    return [text for text in stage.told(EntryKind.GATEWAY) if "engine" in text]


def test_the_gateway_is_restarted_once_its_engine_is_gone_and_no_session_is_restarted_before() -> None:
    stage = engine_ends(gows())
    ended = stage.now
    remedy = stage.run_until_remedy()
    assert (remedy.kind, remedy.cause) == (GATEWAY, Reason.ENGINE_GONE)
    assert stage.now - ended == GONE_FOR + stage.policy.poll_every
    assert gateway_told(stage) == [TOLD]
    assert "only a restart of the gateway process starts its engine again" in remedy.why
    stage.programs = ("gows",)
    stage.begin_anew(starting("a"), starting("b"))
    stage.run(5)
    stage.change(working("a"), working("b"))
    stage.run(90)
    assert stage.told(EntryKind.VERIFIED)[-1].startswith("healed: a ")
    assert len(stage.remedies) == 1
    assert "engine" not in stage.notes


def test_all_that_start_are_waited_for_with_their_patience() -> None:
    stage = engine_ends(gows(), starting("a"), starting("b"))
    ended = stage.now
    remedy = stage.run_until_remedy()
    assert (remedy.kind, remedy.cause, remedy.sessions) == (GATEWAY, Reason.ENGINE_GONE, ("a", "b"))
    assert stage.now - ended >= stage.policy.starting_timeout


def test_what_it_says_to_a_person() -> None:
    stage = engine_ends(gows())
    stage.run(25)
    assert stage.health("a").reason is Reason.ENGINE_GONE
    assert stage.health("a").next == (
        "nothing is done: only a restart of the gateway process starts its engine again; "
        "one of the session is answered with an error"
    )
    assert "nothing else starts its engine again" in stage.health("a").advice
    begins = [one for _ in range(2) for one in stage.look().alerts]
    assert [(one.kind, one.event, one.reason, one.what) for one in begins] == [
        (AlertKind.CRASHES, Event.BEGIN, Reason.ENGINE_GONE, TOLD)
    ]
    assert begins[0].todo == (
        "Restart the gateway process: nothing else starts its engine again. Look into its log for why it ended."
    )
    assert "The process of the gateway's engine (gows) is gone for 30 s, and the gateway lives on." in stage.whole.notes


def test_while_a_session_works_it_is_only_told() -> None:
    stage = engine_ends(gows(), failed("a"), working("b"))
    alerts = [one for _ in range(120) for one in stage.look().alerts]
    assert [(one.event, one.why_no_more) for one in alerts] == [
        (Event.BEGIN, "sessions work, so that nothing is restarted for it")
    ]
    assert stage.gateway_restarts == []
    assert stage.health("a").reason is not Reason.ENGINE_GONE
    assert stage.made[0] == (RESTART, "a")  # as if nobody knew anything of an engine


@pytest.mark.parametrize(
    "sighting",
    [wants_qr(), stopped(), told(State.FAILED, Reason.LOGGED_OUT), told(State.FAILED, Reason.QR_EXPIRED)],
    ids=lambda one: one.reason,
)
def test_what_no_engine_heals_is_no_reason(sighting: Sighting) -> None:
    stage = engine_ends(gows("a"), sighting)
    stage.run(600)
    assert stage.made == []
    assert gateway_told(stage) == [TOLD]
    assert stage.health().reason is not Reason.ENGINE_GONE


def test_a_session_that_is_known_to_be_logged_out_stays_so() -> None:
    stage = gows("a")
    stage.change(failed())
    stage.run(120)
    assert stage.health().reason is Reason.LOGGED_OUT
    engine_ends(stage, failed())
    stage.run(600)
    assert stage.gateway_restarts == []


@pytest.mark.parametrize("programs", [(), ("chromium",), None])
def test_an_engine_that_was_never_seen_cannot_be_gone(programs: tuple[str, ...] | None) -> None:
    stage = Stage(policy=POLICY, programs=programs)
    stage.run(30)
    stage.healthy()
    stage.change(failed())
    assert stage.run_until_remedy().kind is RESTART
    assert stage.health().reason is Reason.UNEXPLAINED


def test_nor_one_of_an_earlier_run_of_the_gateway() -> None:
    stage = gows("a")
    stage.programs = ()
    stage.begin_anew(failed())
    assert stage.run_until_remedy().kind is RESTART


def test_nor_one_of_a_run_that_the_api_tells_to_be_over() -> None:
    stage = gows("a", api="1")
    engine_ends(stage, failed())
    stage.run(10)
    stage.programs, stage.api = None, "2"
    stage.look()
    assert stage.memory.gateway.engine.seen_in is None
    assert stage.run_until_remedy().kind is RESTART


def test_evolution_has_none() -> None:
    stage = gows("a", policy=replace(POLICY, gateway_kind="evolution"))
    engine_ends(stage, told(State.STARTING, Reason.RECONNECTING))
    stage.run(600)
    assert stage.gateway_restarts == []
    assert gateway_told(stage) == []


def test_unknown_never_counts_as_gone() -> None:
    stage = gows("a")
    stage.change(failed())
    stage.programs = None
    stage.run(600)
    assert stage.gateway_restarts == []
    assert gateway_told(stage) == []


def test_a_reading_that_is_missing_in_between_is_waited_for_and_then_all_counts_anew() -> None:
    stage = engine_ends(gows("a"), failed())
    stage.run(20)
    stage.programs = None
    stage.run(15)
    assert stage.health().reason is Reason.ENGINE_GONE
    assert stage.memory.gateway.engine.samples == ENOUGH
    stage.run(300)
    assert stage.made == []  # a restart of the session would be in vain, and tell nothing of its account
    stage.programs = ()
    seen = stage.now
    assert stage.run_until_remedy().kind is GATEWAY
    assert stage.now - seen >= GONE_FOR


def test_not_in_a_look_that_cannot_tell_it() -> None:
    stage = engine_ends(gows("a"), failed())
    stage.run(30)
    stage.programs = None
    stage.run(10)
    assert stage.gateway_restarts == []
    stage.programs = ()
    stage.look()
    assert len(stage.gateway_restarts) == 1


def test_our_own_restart_forgets_for_how_long_but_not_that_it_was_there() -> None:
    stage = engine_ends(gows("a"), failed())
    stage.run(25)
    stage.restart_supervisor(away=600.0)
    begun = stage.now
    remedy = stage.run_until_remedy()
    assert remedy.kind is GATEWAY
    assert stage.now - begun >= GONE_FOR


def test_one_that_comes_back_is_told_and_nothing_is_done() -> None:
    stage = engine_ends(gows(), starting("a"), starting("b"))
    stage.run(45)
    stage.programs = ("gows",)
    stage.change(working("a"), working("b"))
    stage.run(60)
    assert gateway_told(stage) == [TOLD, BACK]
    assert stage.made == []


def test_one_that_is_away_for_a_moment_is_not_told() -> None:
    stage = engine_ends(gows("a"), failed())
    stage.run(20)
    stage.programs = ("gows",)
    stage.look()
    assert gateway_told(stage) == []
    assert stage.made == [(RESTART, "a")]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"uplink": UplinkState.DOWN}, "WhatsApp cannot be reached"),
        ({"redis_ok": False}, "the gateway's store does not answer"),
        ({"mistyped": ("a",)}, "credential keys in Redis are not whole (a)"),
        ({"disk_low": True}, "the disk is nearly full"),
    ],
)
def test_the_gates_hold(change: dict[str, Any], text: str) -> None:
    stage = engine_ends(gows("a"), failed())
    for name, value in change.items():
        setattr(stage, name, value)
    stage.run(300)
    assert stage.made == []
    assert any(text in one for one in stage.withheld)


def test_without_a_restarter_a_person_is_told() -> None:
    stage = gows("a", policy=replace(POLICY, restarter="none", tell=(AlertKind.RESTART_WANTED,)))
    engine_ends(stage, failed())
    (alert,) = [one for _ in range(40) for one in stage.look().alerts]
    assert (alert.kind, alert.reason) == (AlertKind.RESTART_WANTED, Reason.ENGINE_GONE)
    assert "Only a restart of the gateway process heals a." in stage.notes
    assert stage.made == []


def test_a_restart_that_does_not_bring_it_back_opens_the_breaker() -> None:
    stage = engine_ends(gows("a"), failed())
    stage.run_until_remedy()
    stage.begin_anew(failed())
    stage.run(300)
    assert "restart_gateway did not heal" in stage.told(EntryKind.VERIFIED)[-1]
    assert len(stage.gateway_restarts) == 1


def test_one_that_the_gateway_does_not_let_restart_stays_on_the_list() -> None:
    stage = engine_ends(gows("a"), failed())
    stage.answers = Outcome.UNREACHABLE
    stage.run(600)
    assert len(stage.gateway_restarts) > 1
    assert stage.health().condition is Condition.FAILING


def test_many_together_are_an_incident_without_a_canary() -> None:
    stage = gows("a", "b", "c", policy=replace(POLICY, tell=(AlertKind.INCIDENT,)))
    engine_ends(stage, *(failed(name) for name in "abc"))
    (alert,) = [one for _ in range(4) for one in stage.look().alerts]
    assert (alert.kind, alert.reason) == (AlertKind.INCIDENT, Reason.ENGINE_GONE)
    assert "not so for long enough" in alert.why_no_more
    assert stage.told(EntryKind.INCIDENT)[0].endswith("Only a restart of the gateway process heals that")
    assert stage.run_until_remedy().kind is GATEWAY


def test_nothing_is_written_while_nothing_changes() -> None:
    stage = engine_ends(gows("a"), wants_qr())
    stage.run(60)
    before = stage.writes
    stage.run(60)
    stage.programs = None
    stage.run(60)
    assert stage.writes - before <= 2


def test_one_reading_without_it_and_a_long_blindness_are_not_two_readings() -> None:
    stage = engine_ends(gows("a"), failed())
    stage.look()
    stage.programs = None
    stage.run(300)
    stage.programs = ()
    stage.look()
    stage.run(GONE_FOR - stage.policy.poll_every)
    assert gateway_told(stage) == []
    stage.run(10)
    assert gateway_told(stage) == [TOLD]
