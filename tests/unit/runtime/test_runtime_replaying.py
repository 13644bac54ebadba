"""What is the same and what is not, when the recorded past is decided again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from runtime_scenes import failed, working

from wasupervisor.decide.memory import Memory, dump
from wasupervisor.decide.step import step as decide
from wasupervisor.model.alerts import Alert, AlertKind, Event
from wasupervisor.model.observation import Look, Observation, Uplink, UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Order, OrderKind
from wasupervisor.runtime import replaying
from wasupervisor.runtime.recording import digest, made_by
from wasupervisor.runtime.replaying import SAME_WITHIN, At, Deed, Difference, replay
from wasupervisor.store.recording import Made, Step

QUICK = Policy(failing_samples=1, failing_after=0.0, startup_grace=0.0, stable_for=0.0)
WALL = 1e9


def recorded(turns: int = 30, policy: Policy = QUICK, order_at: int | None = None) -> Iterator[Step]:
    """Session a is well for three steps and then fails for good."""
    memory = Memory()
    for number in range(turns):
        sightings = (working("a") if number < 3 else failed("a"), working("b"))
        orders = (Order("o1", OrderKind.RESTART, session="b", by="eve"),) if number == order_at else ()
        observation = Observation(
            look=Look(reachable=True, sightings=sightings), uplink=Uplink(UplinkState.UP), orders=orders
        )
        now = 1000.0 + 5.0 * number
        decision = decide(memory, observation, now, 0.5, policy)
        yield Step(
            number=number,
            wall=WALL + now,
            now=now,
            dice=0.5,
            observation=observation,
            policy=policy,
            digest=digest(decision),
            made=made_by(decision),
            memory=dump(memory) if number % 10 == 0 else None,
            anew=number == 0,
        )
        memory = decision.memory


def whats(deeds: list[At]) -> list[str]:
    return [one.deed.what for one in deeds]


def test_the_recorded_rules_give_the_recorded_decisions() -> None:
    found = replay(recorded(order_at=20), 0.0)
    assert (found.steps, found.identical, found.breaks, found.same_policy) == (30, 30, 0, True)
    assert found.differences() == []
    assert {"restart_session", "reply"} <= set(whats(found.then))
    assert (found.began, found.ended) == (WALL + 1000.0, WALL + 1145.0)


def test_what_came_before_is_decided_and_not_compared() -> None:
    found = replay(recorded(), WALL + 1100.0)
    assert (found.steps, found.identical) == (10, 10)
    assert found.began == WALL + 1100.0


def test_other_rules_do_other_things() -> None:
    found = replay(recorded(), 0.0, lambda policy: replace(policy, act=False))
    assert not found.same_policy
    assert found.identical < found.steps
    differences = found.differences()
    assert [one.first.wall for one in differences] == sorted(one.first.wall for one in differences)
    gone = [one for one in differences if one.now is None and one.then is not None]
    assert "restart_session" in [one.then.deed.what for one in gone if one.then is not None]
    assert any(one.then is None and one.now is not None and one.now.deed.what == "withheld" for one in differences)


def test_with_other_rules_the_replayed_memory_goes_on_where_a_file_ends() -> None:
    """The recorded memory of a restart that was not made must not come in with the next file."""
    found = replay(recorded(), 0.0, lambda policy: replace(policy, act=False))
    assert "restart_session" not in whats(found.now)
    assert whats(found.now).count("withheld") == 1


def test_where_the_recording_begins_anew_the_recorded_memory_is_taken() -> None:
    steps = [replace(one, anew=True) if one.number == 10 else one for one in recorded()]
    assert replay(steps, 0.0).breaks == 1
    there = replay(steps, 0.0)
    assert there.identical == there.steps


def test_without_a_memory_nothing_can_be_replayed_until_there_is_one() -> None:
    found = replay(list(recorded())[5:], 0.0)
    assert (found.steps, found.identical) == (20, 20)


def test_a_memory_that_cannot_be_read_is_told_and_the_next_one_taken() -> None:
    steps = [replace(one, memory=b"{") if one.number == 0 else one for one in recorded()]
    found = replay(steps, 0.0)
    assert (found.steps, found.identical) == (20, 20)
    (sentence,) = found.unreadable
    assert "cannot read the decider's memory" in sentence


def at(wall: float, what: str = "restart_session", about: str = "") -> At:
    return At(wall, Deed(what, "a", about, "why"))


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ([1.0], [1.0], []),
        ([1.0], [9.0], [(1.0, 9.0)]),
        ([9.0], [1.0], [(9.0, 1.0)]),
        ([1.0], [], [(1.0, None)]),
        ([], [1.0], [(None, 1.0)]),
        ([1.0, 9.0], [9.0], [(1.0, None)]),
        ([1.0, 1.0], [1.0], [(1.0, None)]),
        ([1.0], [2.0 + SAME_WITHIN], [(1.0, None), (None, 2.0 + SAME_WITHIN)]),
        ([2.0 + SAME_WITHIN], [1.0], [(None, 1.0), (2.0 + SAME_WITHIN, None)]),
    ],
)
def test_the_same_thing_a_little_later_is_one_difference(
    then: list[float], now: list[float], expected: list[tuple[float | None, float | None]]
) -> None:
    found = replaying._differences([at(one) for one in then], [at(one) for one in now])
    assert [tuple(None if one is None else one.wall for one in pair) for pair in found] == expected


def test_another_session_is_another_thing_and_other_numbers_are_not() -> None:
    other = At(1.0, Deed("restart_session", "b", "", "why"))
    assert len(list(replaying._differences([at(1.0)], [other]))) == 2
    waits = [At(1.0, Deed("withheld", "a", replaying._without_numbers(f"wait {n} s"), f"wait {n} s")) for n in (3, 4.5)]
    assert list(replaying._differences(waits[:1], waits[1:])) == []


def test_an_alert_and_its_end_are_two_things() -> None:
    begin = Alert("e1", AlertKind.NEEDS_HUMAN, Event.BEGIN, 1.0, 1.0, session="a", what="it wants a QR scan")
    made = Made(alerts=(begin, replace(begin, event=Event.END, what="")))
    first, second = replaying._deeds(made)
    assert first == Deed("alert", "a", "needs_human (begin)", "needs_human (begin): it wants a QR scan")
    assert second.text == "needs_human (end)"


def test_a_difference_stands_where_its_first_half_was() -> None:
    assert Difference(at(9.0), at(1.0)).first.wall == 1.0
    assert Difference(None, at(1.0)).first.wall == 1.0
