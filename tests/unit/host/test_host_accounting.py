"""What the gateway and its host have and use: real trees that fork, hold files, stop, and leave children behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from host_theatre import Puppet, SteppedClock, Theatre, until

from wasupervisor.decide.engine import is_there
from wasupervisor.host import browsers, proc, survey
from wasupervisor.host.browsers import session_of
from wasupervisor.host.cgroups import UNIFIED, Groups, Mount, members
from wasupervisor.host.found import Find
from wasupervisor.host.meter import main_of
from wasupervisor.host.pressure import memory_available, of_group, of_host
from wasupervisor.host.proc import Stat
from wasupervisor.host.process import ProcessWatch
from wasupervisor.model.usage import Pressure

pytestmark = pytest.mark.anyio

MIB = 1 << 20


@pytest.fixture
def gateway(theatre: Theatre) -> Puppet:
    return theatre.puppet()


@pytest.fixture
def pid_file(gateway: Puppet, tmp_path: Path) -> Path:
    file = tmp_path / "gateway.pid"
    file.write_text(str(gateway.pid))
    return file


@pytest.fixture
def watch(pid_file: Path, clock: SteppedClock) -> ProcessWatch:
    return ProcessWatch(Find(pid_file=pid_file), clock=clock, own_folder=pid_file.parent)


def rewrite(pid_file: Path, gateway: Puppet) -> None:
    """Two writes may lie within one tick of the file system."""
    pid_file.write_text(str(gateway.pid))
    os.utime(pid_file, (pid_file.stat().st_mtime + 1,) * 2)


def browser_of(gateway: Puppet, profile: str, index: int = 0) -> int:
    """A child that looks like Chromium with a profile, `setsid`'ed as WAHA's is; its pid."""
    script = "import sys, time; open('/proc/self/comm', 'w').write('chromium'); print(0, flush=True); time.sleep(600)"
    pid = gateway.spawn(sys.executable, "-c", script, "--headless=new", f"--user-data-dir={profile}", own_session=True)
    until(lambda: (found := proc.stat(pid)) is not None and found.comm == "chromium")
    return pid


class TestCounts:
    async def test_threads_children_and_open_files(self, gateway: Puppet, watch: ProcessWatch) -> None:
        await watch.read()
        before = watch.usage
        for _ in range(5):
            gateway.listen()
        gateway.spawn(own_session=True)
        gateway.spawn()
        reading = await watch.read()
        after = watch.usage
        assert reading.programs == ("sleep",)
        assert (before.children, after.children) == (0, 2)
        assert (before.threads, after.threads) == (1, 3)
        assert before.open_files is not None
        assert after.open_files is not None
        # Five sockets, and two pipes to each child.
        assert after.open_files - before.open_files == 9

    async def test_a_zombie_is_no_child(self, gateway: Puppet, watch: ProcessWatch) -> None:
        child = gateway.spawn()
        os.kill(child, signal.SIGKILL)
        until(lambda: (found := proc.stat(child)) is not None and found.dead)
        reading = await watch.read()
        assert (watch.usage.children, reading.processes) == (0, 1)

    @pytest.mark.parametrize("reaped", [True, False])
    async def test_an_engine_in_a_child_is_seen_and_missed_when_it_has_ended(
        self, gateway: Puppet, watch: ProcessWatch, tmp_path: Path, reaped: bool
    ) -> None:
        """WAHA starts `/app/gows` with a session of its own (`detached`, its source of 2025)."""
        path = shutil.copy(shutil.which("sleep") or "", tmp_path / "gows")
        engine = gateway.spawn(str(path), "600", own_session=True)
        until(lambda: (found := proc.stat(engine)) is not None and found.comm == "gows")
        reading = await watch.read()
        assert (reading.programs, is_there(reading)) == (("gows",), True)
        os.kill(engine, signal.SIGKILL)
        until(lambda: (found := proc.stat(engine)) is not None and found.dead)
        if reaped:
            gateway.do("reap", index=0)
        reading = await watch.read()
        assert (reading.exists, reading.programs, is_there(reading)) == (True, (), False)
        gateway.kill()
        assert is_there(await watch.read()) is None

    async def test_the_limit_of_open_files(self, gateway: Puppet, watch: ProcessWatch) -> None:
        import resource

        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (321, 400))
        await watch.read()
        assert watch.usage.open_files_limit == 321

    def test_before_linux_6_2_the_open_files_are_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = proc.open_files(os.getpid())
        assert expected is not None
        monkeypatch.setattr(os, "stat", lambda path: os.stat_result((0,) * 10))
        counted = proc.open_files(os.getpid())
        assert counted is not None
        assert abs(counted - expected) <= 2  # the counting opens one itself

    def test_of_nobody_nothing_is_known(self) -> None:
        nobody = 1 << 22
        assert (proc.open_files(nobody), proc.open_files_limit(nobody), proc.main_thread(nobody)) == (None, None, None)

    async def test_the_gateway_below_its_wrappers_is_the_one_that_counts(
        self, theatre: Theatre, tmp_path: Path
    ) -> None:
        npm = theatre.puppet()
        npm.do("call_yourself", name="npm run start:p")
        node = npm.spawn_puppet()
        npm.tell(0, "listen")
        file = tmp_path / "npm.pid"
        file.write_text(str(npm.pid))
        watch = ProcessWatch(Find(pid_file=file))
        reading = await watch.read()
        assert reading.pid == npm.pid
        assert watch.usage.open_files == proc.open_files(node) != proc.open_files(npm.pid)

    async def test_another_one_below_the_same_wrapper_begins_its_event_loop_anew(
        self, theatre: Theatre, tmp_path: Path, clock: SteppedClock
    ) -> None:
        npm = theatre.puppet()
        npm.do("call_yourself", name="npm run start:p")
        first = npm.spawn_puppet()
        file = tmp_path / "npm.pid"
        file.write_text(str(npm.pid))
        watch = ProcessWatch(Find(pid_file=file), clock=clock)
        await watch.read()
        clock.ahead += 1
        known = await watch.read()
        os.kill(first, signal.SIGKILL)
        npm.do("reap", index=0)
        npm.spawn_puppet()
        clock.ahead += 1
        anew = await watch.read()
        clock.ahead += 1
        later = await watch.read()
        assert [one.loop_percent is None for one in (known, anew, later)] == [False, True, False]

    def test_a_shell_with_several_children_is_taken_itself(self) -> None:
        def process(pid: int, ppid: int, comm: str) -> Stat:
            return Stat(pid=pid, ppid=ppid, comm=comm, born=1, own_cpu=0, reaped_cpu=0, rss=0, dead=False)

        tini, shell, node = process(1, 0, "tini"), process(2, 1, "sh"), process(3, 2, "node")
        assert main_of([tini, shell, node]) is node
        assert main_of([tini, shell, node, process(4, 2, "node")]) is shell
        assert main_of([node, process(4, 3, "npm")]) is node


class TestEventLoop:
    async def test_a_spinning_main_thread_burns_a_whole_cpu_and_an_idle_one_none(
        self, gateway: Puppet, watch: ProcessWatch, clock: SteppedClock
    ) -> None:
        first = await watch.read()
        before = proc.main_thread(gateway.pid)
        gateway.do("burn", seconds=0.2)
        after = proc.main_thread(gateway.pid)
        assert before is not None
        assert after is not None
        clock.ahead += 1
        spun = await watch.read()
        clock.ahead += 100
        idle = await watch.read()
        assert first.loop_percent is None
        assert spun.loop_percent is not None
        assert 0 < spun.loop_percent <= 100 * (after.own_cpu - before.own_cpu) + 0.05
        assert idle.loop_percent is not None
        assert idle.loop_percent < 0.1

    async def test_a_stopped_process_is_seen_to_be_stopped(self, gateway: Puppet, watch: ProcessWatch) -> None:
        running = await watch.read()
        os.kill(gateway.pid, signal.SIGSTOP)
        until(lambda: (found := proc.stat(gateway.pid)) is not None and found.stopped)
        stopped = await watch.read()
        os.kill(gateway.pid, signal.SIGCONT)
        until(lambda: (found := proc.stat(gateway.pid)) is not None and not found.stopped)
        resumed = await watch.read()
        assert [one.stopped for one in (running, stopped, resumed)] == [False, True, False]

    def test_a_frozen_group_of_version_2_and_of_version_1(self, tmp_path: Path) -> None:
        (tmp_path / "waha").mkdir()
        v2, v1 = (Groups({key: Mount("/", tmp_path)}, {key: "/waha"}) for key in (UNIFIED, "freezer"))
        assert (v2.frozen(), v1.frozen()) == (False, False)
        (tmp_path / "waha" / "cgroup.events").write_text("populated 1\nfrozen 0\n")
        (tmp_path / "waha" / "freezer.state").write_text("FREEZING\n")
        assert (v2.frozen(), v1.frozen()) == (False, False)
        (tmp_path / "waha" / "cgroup.events").write_text("populated 1\nfrozen 1\n")
        (tmp_path / "waha" / "freezer.state").write_text("FROZEN\n")
        assert (v2.frozen(), v1.frozen()) == (True, True)


class TestSharedMemory:
    async def test_what_a_forking_tree_shares_counts_once(
        self, theatre: Theatre, tmp_path: Path, clock: SteppedClock
    ) -> None:
        gateway = theatre.puppet()
        for _ in range(4):
            gateway.do("fork_fat", megabytes=20)
        file = tmp_path / "fat.pid"
        file.write_text(str(gateway.pid))
        watch = ProcessWatch(Find(pid_file=file), clock=clock)
        first = await watch.read()
        assert (watch.usage.pss_bytes, first.memory_bytes) == (None, first.rss_bytes)
        await watch.survey()
        second = await watch.read()
        pss = watch.usage.pss_bytes
        assert pss is not None
        assert second.rss_bytes is not None
        assert second.memory_bytes is not None
        assert second.memory_percent is not None
        assert second.limit_bytes is not None
        # 80 MB once, and not the 20, 40, 60 and 80 that the children hold beside their parent.
        assert second.rss_bytes > 200 * MIB
        assert second.memory_bytes == pytest.approx(pss, rel=0.05)
        assert second.memory_bytes < second.rss_bytes - 100 * MIB
        assert second.memory_percent == pytest.approx(100 * second.memory_bytes / second.limit_bytes)

    async def test_what_one_process_shares_with_strangers_is_its_own(self, watch: ProcessWatch) -> None:
        await watch.read()
        await watch.survey()
        reading = await watch.read()
        assert watch.usage.pss_bytes is not None
        assert reading.rss_bytes is not None
        assert watch.usage.pss_bytes < reading.rss_bytes == reading.memory_bytes

    async def test_it_is_looked_at_each_minute_and_at_each_new_process(
        self,
        theatre: Theatre,
        watch: ProcessWatch,
        pid_file: Path,
        clock: SteppedClock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        looks: list[int] = []

        def counted(tree: list[Stat]) -> survey.Shared:
            looks.append(tree[0].pid)
            return survey.Shared(100, 100 - len(looks))

        monkeypatch.setattr(survey, "shared_memory", counted)
        first = await watch.read()
        for _ in range(3):
            await watch.survey()
            await watch.read()
        assert watch.usage.pss_bytes == 99
        clock.ahead += survey.EVERY
        await watch.survey()
        second = theatre.puppet()
        rewrite(pid_file, second)
        await watch.read()
        assert watch.usage.pss_bytes is None  # of another process
        await watch.survey()
        assert looks == [first.pid, first.pid, second.pid]

    async def test_nothing_is_surveyed_before_anything_was_found(self, tmp_path: Path) -> None:
        watch = ProcessWatch(Find(pid_file=tmp_path / "none.pid"))
        await watch.survey()
        await watch.read()
        await watch.survey()
        assert watch.usage.pss_bytes is None
        assert watch.usage.host.memory_available_bytes is not None

    async def test_a_fault_in_it_says_nothing_about_the_gateway(
        self, watch: ProcessWatch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(tree: list[Stat]) -> None:
            raise ZeroDivisionError(tree)

        monkeypatch.setattr(survey, "shared_memory", broken)
        await watch.read()
        await watch.survey()
        assert (await watch.read()).exists is True


class TestBrowsers:
    @pytest.mark.parametrize(
        ("word", "session"),
        [
            ("--user-data-dir=/app/.sessions/webjs/default/session-491700000001", "491700000001"),
            ("--user-data-dir=/app/.sessions/webjs/session-a-b_c/", "a-b_c"),
            ("--user-data-dir=/tmp/puppeteer_dev_chrome_profile-Xy12", None),
            ("--user-data-dir=/app/session-", None),
            ("--user-data-dir=", None),
            ("--disk-cache-size=0", None),
        ],
    )
    def test_the_profile_folder_tells_the_session(self, word: str, session: str | None) -> None:
        assert session_of(["/usr/bin/chromium", "--headless=new", word, "about:blank"]) == session

    async def test_each_session_has_its_own(self, gateway: Puppet, watch: ProcessWatch, tmp_path: Path) -> None:
        one = browser_of(gateway, f"{tmp_path}/session-alice")
        other = browser_of(gateway, f"{tmp_path}/session-bob")
        nameless = browser_of(gateway, "/tmp/puppeteer_dev_chrome_profile-Xy12")
        gateway.spawn()
        await watch.read()
        await watch.survey()
        await watch.read()
        told = {found.pid: found for found in watch.usage.browsers}
        assert {pid: found.session for pid, found in told.items()} == {one: "alice", other: "bob", nameless: None}
        assert all(found.rss_bytes > MIB for found in told.values())

    async def test_one_that_comes_later_is_looked_at_at_once(
        self, gateway: Puppet, watch: ProcessWatch, tmp_path: Path
    ) -> None:
        await watch.read()
        await watch.survey()
        browser_of(gateway, f"{tmp_path}/session-late")
        await watch.read()
        await watch.survey()
        await watch.read()
        assert [one.session for one in watch.usage.browsers] == ["late"]

    def test_what_a_browser_starts_weighs_with_it(self) -> None:
        def process(pid: int, ppid: int, comm: str, rss: int) -> Stat:
            return Stat(pid=pid, ppid=ppid, comm=comm, born=pid, own_cpu=0, reaped_cpu=0, rss=rss, dead=False)

        tree = [
            process(1, 0, "node", 100),
            process(2, 1, "chromium", 30),
            process(3, 2, "chromium", 7),
            process(4, 3, "chromium", 5),
            process(5, 1, "chrome_crashpad", 3),
        ]
        (told,) = browsers.told(tree, {})
        assert (told.pid, told.rss_bytes, told.session) == (2, 42, None)


class TestOrphans:
    async def test_what_a_killed_gateway_leaves_behind_is_told_with_its_pids(
        self,
        gateway: Puppet,
        theatre: Theatre,
        watch: ProcessWatch,
        pid_file: Path,
        clock: SteppedClock,
        tmp_path: Path,
    ) -> None:
        left = browser_of(gateway, f"{tmp_path}/session-alice")
        await watch.read()
        gateway.kill()
        await watch.read()
        ending = watch.usage  # it may be about to end
        clock.ahead += 16
        gone = await watch.read()
        assert (gone.exists, ending.orphans, watch.usage.orphans) == (False, (), (left,))
        successor = theatre.puppet()
        rewrite(pid_file, successor)
        back = await watch.read()
        assert (back.pid, watch.usage.orphans, watch.usage.children) == (successor.pid, (left,), 0)
        (note,) = watch.usage.notes
        assert f"{left} (chromium); end them with kill" in note
        os.kill(left, signal.SIGKILL)
        until(lambda: (found := proc.stat(left)) is None or found.dead)
        await watch.read()
        assert (watch.usage.orphans, watch.usage.notes) == ((), ())

    async def test_a_gateway_that_lives_on_beside_its_successor_keeps_its_children(
        self, gateway: Puppet, theatre: Theatre, watch: ProcessWatch, pid_file: Path, clock: SteppedClock
    ) -> None:
        gateway.spawn()
        await watch.read()
        rewrite(pid_file, theatre.puppet())
        await watch.read()
        clock.ahead += 16
        await watch.read()
        assert watch.usage.orphans == ()

    async def test_a_browser_of_a_run_that_nobody_watched_is_found_by_its_folder(
        self, theatre: Theatre, clock: SteppedClock, tmp_path: Path
    ) -> None:
        if _reaper(theatre) not in (0, 1):
            pytest.skip("what loses its parent goes to another process than init here")
        here, elsewhere = tmp_path / "waha", tmp_path / "other"
        here.mkdir()
        elsewhere.mkdir()
        earlier, other = theatre.puppet(folder=here), theatre.puppet(folder=elsewhere)
        left = browser_of(earlier, f"{here}/session-alice")
        browser_of(other, f"{elsewhere}/session-bob")
        earlier.kill()
        other.kill()
        sister = theatre.puppet(folder=here)
        browser_of(sister, f"{here}/session-of-a-sister")
        now = theatre.puppet(folder=here)
        kept = browser_of(now, f"{here}/session-carol")
        file = tmp_path / "now.pid"
        file.write_text(str(now.pid))
        watch = ProcessWatch(Find(pid_file=file), clock=clock)
        await watch.read()
        await watch.survey()
        clock.ahead += 16
        await watch.read()
        assert watch.usage.orphans == (left,)
        assert [one.pid for one in watch.usage.browsers] == [kept]


def _reaper(theatre: Theatre) -> int:
    """Who gets what loses its parent."""
    parent = theatre.puppet()
    child = parent.spawn()
    parent.kill()
    until(lambda: (found := proc.stat(child)) is None or found.ppid != parent.pid)
    found = proc.stat(child)
    return -1 if found is None else found.ppid


class TestHost:
    def test_the_pressure_of_a_group_as_linux_writes_it(self, tmp_path: Path) -> None:
        # Linux 5.13 and later; before, cpu has no line `full`.
        (tmp_path / "memory.pressure").write_text(
            "some avg10=12.25 avg60=3.10 avg300=0.70 total=4711\nfull avg10=3.00 avg60=1.00 avg300=0.20 total=815\n"
        )
        (tmp_path / "cpu.pressure").write_text("some avg10=0.50 avg60=0.00 avg300=0.00 total=7\n")
        (tmp_path / "io.pressure").write_text("")
        assert of_group(tmp_path) == Pressure(cpu_some=0.5, memory_some=12.25, memory_full=3.0)

    @pytest.mark.parametrize("text", ["some avg10=much", "\0", "some"])
    def test_what_is_not_pressure_is_unknown(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "memory").write_text(text)
        assert of_host(tmp_path) == Pressure()

    def test_the_memory_that_is_left(self, tmp_path: Path) -> None:
        file = tmp_path / "meminfo"
        assert memory_available(file) is None
        file.write_text("MemTotal: 2000 kB\nMemFree: 3 kB\nMemAvailable:     1024 kB\n")
        assert memory_available(file) == MIB
        file.write_text("MemTotal: 2000 kB\n")  # Linux before 3.14
        assert memory_available(file) is None

    async def test_this_machine_tells(self, watch: ProcessWatch, pid_file: Path) -> None:
        await watch.read()
        await watch.survey()
        await watch.read()
        host = watch.usage.host
        assert host.memory_available_bytes is not None
        assert host.disk_free_bytes is not None
        assert host.gateway_disk_free_bytes is not None
        about = os.statvfs(pid_file.parent)
        assert 0 < host.disk_free_bytes <= about.f_blocks * about.f_frsize
        assert host.pressure == Pressure() or host.pressure.memory_some is not None

    async def test_without_a_gateway_the_host_is_told_all_the_same(self, tmp_path: Path) -> None:
        watch = ProcessWatch(Find(pid_file=tmp_path / "none.pid"))
        assert (await watch.read()).exists is None
        assert watch.usage.host.memory_available_bytes is not None
        assert (watch.usage.threads, watch.usage.open_files, watch.usage.children) == (None, None, None)


@pytest.fixture
def unified_group() -> Iterator[Path]:
    point = next((at for at in map(Path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")) if _freezes(at)), None)
    if point is None or os.geteuid() != 0:
        pytest.skip("needs root and control groups of version 2")
    folder = point / f"wasupervisor-account-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error.strerror}")
    yield folder
    (folder / "cgroup.freeze").write_text("0")
    for pid in members(folder):
        with suppress(ProcessLookupError):
            (point / "cgroup.procs").write_text(str(pid))
    folder.rmdir()


def _freezes(point: Path) -> bool:
    return (point / "cgroup.controllers").exists()


@pytest.mark.root
class TestARealGroup:
    async def test_its_pressure_counts_while_it_holds_nothing_but_the_gateway(
        self, gateway: Puppet, theatre: Theatre, watch: ProcessWatch, unified_group: Path, clock: SteppedClock
    ) -> None:
        (unified_group / "cgroup.procs").write_text(str(gateway.pid))
        await watch.read()
        alone = watch.usage.pressure
        stranger = theatre.puppet()
        (unified_group / "cgroup.procs").write_text(str(stranger.pid))
        clock.ahead += 11
        await watch.read()
        assert (alone.memory_some is not None) == (unified_group / "memory.pressure").exists()
        assert watch.usage.pressure == Pressure()

    async def test_a_freezer_is_seen(self, gateway: Puppet, watch: ProcessWatch, unified_group: Path) -> None:
        (unified_group / "cgroup.procs").write_text(str(gateway.pid))
        running = await watch.read()
        (unified_group / "cgroup.freeze").write_text("1")
        until(lambda: "frozen 1" in (unified_group / "cgroup.events").read_text())
        frozen = await watch.read()
        (unified_group / "cgroup.freeze").write_text("0")
        until(lambda: "frozen 0" in (unified_group / "cgroup.events").read_text())
        assert (running.stopped, frozen.stopped, frozen.exists) == (False, True, True)


# Looks as root, so that all is loaded that nobody might not be able to read, drops its privileges, and looks again.
_AS_NOBODY = """
import logging, os, sys
from pathlib import Path
import anyio, msgspec
from wasupervisor.host.found import Find
from wasupervisor.host.moments import boottime
from wasupervisor.host.process import ProcessWatch
minutes = 0
async def look():
    global minutes
    for privileged in (True, False):
        watch = ProcessWatch(Find(pid_file=Path(sys.argv[1])), clock=lambda: boottime() + 60 * minutes)
        if not privileged:
            logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
        for _ in range(3):
            await watch.read()
            await watch.survey()
            minutes += 1
        reading = await watch.read()
    said = {"reading": msgspec.structs.asdict(reading), "usage": msgspec.structs.asdict(watch.usage)}
    sys.stdout.write(msgspec.json.encode(said).decode())
anyio.run(look)
"""


@pytest.mark.root
def test_without_privileges_what_stays_unknown_is_null_and_named_once(theatre: Theatre, open_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to become nobody")
    gateway = theatre.puppet()
    gateway.spawn()
    file = open_folder / "gateway.pid"
    file.write_text(str(gateway.pid))
    command = [sys.executable, "-c", _AS_NOBODY, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    reading, usage = said["reading"], said["usage"]
    assert (reading["exists"], reading["pid"], reading["processes"]) == (True, gateway.pid, 2)
    assert (usage["children"], usage["threads"], usage["open_files_limit"] is not None) == (1, 2, True)
    assert reading["memory_bytes"] == reading["rss_bytes"] > MIB
    assert usage["pss_bytes"] is None
    assert usage["host"].get("gateway_disk_free_bytes") is None
    lines = [line for line in done.stderr.splitlines() if "our user may not see" in line]
    assert len(lines) == 1
    assert "how much of its memory is shared" in lines[0]
    assert "its working folder" in lines[0]
