"""Flapping: a session that works and falls, over and over."""

from __future__ import annotations

import pytest
from decide_scenes import BUSY, CALM, EVOLUTION, Stage, closed, connecting, failed, opened, starting, wants_qr, working
from msgspec.structs import replace

from wasupervisor.decide.flaps import FALLS, LASTS, fallen_since, fights, is_flapping
from wasupervisor.decide.memory import SessionMemory
from wasupervisor.decide.scene import Scene
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import OrderKind, Verdict
from wasupervisor.model.sessions import Condition, Reason, Sighting, State

EVO = replace(EVOLUTION, restarter="docker")


def fall(stage: Stage, every: float, times: int, down: Sighting, up: Sighting) -> None:
    """It falls so often, so many seconds apart, each time for one look."""
    for _ in range(times):
        stage.change(down)
        stage.look()
        stage.change(up)
        stage.run(every - stage.policy.poll_every)


def test_a_session_that_falls_each_ten_seconds_is_flapping() -> None:
    stage = Stage().healthy("a", "b")
    fall(stage, 10, 3, starting(), working())
    assert stage.health().condition is Condition.SETTLING
    fall(stage, 10, 1, starting(), working())
    assert stage.health().condition is Condition.FAILING
    assert stage.health().reason is Reason.FLAPPING
    assert stage.health().group == "failed"
    assert any("failing: it works and falls again, over and over" in one for one in stage.told(EntryKind.CONCLUDED))
    assert stage.made == []


def test_it_is_over_when_it_has_not_fallen_for_a_minute() -> None:
    stage = Stage().healthy("a", "b")
    fall(stage, 10, 6, starting(), working())
    assert stage.health().reason is Reason.FLAPPING
    stage.run(60)
    assert stage.health().condition is not Condition.FAILING
    stage.run(30)
    assert stage.health().condition is Condition.HEALTHY
    assert stage.made == []


def test_one_more_fall_goes_on_with_it() -> None:
    stage = Stage().healthy("a", "b")
    fall(stage, 10, 6, starting(), working())
    fall(stage, 50, 3, starting(), working())
    assert stage.health().reason is Reason.FLAPPING


@pytest.mark.parametrize(("every", "times"), [(30, 7), (100, 10), (5 * 60, 10), (1800, 4)])
def test_falls_that_are_far_apart_are_no_flapping(every: float, times: int) -> None:
    stage = Stage().healthy("a", "b")
    fall(stage, every, times, starting(), working())
    assert stage.told(EntryKind.CONCLUDED) != []
    assert not any("over and over" in one for one in stage.told(EntryKind.CONCLUDED))


def test_a_session_that_works_for_half_a_minute_at_a_time_is_told_as_flapping_and_not_as_a_fight() -> None:
    stage = Stage(policy=EVO, store_ok=True, cpu=BUSY).healthy("a", "b")
    fall(stage, 35, 9, connecting(), opened())
    assert stage.health().reason is Reason.FLAPPING
    assert stage.health().condition is Condition.FAILING
    stage.run(180)
    assert stage.health().condition is Condition.HEALTHY
    assert stage.made == []


@pytest.mark.parametrize("poll", [2.0, 5.0, 15.0, 30.0])
def test_flapping_is_seen_at_every_pace_of_looking(poll: float) -> None:
    stage = Stage(policy=replace(CALM, poll_every=poll)).healthy("a", "b")
    fall(stage, 2 * poll, 20, starting(), working())
    assert stage.health().reason is Reason.FLAPPING


@pytest.mark.parametrize("uplink", [UplinkState.DOWN, UplinkState.UNKNOWN])
def test_falls_while_the_uplink_is_not_known_to_be_good_are_the_uplinks(uplink: UplinkState) -> None:
    stage = Stage(uplink=uplink).healthy("a", "b")
    fall(stage, 10, 8, starting(), working())
    assert stage.health().reason is not Reason.FLAPPING


def test_falls_while_the_store_is_not_well_are_the_stores() -> None:
    stage = Stage(policy=EVO, store_ok=None, cpu=BUSY)
    stage.see(opened("a"), opened("b"))
    stage.run(60)
    fall(stage, 10, 8, connecting(), opened())
    assert stage.health().reason is not Reason.FIGHT
    assert stage.made == []


def test_evolution_that_closes_and_opens_is_flapping_too() -> None:
    stage = Stage(policy=EVO, store_ok=True)
    stage.see(opened("a"), opened("b"))
    stage.run(60)
    fall(stage, 10, 5, closed(), opened())
    assert stage.health().reason is Reason.FLAPPING


def test_a_session_that_waits_for_its_qr_code_after_it_flapped_waits_for_a_person() -> None:
    stage = Stage().healthy("a", "b")
    fall(stage, 10, 5, starting(), working())
    stage.change(wants_qr())
    stage.run(30)
    assert stage.health().condition is Condition.NEEDS_HUMAN


def test_a_session_that_fails_after_it_flapped_is_diagnosed() -> None:
    stage = Stage().healthy("a", "b")
    fall(stage, 10, 5, starting(), working())
    stage.change(failed())
    stage.run_until_remedy(60)
    assert stage.health().reason is Reason.UNEXPLAINED


def test_falls_that_our_remedy_makes_are_not_counted() -> None:
    stage = Stage().healthy("a", "b")
    fall(stage, 10, 3, starting(), working())
    stage.change(failed())
    stage.run_until_remedy(60)
    stage.look()
    fall(stage, 10, 2, starting(), working())
    assert stage.session().fallen == ()


def test_a_restart_of_the_gateway_begins_the_count_anew() -> None:
    stage = Stage().healthy("a", "b")
    fall(stage, 10, 3, starting(), working())
    stage.begin_anew(starting("a"), working("b"))
    stage.look()
    assert stage.session().fallen == ()


def test_falls_before_a_time_in_which_nobody_looked_are_forgotten() -> None:
    stage = Stage().healthy("a", "b")
    fall(stage, 10, 3, starting(), working())
    stage.restart_supervisor(away=1)
    stage.look()
    assert stage.session().fallen == ()


def test_an_old_sighting_is_no_fall() -> None:
    stage = Stage(policy=EVO, store_ok=True)
    stage.see(opened("a"), opened("b"))
    stage.run(60)
    stage.change(replace(connecting(), fresh=False))
    stage.look()
    assert stage.session().fallen == ()


def test_recover_of_a_flapping_session_says_that_nothing_can_be_done() -> None:
    stage = Stage().healthy("a", "b")
    fall(stage, 10, 5, starting(), working())
    stage.change(starting())
    reply = stage.order(OrderKind.RECOVER)
    assert reply.verdict is Verdict.WITHHELD
    assert reply.text.startswith("nothing can be done from here: it works and falls again, over and over")
    assert stage.made == []


# The edges of the count


def scene(now: float, policy: Policy = CALM) -> Scene:
    return Scene(
        now=now,
        policy=policy,
        run=1,
        run_known=True,
        gap=False,
        uplink=UplinkState.UP,
        store_ok=None,
        working=frozenset(),
    )


def fallen(*times: float, condition: Condition = Condition.SETTLING, cause: Reason = Reason.NONE) -> SessionMemory:
    return SessionMemory(
        first_seen=0.0, state=State.WORKING, since=0.0, run=1, fallen=times, condition=condition, cause=cause
    )


def test_the_edges_of_flapping() -> None:
    first = 100.0
    most = [first + LASTS / (FALLS - 1) * turn for turn in range(FALLS)]
    assert is_flapping(fallen(*most), scene(most[-1]))
    assert not is_flapping(fallen(*most[1:]), scene(most[-1]))
    assert not is_flapping(fallen(first + 0.1, *most[1:]), scene(most[-1]))
    assert is_flapping(fallen(*most), scene(first + 60))
    assert not is_flapping(fallen(*most), scene(first + 60.1))
    assert is_flapping(fallen(*most), scene(first + 60.1, replace(CALM, poll_every=6.0)))


@pytest.mark.parametrize("cause", [Reason.FLAPPING, Reason.FIGHT, Reason.STUCK_STARTING])
@pytest.mark.parametrize("condition", [Condition.FAILING, Condition.SETTLING])
def test_one_fall_goes_on_only_with_flapping_that_was_judged(cause: Reason, condition: Condition) -> None:
    goes_on = condition is Condition.FAILING and cause is not Reason.STUCK_STARTING
    assert is_flapping(fallen(100.0, condition=condition, cause=cause), scene(160)) is goes_on
    assert not is_flapping(fallen(100.0, condition=condition, cause=cause), scene(160.1))


def test_the_count_holds_only_what_is_inside_the_window() -> None:
    known = fallen(10.0, 140.0, 141.0)
    assert fallen_since(known, starting(), scene(700)) == (140.0, 141.0, 700)
    assert fallen_since(known, starting(), scene(142)) == known.fallen  # too soon after the last to be another one
    assert fallen_since(known, working(), scene(700)) == known.fallen
    assert fallen_since(replace(known, state=State.STARTING), starting(), scene(100)) == known.fallen
    assert fallen_since(known, wants_qr(), scene(100)) == known.fallen
    for other in (replace(scene(100), run=2), replace(scene(100), gap=True)):
        assert fallen_since(replace(known, state=State.STARTING), starting(), other) == ()
        assert fallen_since(known, starting(), other) == ()


@pytest.mark.parametrize(
    ("kind", "cpu", "fought", "means"),
    [
        ("evolution", 5.0, None, Reason.FIGHT),
        ("evolution", 4.9, None, Reason.FLAPPING),
        ("evolution", None, None, Reason.FLAPPING),
        ("waha", 90.0, None, Reason.FLAPPING),
        ("evolution", 24.0, 9000.0, Reason.REPLACED),
        ("evolution", 24.0, 10_000.0 - 1799.9, Reason.REPLACED),
        ("evolution", 24.0, 10_000.0 - 1800, Reason.FIGHT),
        ("evolution", 4.9, 9000.0, Reason.FLAPPING),
        ("waha", 24.0, 9000.0, Reason.FLAPPING),
    ],
)
def test_what_flapping_means(kind: str, cpu: float | None, fought: float | None, means: Reason) -> None:
    surroundings = replace(scene(10_000.0, replace(CALM, gateway_kind=kind)), cpu_percent=cpu)
    quick, slow = (9_950.0, 9_965.0, 9_980.0, 9_995.0), (7_000.0, 8_000.0, 9_000.0, 9_990.0)
    assert fights(replace(fallen(*quick), fought=fought), surroundings) is means
    assert fights(replace(fallen(*slow), fought=fought), surroundings) is Reason.FLAPPING


def test_slow_flapping_goes_on_for_two_minutes_after_the_last_fall() -> None:
    slow = [100.0 + 35 * turn for turn in range(8)]
    assert is_flapping(fallen(*slow), scene(slow[-1] + 120))
    assert not is_flapping(fallen(*slow), scene(slow[-1] + 120.1))
    assert not is_flapping(fallen(*slow[1:]), scene(slow[-1]))
