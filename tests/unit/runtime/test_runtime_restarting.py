"""A restart of the gateway process: drained, looked at once more, made, and readiness comes back in any case."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace
from runtime_scenes import ScriptedGateway, ScriptedUplink, failed, working

from wasupervisor.host.forcing import Old
from wasupervisor.host.restart_kubelet import KubeletRestarter
from wasupervisor.host.restarter import Restarted, Restarter
from wasupervisor.model.observation import Look, ProcessReading, Uplink, UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Outcome, Remedy, RemedyKind, Result
from wasupervisor.model.sessions import Reason
from wasupervisor.model.usage import Usage
from wasupervisor.runtime import watch as watching
from wasupervisor.runtime.performing import CUT_OFF, FRESH_UPLINK, STOPPING, Performer
from wasupervisor.runtime.restarting import DRAINING, RESTARTING, UNSEEN, GatewayRestart
from wasupervisor.runtime.watch import Watch

pytestmark = pytest.mark.anyio

REMEDY = Remedy(id="a1", kind=RemedyKind.RESTART_GATEWAY, session="", why="because", sessions=("a",))
FORCED = replace(REMEDY, ordered=True, forced=True)
SHORT = 0.01


class ScriptedProcess:
    """What is set here is what is read."""

    def __init__(self) -> None:
        self.reading = ProcessReading(exists=True, pid=4711, born=1.0)

    usage = Usage()

    async def read(self) -> ProcessReading:
        return self.reading

    async def survey(self) -> None:
        pass


class TellingGateway(ScriptedGateway):
    """Tells its run and whether it answers."""

    run: str | None = None
    silent = False

    async def look(self) -> Look:
        look = await super().look()
        if self.silent:
            return Look(reachable=False)
        return replace(look, run=self.run)


class ScriptedRestarter:
    """Notes what readiness said while it restarted."""

    by = "command"
    wanted_for = 0.0

    def __init__(self, held: Callable[[], str | None]) -> None:
        self.made: list[str | None] = []
        self.outcome = Outcome.ACCEPTED
        self.during: Callable[[], Awaitable[None]] | None = None
        self._held = held

    async def restart(self) -> Restarted:
        self.made.append(self._held())
        if self.during is not None:
            await self.during()
        return Restarted(self.outcome, "told by the restarter")

    async def settle(self) -> None:
        self.made.append("settled")


class Scene:
    """A performer, a cycle that only looks, and a readiness that is written down."""

    def __init__(self) -> None:
        self.gateway = TellingGateway(failed("a"), working("b"))
        self.process = ScriptedProcess()
        self.uplink = ScriptedUplink()
        self.held: list[str | None] = [None]
        self.restarter = ScriptedRestarter(lambda: self.held[-1])
        self.turning = True
        self.watch = Watch(self.gateway, self.process, self.uplink, timeout=2.0, clock=lambda: 0.0)  # type: ignore[arg-type]
        self.woken = anyio.Event()
        self.performer: Performer

    def wake(self) -> None:
        self.woken.set()

    async def turn(self) -> None:
        """As the cycle does: look when woken."""
        async with anyio.create_task_group() as tasks:
            while True:
                await self.woken.wait()
                self.woken = anyio.Event()
                if self.turning:
                    await self.watch.observe(ask_uplink=False, tasks=tasks)

    async def look(self) -> None:
        """One turn."""
        self.wake()
        await self.watch.next()

    def hands(
        self, restarter: Restarter | None = None, *, drain: float = 0.0, force: ScriptedForce | None = None
    ) -> None:
        """How it is restarted."""
        self.performer.restart = GatewayRestart(
            restarter or self.restarter,
            drain=drain,
            hold=self.held.append,
            wake=self.wake,
            force=force,  # type: ignore[arg-type]
        )

    async def result(self) -> Result:
        """Wait until all is done; gives the one result."""
        await self.performer.wait_idle()
        (found,) = self.performer.take()
        assert self.held[-1] is None
        return found

    async def told(self, remedy: Remedy = REMEDY) -> tuple[Outcome, str]:
        """Perform it."""
        self.performer.start([remedy])
        result = await self.result()
        return result.outcome, result.detail


@asynccontextmanager
async def scene(*, drain: float = 0.0) -> AsyncIterator[Scene]:
    it = Scene()
    async with anyio.create_task_group() as tasks:
        it.performer = Performer(tasks, it.watch, Policy(), it.wake)
        it.hands(drain=drain)
        tasks.start_soon(it.turn)
        await anyio.wait_all_tasks_blocked()
        await it.look()
        yield it
        tasks.cancel_scope.cancel()


async def test_it_is_drained_looked_at_restarted_and_ready_again() -> None:
    async with scene(drain=SHORT) as it:
        looks = it.gateway.looks
        it.performer.start([REMEDY])
        result = await it.result()
        assert result == Result("a1", "", RemedyKind.RESTART_GATEWAY, Outcome.ACCEPTED, "told by the restarter")
        assert it.held == [None, DRAINING, RESTARTING, None]
        assert it.restarter.made == [RESTARTING]
        assert it.gateway.looks > looks
        assert it.gateway.read_anew_asked == 1
        assert it.uplink.asked == [FRESH_UPLINK, FRESH_UPLINK]


async def test_nothing_is_drained_when_there_is_no_time_for_it() -> None:
    async with scene() as it:
        assert (await it.told())[0] is Outcome.ACCEPTED
        assert it.held == [None, RESTARTING, None]


async def test_nothing_is_drained_for_a_restart_that_will_not_be() -> None:
    async with scene(drain=3600.0) as it:
        it.uplink.state = UplinkState.DOWN
        outcome, why = await it.told()
        assert outcome is Outcome.WITHHELD
        assert "WhatsApp cannot be reached" in why
        assert it.held == [None, None]
        assert it.restarter.made == []


async def test_sessions_that_came_back_while_it_was_drained_are_left_alone() -> None:
    async with scene(drain=SHORT) as it:
        it.gateway.sightings = (working("a"), working("b"))
        assert await it.told() == (Outcome.WITHHELD, "the sessions came back by themselves")
        assert it.held == [None, DRAINING, None]
        assert it.restarter.made == []


async def test_a_look_that_was_under_way_is_not_the_last_look() -> None:
    async with scene() as it:
        may_go = anyio.Event()
        it.gateway.during_look = may_go.wait
        it.wake()
        await anyio.wait_all_tasks_blocked()
        it.performer.start([REMEDY])
        await anyio.wait_all_tasks_blocked()

        async def come_back() -> None:
            it.gateway.sightings = (working("a"), working("b"))

        it.gateway.during_look = come_back  # in the look after the one that is under way
        may_go.set()
        assert (await it.result()).detail == "the sessions came back by themselves"


async def test_what_answers_while_the_uplink_is_asked_is_left_alone() -> None:
    """Seed 1012042: it woke up between the last look and the restart."""
    async with scene() as it:
        ask = it.uplink.ask

        async def ask_slowly(max_age: float) -> Uplink:
            if it.uplink.asked:  # the second time, after the last look
                it.gateway.sightings = (working("a"), working("b"))
                await it.look()
            return await ask(max_age)

        it.uplink.ask = ask_slowly  # type: ignore[method-assign]
        assert await it.told() == (Outcome.WITHHELD, "the sessions came back by themselves")


async def test_what_somebody_restarted_while_it_was_drained_is_left_alone() -> None:
    async with scene(drain=SHORT) as it:
        it.process.reading = replace(it.process.reading, pid=4712, born=9.0)
        assert await it.told() == (Outcome.WITHHELD, "the gateway process was restarted meanwhile")
        assert it.restarter.made == []


async def test_a_stop_while_it_is_drained_withholds_it_at_once() -> None:
    async with scene(drain=3600.0) as it:
        it.performer.start([REMEDY])
        await anyio.wait_all_tasks_blocked()
        assert it.held[-1] == DRAINING
        it.performer.stop()
        result = await it.result()
        assert (result.outcome, result.detail) == (Outcome.WITHHELD, STOPPING)
        assert it.restarter.made == []


async def test_a_restart_under_way_is_cut_off_in_the_end_and_counts_as_made() -> None:
    async with scene() as it:
        begun = anyio.Event()

        async def hang() -> None:
            begun.set()
            await anyio.sleep_forever()

        it.restarter.during = hang
        it.performer.start([REMEDY])
        await begun.wait()
        it.performer.stop()
        await anyio.wait_all_tasks_blocked()
        assert it.performer.under_way == 1
        await it.performer.cut_off()
        result = await it.result()
        assert (result.outcome, result.detail) == (Outcome.TIMED_OUT, CUT_OFF)


async def test_a_fault_of_ours_gives_the_readiness_back(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError("boom")

    async with scene(drain=SHORT) as it:
        it.restarter.during = fail
        outcome, why = await it.told()
        assert outcome is Outcome.TIMED_OUT
        assert "a fault of the supervisor's own (RuntimeError)" in why
    assert "restart_gateway of the gateway failed" in caplog.text


async def test_what_the_restarter_refuses_is_handed_on() -> None:
    async with scene() as it:
        it.restarter.outcome = Outcome.REFUSED
        assert await it.told() == (Outcome.REFUSED, "told by the restarter")


async def test_without_a_look_in_time_nothing_is_done_but_what_is_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "TURN_MARGIN", SHORT)
    async with scene() as it:
        it.turning, it.watch._timeout = False, 0.0
        assert await it.told() == (Outcome.WITHHELD, UNSEEN)
        assert it.restarter.made == []
        assert (await it.told(FORCED))[0] is Outcome.ACCEPTED


async def test_a_forced_one_passes_whatever_is_seen() -> None:
    async with scene(drain=SHORT) as it:
        it.uplink.state, it.gateway.sightings = UplinkState.DOWN, (working("a"),)
        assert (await it.told(FORCED))[0] is Outcome.ACCEPTED
        assert it.held == [None, DRAINING, RESTARTING, None]


class ScriptedForce:
    """Notes what it is told of the old process."""

    def __init__(self) -> None:
        self.olds: list[Old | None] = []

    async def restart(self, restarter: Restarter, old: Old | None) -> Restarted:
        self.olds.append(old)
        return await restarter.restart()


async def test_force_is_told_which_process_is_meant_and_whether_it_hangs() -> None:
    async with scene() as it:
        force = ScriptedForce()
        it.hands(force=force)
        it.gateway.silent = True
        await it.look()
        hung = replace(REMEDY, cause=Reason.GATEWAY_HUNG, sessions=())
        assert await it.told(hung) == (Outcome.ACCEPTED, "told by the restarter")
        it.process.reading = ProcessReading()
        await it.told(FORCED)
        assert force.olds == [Old(4711, 1.0, hung=True), None]
        assert it.restarter.made == [RESTARTING, RESTARTING]


def born_again(it: Scene) -> None:
    it.process.reading = ProcessReading(exists=True, pid=4712, born=2.0)


def tells_another_run(it: Scene) -> None:
    it.gateway.run = "second"


class TellingRestarter(KubeletRestarter):
    """Tells when its file is there."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.returned = anyio.Event()

    async def restart(self) -> Restarted:
        done = await super().restart()
        self.returned.set()
        return done


class TestByKubelet:
    """Only there the end of the restart is seen by us, and not told by who makes it."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "restart-wanted"

    @staticmethod
    def there(file: Path) -> bool:
        return file.exists()

    async def wanted(self, it: Scene, file: Path) -> None:
        """Begin, and wait until the kubelet would see it and we wait for a new process."""
        restarter = TellingRestarter(file)
        it.hands(restarter)
        it.performer.start([replace(REMEDY, ordered=True)])
        await restarter.returned.wait()
        await anyio.wait_all_tasks_blocked()
        assert self.there(file)

    @pytest.mark.parametrize("happens", [born_again, tells_another_run])
    async def test_the_file_stays_until_a_new_process_is_seen(
        self, file: Path, happens: Callable[[Scene], None]
    ) -> None:
        async with scene() as it:
            it.gateway.run = "first"
            await it.look()
            await self.wanted(it, file)
            await it.look()
            assert (self.there(file), it.performer.under_way, it.held[-1]) == (True, 1, RESTARTING)
            happens(it)
            await it.look()
            result = await it.result()
            assert result.outcome is Outcome.ACCEPTED
            assert result.detail.endswith("; a new process was seen")
            assert not self.there(file)

    @pytest.mark.parametrize("before", [True, False])
    async def test_where_no_run_is_told_answers_after_silence_are_enough(self, file: Path, before: bool) -> None:
        async with scene() as it:
            it.process.reading = ProcessReading()
            it.gateway.silent = before
            await it.look()
            await self.wanted(it, file)
            it.gateway.silent = True
            await it.look()
            assert self.there(file)
            it.gateway.silent = False
            await it.look()
            assert (await it.result()).outcome is Outcome.ACCEPTED
            assert not self.there(file)

    async def test_a_process_that_cannot_be_read_is_no_new_one(self, file: Path) -> None:
        async with scene() as it:
            await self.wanted(it, file)
            it.process.reading, it.gateway.run = ProcessReading(detail="it could not be read in time"), "first"
            await it.look()
            await anyio.wait_all_tasks_blocked()
            assert self.there(file)

    async def test_it_is_not_wanted_for_ever(self, file: Path) -> None:
        async with scene() as it:
            restarter = KubeletRestarter(file)
            restarter.wanted_for = SHORT
            it.hands(restarter)
            outcome, why = await it.told()
            assert outcome is Outcome.TIMED_OUT
            assert why.endswith("and no new process was seen within 0.01 s")
            assert not self.there(file)

    async def test_it_is_not_wanted_any_more_when_we_are_cut_off(self, file: Path) -> None:
        async with scene() as it:
            await self.wanted(it, file)
            await it.performer.cut_off()
            assert (await it.result()).outcome is Outcome.TIMED_OUT
            assert not self.there(file)

    async def test_what_it_refuses_is_not_waited_for(self, file: Path) -> None:
        async with scene() as it:
            it.hands(KubeletRestarter(file / "deeper"))
            assert (await it.told())[0] is Outcome.REFUSED

    async def test_at_our_start_nothing_is_wanted(self, file: Path) -> None:
        async with scene() as it:
            await KubeletRestarter(file).restart()
            it.hands(KubeletRestarter(file))
            assert it.performer.restart is not None
            await it.performer.restart.settle()
            assert not self.there(file)
