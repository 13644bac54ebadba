"""Finding the gateway's process, with real processes, sockets and files."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import anyio
import pytest
from host_theatre import SteppedClock, Theatre, unprivileged

from wasupervisor.host import proc
from wasupervisor.host.found import Find
from wasupervisor.host.process import ProcessWatch

pytestmark = pytest.mark.anyio


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def give_away(pid: int, theatre: Theatre) -> None:
    """Start another process with the number of one that ended."""
    time.sleep(0.02)  # the kernel dates processes in hundredths of a second
    for _ in range(20):
        try:
            Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        except OSError:
            pytest.skip("needs root and a kernel that lets it choose the next pid")
        if theatre.puppet().pid == pid:
            return
    pytest.skip("others were faster to take the pid")


class TestByPort:
    async def test_the_listener_is_found(self, theatre: Theatre) -> None:
        gateway = theatre.puppet()
        reading = await ProcessWatch(Find(port=gateway.listen())).read()
        assert (reading.exists, reading.pid, reading.detail) == (True, gateway.pid, "")
        assert reading.started is not None
        assert abs(reading.started - time.time()) < 60

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3"])
    async def test_the_urls_port_serves_when_nothing_is_configured(self, theatre: Theatre, host: str) -> None:
        gateway = theatre.puppet()
        port = gateway.listen(address="0.0.0.0")
        reading = await ProcessWatch(Find(url=f"http://{host}:{port}")).read()
        assert reading.pid == gateway.pid

    @pytest.mark.parametrize("url", ["http://192.0.2.7:3000", "https://waha.example.org", "http://[2001:db8::1]:3000"])
    async def test_a_gateway_elsewhere_is_not_watched(self, url: str) -> None:
        reading = await ProcessWatch(Find(url=url)).read()
        assert reading.exists is None
        assert "does not lead to this machine" in reading.detail

    async def test_forked_workers_share_the_port_with_the_gateway_that_is_found(self, theatre: Theatre) -> None:
        gateway = theatre.puppet()
        port = gateway.listen()
        gateway.spawn(inherit=True)
        gateway.spawn(inherit=True)
        reading = await ProcessWatch(Find(port=port)).read()
        assert (reading.pid, reading.processes) == (gateway.pid, 3)

    async def test_nothing_listens_so_the_gateway_is_gone(self) -> None:
        port = unused_port()
        reading = await ProcessWatch(Find(port=port)).read()
        assert reading.exists is False
        assert reading.detail == f"nothing listens on TCP port {port}"

    async def test_a_port_that_answers_without_a_listener_is_forwarded_not_gone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Docker without its userland proxy: only packet filter rules lead to the container. No such rules here.
        with socket.create_server(("127.0.0.1", 0)) as container:
            monkeypatch.setattr(proc, "listeners", lambda port: [])
            reading = await ProcessWatch(Find(port=container.getsockname()[1])).read()
        assert reading.exists is None
        assert "the kernel forwards it" in reading.detail

    async def test_a_new_process_on_the_same_port_is_another_run(self, theatre: Theatre) -> None:
        first = theatre.puppet()
        port = first.listen()
        watch = ProcessWatch(Find(port=port))
        before = await watch.read()
        first.kill()
        between = await watch.read()
        second = theatre.puppet()
        second.listen(port)
        after = await watch.read()
        assert (before.pid, between.exists, after.pid) == (first.pid, False, second.pid)
        assert before.run != after.run
        assert between.run is None

    async def test_a_gateway_that_closed_its_port_to_shut_down_still_exists(self, theatre: Theatre) -> None:
        gateway = theatre.puppet()
        port = gateway.listen()
        watch = ProcessWatch(Find(port=port))
        await watch.read()
        gateway.do("hush")
        reading = await watch.read()
        assert (reading.exists, reading.pid) == (True, gateway.pid)
        assert reading.detail == f"nothing listens on TCP port {port}"

    async def test_the_successor_counts_while_the_predecessor_is_still_shutting_down(self, theatre: Theatre) -> None:
        old = theatre.puppet()
        port = old.listen()
        watch = ProcessWatch(Find(port=port))
        await watch.read()
        old.do("hush")
        new = theatre.puppet()
        new.listen(port)
        assert (await watch.read()).pid == new.pid

    async def test_dockers_proxy_is_not_taken_for_the_gateway(self, theatre: Theatre) -> None:
        forwarder = theatre.puppet()
        port = forwarder.listen()
        forwarder.do("call_yourself", name="docker-proxy")
        reading = await ProcessWatch(Find(port=port)).read()
        assert (reading.exists, reading.pid) == (None, None)
        assert "belongs to docker-proxy" in reading.detail
        assert "process.find.docker" in reading.detail

    async def test_pm2_in_cluster_mode_is_not_taken_for_the_gateway(self, theatre: Theatre) -> None:
        daemon = theatre.puppet(title="PM2 v5.3.0: God Daemon (/home/op/.pm2)")
        reading = await ProcessWatch(Find(port=daemon.listen())).read()
        assert reading.exists is None
        assert "PM2's own daemon" in reading.detail

    async def test_systemd_that_made_the_socket_is_not_taken_for_the_gateway(self, theatre: Theatre) -> None:
        systemd = theatre.puppet()
        port = systemd.listen()
        systemd.do("call_yourself", name="systemd")
        before = await ProcessWatch(Find(port=port)).read()
        service = systemd.spawn(inherit=True)
        after = await ProcessWatch(Find(port=port)).read()
        assert before.exists is None
        assert "socket activation" in before.detail
        assert after.pid == service

    async def test_two_processes_on_one_port_are_both_named(self, theatre: Theatre) -> None:
        one, other = theatre.puppet(), theatre.puppet()
        port = one.listen(shared=True)
        other.listen(port, shared=True)
        reading = await ProcessWatch(Find(port=port)).read()
        assert reading.exists is None
        assert all(f"pid {puppet.pid} (port {port}, " in reading.detail for puppet in (one, other))

    @pytest.mark.root
    async def test_as_another_user_the_port_leads_nowhere_and_that_is_said_once(
        self, theatre: Theatre, caplog: pytest.LogCaptureFixture
    ) -> None:
        gateway = theatre.puppet()
        watch = ProcessWatch(Find(port=gateway.listen()))
        with unprivileged(), caplog.at_level("INFO", "wasupervisor.host"):
            readings = [await watch.read() for _ in range(3)]
        assert {reading.exists for reading in readings} == {None}
        assert all("belongs to a process of user root" in reading.detail for reading in readings)
        assert "process.find.pid_file" in readings[0].detail
        assert len(caplog.records) == 1

    @pytest.mark.root
    async def test_as_another_user_the_search_is_not_repeated_while_the_sockets_live(
        self, theatre: Theatre, clock: SteppedClock
    ) -> None:
        gateway = theatre.puppet()
        port = gateway.listen()
        watch = ProcessWatch(Find(port=port), clock=clock)
        with unprivileged():
            await watch.read()
        at_once = await watch.read()
        clock.ahead = 61
        assert at_once.pid is None
        assert (await watch.read()).pid == gateway.pid

    @pytest.mark.root
    async def test_as_another_user_dockers_proxy_is_known_by_its_arguments(self, theatre: Theatre) -> None:
        forwarder = theatre.puppet()
        port = forwarder.listen()
        forwarder.kill()
        forwarder = theatre.puppet("-proto", "tcp", "-host-port", str(port), "-container-port", "3000")
        forwarder.listen(port)
        forwarder.do("call_yourself", name="docker-proxy")
        watch = ProcessWatch(Find(port=port))
        with unprivileged():
            reading = await watch.read()
        assert "belongs to docker-proxy" in reading.detail


class TestByPidFile:
    async def test_the_named_process_is_found(self, theatre: Theatre, tmp_path: Path) -> None:
        gateway = theatre.puppet()
        file = tmp_path / "waha.pid"
        file.write_text(f"{gateway.pid}\n")
        reading = await ProcessWatch(Find(pid_file=file)).read()
        assert (reading.exists, reading.pid, reading.detail) == (True, gateway.pid, "")

    async def test_a_file_older_than_the_process_means_another_process(self, theatre: Theatre, tmp_path: Path) -> None:
        stranger = theatre.puppet()
        file = tmp_path / "waha.pid"
        file.write_text(str(stranger.pid))
        os.utime(file, (time.time() - 3600, time.time() - 3600))
        reading = await ProcessWatch(Find(pid_file=file)).read()
        assert (reading.exists, reading.pid) == (None, None)
        assert f"older than process {stranger.pid}" in reading.detail

    async def test_a_dead_process_is_unknown_at_first_and_gone_when_it_was_known(
        self, theatre: Theatre, tmp_path: Path
    ) -> None:
        gateway = theatre.puppet()
        file = tmp_path / "waha.pid"
        file.write_text(str(gateway.pid))
        watch = ProcessWatch(Find(pid_file=file))
        await watch.read()
        gateway.kill()
        assert (await watch.read()).exists is False
        # The number may be of another PID namespace: who never saw it cannot say.
        stranger = await ProcessWatch(Find(pid_file=file)).read()
        assert stranger.exists is None
        assert f"process {gateway.pid} of the pid file {file} does not exist" in stranger.detail

    async def test_the_file_is_followed_when_it_is_written_again(self, theatre: Theatre, tmp_path: Path) -> None:
        old, new = theatre.puppet(), theatre.puppet()
        file = tmp_path / "waha.pid"
        file.write_text(str(old.pid))
        watch = ProcessWatch(Find(pid_file=file))
        await watch.read()
        file.write_text(str(new.pid))
        os.utime(file, (time.time() + 1, time.time() + 1))  # two writes within one tick of the file system
        assert (await watch.read()).pid == new.pid

    async def test_a_process_whose_file_was_removed_still_exists(self, theatre: Theatre, tmp_path: Path) -> None:
        gateway = theatre.puppet()
        file = tmp_path / "waha.pid"
        file.write_text(str(gateway.pid))
        watch = ProcessWatch(Find(pid_file=file))
        await watch.read()
        file.unlink()
        reading = await watch.read()
        assert (reading.exists, reading.pid) == (True, gateway.pid)
        assert "does not exist" in reading.detail

    @pytest.mark.parametrize("content", ["", "waha", "-1", "0", "99999999999", "\0\0\0", "1.5"])
    async def test_what_is_no_number_of_a_process_is_said(self, tmp_path: Path, content: str) -> None:
        file = tmp_path / "waha.pid"
        file.write_text(content)
        reading = await ProcessWatch(Find(pid_file=file)).read()
        assert reading.exists is None
        assert "does not begin with the number of a process" in reading.detail

    async def test_a_file_that_is_not_there_or_is_a_folder_is_unknown(self, tmp_path: Path) -> None:
        missing = await ProcessWatch(Find(pid_file=tmp_path / "none.pid")).read()
        folder = await ProcessWatch(Find(pid_file=tmp_path)).read()
        assert (missing.exists, folder.exists) == (None, None)
        assert "does not exist" in missing.detail
        assert "cannot be read" in folder.detail

    @pytest.mark.root
    async def test_an_unprivileged_reader_measures_all_the_same(self, theatre: Theatre, open_folder: Path) -> None:
        gateway = theatre.puppet()
        gateway.spawn()
        file = open_folder / "waha.pid"
        file.write_text(str(gateway.pid))
        watch = ProcessWatch(Find(pid_file=file))
        with unprivileged():
            reading = await watch.read()
        assert (reading.exists, reading.pid, reading.processes) == (True, gateway.pid, 2)
        assert reading.rss_bytes


class TestByCommandLine:
    async def test_the_only_match_is_found(self, theatre: Theatre) -> None:
        gateway = theatre.puppet("dist/main", "only-match")
        theatre.puppet("dist/main", "another")
        reading = await ProcessWatch(Find(command_line="dist/main only-match")).read()
        assert (reading.exists, reading.pid) == (True, gateway.pid)

    async def test_several_matches_are_listed_with_port_and_folder_and_without_arguments(
        self, theatre: Theatre, tmp_path: Path
    ) -> None:
        waha, evolution = tmp_path / "waha", tmp_path / "evolution"
        waha.mkdir()
        evolution.mkdir()
        one = theatre.puppet("dist/several", "--api-key=hunter2", folder=waha)
        other = theatre.puppet("dist/several", folder=evolution)
        port = one.listen()
        reading = await ProcessWatch(Find(command_line="dist/several")).read()
        assert reading.exists is None
        assert "2 processes have 'dist/several' in their command line" in reading.detail
        assert f"pid {one.pid} (port {port}, folder {waha})" in reading.detail
        assert f"pid {other.pid} (no port, folder {evolution})" in reading.detail
        assert "hunter2" not in reading.detail

    @pytest.mark.root
    async def test_the_port_of_one_in_a_container_is_told_too(self, theatre: Theatre) -> None:
        one, other = theatre.puppet("dist/contained-too"), theatre.puppet("dist/contained-too")
        if one.do("leave_network") != 0:
            pytest.skip("needs root, to make a network namespace")
        ports = {one.pid: one.listen(), other.pid: other.listen()}
        reading = await ProcessWatch(Find(command_line="dist/contained-too")).read()
        assert all(f"pid {pid} (port {port}, folder " in reading.detail for pid, port in ports.items())
        assert reading.detail.endswith("process.find.port, pid_file, systemd_unit or docker")

    async def test_of_a_wrapper_and_its_child_the_wrapper_is_the_gateway(self, theatre: Theatre) -> None:
        wrapper = theatre.puppet("dist/wrapped")
        wrapper.spawn(sys.executable, "-c", "import time; time.sleep(600)", "dist/wrapped")
        reading = await ProcessWatch(Find(command_line="dist/wrapped")).read()
        assert (reading.pid, reading.processes) == (wrapper.pid, 2)

    async def test_no_match_is_unknown_at_first_and_gone_when_there_was_one(self, theatre: Theatre) -> None:
        watch = ProcessWatch(Find(command_line="dist/comes-and-goes"))
        first = await watch.read()
        gateway = theatre.puppet("dist/comes-and-goes")
        second = await watch.read()
        gateway.kill()
        third = await watch.read()
        assert (first.exists, second.exists, third.exists) == (None, True, False)
        assert "no process has 'dist/comes-and-goes'" in first.detail

    @pytest.mark.root
    async def test_another_process_with_the_number_of_the_gateway_is_not_the_gateway(self, theatre: Theatre) -> None:
        gateway = theatre.puppet("dist/recycled")
        watch = ProcessWatch(Find(command_line="dist/recycled"))
        assert (await watch.read()).pid == gateway.pid
        gateway.kill()
        give_away(gateway.pid, theatre)
        reading = await watch.read()
        assert (reading.exists, reading.pid) == (False, None)

    async def test_we_who_carry_the_pattern_in_our_own_arguments_are_no_match(self) -> None:
        look = (
            "import anyio; from wasupervisor.host.found import Find;"
            "from wasupervisor.host.process import ProcessWatch;"
            "print(anyio.run(ProcessWatch(Find(command_line='dist/ourselves')).read).detail)"
        )
        shell = '"$0" -c "$1" dist/ourselves; true dist/ourselves'
        done = await anyio.run_process(["sh", "-c", shell, sys.executable, look])
        assert "no process has 'dist/ourselves'" in done.stdout.decode()

    @pytest.mark.parametrize("name", ["docker", "docker-proxy"])
    async def test_the_client_of_a_container_is_no_match(self, theatre: Theatre, name: str) -> None:
        client = theatre.puppet("dist/contained")
        client.do("call_yourself", name=name)
        reading = await ProcessWatch(Find(command_line="dist/contained")).read()
        assert reading.exists is None

    async def test_another_supervisor_is_no_match(self, theatre: Theatre) -> None:
        theatre.puppet("-c", "/etc/waha-sister.yaml", title="/usr/bin/wasupervisor")
        reading = await ProcessWatch(Find(command_line="waha-sister")).read()
        assert reading.exists is None


async def test_a_zombie_is_gone(theatre: Theatre, tmp_path: Path) -> None:
    gateway = theatre.puppet()
    file = tmp_path / "waha.pid"
    file.write_text(str(gateway.pid))
    watch = ProcessWatch(Find(pid_file=file))
    await watch.read()
    gateway.kill_unreaped()
    found = proc.stat(gateway.pid)
    assert found is not None
    assert found.dead
    assert (await watch.read()).exists is False
