"""Measuring a real tree of processes."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from host_theatre import Puppet, SteppedClock, Theatre

from wasupervisor.host import proc
from wasupervisor.host.found import Find
from wasupervisor.host.meter import cpu_seconds
from wasupervisor.host.proc import Stat
from wasupervisor.host.process import ProcessWatch

pytestmark = pytest.mark.anyio


@pytest.fixture
def gateway(theatre: Theatre) -> Puppet:
    return theatre.puppet()


@pytest.fixture
def find(gateway: Puppet, tmp_path: Path) -> Find:
    file = tmp_path / "gateway.pid"
    file.write_text(str(gateway.pid))
    return Find(pid_file=file)


def process(pid: int, *, own: float = 0.0, reaped: float = 0.0, born: float = 1.0) -> Stat:
    return Stat(pid=pid, ppid=1, comm="node", born=born, own_cpu=own, reaped_cpu=reaped, rss=0, dead=False)


def seen(*processes: Stat) -> dict[tuple[int, float], Stat]:
    return {one.identity: one for one in processes}


class TestTree:
    async def test_descendants_count_even_in_a_session_of_their_own(self, gateway: Puppet, find: Find) -> None:
        chromium = gateway.spawn(own_session=True)
        gateway.spawn_puppet()
        gateway.tell(1, "spawn", argv=["sleep", "600"])
        reading = await ProcessWatch(find).read()
        members = [proc.stat(pid) for pid in (gateway.pid, chromium)]
        assert reading.processes == 4
        assert reading.rss_bytes is not None
        assert reading.rss_bytes > sum(one.rss for one in members if one is not None)

    async def test_a_kernel_without_lists_of_children_gives_the_same_tree(
        self, gateway: Puppet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gateway.spawn()
        gateway.spawn_puppet()
        root = proc.stat(gateway.pid)
        assert root is not None
        with_lists = {one.pid for one in proc.tree(root)}
        monkeypatch.setattr(os.path, "exists", lambda path: False)
        assert {one.pid for one in proc.tree(root)} == with_lists
        assert len(with_lists) == 3

    async def test_of_a_tree_of_many_threads_the_processes_are_asked_instead(
        self, gateway: Puppet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gateway.spawn()
        gateway.spawn_puppet()
        root = proc.stat(gateway.pid)
        assert root is not None
        by_threads = {one.pid for one in proc.tree(root)}
        monkeypatch.delattr(proc, "_children")
        assert {one.pid for one in proc.tree(root, threads=1 << 22)} == by_threads
        with pytest.raises(NameError):
            proc.tree(root, threads=149)

    def test_a_name_with_brackets_and_blanks_is_read(self, gateway: Puppet) -> None:
        gateway.do("call_yourself", name="a) R (b c")
        found = proc.stat(gateway.pid)
        assert found is not None
        assert (found.comm, found.ppid) == ("a) R (b c", os.getpid())


class TestCpu:
    async def test_the_first_reading_knows_no_share_and_the_second_does(
        self, gateway: Puppet, find: Find, clock: SteppedClock
    ) -> None:
        watch = ProcessWatch(find, clock=clock)
        first = await watch.read()
        gateway.do("burn", seconds=0.1)
        clock.ahead += 1
        second = await watch.read()
        assert first.cpu_percent is None
        assert second.cpu_percent is not None
        assert 0 < second.cpu_percent <= 100

    async def test_the_share_is_of_the_cpus_that_it_may_use(
        self, gateway: Puppet, find: Find, clock: SteppedClock
    ) -> None:
        def before_and_after() -> tuple[float, float]:
            found = proc.stat(gateway.pid)
            assert found is not None
            return found.own_cpu, clock()

        os.sched_setaffinity(gateway.pid, {min(os.sched_getaffinity(gateway.pid))})
        watch = ProcessWatch(find, clock=clock)
        cpu_then, then = before_and_after()
        await watch.read()
        gateway.do("burn", seconds=0.2)
        clock.ahead += 100
        reading = await watch.read()
        cpu_now, now = before_and_after()
        assert reading.cpu_percent == pytest.approx(
            100 * (cpu_now - cpu_then) / (now - then),
            abs=100 * 0.03 / (now - then),  # three ticks
        )

    @pytest.mark.parametrize("reaped", [True, False])
    async def test_a_child_that_ended_makes_no_negative_share(
        self, gateway: Puppet, find: Find, clock: SteppedClock, *, reaped: bool
    ) -> None:
        if not reaped:
            gateway.do("ignore_children")
        child = gateway.spawn_puppet()
        gateway.tell(0, "burn", seconds=0.1)
        watch = ProcessWatch(find, clock=clock)
        await watch.read()
        os.kill(child, 9)
        gateway.do("reap", index=0)
        clock.ahead += 1
        reading = await watch.read()
        assert reading.cpu_percent is not None
        assert 0 <= reading.cpu_percent < 5

    async def test_a_child_that_came_and_went_between_two_readings_counts(
        self, gateway: Puppet, find: Find, clock: SteppedClock
    ) -> None:
        watch = ProcessWatch(find, clock=clock)
        then = clock()
        await watch.read()
        gateway.do("burn_in_child", seconds=0.2)
        clock.ahead += 1
        reading = await watch.read()
        assert reading.cpu_percent is not None
        assert reading.cpu_percent > 100 * 0.15 / (clock() - then) / len(os.sched_getaffinity(gateway.pid))

    @pytest.mark.parametrize(
        ("before", "now", "burnt"),
        [
            pytest.param([process(1, own=5)], [process(1, own=7)], 2, id="it burnt itself"),
            pytest.param([process(1)], [process(1), process(2, own=3, born=60)], 3, id="a new child"),
            pytest.param([process(1)], [process(1), process(2, own=3, born=2)], 0, id="an old one that was overlooked"),
            pytest.param([process(1), process(2, own=3)], [process(1, reaped=4)], 1, id="a child ended and was reaped"),
            pytest.param([process(1), process(2, own=3)], [process(1)], 0, id="a child ended and nobody waited"),
            pytest.param([process(1), process(2, own=3)], [process(1, own=2)], 2, id="which takes nothing from others"),
            pytest.param([process(1, own=9)], [process(1, own=1, born=70)], 1, id="its number was given to another"),
        ],
    )
    def test_what_a_tree_burnt(self, before: list[Stat], now: list[Stat], burnt: float) -> None:
        assert cpu_seconds(seen(*before), seen(*now), since=50) == burnt


class TestMemory:
    async def test_without_a_group_of_its_own_the_limit_is_the_hosts(self, find: Find) -> None:
        reading = await ProcessWatch(find).read()
        assert reading.limit_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        assert reading.rss_bytes is not None
        assert reading.memory_percent == pytest.approx(100 * reading.rss_bytes / reading.limit_bytes)

    async def test_a_configured_limit_goes_before_the_hosts(self, find: Find) -> None:
        reading = await ProcessWatch(find, memory_restart=50_000_000).read()
        assert reading.limit_bytes == 50_000_000
        assert reading.rss_bytes is not None
        assert reading.memory_percent == pytest.approx(100 * reading.rss_bytes / 50_000_000)


class TestUnknown:
    async def test_out_of_file_descriptors_the_gateway_is_unknown_and_not_gone(self, find: Find) -> None:
        watch = ProcessWatch(find)
        known = await watch.read()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            reading = await watch.read()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert reading.exists is None
        assert "Too many open files" in reading.detail
        assert (await watch.read()).run == known.run

    async def test_a_fault_of_our_own_is_a_reading_too(self, find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(root: Stat, threads: int) -> list[Stat]:
            raise ZeroDivisionError(root)

        monkeypatch.setattr(proc, "tree", broken)
        reading = await ProcessWatch(find).read()
        assert reading.exists is None
        assert "could not be read" in reading.detail

    async def test_a_step_of_the_wall_clock_makes_no_other_run(
        self, find: Find, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = await ProcessWatch(find).read()
        monkeypatch.setattr("time.time", lambda: 86400.0)
        # Not by the same watch: another start of the supervisor must see the same run.
        after = await ProcessWatch(find).read()
        assert before.run is not None
        assert before.run == after.run
        assert before.started != after.started


async def test_the_log_tells_changes_and_nothing_else(
    gateway: Puppet, find: Find, caplog: pytest.LogCaptureFixture
) -> None:
    watch = ProcessWatch(find)
    with caplog.at_level("INFO", "wasupervisor.host"):
        for _ in range(3):
            await watch.read()
        gateway.kill()
        for _ in range(3):
            await watch.read()
    assert [record.getMessage() for record in caplog.records] == [
        f"the gateway's process is {gateway.pid} (pid file {find.pid_file})",
        f"the gateway's process is gone: process {gateway.pid} of the pid file {find.pid_file} does not exist",
    ]
