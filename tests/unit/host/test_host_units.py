"""Units and keepers: control groups and parents are real where root may make them, systemctl is a script."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from host_theatre import Puppet, SteppedClock, Theatre, unprivileged

from wasupervisor.host import systemctl
from wasupervisor.host.cgroups import members
from wasupervisor.host.found import Find
from wasupervisor.host.keeper import unit_of
from wasupervisor.host.last_end import LastEnd
from wasupervisor.host.process import ProcessWatch

pytestmark = pytest.mark.anyio

Systemctl = Callable[..., str]


@pytest.fixture
def answering(tmp_path: Path) -> Systemctl:
    """Makes a systemctl that answers with these properties, and writes down that it was asked."""

    def make(body: str = "", **properties: object) -> str:
        script = tmp_path / "systemctl"
        lines = "\n".join(f"echo '{name}={value}'" for name, value in properties.items())
        script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n{body}\n{lines}\n')
        script.chmod(0o755)
        return str(script)

    return make


def asked(tmp_path: Path) -> list[str]:
    file = tmp_path / "asked"
    return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def unit_group() -> Iterator[Path]:
    """A group as systemd makes it: /sys/fs/cgroup/X.slice/waha-N.service."""
    at = next((Path(f"/sys/fs/cgroup/{name}") for name in ("systemd", ".") if _is_hierarchy(name)), None)
    if os.geteuid() != 0 or at is None:
        pytest.skip("needs root and control groups that it may make")
    folder = at / f"wasupervisortest{os.getpid()}.slice" / f"waha-{os.getpid()}.service"
    folder.mkdir(parents=True)
    yield folder
    for pid in members(folder):
        with suppress(ProcessLookupError):
            (at / "cgroup.procs").write_text(str(pid))
    folder.rmdir()
    folder.parent.rmdir()


def _is_hierarchy(name: str) -> bool:
    return Path(f"/sys/fs/cgroup/{name}/cgroup.procs").exists()


def put(puppet: Puppet, group: Path) -> None:
    (group / "cgroup.procs").write_text(str(puppet.pid))


@pytest.mark.root
class TestByUnit:
    async def test_the_units_root_most_process_is_found_without_asking_anybody(
        self, theatre: Theatre, unit_group: Path, tmp_path: Path, answering: Systemctl
    ) -> None:
        gateway = theatre.puppet()
        put(gateway, unit_group)
        gateway.spawn()
        unit = unit_group.name.removesuffix(".service")
        reading = await ProcessWatch(Find(systemd_unit=unit), systemctl_command=answering()).read()
        assert (reading.exists, reading.pid, reading.processes) == (True, gateway.pid, 2)
        assert not any("LoadState" in question for question in asked(tmp_path))

    async def test_of_several_roots_systemd_knows_the_main_one(
        self, theatre: Theatre, unit_group: Path, answering: Systemctl
    ) -> None:
        orphan, gateway = theatre.puppet(), theatre.puppet()
        put(orphan, unit_group)
        put(gateway, unit_group)
        command = answering(LoadState="loaded", ActiveState="active", MainPID=gateway.pid)
        reading = await ProcessWatch(Find(systemd_unit=unit_group.name), systemctl_command=command).read()
        assert reading.pid == gateway.pid

    async def test_of_several_roots_the_oldest_counts_when_systemd_is_silent(
        self, theatre: Theatre, unit_group: Path, answering: Systemctl
    ) -> None:
        gateway, orphan = theatre.puppet(), theatre.puppet()
        put(orphan, unit_group)
        put(gateway, unit_group)
        command = answering("exit 1")
        reading = await ProcessWatch(Find(systemd_unit=unit_group.name), systemctl_command=command).read()
        assert reading.pid == gateway.pid

    async def test_a_unit_whose_process_ended_has_no_gateway(
        self, theatre: Theatre, unit_group: Path, answering: Systemctl
    ) -> None:
        gateway = theatre.puppet()
        put(gateway, unit_group)
        watch = ProcessWatch(Find(systemd_unit=unit_group.name), systemctl_command=answering("exit 1"))
        await watch.read()
        gateway.kill()
        reading = await watch.read()
        assert (reading.exists, reading.detail) == (False, f"{unit_group.name} runs no process")

    async def test_a_unit_that_waits_for_a_container_is_not_the_gateway(
        self, theatre: Theatre, unit_group: Path, answering: Systemctl
    ) -> None:
        client = theatre.puppet()
        client.do("call_yourself", name="docker")
        put(client, unit_group)
        reading = await ProcessWatch(Find(systemd_unit=unit_group.name), systemctl_command=answering()).read()
        assert reading.exists is None
        assert "only waits for a container" in reading.detail

    async def test_an_unprivileged_reader_finds_it_too(
        self, theatre: Theatre, unit_group: Path, answering: Systemctl
    ) -> None:
        gateway = theatre.puppet()
        put(gateway, unit_group)
        watch = ProcessWatch(Find(systemd_unit=unit_group.name), systemctl_command=answering())
        with unprivileged():
            assert (await watch.read()).pid == gateway.pid


class TestAUnitWithoutAGroup:
    @pytest.mark.parametrize("state", ["inactive", "failed", "activating"])
    async def test_systemd_knows_that_nothing_runs(self, answering: Systemctl, state: str) -> None:
        command = answering(LoadState="loaded", ActiveState=state, MainPID=0)
        reading = await ProcessWatch(Find(systemd_unit="waha-nowhere"), systemctl_command=command).read()
        assert reading.exists is False
        assert f"waha-nowhere.service is {state}" in reading.detail

    async def test_active_without_a_process_is_unknown(self, answering: Systemctl) -> None:
        command = answering(LoadState="loaded", ActiveState="active", MainPID=0)  # RemainAfterExit=
        assert (await ProcessWatch(Find(systemd_unit="waha-nowhere"), systemctl_command=command).read()).exists is None

    async def test_a_unit_that_is_not_there_is_unknown_and_said(self, answering: Systemctl) -> None:
        command = answering(LoadState="not-found", ActiveState="inactive", MainPID=0)
        reading = await ProcessWatch(Find(systemd_unit="wahaa"), systemctl_command=command).read()
        assert (reading.exists, reading.detail) == (None, "systemd has no unit wahaa.service (not-found)")

    async def test_the_main_process_is_found_through_systemd(self, theatre: Theatre, answering: Systemctl) -> None:
        gateway = theatre.puppet()
        command = answering(LoadState="loaded", ActiveState="active", MainPID=gateway.pid)
        reading = await ProcessWatch(Find(systemd_unit="waha-elsewhere"), systemctl_command=command).read()
        assert reading.pid == gateway.pid

    @pytest.mark.parametrize("command", ["/does/not/exist", "exit 1"])
    async def test_without_an_answer_it_is_unknown(self, answering: Systemctl, command: str) -> None:
        program = command if command.startswith("/") else answering(command)
        reading = await ProcessWatch(Find(systemd_unit="waha-nowhere"), systemctl_command=program).read()
        assert reading.exists is None
        assert "systemd does not answer" in reading.detail

    async def test_a_systemd_that_hangs_is_not_waited_for(
        self, answering: Systemctl, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(systemctl, "SECONDS", 0.05)
        command = answering("exec sleep 600")
        reading = await ProcessWatch(Find(systemd_unit="waha-nowhere"), systemctl_command=command).read()
        assert "systemd does not answer" in reading.detail

    async def test_systemd_is_not_asked_in_each_cycle(
        self, answering: Systemctl, clock: SteppedClock, tmp_path: Path
    ) -> None:
        command = answering(LoadState="loaded", ActiveState="failed", MainPID=0)
        watch = ProcessWatch(Find(systemd_unit="waha-nowhere"), clock=clock, systemctl_command=command)
        assert {(await watch.read()).exists for _ in range(3)} == {False}
        assert len(asked(tmp_path)) == 1
        clock.ahead = 31
        await watch.read()
        assert len(asked(tmp_path)) == 2


class TestLastEnd:
    """What systemd tells of a unit that the kernel killed, until it is started again."""

    @pytest.mark.root
    async def test_that_it_was_for_want_of_memory(
        self, theatre: Theatre, unit_group: Path, answering: Systemctl
    ) -> None:
        first, second = theatre.puppet(), theatre.puppet()
        put(first, unit_group)
        watch = ProcessWatch(Find(systemd_unit=unit_group.name), systemctl_command=answering(Result="success"))
        assert (await watch.read()).oom_killed is None
        first.kill()
        answering(Result="oom-kill")
        gone = await watch.read()
        assert (gone.exists, gone.oom_killed) == (False, True)
        assert (await watch.read()).oom_killed is True
        put(second, unit_group)
        answering(Result="success")
        back = await watch.read()
        assert (back.pid, back.oom_killed) == (second.pid, False)

    async def test_where_no_group_is_to_be_seen_its_next_run_is_found_through_systemd(
        self, theatre: Theatre, answering: Systemctl, clock: SteppedClock
    ) -> None:
        first, second = theatre.puppet(), theatre.puppet()
        loaded = {"LoadState": "loaded", "ActiveState": "active"}
        command = answering(**loaded, MainPID=first.pid, Result="success")
        watch = ProcessWatch(Find(systemd_unit="waha-elsewhere"), clock=clock, systemctl_command=command)
        assert (await watch.read()).pid == first.pid
        first.kill()
        answering(LoadState="loaded", ActiveState="activating", MainPID=0, Result="oom-kill")
        gone = await watch.read()
        assert (gone.exists, gone.oom_killed) == (False, True)
        answering(**loaded, MainPID=second.pid, Result="success")
        clock.ahead = 31
        back = await watch.read()
        assert (back.pid, back.oom_killed) == (second.pid, False)

    @pytest.mark.parametrize(
        ("body", "result", "questions", "killed"),
        [
            ("", "success", 3, None),
            ("", "exit-code", 1, None),
            ("", "oom-kill", 1, True),
            ("exit 1", "oom-kill", 3, None),
        ],
    )
    async def test_it_is_asked_until_it_tells_and_not_for_ever(
        self, answering: Systemctl, tmp_path: Path, body: str, result: str, questions: int, killed: bool | None
    ) -> None:
        end = LastEnd(None, systemctl_command=answering(body, Result=result))
        await end.look()
        assert asked(tmp_path) == []  # of no unit
        for keeper in (None, "docker waha", "systemd waha.service", "PM2"):
            end.lives(keeper)
        for _ in range(5):
            await end.look()
        assert end.oom_killed is killed
        assert asked(tmp_path) == ["show --property=Result -- waha.service"] * questions
        end.lives("systemd waha.service")
        await end.look()
        assert len(asked(tmp_path)) == questions + 1


class TestKeeper:
    """The watched process is a child of the puppet that plays its keeper."""

    async def read(self, pid: int, tmp_path: Path, command: str = "/does/not/exist") -> str | None:
        return (await self.watch(pid, tmp_path, command).read()).keeper

    def watch(self, pid: int, tmp_path: Path, command: str, clock: SteppedClock | None = None) -> ProcessWatch:
        file = tmp_path / "gateway.pid"
        file.write_text(str(pid))
        return ProcessWatch(Find(pid_file=file), clock=clock or SteppedClock(), systemctl_command=command)

    @pytest.mark.parametrize(
        ("title", "keeper"),
        [
            ("PM2 v5.3.0: God Daemon (/home/op/.pm2)", "PM2"),
            ("/usr/bin/supervisord", "supervisord"),
            ("s6-supervise", "s6"),
            ("runsv", "runit"),
            ("/usr/sbin/cron", None),
            ("sshd: root@pts/0", None),
        ],
    )
    async def test_known_by_its_name(self, theatre: Theatre, tmp_path: Path, title: str, keeper: str | None) -> None:
        parent = theatre.puppet(title=title)
        assert await self.read(parent.spawn(), tmp_path) == keeper

    @pytest.mark.parametrize("wrapper", ["npm run start:prod", "/bin/sh"])
    async def test_a_wrapper_between_them_is_looked_through(
        self, theatre: Theatre, tmp_path: Path, wrapper: str
    ) -> None:
        daemon = theatre.puppet(title="PM2 v5.3.0: God Daemon (/home/op/.pm2)")
        daemon.spawn_puppet(title=wrapper)
        gateway = daemon.tell(0, "spawn", argv=["sleep", "600"])
        assert isinstance(gateway, int)
        assert await self.read(gateway, tmp_path) == "PM2"

    async def test_a_keeper_that_died_keeps_nothing(self, theatre: Theatre, tmp_path: Path) -> None:
        daemon = theatre.puppet(title="PM2 v5.3.0: God Daemon (/home/op/.pm2)")
        watch = self.watch(daemon.spawn(own_session=True), tmp_path, "/does/not/exist")
        before = await watch.read()
        daemon.kill()
        after = await watch.read()
        assert (before.keeper, after.exists, after.keeper) == ("PM2", True, None)

    @pytest.mark.root
    @pytest.mark.parametrize(
        ("restart", "keeps"), [("always", True), ("on-failure", True), ("no", False), ("on-abnormal", False)]
    )
    async def test_systemd_keeps_what_its_unit_restarts(
        self, theatre: Theatre, unit_group: Path, tmp_path: Path, answering: Systemctl, restart: str, *, keeps: bool
    ) -> None:
        systemd = theatre.puppet()
        systemd.do("call_yourself", name="systemd")
        gateway = systemd.spawn()
        (unit_group / "cgroup.procs").write_text(str(gateway))
        keeper = await self.read(gateway, tmp_path, answering(MainPID=gateway, Restart=restart))
        assert keeper == (f"systemd {unit_group.name}" if keeps else None)
        assert asked(tmp_path) == [f"show --property=MainPID,Restart -- {unit_group.name}"]

    @pytest.mark.root
    async def test_systemd_does_not_keep_what_a_service_of_its_only_started(
        self, theatre: Theatre, unit_group: Path, tmp_path: Path, answering: Systemctl
    ) -> None:
        systemd = theatre.puppet()
        systemd.do("call_yourself", name="systemd")
        cron = systemd.spawn_puppet(title="/usr/sbin/cron")
        (unit_group / "cgroup.procs").write_text(str(cron))
        gateway = systemd.tell(0, "spawn", argv=["sleep", "600"])
        assert isinstance(gateway, int)
        assert await self.read(gateway, tmp_path, answering(MainPID=cron, Restart="always")) is None

    @pytest.mark.root
    async def test_systemd_does_not_keep_what_is_not_its_units_main_process(
        self, theatre: Theatre, unit_group: Path, tmp_path: Path, answering: Systemctl
    ) -> None:
        systemd = theatre.puppet()
        systemd.do("call_yourself", name="systemd")
        main, orphan = systemd.spawn(), systemd.spawn()
        (unit_group / "cgroup.procs").write_text(str(orphan))
        assert await self.read(orphan, tmp_path, answering(MainPID=main, Restart="always")) is None

    @pytest.mark.root
    async def test_a_systemd_that_did_not_answer_is_asked_again_later(
        self, theatre: Theatre, unit_group: Path, tmp_path: Path, answering: Systemctl, clock: SteppedClock
    ) -> None:
        systemd = theatre.puppet()
        systemd.do("call_yourself", name="systemd")
        gateway = systemd.spawn()
        (unit_group / "cgroup.procs").write_text(str(gateway))
        watch = self.watch(gateway, tmp_path, answering("exit 1"), clock)
        first = await watch.read()
        answering(MainPID=gateway, Restart="always")
        at_once = await watch.read()
        clock.ahead = 61
        later = await watch.read()
        assert (first.keeper, at_once.keeper, later.keeper) == (None, None, f"systemd {unit_group.name}")

    @pytest.mark.parametrize(
        ("path", "unit"),
        [
            ("/system.slice/waha.service", "waha.service"),
            ("/system.slice/system-waha.slice/waha@a.service", "waha@a.service"),
            ("/system.slice/waha.service/worker", "waha.service"),
            ("/user.slice/user-0.slice/session-3.scope", None),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/waha.service", None),
            ("/user.slice/user-1000.slice/user@1000.service/init.scope", None),
            ("/system.slice/docker-4f00.scope", None),
            ("/docker/4f00", None),
            ("/", None),
            ("", None),
        ],
    )
    def test_the_service_is_known_by_the_control_group(self, path: str, unit: str | None) -> None:
        assert unit_of(path) == unit
