"""Remedies beside the cycle: looked at once more, called once, and always heard of again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from runtime_scenes import ScriptedGateway, ScriptedUplink, StillProcess, failed, stopped, working

from wasupervisor.model.observation import ProbeResult, Proof, UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Outcome, Remedy, RemedyKind
from wasupervisor.model.sessions import Reason
from wasupervisor.runtime.performing import FRESH_UPLINK, PROBE_TIMEOUT, Performer
from wasupervisor.runtime.watch import Watch

pytestmark = pytest.mark.anyio


def watch_of(gateway: ScriptedGateway, uplink: ScriptedUplink | None = None) -> Watch:
    return Watch(gateway, StillProcess(), uplink or ScriptedUplink(), timeout=2.0, clock=lambda: 0.0)  # type: ignore[arg-type]


def remedy(session: str = "a", kind: RemedyKind = RemedyKind.RESTART_SESSION) -> Remedy:
    return Remedy(id="a1", kind=kind, session=session, why="because")


class Scene:
    """A performer in its task group."""

    def __init__(self, performer: Performer) -> None:
        self.performer = performer
        self.woken = 0

    async def result(self) -> tuple[Outcome, str]:
        """Wait until all is done; gives the one result."""
        await self.performer.wait_idle()
        (found,) = self.performer.take()
        assert self.performer.take() == ()
        return found.outcome, found.detail


@asynccontextmanager
async def scene(gateway: ScriptedGateway, uplink: ScriptedUplink | None = None) -> AsyncIterator[Scene]:
    async with anyio.create_task_group() as tasks:
        made: Scene

        def wake() -> None:
            made.woken += 1

        made = Scene(Performer(tasks, watch_of(gateway, uplink), Policy(startup_grace=0.0), wake))
        yield made
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("kind", "verb"),
    [
        (RemedyKind.RESTART_SESSION, "restart"),
        (RemedyKind.START_SESSION, "start"),
        (RemedyKind.PARK_SESSION, "stop"),
    ],
)
async def test_a_remedy_is_called_once_and_wakes_the_cycle(kind: RemedyKind, verb: str) -> None:
    broken = stopped("a") if kind is RemedyKind.START_SESSION else failed("a")
    gateway = ScriptedGateway(broken, working("b"))
    async with scene(gateway) as it:
        it.performer.start([remedy(kind=kind)])
        assert it.performer.under_way == 1
        assert await it.result() == (Outcome.ACCEPTED, "")
        assert gateway.calls == [(verb, "a")]
        assert (it.woken, it.performer.under_way) == (1, 0)


async def test_a_session_that_came_back_meanwhile_is_not_restarted() -> None:
    gateway = ScriptedGateway(working("a"), working("b"))
    async with scene(gateway) as it:
        it.performer.start([remedy()])
        outcome, _why = await it.result()
    assert outcome is Outcome.WITHHELD
    assert gateway.calls == []


async def test_the_uplink_is_asked_anew_when_its_reading_is_old_and_down_withholds() -> None:
    gateway, uplink = ScriptedGateway(failed("a"), working("b")), ScriptedUplink(UplinkState.DOWN)
    async with scene(gateway, uplink) as it:
        it.performer.start([remedy()])
        outcome, why = await it.result()
    assert outcome is Outcome.WITHHELD
    assert "uplink" in why
    assert uplink.asked == [FRESH_UPLINK]
    assert gateway.calls == []


async def test_a_fault_of_ours_before_the_call_counts_as_not_made_and_after_it_as_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise RuntimeError("boom")

    gateway = ScriptedGateway(failed("a"), working("b"))
    async with scene(gateway) as it:
        gateway.during_close_look = fail
        it.performer.start([remedy()])
        before = await it.result()
        gateway.during_close_look, gateway.during_call = None, fail
        it.performer.start([remedy()])
        after = await it.result()
    text = "a fault of the supervisor's own (RuntimeError), see its log"
    assert before == (Outcome.WITHHELD, text)
    assert after == (Outcome.TIMED_OUT, text)
    assert caplog.text.count("RuntimeError: boom") == 2


def doubted(*, forced: bool = False) -> Remedy:
    """Of a session that claims to work and missed its probes."""
    kind, cause = RemedyKind.RESTART_SESSION, Reason.FALSE_WORKING
    return Remedy(id="a1", kind=kind, session="a", why="because", cause=cause, forced=forced)


@pytest.mark.parametrize(
    ("proof", "outcome", "why"),
    [
        (Proof.MISSED, Outcome.ACCEPTED, ""),
        (Proof.ANSWERED, Outcome.WITHHELD, "it answered a probe right before"),
        (Proof.UNKNOWN, Outcome.WITHHELD, "a probe right before told nothing: told by the test"),
    ],
)
async def test_a_session_whose_work_is_doubted_is_probed_once_more(proof: Proof, outcome: Outcome, why: str) -> None:
    gateway = ScriptedGateway(working("a"), working("b"))
    gateway.proof = proof
    async with scene(gateway) as it:
        it.performer.start([doubted()])
        assert await it.result() == (outcome, why)
    assert gateway.probes == [("a", PROBE_TIMEOUT)]
    assert len(gateway.calls) == (outcome is Outcome.ACCEPTED)


async def test_what_changes_while_the_last_probe_is_waited_for_is_seen() -> None:
    class FallsMeanwhile(ScriptedGateway):
        async def probe(self, session: str, timeout: float) -> ProbeResult:
            self.sightings = (stopped("a"), working("b"))
            return await super().probe(session, timeout)

    gateway = FallsMeanwhile(working("a"), working("b"))
    gateway.proof = Proof.MISSED
    async with scene(gateway) as it:
        it.performer.start([doubted()])
        assert await it.result() == (Outcome.WITHHELD, "it is being stopped")
    assert gateway.calls == []


async def test_what_an_operator_forces_is_not_probed_and_neither_is_what_the_look_withholds() -> None:
    gateway = ScriptedGateway(working("a"), working("b"))
    async with scene(gateway) as it:
        it.performer.start([doubted(forced=True)])
        assert await it.result() == (Outcome.ACCEPTED, "")
        gateway.sightings = ()
        it.performer.start([doubted()])
        assert (await it.result())[0] is Outcome.WITHHELD
    assert gateway.probes == []


async def test_without_a_restarter_a_restart_of_the_gateway_is_refused_with_the_key() -> None:
    gateway = ScriptedGateway(failed("a"))
    async with scene(gateway) as it:
        it.performer.start([remedy("", RemedyKind.RESTART_GATEWAY)])
        assert await it.result() == (
            Outcome.REFUSED,
            "nothing is configured that restarts the gateway: set recovery.restart_gateway.by",
        )
    assert (gateway.looks, gateway.close_looks, gateway.calls) == (0, 0, [])


async def test_a_stop_lets_go_of_a_last_look_that_hangs_and_begins_nothing_new() -> None:
    gateway = ScriptedGateway(failed("a"), working("b"))
    gateway.during_close_look = anyio.sleep_forever
    async with scene(gateway) as it:
        it.performer.start([remedy()])
        await anyio.wait_all_tasks_blocked()
        it.performer.stop()
        assert await it.result() == (Outcome.WITHHELD, "the supervisor is stopping")
        gateway.during_close_look = None
        it.performer.start([remedy()])
        assert await it.result() == (Outcome.WITHHELD, "the supervisor is stopping")
    assert gateway.calls == []


async def test_a_stop_between_the_last_look_and_the_call_is_heeded() -> None:
    gateway = ScriptedGateway(failed("a"), working("b"))
    async with scene(gateway) as it:

        async def stop() -> None:
            it.performer.stop()

        gateway.during_close_look = stop
        it.performer.start([remedy()])
        assert await it.result() == (Outcome.WITHHELD, "the supervisor is stopping")
    assert gateway.calls == []


async def test_a_stop_leaves_a_call_that_has_begun_its_time() -> None:
    gateway, may_go = ScriptedGateway(failed("a"), working("b")), anyio.Event()
    gateway.during_call = may_go.wait
    async with scene(gateway) as it:
        it.performer.start([remedy()])
        await anyio.wait_all_tasks_blocked()
        it.performer.stop()
        may_go.set()
        assert await it.result() == (Outcome.ACCEPTED, "")


async def test_no_call_is_begun_after_a_stop_though_its_last_look_was_under_way() -> None:
    gateway, may_go = ScriptedGateway(failed("a"), working("b")), anyio.Event()
    gateway.during_close_look = may_go.wait
    async with scene(gateway) as it:
        it.performer.start([remedy()])
        await anyio.wait_all_tasks_blocked()
        it.performer.stop()
        may_go.set()
        assert await it.result() == (Outcome.WITHHELD, "the supervisor is stopping")
    assert gateway.calls == []


@pytest.mark.parametrize("made", [True, False])
async def test_what_is_cut_off_at_a_stop_is_told_and_counts_as_made_if_it_may_have_been(made: bool) -> None:
    gateway = ScriptedGateway(failed("a"), working("b"))
    if made:
        gateway.during_call = anyio.sleep_forever
    else:
        gateway.during_close_look = anyio.sleep_forever
    async with scene(gateway) as it:
        it.performer.start([remedy()])
        await anyio.wait_all_tasks_blocked()
        await it.performer.cut_off()
        outcome, why = await it.result()
    assert outcome is (Outcome.TIMED_OUT if made else Outcome.WITHHELD)
    assert "the supervisor" in why
    assert len(gateway.calls) == made


async def test_cutting_off_a_remedy_that_has_not_begun_yet_ends_too() -> None:
    gateway = ScriptedGateway(failed("a"), working("b"))
    async with scene(gateway) as it:
        it.performer.start([remedy()])
        await it.performer.cut_off()
        assert (await it.result())[0] is Outcome.WITHHELD
    assert gateway.calls == []


async def test_a_remedy_is_called_on_the_gateway_that_it_was_decided_for() -> None:
    old, new = ScriptedGateway(failed("a"), working("b")), ScriptedGateway(failed("a"), working("b"))
    async with scene(old) as it:
        it.performer.start([remedy()])
        it.performer.watch = watch_of(new)
        await it.result()
    assert (len(old.calls), len(new.calls)) == (1, 0)


async def test_results_of_a_step_that_failed_come_again_before_the_newer_ones() -> None:
    async with scene(ScriptedGateway()) as it:
        it.performer.give_back([remedy("a")], "why")
        first = it.performer.take()
        it.performer.give_back([remedy("b")], "why")
        it.performer.put_back(first)
        assert [one.session for one in it.performer.take()] == ["a", "b"]
