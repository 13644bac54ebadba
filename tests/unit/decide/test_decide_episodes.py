"""What a person is told: one begin and one end for each episode, whatever flaps, restarts or cannot be seen."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from decide_scenes import (
    CALM,
    EVOLUTION,
    Stage,
    all_of,
    failed,
    instance,
    names,
    starting,
    stopped,
    told,
    wants_qr,
    working,
)
from msgspec.structs import replace

from wasupervisor.decide.cases import LONG
from wasupervisor.decide.decision import Decision
from wasupervisor.decide.episodes import MOST_SINGLY, TOGETHER_WITHIN
from wasupervisor.decide.memory import Breaker, BreakerState, Hearing
from wasupervisor.decide.step import step
from wasupervisor.model.alerts import Alert, AlertKind, Event
from wasupervisor.model.observation import Look, Observation, ProcessReading, Trouble, UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import OrderKind, Outcome
from wasupervisor.model.sessions import Reason, State

TELL = replace(CALM, tell=tuple(AlertKind))


class Ear(Stage):
    """A stage that keeps what a person is told."""

    def __init__(self, **rest: Any) -> None:
        super().__init__(policy=rest.pop("policy", TELL), **rest)
        self.heard: list[tuple[float, Alert]] = []

    def look_now(self) -> Decision:
        decision = super().look_now()
        self.heard += [(self.now, one) for one in decision.alerts]
        return decision

    def meddle(self, name: str = "a", **changes: Any) -> None:
        """Change what is remembered of a session."""
        known = self.memory.sessions[name]
        self.memory = replace(self.memory, sessions={**self.memory.sessions, name: replace(known, **changes)})

    @property
    def events(self) -> list[tuple[AlertKind, Event, str | None]]:
        return [(one.kind, one.event, one.session) for _, one in self.heard]

    @property
    def last(self) -> Alert:
        return self.heard[-1][1]


@pytest.fixture
def ear() -> Ear:
    ear = Ear()
    ear.healthy("a", "b", "c", "d", "e", "f", "g")
    return ear


NEEDS_HUMAN, DOWN = AlertKind.NEEDS_HUMAN, AlertKind.GATEWAY_DOWN


def begin(kind: AlertKind, session: str | None = None) -> tuple[AlertKind, Event, str | None]:
    return kind, Event.BEGIN, session


def end(kind: AlertKind, session: str | None = None) -> tuple[AlertKind, Event, str | None]:
    return kind, Event.END, session


# A session that needs a person


def test_a_session_that_waits_for_a_person_is_told_once_when_it_begins_and_once_when_it_ends(ear: Ear) -> None:
    ear.change(wants_qr())
    ear.run(600)
    assert ear.events == [begin(NEEDS_HUMAN, "a")]
    first = ear.last
    assert first.what == "a: it waits for a person to scan its QR code"
    assert (first.reason, first.sessions, first.tried) == (Reason.QR_WANTED, ("a",), ())
    assert first.why_no_more == "only a person can do what it waits for"
    assert first.todo.startswith("Scan the QR code")
    assert first.since == ear.session().condition_since
    ear.change(working())
    worked = ear.now
    ear.run(120)
    assert ear.events == [begin(NEEDS_HUMAN, "a"), end(NEEDS_HUMAN, "a")]
    assert ear.heard[-1][0] - worked == pytest.approx(ear.policy.stable_for + 5.0)
    assert ear.last.id == first.id
    assert ear.last.what == f"it works again, after 10 min. It was: {first.what}"
    assert ear.memory.episodes == {}


def test_nobody_is_told_what_nobody_asked_for() -> None:
    ear = Ear(policy=replace(TELL, tell=(DOWN,)))
    ear.see(wants_qr())
    ear.run(60)
    assert (ear.heard, ear.memory.episodes) == ([], {})


def test_who_asks_no_more_is_told_no_end(ear: Ear) -> None:
    ear.change(wants_qr())
    ear.run(60)
    ear.policy = CALM
    ear.run(60)
    assert ear.memory.episodes == {}
    assert ear.events == [begin(NEEDS_HUMAN, "a")]


def test_a_session_that_flaps_between_working_and_a_qr_is_one_episode(ear: Ear) -> None:
    ear.change(wants_qr())
    ear.run(60)
    for _ in range(20):
        ear.change(working())
        ear.run(20)
        ear.change(wants_qr())
        ear.run(20)
    assert ear.events == [begin(NEEDS_HUMAN, "a")]
    ear.change(working())
    ear.run(60)
    assert ear.events[1:] == [end(NEEDS_HUMAN, "a")]


def test_what_is_looked_at_again_and_only_starts_is_not_over(ear: Ear) -> None:
    ear.change(wants_qr())
    ear.run(60)
    ear.change(starting())
    ear.run(600)
    assert end(NEEDS_HUMAN, "a") not in ear.events


def test_a_supervisor_that_is_killed_neither_repeats_nor_loses_an_episode(ear: Ear) -> None:
    ear.change(wants_qr())
    ear.run(60)
    ear.restart_supervisor(away=300.0)
    ear.run(60)
    ear.change(working())
    ear.run(20)
    ear.restart_supervisor(away=1.0)
    ear.run(120)
    assert ear.events == [begin(NEEDS_HUMAN, "a"), end(NEEDS_HUMAN, "a")]


def test_an_operators_stop_ends_it(ear: Ear) -> None:
    ear.change(wants_qr())
    ear.run(60)
    ear.change(stopped())
    ear.run(120)
    assert ear.last.what.startswith("its operator stopped it, after ")


def test_a_session_that_is_not_looked_after_any_more_ends_it(ear: Ear) -> None:
    ear.change(wants_qr())
    ear.run(60)
    ear.policy = replace(ear.policy, exclude=("a",))
    ear.run(60)
    assert ear.last.what.startswith("it is not looked after any more, after ")


def test_a_fatal_session_tells_what_was_tried_and_why_nothing_more_is(ear: Ear) -> None:
    ear.change(told(State.FAILED, Reason.LOGGED_OUT))
    ear.run(60)
    assert ear.events == [begin(NEEDS_HUMAN, "a")]
    assert ear.last.why_no_more == "no restart can heal this, and each would be one more login"
    assert "wasupervisor recover a" in ear.last.todo


def test_the_diagnosing_restart_is_told_as_tried(ear: Ear) -> None:
    ear.change(failed())
    ear.run(600)
    assert ear.events == [begin(NEEDS_HUMAN, "a")]
    assert "one diagnosing restart, after which it failed again" in ear.last.tried
    assert any("the last remedy was" in text for text in ear.last.tried)


def test_a_pause_does_not_silence_and_is_told(ear: Ear) -> None:
    ear.order(OrderKind.PAUSE, None, reason="update")
    ear.change(wants_qr())
    ear.run(60)
    assert ear.last.why_no_more == "paused by eve (update); only a person can do what it waits for"


def test_what_holds_every_remedy_back_is_told(ear: Ear) -> None:
    ear.policy = replace(ear.policy, act=False)
    ear.writable = False
    ear.change(wants_qr())
    ear.run(60)
    assert ear.last.why_no_more.startswith("recovery.mode is observe; the state cannot be written")


def test_advice_names_the_session_and_its_order_once(ear: Ear) -> None:
    for reason in (Reason.REPLACED, Reason.BANNED, Reason.LOGGED_OUT):
        ear.change(told(State.FAILED, reason))
        ear.run(60)
        ear.change(working())
        ear.run(120)
    begun = [one.todo for _, one in ear.heard if one.event is Event.BEGIN]
    assert [todo.count("wasupervisor recover") for todo in begun] == [1, 1, 1]
    assert not any("SESSION" in todo for todo in begun)


# Many at once


def test_three_hundred_sessions_that_were_never_paired_are_one_alert() -> None:
    ear = Ear()
    ear.see(*all_of(wants_qr, names("s", 300)))
    ear.run(600)
    assert ear.events == [begin(NEEDS_HUMAN)]
    assert ear.last.what.startswith(
        "300 sessions need a person: s01, s02, s03, s04, s05 and 295 more; mostly: it waits"
    )
    assert len(ear.last.sessions) == 300
    assert ear.last.todo.startswith("s01, s02, s03, s04, s05 and 295 more: Scan the QR code")


def test_a_session_of_a_common_alert_that_was_well_for_long_is_told_by_itself_again() -> None:
    ear = Ear()
    ear.see(*all_of(wants_qr, names("s", 8)))
    ear.run(60)
    ear.change(working("s01"))
    ear.run(3600)
    ear.change(told(State.FAILED, Reason.LOGGED_OUT, "s01"))
    ear.run(60)
    assert ear.events == [begin(NEEDS_HUMAN), begin(NEEDS_HUMAN, "s01")]


def test_a_common_alert_ends_with_the_last_of_its_sessions() -> None:
    ear = Ear()
    sessions = names("s", 8)
    ear.see(*all_of(wants_qr, sessions))
    ear.run(60)
    identity = ear.last.id
    for name in sessions[:-1]:
        ear.change(working(name))
    ear.run(120)
    assert ear.events == [begin(NEEDS_HUMAN)]
    ear.change(working(sessions[-1]))
    ear.run(120)
    assert ear.events[1:] == [end(NEEDS_HUMAN, sessions[-1])]
    assert ear.last.id == identity


def test_sessions_that_come_one_after_the_other_are_told_together_too() -> None:
    """As WAHA starts them: one each few seconds."""
    ear = Ear()
    ear.look()
    for name in names("s", 60):
        ear.change(wants_qr(name))
        ear.run(5)
    ear.run(2 * TOGETHER_WITHIN)
    assert {name for _, one in ear.heard for name in one.sessions} == set(names("s", 60))
    assert len(ear.heard) < 20
    within = [at for at, _ in ear.heard if at < ear.heard[0][0] + TOGETHER_WITHIN]
    assert len(within) == MOST_SINGLY


def test_nobody_is_told_of_what_was_over_before_its_turn() -> None:
    ear = Ear()
    for name in names("s", 7):
        ear.change(wants_qr(name))
        ear.look()
    assert len(ear.heard) == MOST_SINGLY
    ear.change(working("s07"))
    ear.look()
    ear.run(600)
    assert "s07" not in {name for _, one in ear.heard for name in one.sessions}


def test_one_that_waits_for_its_turn_still_waits_while_the_list_cannot_be_read() -> None:
    ear = Ear()
    for name in names("s", 6):
        ear.change(wants_qr(name))
        ear.look()
    ear.readable = False
    ear.run(300)
    assert [one for _, one in ear.heard if "s06" in one.sessions] == []
    ear.readable = True
    ear.run(60)
    assert (NEEDS_HUMAN, Event.BEGIN, "s06") in ear.events


# Reminders


def test_reminders_come_at_their_pace_and_tell_how_it_is_now() -> None:
    ear = Ear(policy=replace(TELL, remind=3600.0))
    ear.see(wants_qr())
    ear.run(60)
    ear.change(told(State.FAILED, Reason.LOGGED_OUT))
    ear.run(7300)
    assert ear.events == [begin(NEEDS_HUMAN, "a"), *[(NEEDS_HUMAN, Event.REMIND, "a")] * 2]
    assert ear.last.reason is Reason.LOGGED_OUT
    assert len({one.id for _, one in ear.heard}) == 1
    ear.change(working())
    ear.run(120)
    assert ear.last.event is Event.END
    assert ear.last.what.endswith("It was: a: it waits for a person to scan its QR code")


def test_what_cannot_be_seen_is_not_reminded_of() -> None:
    ear = Ear(policy=replace(TELL, remind=60.0))
    ear.see(wants_qr())
    ear.run(30)
    ear.readable = False
    ear.run(600)
    assert [one for one in ear.events if one[1] is Event.REMIND and one[0] is NEEDS_HUMAN] == []
    assert (DOWN, Event.REMIND, None) in ear.events


def test_each_hears_of_reminders_at_his_own_pace() -> None:
    alert = Alert(id="e", kind=DOWN, event=Event.REMIND, since=0.0, at=7200.0, told_before=3600.0)
    assert alert.is_due(3600.0)
    assert alert.is_due(7200.0)
    assert not alert.is_due(86400.0)
    assert not alert.is_due(None)
    assert replace(alert, event=Event.BEGIN).is_due(None)
    assert replace(alert, event=Event.END).is_due(None)


# The gateway


def test_a_gateway_that_is_away_for_a_moment_is_told_to_nobody(ear: Ear) -> None:
    ear.reachable = False
    ear.run(10)
    ear.reachable = True
    ear.run(60)
    assert ear.heard == []


def test_a_gateway_that_stays_away_is_told_with_its_reason(ear: Ear) -> None:
    began = ear.now
    ear.reachable = False
    ear.process = None
    ear.run(600)
    assert ear.events == [begin(DOWN)]
    assert ear.heard[0][0] - began <= ear.policy.failing_after + 10
    assert ear.last.what == "the gateway's API does not answer: no answer within 10 s"
    assert "recovery.restart_gateway.by is none" in ear.last.why_no_more
    assert "systemctl restart waha.service" in ear.last.todo
    ear.reachable = True
    ear.run(60)
    assert ear.events == [begin(DOWN), end(DOWN)]
    assert ear.last.what.startswith("the gateway answers again, after 10 min. It was: ")


def test_a_gateway_that_flaps_is_one_episode(ear: Ear) -> None:
    ear.reachable = False
    ear.run(60)
    for _ in range(30):
        ear.reachable = True
        ear.run(20)
        ear.reachable = False
        ear.run(10)
    assert ear.events == [begin(DOWN)]


def test_a_gateway_that_boots_with_us_gets_its_time() -> None:
    ear = Ear(policy=replace(TELL, startup_grace=60.0))
    ear.reachable = False
    ear.run(55)
    assert ear.heard == []
    ear.run(30)
    assert ear.events == [begin(DOWN)]


def test_one_look_alone_is_no_silence() -> None:
    ear = Ear(policy=replace(TELL, failing_after=0.0))
    ear.reachable = False
    ear.look()
    assert ear.heard == []
    ear.look()
    assert ear.events == [begin(DOWN)]


def test_a_key_that_is_not_accepted_is_told_as_such(ear: Ear) -> None:
    ear.readable = False
    ear.run(60)
    assert ear.events == [begin(DOWN)]
    assert ear.last.reason is Reason.UNREADABLE
    assert ear.last.todo.startswith("Look at the gateway's log. By hand: systemctl restart waha.service.")
    look = Look(reachable=True, trouble=Trouble.UNAUTHORIZED, detail="answered 401")
    memory = replace(ear.memory, episodes={})
    decision = step(memory, Observation(look=look), ear.now + 5, 0.5, ear.policy)
    assert decision.alerts[0].todo.startswith("Check gateway.api_key")


@pytest.mark.parametrize(
    ("exists", "keeper", "reason", "words"),
    [
        (True, None, Reason.GATEWAY_HUNG, "restart it"),
        (False, None, Reason.GATEWAY_GONE, "Start the gateway"),
        (None, "systemd x.service", Reason.GATEWAY_DOWN, "systemctl restart x.service"),
    ],
)
def test_a_gateway_that_hangs_or_is_gone(
    ear: Ear, exists: bool | None, keeper: str | None, reason: Reason, words: str
) -> None:
    ear.reachable = False
    ear.run(10)
    look = Look(reachable=False, trouble=Trouble.TIMED_OUT)
    process = ProcessReading(exists=exists, keeper=keeper, pid=4711 if keeper else None)
    observation = Observation(look=look, process=process)
    alerts = step(ear.memory, observation, ear.now + 60, 0.5, ear.policy).alerts
    assert [one.kind for one in alerts] == [DOWN]
    assert alerts[0].reason is reason
    assert words in alerts[0].todo
    assert alerts[0].what.endswith("timed_out")


def test_where_somebody_restarts_the_gateway_the_reason_is_its_own(ear: Ear) -> None:
    ear.policy = replace(ear.policy, restarter="systemd", act=False)
    ear.reachable = False
    ear.run(60)
    assert ear.events == [begin(DOWN)]
    assert "recovery.restart_gateway" not in ear.last.why_no_more


def test_sessions_of_which_nothing_is_known_end_no_episode(ear: Ear) -> None:
    ear.change(wants_qr())
    ear.run(60)
    ear.change(working())
    ear.run(15)
    assert ear.memory.episodes["needs_human:a"].fine_since is not None
    ear.readable = False
    ear.run(600)
    assert ear.memory.episodes["needs_human:a"].fine_since is None
    assert end(NEEDS_HUMAN, "a") not in ear.events
    ear.readable = True
    ear.run(120)
    assert end(NEEDS_HUMAN, "a") in ear.events


# The store


def test_a_database_that_is_away_for_a_moment_is_told_to_nobody() -> None:
    ear = Ear(policy=replace(EVOLUTION, tell=tuple(AlertKind)), store_ok=True)
    ear.healthy("a", "b")
    ear.store_ok = False
    ear.run(10)
    ear.store_ok = True
    ear.run(60)
    assert ear.heard == []
    ear.store_ok = False
    ear.run(300)
    assert ear.events == [begin(AlertKind.STORE_DOWN)]
    assert ear.last.what == "the gateway's database does not answer"
    assert "do not restart the gateway before" in ear.last.todo
    ear.store_ok = True
    ear.run(60)
    assert ear.events[1:] == [end(AlertKind.STORE_DOWN)]
    assert ear.last.what.startswith("over, after ")


def test_a_redis_that_is_unwell_or_holds_a_key_of_the_wrong_type_is_told(ear: Ear) -> None:
    look = Look(reachable=True, sightings=tuple(ear.seen.values()))
    observation = Observation(look=look, redis_ok=False, mistyped=("a",))
    memory, alerts = ear.memory, list[Alert]()
    for seconds in range(5, 40, 5):
        decision = step(memory, observation, ear.now + seconds, 0.5, ear.policy)
        memory, alerts = decision.memory, [*alerts, *decision.alerts]
    assert [one.kind for one in alerts] == [AlertKind.STORE_DOWN]
    assert "Redis does not answer; the credential key in Redis is mistyped, gone or set aside: a" in alerts[0].what
    assert alerts[0].sessions == ("a",)
    assert "Bring the gateway's database and Redis back" in alerts[0].todo
    assert "Put a good copy of the key back" in alerts[0].todo


# Many sessions failing together


def test_an_incident_is_one_alert_and_its_sessions_are_not_told_singly(ear: Ear) -> None:
    everybody = tuple(ear.seen)
    ear.see(*all_of(starting, everybody))
    ear.uplink = UplinkState.DOWN
    ear.run(4 * 3600)
    assert ear.events == [begin(AlertKind.INCIDENT)]
    assert ear.last.sessions == everybody
    assert ear.last.reason is Reason.UPLINK_DOWN
    assert ear.last.what.startswith("7 sessions of 7 fail together (a, b, c, d, e and 2 more). Likely cause: WhatsApp")
    assert ear.last.why_no_more == "nothing is restarted until WhatsApp can be reached again"
    ear.see(*all_of(working, everybody))
    ear.uplink = UplinkState.UP
    ear.run(120)
    assert ear.events == [begin(AlertKind.INCIDENT), end(AlertKind.INCIDENT)]


def test_an_incident_that_remedies_do_not_end_stays_one_alert_and_is_reminded_of_with_what_was_tried(ear: Ear) -> None:
    ear.policy = replace(ear.policy, remind=1800.0)
    ear.see(*all_of(starting, tuple(ear.seen)))
    ear.run(4 * 3600)
    kinds = {one[0] for one in ear.events}
    assert kinds == {AlertKind.INCIDENT}
    assert ear.events.count(begin(AlertKind.INCIDENT)) == 1
    assert any("in vain" in text for text in ear.last.tried)


def test_a_session_of_an_incident_that_needs_a_person_is_told(ear: Ear) -> None:
    everybody = tuple(ear.seen)
    ear.see(*all_of(starting, everybody))
    ear.uplink = UplinkState.DOWN
    ear.run(300)
    ear.change(told(State.FAILED, Reason.BANNED, "b"))
    ear.run(60)
    assert ear.events == [begin(AlertKind.INCIDENT), begin(NEEDS_HUMAN, "b")]


def test_who_asks_for_no_incidents_is_told_of_its_sessions() -> None:
    ear = Ear(policy=replace(TELL, tell=(AlertKind.BREAKER_OPEN,)), uplink=UplinkState.UP)
    everybody = names("s", 8)
    ear.healthy(*everybody)
    ear.see(*all_of(starting, everybody))
    ear.uplink = UplinkState.DOWN
    ear.run(3600)
    assert ear.events == [begin(AlertKind.BREAKER_OPEN)]
    assert ear.last.sessions == everybody


# Remedies in vain


def test_remedies_in_vain_are_told_when_the_breaker_opens(ear: Ear) -> None:
    ear.change(starting())
    ear.run(2 * 3600)
    assert ear.events == [begin(AlertKind.BREAKER_OPEN, "a")]
    assert ", 5 remedies in vain: it has been starting" in ear.last.what
    assert ear.last.tried[0] == "5 remedies in vain since it was last healthy"
    assert "the breaker has opened 1 time" in ear.last.tried
    assert "breaker is open" in ear.last.why_no_more
    assert "wasupervisor park a; wasupervisor recover a" in ear.last.todo
    ear.change(working())
    ear.run(120)
    assert ear.events[1:] == [end(AlertKind.BREAKER_OPEN, "a")]


def test_a_session_that_fails_for_long_is_told_though_nothing_is_tried() -> None:
    ear = Ear()
    ear.healthy("a")
    ear.order(OrderKind.PAUSE, None)
    ear.see(failed())
    ear.run(580)
    assert ear.heard == []
    ear.run(120)
    assert ear.events == [begin(AlertKind.BREAKER_OPEN, "a")]
    assert ear.last.what == "a: failing for 10 min: it failed and the gateway does not say why"
    assert ear.last.why_no_more.startswith("paused by eve; ")
    assert ear.last.tried == ()


def test_the_only_session_without_uplink_is_told() -> None:
    ear = Ear()
    ear.healthy("a")
    ear.see(starting())
    ear.uplink = UplinkState.DOWN
    ear.run(3600)
    assert ear.events == [begin(AlertKind.BREAKER_OPEN, "a")]
    assert ear.last.reason is Reason.UPLINK_DOWN


def test_nobody_is_told_of_a_failing_session_that_nobody_expects() -> None:
    ear = Ear(policy=replace(TELL, expect=("b",), act=False))
    ear.healthy("a", "b")
    ear.change(failed())
    ear.run(3600)
    assert ear.heard == []


def test_in_vain_and_then_fatal_are_two_episodes(ear: Ear) -> None:
    ear.change(starting())
    ear.run(2 * 3600)
    ear.change(told(State.FAILED, Reason.LOGGED_OUT))
    ear.run(120)
    assert ear.events[1:] == [begin(NEEDS_HUMAN, "a"), end(AlertKind.BREAKER_OPEN, "a")]
    assert ear.last.what.startswith("it is fatal now, after")


def test_a_held_breaker_needs_a_person(ear: Ear) -> None:
    ear.change(told(State.FAILED, Reason.CONNECTION_LOST))
    ear.run(60)
    ear.meddle(breaker=Breaker(state=BreakerState.HELD))
    ear.look()
    assert begin(NEEDS_HUMAN, "a") in ear.events
    assert ear.last.why_no_more == "its breaker is held: no remedy until a person orders one"


# Missing


def test_a_session_that_is_not_listed_any_more_is_told(ear: Ear) -> None:
    del ear.seen["a"]
    ear.run(60)
    assert ear.events == [begin(AlertKind.MISSING, "a")]
    ear.change(working())
    ear.run(60)
    assert ear.events[1:] == [end(AlertKind.MISSING, "a")]


def test_one_that_nobody_expects_is_no_loss() -> None:
    ear = Ear(policy=replace(TELL, expect=("b",)))
    ear.healthy("a", "b")
    del ear.seen["a"]
    ear.run(60)
    assert ear.heard == []


def test_after_a_restart_of_the_gateway_sessions_have_time_to_be_listed() -> None:
    ear = Ear(policy=replace(TELL, startup_grace=60.0))
    ear.healthy("a", "b")
    ear.run(60)
    ear.process = "P2"
    del ear.seen["a"]
    ear.run(50)
    assert ear.heard == []
    ear.run(120)
    assert ear.events == [begin(AlertKind.MISSING, "a")]


# Deaf


def test_a_deaf_session_is_told_until_it_hears(ear: Ear) -> None:
    ear.meddle(hearing=Hearing(deaf=True))
    ear.look()
    assert ear.events == [begin(AlertKind.DEAF, "a")]
    assert ear.last.reason is Reason.DEAF
    assert ear.last.why_no_more.startswith("silence alone never restarts anything")


# Only a restart by hand


def test_what_only_a_restart_of_the_gateway_heals_is_told_with_the_command() -> None:
    ear = Ear(keeper=None)
    ear.healthy("a", "b")
    ear.policy = replace(ear.policy, tell=(AlertKind.RESTART_WANTED,), remind=1800.0)
    ear.see(*all_of(starting, ("a", "b")))
    ear.run(600)
    assert ear.events == [begin(AlertKind.RESTART_WANTED)]
    wanted = ear.last
    assert wanted.sessions == ("a", "b")
    assert wanted.what.startswith("only a restart of the gateway process heals a, b: ")
    assert "let it be done from here: set recovery.restart_gateway" in wanted.todo
    ear.change(working("a"))
    ear.run(3600)
    assert {one.event for _, one in ear.heard[1:]} == {Event.REMIND}
    assert ear.last.sessions == ("b",)
    ear.change(working("b"))
    ear.run(120)
    assert ear.last.event is Event.END


def test_that_a_restart_cannot_be_made_just_now_does_not_end_the_wish_for_it() -> None:
    ear = Ear(keeper=None)
    ear.healthy("a")
    ear.see(starting())
    for number in range(24):
        ear.uplink = UplinkState.DOWN if number % 2 else UplinkState.UP
        ear.run(300)
    assert ear.events == [begin(AlertKind.RESTART_WANTED, "a")]


def test_who_wants_the_same_restart_later_joins() -> None:
    ear = Ear(policy=replace(EVOLUTION, tell=tuple(AlertKind), remind=600.0), store_ok=True)
    ear.healthy("a", "b", "c", "d", "e")
    ear.change(instance("", State.NOT_LOADED, Reason.NOT_LOADED, "a"))
    ear.run(120)
    assert ear.events == [begin(AlertKind.RESTART_WANTED, "a")]
    ear.change(instance("", State.NOT_LOADED, Reason.NOT_LOADED, "b"))
    ear.run(300)
    assert len(ear.heard) == 1
    ear.run(300)
    assert (ear.last.event, ear.last.sessions, ear.last.id) == (Event.REMIND, ("a", "b"), ear.heard[0][1].id)


# The rest


def test_what_stays_as_it_is_changes_nothing(ear: Ear) -> None:
    ear.change(wants_qr())
    ear.run(300)
    writes = ear.writes
    ear.run(300)
    assert ear.writes == writes


def test_the_same_again_is_another_episode(ear: Ear) -> None:
    for _ in range(2):
        ear.change(wants_qr())
        ear.run(60)
        ear.change(working())
        ear.run(120)
    assert len(ear.heard) == 4
    assert len({one.id for _, one in ear.heard}) == 2


def test_a_session_that_never_answers_a_remedy_tells_that_one_is_under_way() -> None:
    ear = Ear(policy=replace(TELL, tell=(AlertKind.BREAKER_OPEN,), remind=60.0))
    ear.healthy("a", "b")
    ear.change(starting())
    ear.run(3 * 3600)
    texts = {text for _, one in ear.heard for text in one.tried}
    assert "it is being observed whether the last one helps" in texts


@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.TIMED_OUT])
def test_every_alert_has_all_that_a_person_asks(ear: Ear, outcome: Outcome) -> None:
    ear.answers = outcome
    ear.change(starting(), wants_qr("b"), told(State.FAILED, Reason.BANNED, "c"))
    ear.run(3600)
    assert len(ear.heard) >= 3
    for _, one in ear.heard:
        assert one.what
        assert one.why_no_more
        assert one.todo
        assert one.reason is not Reason.NONE


def test_restarts_of_the_gateway_because_of_us_are_told(ear: Ear) -> None:
    ear.answers = Outcome.DROPPED
    ear.change(starting())
    ear.run_until_remedy()
    ear.look()
    ear.reachable = False
    ear.run(300)
    assert ear.events[-1] == begin(DOWN)
    assert ear.last.tried[0].startswith("1 restart of the gateway because of us in the last day, the last one ")


def test_a_restart_of_the_gateway_in_vain_is_told(ear: Ear) -> None:
    ear.policy = replace(ear.policy, restarter="systemd")
    ear.reachable = False
    ear.run(400)
    assert ear.events == [begin(DOWN), begin(AlertKind.BREAKER_OPEN)]
    down, vain = ear.heard[0][1], ear.last
    assert down.why_no_more == "it is not so for long enough that the gateway would be restarted"
    assert vain.what == f"a restart of the gateway did not heal it: {down.what.partition(': no')[0]}"
    assert vain.why_no_more.startswith("the gateway's breaker is open, for ")
    assert vain.tried
    ear.reachable = True
    ear.run(1200)
    assert ear.events[2:] == [end(DOWN), end(AlertKind.BREAKER_OPEN)]


def test_a_gateway_that_no_restart_brings_back_is_one_alert_of_each_kind(ear: Ear) -> None:
    ear.policy = replace(ear.policy, restarter="systemd")
    ear.reachable = False
    ear.run(12 * 3600)
    assert ear.events == [begin(DOWN), begin(AlertKind.BREAKER_OPEN)]


def test_a_restart_of_the_gateway_for_sessions_in_vain_is_told() -> None:
    policy = replace(EVOLUTION, tell=(AlertKind.BREAKER_OPEN,), restarter="docker")
    ear = Ear(policy=policy, store_ok=True)
    ear.healthy("a", "b", "c")
    ear.change(instance("", State.NOT_LOADED, Reason.NOT_LOADED, "a"))
    ear.run(900)
    assert ear.events[0] == begin(AlertKind.BREAKER_OPEN)
    first = ear.heard[0][1]
    assert first.what.startswith("a restart of the gateway did not heal a: the gateway has it in its database")
    assert first.sessions == ("a",)


def test_while_the_gateway_is_restarted_by_us_it_is_not_told_as_down() -> None:
    ear = Ear(policy=replace(TELL, restarter="systemd", hung_after=5.0, failing_after=60.0))
    ear.healthy("a", "b")
    ear.reachable = False
    ear.run(120)
    assert ear.heard == []
    ear.reachable, ear.process = True, "P2"
    ear.run(300)
    assert ear.heard == []


def test_what_stands_against_a_restart_of_the_gateway_is_told(ear: Ear) -> None:
    ear.policy = replace(ear.policy, restarter="systemd", remind=60.0)
    ear.order(OrderKind.PAUSE, None)
    ear.reachable = False
    ear.run(200)
    assert ear.last.event is Event.REMIND
    assert ear.last.why_no_more == "paused by eve"


def test_the_gateway_itself_is_no_session_that_wants_a_restart(ear: Ear) -> None:
    ear.reachable = False
    ear.run(600)
    assert ear.events == [begin(DOWN)]
    assert ear.last.reason is Reason.GATEWAY_HUNG


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("base", [CALM, EVOLUTION], ids=["waha", "evolution"])
def test_whatever_happens_each_episode_begins_once_and_ends_once(base: Policy, seed: int) -> None:
    """Faults, flaps, blindness and kills at random; in the end all is well, and no episode is left."""
    dice = Random(seed)
    ear = Ear(policy=replace(base, tell=tuple(AlertKind), remind=600.0, restarter=dice.choice(["none", "docker"])))
    sessions = names("s", 9)
    ear.store_ok = True
    ear.healthy(*sessions)
    kinds: list[Any] = [working, starting, failed, stopped, wants_qr]
    for _ in range(60):
        for name in dice.sample(sessions, dice.randrange(1, 9)):
            ear.change(dice.choice(kinds)(name))
        ear.seen.pop(dice.choice(sessions), None)
        ear.reachable, ear.readable = dice.random() > 0.2, dice.random() > 0.2
        ear.uplink = dice.choice(list(UplinkState))
        ear.store_ok = dice.choice([True, False, None])
        ear.process = dice.choice([None, "P1", "P2"])
        if dice.random() < 0.2:
            ear.restart_supervisor(away=dice.choice([1.0, 100.0]))
        ear.run(dice.choice([5.0, 30.0, 400.0]))
    ear.reachable = ear.readable = ear.store_ok = True
    ear.uplink, ear.process = UplinkState.UP, "P3"
    ear.see(*all_of(working, sessions))
    ear.run(4000)
    assert ear.memory.episodes == {}
    by_id: dict[str, list[Event]] = {}
    for _, one in ear.heard:
        by_id.setdefault(one.id, []).append(one.event)
    assert by_id
    for events in by_id.values():
        assert (events[0], events[-1]) == (Event.BEGIN, Event.END)
        assert set(events[1:-1]) <= {Event.REMIND}


def test_as_many_as_are_told_singly_are_told_singly() -> None:
    ear = Ear()
    ear.see(*all_of(wants_qr, names("s", MOST_SINGLY)))
    ear.run(60)
    assert ear.events == [begin(NEEDS_HUMAN, name) for name in names("s", MOST_SINGLY)]


def test_who_needs_a_person_and_no_order_is_not_told_to_give_one(ear: Ear) -> None:
    ear.change(wants_qr())
    ear.run(60)
    assert "Scan the QR code" in ear.last.todo
    assert "Then order" not in ear.last.todo


def test_what_is_under_way_is_told_as_such_and_not_as_observed() -> None:
    ear = Ear(policy=replace(TELL, tell=(AlertKind.BREAKER_OPEN,), remind=60.0, action_timeout=600.0), answers=None)
    ear.healthy("a", "b")
    ear.change(starting())
    ear.run(900)
    tried = [one.tried for _, one in ear.heard]
    assert any("a remedy is under way" in texts for texts in tried)
    both = {"a remedy is under way", "it is being observed whether the last one helps"}
    assert not any(both <= set(texts) for texts in tried)


def test_an_incident_tells_the_advice_of_its_cause_or_where_to_look(ear: Ear) -> None:
    ear.see(*(told(State.FAILED, Reason.OUTDATED, name) for name in ear.seen))
    ear.run(60)
    (incident,) = (one for _, one in ear.heard if one.kind is AlertKind.INCIDENT)
    assert incident.todo.startswith("Update the gateway")
    other = Ear(uplink=UplinkState.DOWN)
    other.healthy("a", "b")
    other.change(failed("a"), failed("b"))
    other.run(60)
    assert other.last.kind is AlertKind.INCIDENT
    assert other.last.todo == "Look at the network of this host: WhatsApp cannot be reached from here."


def test_an_unwell_store_is_told_with_the_restarts_before(ear: Ear) -> None:
    ear.policy = replace(ear.policy, restarter="systemd")
    ear.order(OrderKind.RESTART_GATEWAY, None)
    ear.look()
    ear.begin_anew()
    ear.run(300)
    ear.redis_ok = False
    ear.run(60)
    assert ear.last.kind is AlertKind.STORE_DOWN
    assert ear.last.tried[0].startswith("1 restart of the gateway because of us in the last day")


def test_a_session_fails_for_long_from_the_very_moment_that_it_is_long(ear: Ear) -> None:
    ear.order(OrderKind.PAUSE, None)
    ear.change(failed())
    ear.run(60)
    left = ear.health().since + LONG - ear.now
    ear.run(left - ear.policy.poll_every)
    assert ear.heard == []
    ear.look()
    assert ear.events == [begin(AlertKind.BREAKER_OPEN, "a")]
