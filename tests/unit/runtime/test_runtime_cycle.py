"""One turn: nothing is performed that is not on the books, and nothing is lost when it ends half-way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import anyio
import pytest
from msgspec.structs import replace
from runtime_scenes import ScriptedGateway, ScriptedUplink, StillProcess, failed, working

from wasupervisor.decide.decision import Decision
from wasupervisor.decide.memory import Memory
from wasupervisor.decide.step import step
from wasupervisor.model.alerts import Alert
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.observation import Observation, ProbeResult, Proof
from wasupervisor.model.policy import Policy, ProbeRule
from wasupervisor.model.remedies import Order, OrderKind, Outcome, Reply, Result, Verdict
from wasupervisor.runtime.cycle import BROKEN, UNWRITABLE, Cycle
from wasupervisor.runtime.inbox import Inbox, NoAnswerError
from wasupervisor.runtime.performing import STOPPING, Performer
from wasupervisor.runtime.probing import Prober
from wasupervisor.runtime.watch import Readings, Watch

pytestmark = pytest.mark.anyio

QUICK = Policy(failing_samples=1, failing_after=0.0, startup_grace=0.0, stable_for=0.0)


class Books:
    """A recorder that can fail, break, or take its time."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.writable = True
        self.error: Exception | None = None
        self.hold: anyio.Event | None = None
        self.memories: list[Memory] = []
        self.entries: list[Entry] = []
        self.calls_before: list[int] = []
        self.disk_low = False

    async def record(self, memory: Memory, entries: tuple[Entry, ...], alerts: tuple[Alert, ...] = ()) -> bool:
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        self.entries += entries
        if self.writable:
            self.memories.append(memory)
        self.calls_before.append(len(self._scene.gateway.calls))
        return self.writable


class Scene:
    """A cycle whose edges are scripted."""

    def __init__(self) -> None:
        self.gateway = ScriptedGateway(working("a"), working("b"))
        self.uplink = ScriptedUplink()
        self.books = Books(self)
        self.now = 1000.0
        self.published: list[Decision] = []
        self.publish_error: Exception | None = None
        self.answers: list[Reply | str] = []
        self.inbox = Inbox(lambda: None)
        self.performer: Performer
        self.cycle: Cycle
        self.tasks: anyio.abc.TaskGroup

    async def publish(self, decision: Decision, readings: Readings) -> None:
        if self.publish_error is not None:
            raise self.publish_error
        self.published.append(decision)

    async def turns(self, number: int = 1) -> None:
        for _ in range(number):
            self.now += 5.0
            await self.cycle.turn()
            await anyio.wait_all_tasks_blocked()

    async def broken_session(self) -> None:
        """Session a is known as healthy and then fails; one of the next turns will restart it."""
        await self.turns(3)
        self.gateway.sightings = (failed("a"), working("b"))

    async def until_remedy(self) -> None:
        """Turn until a remedy is decided on."""
        for _ in range(10):
            await self.turns()
            if self.published[-1].remedies:
                return
        raise AssertionError("no remedy was decided")

    async def order(self, kind: OrderKind, session: str | None = "a", **rest: Any) -> None:
        """Put an order beside the turns; what is answered is in `answers`."""

        async def put() -> None:
            try:
                self.answers.append(await self.inbox.put(Order(id="", kind=kind, session=session, **rest), 30.0))
            except NoAnswerError as error:
                self.answers.append(str(error))

        self.tasks.start_soon(put)
        await anyio.wait_all_tasks_blocked()

    def texts(self) -> list[str]:
        return [one.text for one in self.books.entries]

    def attempt(self) -> object:
        """The attempt of session a that is on the books."""
        return self.cycle.memory.sessions["a"].attempt

    @property
    def reply(self) -> Reply:
        (only,) = self.answers
        assert isinstance(only, Reply)
        return only


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    async with anyio.create_task_group() as tasks:
        made = Scene()
        watch = Watch(made.gateway, StillProcess(), made.uplink, timeout=2.0, clock=lambda: made.now)  # type: ignore[arg-type]
        made.tasks = tasks
        made.performer = Performer(tasks, watch, QUICK, lambda: None)
        made.cycle = Cycle(
            Memory(),
            watch=watch,
            policy=QUICK,
            performer=made.performer,
            prober=Prober(tasks, 5.0),
            inbox=made.inbox,
            recorder=made.books,
            publish=made.publish,
            now=lambda: made.now,
            dice=Random(1),
            tasks=tasks,
            local_hour=lambda: 34,
        )
        yield made
        tasks.cancel_scope.cancel()


async def test_a_remedy_is_on_the_books_before_it_is_performed() -> None:
    async with scene() as it:
        await it.broken_session()
        await it.until_remedy()
        assert it.gateway.calls == [("restart", "a")]
        booked = next(i for i, one in enumerate(it.books.memories) if one.sessions["a"].attempt is not None)
        assert it.books.calls_before[booked] == 0


async def test_with_books_that_cannot_be_written_nothing_is_performed_and_the_reason_is_told() -> None:
    async with scene() as it:
        await it.broken_session()
        it.books.writable = False
        await it.turns(5)
        assert it.gateway.calls == []
        assert it.attempt() is None
        assert any("cannot be written" in text for text in it.texts())
        it.books.writable = True
        await it.until_remedy()
        assert it.gateway.calls == [("restart", "a")]


async def test_while_the_disk_is_nearly_full_nothing_is_restarted_and_the_reason_is_told() -> None:
    async with scene() as it:
        await it.broken_session()
        it.books.disk_low = True
        await it.turns(5)
        assert it.gateway.calls == []
        assert any("the disk is nearly full" in text for text in it.texts())
        it.books.disk_low = False
        await it.until_remedy()
        assert it.gateway.calls == [("restart", "a")]


async def test_an_order_with_books_that_cannot_be_written_is_withheld_and_a_pause_holds_all_the_same() -> None:
    async with scene() as it:
        await it.turns(3)
        it.books.writable = False
        await it.order(OrderKind.RESTART)
        await it.turns()
        assert (it.reply.verdict, it.reply.text, it.reply.action) == (Verdict.WITHHELD, UNWRITABLE, None)
        assert it.reply.current_status == it.reply.previous_status == "healthy"
        it.answers.clear()
        await it.order(OrderKind.PAUSE, None)
        await it.turns()
        assert it.reply.verdict is Verdict.ACCEPTED
        assert "only until the daemon ends" in it.reply.text
        assert it.cycle.memory.paused is not None
        assert it.gateway.calls == []


async def test_a_step_that_fails_loses_no_result_and_refuses_its_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene() as it:
        await it.broken_session()
        it.gateway.outcome = Outcome.REFUSED
        await it.until_remedy()
        results: list[tuple[Result, ...]] = []

        def fail(memory: Memory, observation: Observation, *rest: Any) -> Decision:
            results.append(observation.results)
            raise MemoryError

        monkeypatch.setattr("wasupervisor.runtime.cycle.step", fail)
        await it.order(OrderKind.RECOVER)
        before = it.cycle.memory
        for _ in range(2):
            with pytest.raises(MemoryError):
                await it.turns()
        assert it.cycle.memory is before
        assert it.answers == [BROKEN]
        assert results[0] == results[1]
        assert [one.outcome for one in results[0]] == [Outcome.REFUSED]
        monkeypatch.setattr("wasupervisor.runtime.cycle.step", step)
        await it.turns()
        attempt = it.cycle.memory.sessions["a"].attempt
        assert attempt is None or attempt.outcome is Outcome.REFUSED


async def test_a_fault_while_writing_gives_the_remedy_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene() as it:
        await it.broken_session()
        it.books.error = RuntimeError("boom")
        for _ in range(3):
            with pytest.raises(RuntimeError):
                await it.turns()
        await it.order(OrderKind.RESTART, force=True)
        with pytest.raises(RuntimeError):
            await it.turns()
        await anyio.wait_all_tasks_blocked()
        assert it.gateway.calls == []
        assert (it.reply.verdict, it.reply.text) == (Verdict.WITHHELD, BROKEN)
        it.books.error = None
        await it.turns(6)
        assert it.gateway.calls[0] == ("restart", "a")


async def test_a_fault_while_publishing_keeps_the_remedy_and_the_answers() -> None:
    async with scene() as it:
        await it.turns(3)
        it.publish_error = RuntimeError("boom")
        await it.order(OrderKind.RESTART)
        with pytest.raises(RuntimeError):
            await it.turns()
        await anyio.wait_all_tasks_blocked()
        assert it.reply.verdict is Verdict.ACCEPTED
        assert it.gateway.calls == [("restart", "a")]


async def test_a_stop_during_the_look_lets_it_go_and_takes_nothing() -> None:
    async with scene() as it:
        await it.turns(3)
        recorded = len(it.books.memories)
        it.gateway.during_look = anyio.sleep_forever
        it.performer.give_back([], "")
        await it.order(OrderKind.RESTART)
        async with anyio.create_task_group() as turning:
            turning.start_soon(it.cycle.turn)
            await anyio.wait_all_tasks_blocked()
            it.cycle.stop()
        assert len(it.books.memories) == recorded
        assert [one.kind for one in it.inbox.take()] == [OrderKind.RESTART]


async def test_a_stop_while_a_decision_is_written_keeps_it_and_begins_no_remedy() -> None:
    async with scene() as it:
        await it.turns(3)
        it.books.hold = anyio.Event()
        await it.order(OrderKind.RESTART)
        async with anyio.create_task_group() as turning:
            turning.start_soon(it.cycle.turn)
            await anyio.wait_all_tasks_blocked()
            it.cycle.stop()
            it.books.hold.set()
        assert it.gateway.calls == []
        assert it.published[-1].remedies
        assert (it.reply.verdict, it.reply.text) == (Verdict.WITHHELD, STOPPING)
        await it.cycle.finish()
        assert it.attempt() is None
        assert it.books.memories[-1] == it.cycle.memory
        assert any(STOPPING in text for text in it.texts())


async def test_a_stop_reaches_a_remedy_that_looks_once_more_before_its_call() -> None:
    async with scene() as it:
        may_go = anyio.Event()
        it.gateway.during_close_look = may_go.wait
        await it.broken_session()
        await it.until_remedy()
        it.cycle.stop()
        may_go.set()
        await it.performer.wait_idle()
        assert it.gateway.calls == []


async def test_an_order_that_begins_nothing_is_accepted_at_a_stop_for_it_is_on_the_books() -> None:
    async with scene() as it:
        await it.turns(3)
        it.books.hold = anyio.Event()
        await it.order(OrderKind.PAUSE, None)
        async with anyio.create_task_group() as turning:
            turning.start_soon(it.cycle.turn)
            await anyio.wait_all_tasks_blocked()
            it.cycle.stop()
            it.books.hold.set()
        assert it.reply.verdict is Verdict.ACCEPTED
        assert "only until" not in it.reply.text
        assert it.books.memories[-1].paused is not None


async def test_an_order_in_a_calm_hour_is_not_withheld_because_nobody_asked_for_the_uplink() -> None:
    async with scene() as it:
        await it.turns(3)
        assert it.uplink.asked == []
        await it.order(OrderKind.PAUSE, None)
        await it.order(OrderKind.RESUME, None)
        await it.turns()
        assert it.uplink.asked == []
        it.answers.clear()
        await it.order(OrderKind.RESTART)
        await it.turns()
        assert it.reply.verdict is Verdict.ACCEPTED
        assert it.gateway.calls == [("restart", "a")]


async def test_no_turn_begins_after_a_stop() -> None:
    async with scene() as it:
        it.cycle.stop()
        await it.turns(2)
        assert it.published == []


async def test_the_last_words_are_written_too() -> None:
    async with scene() as it:
        await it.turns(3)
        it.cycle.note(Entry(kind=EntryKind.SUPERVISOR, text="stopped"))
        await it.cycle.finish()
        assert it.texts()[-1] == "stopped"


async def test_what_the_daemon_notes_comes_with_the_next_turn_and_once() -> None:
    async with scene() as it:
        it.cycle.note(Entry(kind=EntryKind.SUPERVISOR, text="hello"))
        await it.turns(2)
        assert it.texts().count("hello") == 1


async def test_other_eyes_are_used_from_the_next_turn_on_and_never_within_one() -> None:
    async with scene() as it:
        other = ScriptedGateway(working("z"))
        watch = Watch(other, StillProcess(), None, timeout=2.0, clock=lambda: it.now)  # type: ignore[arg-type]
        policy = Policy(act=False)
        may_go = anyio.Event()
        it.gateway.during_look = may_go.wait
        async with anyio.create_task_group() as turning:
            turning.start_soon(it.cycle.turn)
            await anyio.wait_all_tasks_blocked()
            turning.start_soon(it.cycle.use, watch, policy)
            await anyio.wait_all_tasks_blocked()
            assert it.cycle.policy is QUICK
            may_go.set()
        await it.turns()
        assert (other.looks, it.performer.watch, it.performer.policy) == (1, watch, policy)
        assert "z" in it.cycle.memory.sessions


def with_probes(it: Scene, proof: Proof) -> list[str]:
    """Probing switched on, with every probe answered like this. Gives the list of those that were asked."""
    asked: list[str] = []

    async def probe(session: str, timeout: float) -> ProbeResult:
        asked.append(session)
        return ProbeResult(session, proof, "no answer")

    it.gateway.probe = probe  # type: ignore[method-assign]
    it.cycle.policy = replace(QUICK, probe=ProbeRule(every=20.0, misses=2), act=False)
    return asked


async def test_probes_are_made_and_their_results_reach_the_decider() -> None:
    async with scene() as it:
        asked = with_probes(it, Proof.MISSED)
        await it.turns(40)
        assert set(asked) == {"a", "b"}
        assert sum("missed 2 probes in a row" in text for text in it.texts()) == 2


async def test_with_books_that_cannot_be_written_nobody_is_probed() -> None:
    async with scene() as it:
        asked = with_probes(it, Proof.ANSWERED)
        it.books.writable = False
        await it.turns(40)
        assert asked == []


async def test_a_step_that_fails_keeps_the_results_of_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene() as it:
        with_probes(it, Proof.ANSWERED)
        while not it.published or not it.published[-1].probes:
            await it.turns()
        seen: list[tuple[ProbeResult, ...]] = []

        def fail(memory: Memory, observation: Observation, *rest: Any) -> Decision:
            seen.append(observation.probes)
            raise MemoryError

        monkeypatch.setattr("wasupervisor.runtime.cycle.step", fail)
        for _ in range(2):
            with pytest.raises(MemoryError):
                await it.turns()
        assert len(seen[0]) == 1
        assert seen[0] == seen[1]


async def test_the_decider_is_told_the_hour_of_the_week() -> None:
    async with scene() as it:
        it.gateway.sightings = (replace(working("a"), activity=1),)
        await it.turns()
        listening = it.cycle.memory.gateway.listening
        assert listening is not None
        assert listening.hour == 34


async def test_the_decider_is_told_whether_a_maintenance_window_is_open() -> None:
    async with scene() as it:
        it.gateway.sightings = (working("a"),)
        it.cycle.in_maintenance = lambda: True
        await it.cycle.turn()
        assert it.cycle.memory.gateway.window_since == it.now
