"""Sessions that fail together: one incident, one canary, and nothing at all while only a restart of all would help."""

from __future__ import annotations

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

from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import Observation, UplinkState
from wasupervisor.model.policy import Budget
from wasupervisor.model.remedies import Outcome, RemedyKind
from wasupervisor.model.sessions import Condition, Reason, State

RESTART, START = RemedyKind.RESTART_SESSION, RemedyKind.START_SESSION
DAY = 86400.0
HUNDRED = names("s", 99)


# Nothing works: the lone canary


def test_the_only_session_stuck_is_restarted_only_when_something_keeps_the_gateway() -> None:
    for keeper, made in (("PM2", [(RESTART, "a")]), (None, [])):
        stage = Stage(keeper=keeper).healthy("a")
        stage.change(starting())
        stage.run(70)
        assert stage.made == made


def test_without_a_keeper_the_first_note_says_that_only_a_restart_of_the_gateway_heals() -> None:
    stage = Stage(keeper=None).healthy("a", "b")
    stage.change(starting("a"), starting("b"))
    stage.run(3600)
    assert stage.made == []
    first = stage.whole.notes[0]
    assert first.startswith("Only a restart of the gateway process heals a, b.")
    assert "set recovery.restart_gateway" in first
    assert stage.withheld == [
        (
            "restart_session of 2 sessions is withheld: no other session works, and nothing is known that would start "
            "the gateway again if it died of it"
        )
    ]


def test_of_two_that_starve_one_after_the_other_only_one_is_the_canary() -> None:
    policy = replace(CALM, budget=Budget(concurrent=5, spacing=0.0))
    stage = Stage(policy=policy).healthy("a", "b")
    stage.change(starting("a"))
    stage.run(40)
    stage.change(starting("b"))  # together with a, or not: never both
    stage.run(100)
    assert len(stage.made) == 1
    assert stage.remedies[0][1].lone


def test_two_that_do_not_fail_together_have_one_canary_all_the_same() -> None:
    policy = replace(CALM, budget=Budget(concurrent=5, spacing=0.0), starting_timeout=300.0)
    stage = Stage(policy=policy).healthy("a", "b")
    stage.change(starting("a"))
    stage.run(200)
    stage.change(starting("b"))
    while len(stage.made) < 1:
        stage.look()
    assert stage.memory.incident is None
    stage.run(250)
    assert stage.made == [(RESTART, "a")]
    assert "a is the canary and is tried first" in (stage.health("b").next or "")


def test_two_that_ripen_in_the_same_look_have_one_canary() -> None:
    policy = replace(CALM, budget=Budget(concurrent=5, spacing=0.0))
    stage = Stage(policy=policy, uplink=UplinkState.UNKNOWN).healthy("a", "b")
    stage.change(starting("a"))
    stage.run(200)
    stage.change(starting("b"))  # so late that it is no incident
    stage.run(200)
    stage.uplink = UplinkState.UP
    stage.run(100)
    assert stage.memory.incident is None
    assert stage.made == [(RESTART, "a")]


def test_a_single_session_that_no_canary_heals_is_tried_after_growing_waits_too() -> None:
    stage = Stage().healthy("a")
    stage.change(starting())
    stage.run(900)
    at = [when for when, _ in stage.remedies]
    assert at[1] - at[0] >= 60 + 60
    assert at[2] - at[1] >= 60 + 120
    assert stage.withheld[0].startswith("restart_session is withheld, for 60 s: no other session works, and the last")


def test_the_next_canary_comes_only_after_a_wait_that_grows_and_is_never_given_up() -> None:
    stage = Stage(policy=replace(CALM, poll_every=10.0)).healthy("a", "b")
    stage.change(starting("a"), starting("b"))
    stage.run(DAY)
    at = [when for when, _ in stage.remedies]
    assert at[1] - at[0] >= 60 + 60
    assert at[2] - at[1] >= 60 + 120
    late = [one for one in at if one > stage.now - DAY / 2]
    assert 9 <= len(late) <= 13  # about one an hour, of both together
    texts = [one for one in stage.told(EntryKind.INCIDENT) if "not healed" in one]
    assert texts[0] == "the canary was not healed; the next one not before 60 s"
    assert texts[-1] == (
        "the canary was not healed; the next one not before 60 min. Perhaps WhatsApp does not accept this version any "
        "more: look for an update of the gateway"
    )


def test_a_failed_session_has_no_connecting_socket_and_needs_no_keeper() -> None:
    stage = Stage(keeper=None).healthy("a")
    stage.change(failed())
    stage.run(20)
    assert stage.made == [(RESTART, "a")]


def test_with_a_session_that_works_it_is_no_canary() -> None:
    stage = Stage(keeper=None).healthy("a", "b")
    stage.change(starting())
    stage.run(70)
    assert stage.made == [(RESTART, "a")]
    assert not stage.remedies[0][1].lone


def test_a_lone_instance_of_evolution_is_restarted_without_a_keeper() -> None:
    """Only WAHA can die of it; with one instance, Evolution's commonest case, it would else stay stuck for ever."""
    for keeper, count in (("docker", 1), (None, 1)):
        stage = Stage(policy=EVOLUTION, store_ok=True, keeper=keeper).healthy("a")
        stage.change(instance("connecting", State.STARTING, Reason.RECONNECTING))
        stage.run(70)
        assert len(stage.made) == count


# Many


def test_a_hundred_that_fail_together_are_one_incident_with_one_canary() -> None:
    stage = Stage().healthy("w", *HUNDRED)
    stage.change(*all_of(starting, HUNDRED))
    stage.run(70)
    assert stage.made == [(RESTART, "s01")]
    assert stage.whole.incident is not None
    assert stage.whole.incident.canary == "s01"
    assert len(stage.whole.incident.sessions) == 99
    assert stage.told(EntryKind.INCIDENT) == [
        (
            "99 sessions fail together (s01, s02, s03, s04, s05 and 94 more): one incident. Likely cause: it has been "
            "starting for longer than it takes to heal by itself. One canary is tried before any other"
        )
    ]
    assert stage.health("s02").next == "restart_session is withheld: one incident: s01 is the canary and is tried first"
    stage.run(55)
    assert len(stage.made) == 1


def test_when_the_canary_is_healed_the_others_follow_one_after_the_other() -> None:
    stage = Stage().healthy("w", *HUNDRED[:6])
    stage.change(*all_of(starting, HUNDRED[:6]))
    stage.run_until_remedy()
    stage.change(working("s01"))
    stage.run(25)
    assert len(stage.made) == 1
    for _ in range(60):
        for _, name in stage.made:
            stage.change(working(name))
        stage.look()
        assert len(stage.whole.sessions) == 7
    assert [name for _, name in stage.made] == list(HUNDRED[:6])
    at = [when for when, _ in stage.remedies]
    assert len(set(at)) == 6  # never two at once
    assert stage.memory.incident is None
    texts = stage.told(EntryKind.INCIDENT)
    assert texts[1] == "the canary s01 is healed; the others follow one after the other"
    assert texts[-1].startswith("the incident is over after ")
    assert len(texts) == 3


def test_when_the_canary_is_not_healed_the_others_wait() -> None:
    stage = Stage().healthy("w", *HUNDRED[:10])
    stage.change(*all_of(starting, HUNDRED[:10]))
    stage.run_until_remedy()
    stage.run(120)
    assert len(stage.made) == 1
    stage.run(60)
    assert len(stage.made) == 2
    assert stage.made[1][1] != "s01"  # the least tried first


def test_a_hundred_that_cannot_reach_whatsapp_are_told_with_one_line_and_not_restarted() -> None:
    stage = Stage(uplink=UplinkState.DOWN).healthy(*HUNDRED)
    stage.change(*all_of(starting, HUNDRED))
    stage.run(600)
    assert stage.made == []
    assert stage.whole.incident is not None
    assert stage.whole.incident.cause == "uplink_down"
    assert len(stage.told(EntryKind.INCIDENT)) == 1
    assert stage.withheld == []
    stage.uplink = UplinkState.UP
    stage.change(*all_of(working, HUNDRED))
    stage.run(60)
    assert stage.made == []
    assert stage.whole.incident is None
    assert stage.whole.connections.active == 99


def test_a_hundred_with_an_unknown_uplink_are_withheld_in_one_line() -> None:
    stage = Stage(uplink=UplinkState.UNKNOWN).healthy("w", *HUNDRED)
    stage.change(*all_of(failed, HUNDRED))
    stage.run(600)
    assert stage.made == []
    assert stage.withheld == [
        "restart_session of 99 sessions is withheld: it is not known whether WhatsApp can be reached from here"
    ]


def test_what_fails_one_by_one_is_no_incident() -> None:
    stage = Stage(answers=None).healthy("w", *HUNDRED[:6])
    for name in HUNDRED[:6]:
        stage.change(failed(name))
        stage.run(125)
    assert stage.told(EntryKind.INCIDENT) == []


def test_a_few_of_many_are_no_incident() -> None:
    stage = Stage().healthy(*HUNDRED)
    stage.change(*all_of(failed, HUNDRED[:20]))
    stage.run(30)
    assert stage.memory.incident is None
    assert len(stage.made) > 1


def test_two_of_two_are_an_incident_and_one_of_one_is_not() -> None:
    two = Stage().healthy("a", "b")
    two.change(failed("a"), failed("b"))
    two.run(20)
    assert two.whole.incident is not None
    one = Stage().healthy("a")
    one.change(failed("a"))
    one.run(20)
    assert one.whole.incident is None


def test_the_incident_of_two_is_over_when_one_works_again() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(starting("a"), starting("b"))
    stage.run_until_remedy()
    stage.change(working("a"))
    stage.run(20)
    assert stage.made == [(RESTART, "a"), (RESTART, "b")]
    assert stage.memory.incident is None


def test_sessions_that_wait_for_a_person_or_are_stopped_are_no_part_of_an_incident() -> None:
    stage = Stage().healthy(*HUNDRED[:6])
    stage.change(*all_of(wants_qr, HUNDRED[:2]), *all_of(stopped, HUNDRED[2:4]))
    stage.run(600)
    assert stage.memory.incident is None


def test_a_canary_that_was_not_tried_after_all_is_tried_again() -> None:
    stage = Stage(answers=Outcome.WITHHELD).healthy("w", *HUNDRED[:5])
    stage.change(*all_of(starting, HUNDRED[:5]))
    stage.run(100)
    assert {name for _, name in stage.made} == {"s01"}
    assert stage.memory.gateway.canaries == 0


def test_an_incident_outlives_the_supervisor() -> None:
    stage = Stage().healthy("w", *HUNDRED[:9])
    stage.change(*all_of(starting, HUNDRED[:9]))
    stage.run(80)
    stage.restart_supervisor()
    stage.run(30)
    assert len(stage.made) == 1
    assert len([one for one in stage.told(EntryKind.INCIDENT) if "fail together" in one]) == 1


def test_many_unlinked_at_once_are_diagnosed_without_a_hundred_restarts() -> None:
    stage = Stage().healthy("w", *HUNDRED[:30])
    stage.change(*all_of(failed, HUNDRED[:30]))
    stage.run(3600)
    assert len(stage.made) <= 8
    assert all(count == 1 for count in (stage.made.count(one) for one in stage.made))
    assert stage.health("s01").condition is Condition.FAILING
    assert "its one diagnosing restart was made" in (stage.health("s01").next or "")


def test_a_canary_that_failed_while_all_failed_is_tried_again_when_another_one_was_healed() -> None:
    stage = Stage().healthy("w", *HUNDRED[:10])
    stage.change(*all_of(failed, HUNDRED[:10]))
    while {name for _, name in stage.made} != {"s01", "s02"}:
        stage.look()
    stage.change(working("s02"))
    stage.run(600)
    assert [name for _, name in stage.made].count("s01") == 2
    assert stage.health("s01").reason is Reason.LOGGED_OUT


def test_a_version_that_is_not_accepted_any_more_is_one_incident() -> None:
    stage = Stage().healthy("a", "b", "c")
    stage.change(*(told(State.FAILED, Reason.OUTDATED, name) for name in "abc"))
    stage.run(60)
    (text,) = stage.told(EntryKind.INCIDENT)
    assert "WhatsApp does not accept the version of the client any more" in text
    assert text.endswith("Update the gateway, or pin the WhatsApp Web version that its project recommends")
    assert stage.made == []


def test_one_whose_breaker_is_held_does_not_keep_the_others_of_the_incident_waiting() -> None:
    """Seed 2102889: it was found unlinked before, so that it never got the restart that the others waited for."""
    stage = Stage(policy=replace(CALM, startup_grace=0.0)).healthy("a", "b", "c")
    stage.change(failed())
    stage.run_until_remedy()
    stage.look()
    stage.change(failed())
    stage.run(15)
    assert stage.health().condition is Condition.FATAL
    stage.begin_anew(working("a"), working("b"), working("c"))
    stage.run(10)
    stage.see(failed("a"), failed("b"), failed("c"))
    stage.run(7200)
    tried = [name for kind, name in stage.made if kind is RESTART]
    assert tried.count("b") > 1
    assert tried.count("c") > 1


def test_two_reasons_that_hold_an_incident_back_at_once_are_told_once_each() -> None:
    """Seed 2101650: two lines in each turn, for an hour."""
    policy = replace(CALM, budget=Budget(sessions_per_hour=2, spacing=0.0))
    stage = Stage(policy=policy).healthy("a", "b", "c")
    stage.see(failed("a"), failed("b"), failed("c"))
    stage.run(1800)
    told = stage.told(EntryKind.WITHHELD)
    assert any("budget" in one for one in told)
    assert any("diagnosing" in one for one in told)
    assert len(told) < 6


# What an incident tells


def test_when_a_session_is_healed_canaries_count_anew() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(starting("a"), starting("b"))
    stage.run(900)
    assert stage.memory.gateway.canaries >= 2
    stage.change(working("a"), working("b"))
    stage.run(60)
    stage.journal.clear()
    stage.change(starting("a"), starting("b"))
    stage.run(300)
    texts = [one for one in stage.told(EntryKind.INCIDENT) if "not healed" in one]
    assert texts[0] == "the canary was not healed; the next one not before 60 s"


class OfEngine(Stage):
    """A stage whose gateway tells its engine."""

    def _observation(self) -> Observation:
        seen = super()._observation()
        return replace(seen, look=replace(seen.look, engine="NOWEB"))


def test_canaries_in_vain_name_the_engine_that_may_be_outdated() -> None:
    stage = OfEngine().healthy("a", "b")
    stage.change(starting("a"), starting("b"))
    stage.run(900)
    texts = [one for one in stage.told(EntryKind.INCIDENT) if "Perhaps" in one]
    assert "Perhaps WhatsApp does not accept this version of its engine NOWEB any more" in texts[0]


@pytest.mark.parametrize(("later", "named"), [(120.0, True), (900.0, False)])
def test_a_restart_of_the_gateway_a_short_while_ago_is_named_with_the_incident(later: float, named: bool) -> None:
    stage = Stage().healthy("w", *HUNDRED[:6])
    stage.begin_anew()
    stage.run(later)
    stage.change(*all_of(failed, HUNDRED[:6]))
    stage.run(60)
    (text,) = [one for one in stage.told(EntryKind.INCIDENT) if "fail together" in one]
    assert ("; the gateway process was restarted " in text) == named


def test_the_cause_of_an_incident_is_the_commonest_and_follows_what_is_seen() -> None:
    stage = Stage().healthy(*HUNDRED[:6])
    stage.change(*all_of(failed, HUNDRED[:2]))
    stage.change(*(told(State.FAILED, Reason.CONNECTION_LOST, name) for name in HUNDRED[2:6]))
    stage.run(30)
    assert stage.whole.incident is not None
    assert stage.whole.incident.cause == Reason.CONNECTION_LOST
    stage.uplink = UplinkState.DOWN
    stage.look()
    assert stage.whole.incident.cause == Reason.UPLINK_DOWN
