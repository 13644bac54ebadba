"""Deafness: what is usual is learnt, silence beyond that is told once, and everything else is no silence."""

from __future__ import annotations

from bisect import bisect
from functools import cache
from itertools import accumulate
from math import exp
from random import Random
from typing import Any

import pytest
from decide_ears import DAY, HOUR, SLOT, TUESDAY_10, WEEK, Ears, Traffic, always, nothing, office, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from wasupervisor.decide.deafness import LEARN_HOURS, was_left_alone
from wasupervisor.decide.memory import Attempt, Memory, SessionMemory, dump, load
from wasupervisor.decide.week import NEW_WEEK, habits, is_habit, noted
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.policy import Policy, ProbeRule
from wasupervisor.model.remedies import RemedyKind
from wasupervisor.model.sessions import Condition, Reason, Sighting, State

slow = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])

STOP = 3 * WEEK + TUESDAY_10


@cache
def _learnt(*names: str) -> tuple[bytes, int]:
    """The memory of three weeks of office hours, until the Monday at 00:00."""
    ears = Ears(traffic=dict.fromkeys(names, office)).run(3 * WEEK)
    return dump(ears.memory), ears.heard[names[0]]


def learnt(*names: str) -> Ears:
    """Three weeks of office hours are learnt; what is heard from now on is for the scene to say."""
    names = names or ("a",)
    memory, heard = _learnt(*names)
    traffic: dict[str, Traffic] = dict.fromkeys(names, office)
    return Ears(traffic=traffic, memory=load(memory), now=3 * WEEK, heard=dict.fromkeys(names, heard), first=False)


def falls_silent(*names: str, at: float = STOP) -> Ears:
    """Of sessions a, b and c with office hours these hear nothing from then on."""
    ears = learnt("a", "b", "c")
    for name in names:
        ears.traffic[name] = until(at, office)
    return ears


# Told


def test_busy_traffic_that_stops_is_told_once_within_hours() -> None:
    ears = learnt()
    ears.traffic["a"] = until(STOP, office)
    ears.run_to(STOP + 3 * HOUR - SLOT)
    assert ears.told == []
    assert not ears.hearing().deaf
    ears.run(2 * DAY)
    assert ears.told == [(STOP + 3 * HOUR, "a", True)]
    entry = ears.journal[0][1]
    assert (entry.kind, entry.reason) == (EntryKind.CONCLUDED, Reason.DEAF)
    assert "nothing for 3 h, 3 hours of it usually busy" in entry.text
    assert ears.hearing().deaf
    assert "a: it works and shows no sign of life" in ears.notes


def test_nothing_is_done_about_it_and_the_condition_stays_healthy() -> None:
    ears = learnt()
    ears.traffic["a"] = until(STOP, office)
    ears.run_to(STOP + 5 * HOUR)
    assert ears.hearing().deaf
    assert ears.memory.sessions["a"].condition is Condition.HEALTHY
    assert ears.memory.sessions["a"].made == ()
    assert ears.decision is not None
    assert ears.decision.health.status == "healthy"


def test_that_it_hears_again_is_told_once_as_well() -> None:
    ears = learnt()
    ears.traffic["a"] = until(STOP, office)
    ears.run_to(STOP + 5 * HOUR)
    ears.traffic["a"] = office
    ears.run(DAY)
    assert [warn for _, _, warn in ears.told] == [True, False]
    assert ears.journal[1][1].text == "it shows a sign of life again, after 5 h"
    assert not ears.hearing().deaf
    assert "hears nothing" not in ears.notes


def test_a_silence_that_ended_by_itself_counts_as_usual_for_some_weeks() -> None:
    ears = learnt()
    ears.traffic["a"] = lambda wall: 0 if STOP < wall <= STOP + 2 * HOUR else office(wall)
    ears.run_to(STOP + 4 * HOUR)
    assert ears.hearing().longest == 2
    ears.traffic["a"] = until(STOP + DAY, office)
    ears.run_to(STOP + DAY + 8 * HOUR)
    assert ears.told == [(STOP + DAY + 4 * HOUR, "a", True)]


def test_what_is_taken_as_usual_shrinks_from_week_to_week() -> None:
    ears = learnt()
    session = ears.memory.sessions["a"]
    ears.memory.sessions["a"] = replace(session, hearing=replace(ears.hearing(), longest=2))
    ears.run(WEEK)
    assert ears.hearing().longest == 1
    ears.run(2 * WEEK)
    assert ears.hearing().longest == 0


# Never told


@slow
@given(st.integers(0, 7 * 144 - 1))
def test_nights_and_weekends_are_never_told(slot: int) -> None:
    stop = 3 * WEEK + slot * SLOT
    ears = learnt()
    ears.traffic["a"] = until(stop, office)
    ears.run_to(4 * WEEK + 2 * DAY)
    ((wall, _, _),) = ears.told
    assert wall % WEEK < 5 * DAY
    assert 8 * HOUR < wall % DAY <= 18 * HOUR
    assert wall - stop <= 2 * DAY + 14 * HOUR + 4 * HOUR + SLOT


@slow
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 20]))
def test_within_two_weeks_nothing_is_said_whatever_was_heard(seed: int, pattern: int) -> None:
    dice = Random(seed)
    lasts = [dice.random() * DAY * pattern for _ in range(60)]
    ends = list(accumulate(lasts))
    ears = Ears(traffic={"a": lambda wall: bisect(ends, wall) % 2, "b": always})
    ears.run(2 * WEEK)
    assert ears.told == []
    assert not ears.hearing().deaf


@slow
@given(st.integers(0, 2**32), st.sampled_from([1, 5, 12]))
def test_little_traffic_is_never_called_deaf(seed: int, messages_a_day: int) -> None:
    dice = Random(seed)
    chance = 1 - exp(-messages_a_day * SLOT / DAY)
    ears = Ears(traffic={"a": lambda _: dice.random() < chance})
    ears.run(8 * WEEK)
    assert ears.told == []


def test_a_session_with_few_busy_hours_is_never_called_deaf() -> None:
    ears = Ears(traffic={"a": lambda wall: wall < 4 * WEEK and 9 * HOUR < wall % DAY <= 11 * HOUR})
    ears.run(4 * WEEK)
    assert habits(ears.hearing().week) == 14
    ears.run(WEEK)
    assert ears.told == []


@pytest.mark.parametrize(("slots", "busy"), [(1, 0), (2, 0), (3, 168)])
def test_an_hour_is_busy_when_something_is_heard_in_half_of_its_slots(slots: int, busy: int) -> None:
    ears = Ears(traffic={"a": lambda wall: wall % HOUR < slots * SLOT}).run(2 * WEEK + DAY)
    assert habits(ears.hearing().week) == busy


def test_a_habit_that_is_given_up_is_unlearnt() -> None:
    ears = Ears(traffic={"a": until(4 * WEEK, always)}).run(8 * WEEK)
    assert ears.hearing().deaf
    assert habits(ears.hearing().week) == 0


# Compared with others


def test_one_that_is_silent_while_others_hear_is_told_alone() -> None:
    ears = falls_silent("a")
    ears.run_to(STOP + DAY)
    assert ears.told == [(STOP + 3 * HOUR, "a", True)]
    assert "silent together" not in ears.notes


def test_all_silent_together_are_one_note_and_none_is_deaf() -> None:
    ears = falls_silent("a", "b", "c")
    ears.run_to(STOP + DAY + 4 * HOUR)
    assert ears.told == [(STOP + 3 * HOUR, None, True)]
    assert not any(ears.hearing(name).deaf for name in "abc")
    assert "silent together" in ears.notes
    ears.traffic = dict.fromkeys("abc", office)
    ears.run(HOUR)
    assert "silent together" not in ears.notes
    assert not ears.listening.silent


def test_one_that_stays_silent_when_the_others_hear_again_is_told() -> None:
    ears = falls_silent("a", "b", "c")
    ears.run_to(STOP + DAY)
    ears.traffic |= {"b": office, "c": office}
    ears.run(DAY)
    assert [name for _, name, _ in ears.told] == [None, "a"]


def test_also_then_it_is_told_in_a_busy_hour_only() -> None:
    ears = falls_silent("a", "b", "c")
    ears.run_to(STOP + 12 * HOUR)
    ears.traffic |= {"b": always, "c": always}
    ears.run(HOUR)
    assert not ears.listening.silent
    ears.run(DAY)
    assert ears.told[1:] == [(STOP + 23 * HOUR, "a", True)]


def test_others_with_little_traffic_do_not_make_it_a_single_one() -> None:
    ears = falls_silent("a", "b")
    ears.traffic |= {"c": office, "d": lambda wall: wall % (2 * HOUR) == 0.0, "e": lambda wall: wall % DAY == 0.0}
    for name in "cde":
        ears.run_to(ears.wall + SLOT)
        ears.memory.sessions[name] = replace(ears.memory.sessions[name], hearing=None)
    ears.run_to(STOP + 6 * HOUR)
    assert ears.told == [(STOP + 3 * HOUR, None, True)]


def test_half_of_the_others_silent_as_well_is_not_a_single_session() -> None:
    ears = falls_silent("a", "b")
    ears.run_to(STOP + 6 * HOUR)
    assert ears.told == [(STOP + 3 * HOUR, None, True)]


def test_one_with_little_traffic_does_not_speak_for_another() -> None:
    ears = falls_silent("a")
    del ears.traffic["c"]
    ears.traffic |= {"b": nothing, "d": lambda wall: wall % DAY == 0.0}
    ears.run_to(3 * WEEK + 6 * HOUR)
    session = ears.memory.sessions["b"]
    ears.memory.sessions["b"] = replace(session, hearing=replace(ears.hearing("b"), week=NEW_WEEK))
    ears.run_to(STOP + DAY)
    assert ears.told == [(STOP + 3 * HOUR, "a", True)]


def test_one_that_was_told_as_deaf_before_does_not_speak_for_another() -> None:
    ears = falls_silent("a")
    ears.traffic["b"] = until(STOP + DAY, office)
    ears.run_to(STOP + DAY + 6 * HOUR)
    assert ears.told == [(STOP + 3 * HOUR, "a", True), (STOP + DAY + 3 * HOUR, "b", True)]
    assert "a, b: it works and shows no sign of life" in ears.notes


# Silence is counted from our own action, and from whatever else may explain it


def _pause(ears: Ears) -> None:
    ears.pause()
    ears.look()
    ears.resume()
    ears.look()


def _restart(ears: Ears) -> None:
    ears.restart()
    ears.look()


def _gateway_restarts(ears: Ears) -> None:
    ears.process += 1
    ears.look()


def _falls(ears: Ears) -> None:
    ears.states["a"] = Sighting("a", State.STARTING, Reason.RECONNECTING, claim="STARTING", paired=True)
    ears.look()
    ears.states.clear()
    ears.look()


def _counts_anew(ears: Ears) -> None:
    ears.heard["a"] = 0
    ears.look()


def _tells_nothing(ears: Ears) -> None:
    ears.tells["a"] = False
    ears.look()
    assert ears.hearing().silent == 0
    ears.tells.clear()
    ears.look()


def _falls_at_the_full_hour(ears: Ears) -> None:
    ears.run(2 * SLOT)
    ears.traffic["a"] = nothing
    _falls(ears)


@pytest.mark.parametrize(
    "what", [_falls_at_the_full_hour, _pause, _restart, _gateway_restarts, _falls, _counts_anew, _tells_nothing]
)
def test_silence_is_counted_from_what_may_explain_it(what: object) -> None:
    ears = learnt()
    ears.traffic["a"] = until(STOP, office)
    ears.run_to(STOP + 2 * HOUR + 3 * SLOT)
    assert ears.hearing().silent == 2
    assert callable(what)
    what(ears)
    ears.run_to(STOP + 3 * HOUR + SLOT)
    assert ears.hearing().silent == 0
    assert ears.told == []
    ears.run(DAY)
    assert [name for _, name, _ in ears.told] == ["a"]
    assert ears.told[0][0] >= STOP + 6 * HOUR


def test_during_a_pause_nothing_is_learnt_and_nothing_said() -> None:
    ears = learnt()
    ears.traffic["a"] = nothing
    ears.pause()
    watched = ears.hearing().watched
    ears.run(2 * DAY)
    assert ears.told == []
    assert ears.hearing().watched <= watched + 1


@pytest.mark.parametrize(
    ("change", "alone"),
    [
        ({}, True),
        ({"condition": Condition.FAILING}, False),
        ({"working_since": None}, False),
        ({"working_since": 7300.0}, False),
        ({"attempt": Attempt("a1", RemedyKind.RESTART_SESSION, 100.0, Reason.NONE)}, False),
        ({"made": (100.0, 7300.0)}, False),
        ({"last_restart": 7300.0}, False),
        ({"made": (100.0,), "last_restart": 130.0}, True),
    ],
)
def test_an_hour_counts_when_the_session_was_left_alone_in_it(change: dict[str, Any], alone: bool) -> None:
    well = SessionMemory(
        first_seen=0.0, state=State.WORKING, since=0.0, condition=Condition.HEALTHY, working_since=50.0
    )
    assert was_left_alone(replace(well, **change), 7200.0) is alone


def test_a_count_that_begins_anew_is_no_sign_of_life() -> None:
    ears = learnt()
    ears.traffic["a"] = until(STOP, office)
    ears.run_to(STOP + 4 * HOUR)
    ears.heard["a"] = 5
    ears.run(HOUR)
    assert ears.hearing().deaf
    assert len(ears.told) == 1


def test_a_deaf_session_stays_told_through_a_restart_until_it_is_heard() -> None:
    ears = learnt()
    ears.traffic["a"] = until(STOP, office)
    ears.run_to(STOP + 4 * HOUR)
    _restart(ears)
    ears.run(3 * HOUR)
    assert ears.hearing().deaf
    assert len(ears.told) == 1


def test_of_a_deaf_session_whose_activity_is_not_told_any_more_that_is_said() -> None:
    ears = learnt()
    ears.traffic["a"] = until(STOP, office)
    ears.run_to(STOP + 4 * HOUR)
    ears.tells["a"] = False
    ears.run(2 * HOUR)
    assert not ears.hearing().deaf
    assert "nothing is told of its activity" in ears.journal[1][1].text
    watched = ears.hearing().watched
    ears.run(DAY)
    assert ears.hearing().watched == watched


# What counts as watched


def test_an_hour_in_which_nobody_could_look_is_not_watched() -> None:
    ears = learnt()
    watched = ears.hearing().watched
    ears.run(DAY)
    assert ears.hearing().watched == watched + 24
    ears.readable = False
    ears.run(3 * SLOT)
    ears.readable = True
    ears.run_to(3 * WEEK + 2 * DAY)
    assert ears.hearing().watched == watched + 47


def test_an_hour_in_which_the_supervisor_did_not_look_is_not_watched() -> None:
    ears = learnt()
    ears.run(2 * SLOT)
    watched = ears.hearing().watched
    ears.now += 2 * SLOT
    ears.run_to(3 * WEEK + HOUR)
    assert ears.hearing().watched == watched
    assert not ears.listening.broken


def test_an_hour_in_which_the_supervisor_was_restarted_is_not_watched() -> None:
    ears = learnt()
    ears.run(2 * SLOT)
    watched, ears.first = ears.hearing().watched, True
    ears.run_to(3 * WEEK + HOUR)
    assert ears.hearing().watched == watched
    ears.run(HOUR)
    assert ears.hearing().watched == watched + 1


def test_weeks_that_were_watched_in_part_are_not_enough() -> None:
    ears = Ears()
    while ears.wall < 3 * WEEK + 3 * DAY:
        ears.tells_hour = 7 * HOUR <= ears.wall % DAY < 19 * HOUR
        if ears.wall >= STOP:
            ears.traffic["a"] = nothing
        ears.look()
    assert habits(ears.hearing().week) >= 40
    assert ears.hearing().watched < LEARN_HOURS
    assert ears.told == []


def test_a_supervisor_that_was_away_for_a_day_says_nothing_of_that_day() -> None:
    ears = learnt()
    ears.traffic["a"] = nothing
    ears.now, ears.first = STOP + DAY - 10.0, True
    ears.run(2 * HOUR)
    assert ears.told == []
    assert ears.hearing().silent <= 2


def test_a_session_that_is_seen_for_the_first_time_learns_from_its_first_whole_hour() -> None:
    ears = Ears(traffic={"a": always}, now=2 * SLOT).run(4 * SLOT)
    assert (ears.hearing().watched, ears.hearing().heard) == (0, 0)
    ears.run(HOUR)
    assert ears.hearing().watched == 1
    assert not is_habit(ears.hearing().week, 1)


def test_a_session_that_the_configuration_excludes_is_not_listened_to() -> None:
    ears = Ears(traffic={"a": always, "b": always}, policy=Policy(exclude=("b",))).run(DAY)
    assert list(ears.memory.sessions) == ["a"]


# Clocks


def test_without_the_hour_of_the_week_nothing_is_learnt_or_said() -> None:
    ears = learnt()
    watched = ears.hearing().watched
    ears.traffic["a"], ears.tells_hour = nothing, False
    ears.run(3 * DAY)
    assert (ears.told, ears.hearing().watched, ears.notes) == ([], watched, "")


@pytest.mark.parametrize("shift", [HOUR, -HOUR])
def test_summer_time_comes_and_goes_without_an_alarm(shift: float) -> None:
    ears = learnt()
    ears.run_to(3 * WEEK + 6 * DAY + 2 * HOUR + 3 * SLOT)
    ears.ahead += shift
    ears.run(2 * WEEK)
    assert ears.told == []
    assert ears.listening.trusted_from == 0.0


def test_the_hour_that_summer_time_repeats_is_not_learnt() -> None:
    ears = learnt()
    ears.run_to(3 * WEEK + 3 * HOUR - SLOT)
    watched = ears.hearing().watched
    ears.ahead -= HOUR
    ears.run_to(3 * WEEK + 3 * HOUR)
    assert ears.hearing().watched == watched
    ears.run(HOUR)
    assert ears.hearing().watched == watched + 1


def test_the_hour_that_summer_time_shortens_is_not_learnt() -> None:
    ears = learnt()
    ears.run_to(3 * WEEK + HOUR + 3 * SLOT)
    watched = ears.hearing().watched
    ears.ahead += HOUR
    ears.run(SLOT)
    assert (ears.listening.hour, ears.hearing().watched) == (2, watched)


def test_when_the_wall_clock_is_set_silence_is_counted_anew_and_the_hour_does_not_count() -> None:
    ears = learnt()
    ears.traffic["a"] = until(STOP, office)
    ears.run_to(STOP + 2 * HOUR)
    assert ears.hearing().silent == 2
    watched = ears.hearing().watched
    ears.ahead += 12 * HOUR - SLOT
    ears.run(HOUR + SLOT)
    assert (ears.hearing().silent, ears.hearing().watched) == (0, watched)
    ears.run(HOUR)
    assert ears.hearing().watched == watched + 1


@pytest.mark.parametrize("shift", [12 * HOUR, -5 * HOUR, 3 * DAY])
def test_a_wall_clock_that_was_set_silences_for_two_weeks_and_never_alarms(shift: float) -> None:
    ears = learnt()
    ears.traffic["a"] = lambda wall: office(wall - shift)
    ears.ahead += shift
    ears.run(2 * DAY)
    assert ears.listening.trusted_from == pytest.approx(3 * WEEK + SLOT + 2 * WEEK)
    ears.run(5 * WEEK)
    assert ears.told == []


def test_a_wall_clock_that_stands_still_is_one_that_was_set() -> None:
    ears = learnt()
    for _ in range(6 * 12):
        ears.ahead -= SLOT
        ears.look()
    assert ears.listening.trusted_from > 0


def test_a_start_at_another_hour_is_no_clock_that_was_set() -> None:
    ears = learnt()
    ears.ahead, ears.first = 9 * HOUR, True
    ears.run(HOUR)
    assert ears.listening.trusted_from == 0.0


# Our own probe


def test_where_our_own_probe_counts_as_activity_nothing_is_learnt() -> None:
    probing = Policy(startup_grace=0.0, probe=ProbeRule())
    waha = Ears(traffic={"a": always}, policy=probing).run(DAY)
    assert waha.memory.sessions["a"].hearing is None
    evolution = Ears(traffic={"a": always}, policy=replace(probing, gateway_kind="evolution")).run(DAY)
    assert evolution.hearing().watched > 20


# Cost


def test_sessions_without_activity_leave_no_trace() -> None:
    ears = Ears(tells={"a": False}).run(DAY)
    assert ears.memory.gateway.listening is None
    assert ears.memory.sessions["a"].hearing is None


def test_the_memory_changes_once_in_ten_minutes_at_the_most() -> None:
    ears = Ears(traffic={"a": always, "b": always}, every=20.0).run(HOUR)
    writes = ears.writes
    ears.run(4 * HOUR)
    assert ears.writes - writes <= 4 * 7


# The week


def test_a_habit_is_what_was_busy_nearly_each_time_and_at_least_twice() -> None:
    def after(times: str) -> bool:
        week = NEW_WEEK
        for one in times:
            week = noted(week, 5, busy=one == "x")
        assert week[:5] + week[6:] == NEW_WEEK[1:]
        return is_habit(week, 5)

    assert [after(times) for times in ("", "x", "xx", "xxx", "xx.x", "x.xxx", "..xxxxx")] == [False, False, *[True] * 5]
    assert not any(after(times) for times in (".", ".x", "x.", "x.x", "xxx..", "xxxxx..", "x.x.x", "....."))
    assert habits(NEW_WEEK) == 0


def test_a_memory_without_any_of_it_loads() -> None:
    assert load(b"{}") == Memory()


def test_two_of_many_that_are_silent_are_told_singly() -> None:
    ears = learnt("a", "b", "c", "d", "e")
    for name in "ab":
        ears.traffic[name] = until(STOP, office)
    ears.run_to(STOP + 3 * HOUR)
    assert [name for _, name, _ in ears.told] == ["a", "b"]
    assert "silent together" not in ears.notes
