"""Finding by a container engine: a stand-in on a real Unix socket, with answers of the shape that dockerd gives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from host_theatre import SteppedClock, Theatre, unprivileged

from wasupervisor.host import containers, proc
from wasupervisor.host.found import Find
from wasupervisor.host.moments import wall_time_of
from wasupervisor.host.process import ProcessWatch
from wasupervisor.model.usage import Container

pytestmark = pytest.mark.anyio

ID = "4f1d0c3e9b5a7d2f6e8c1b0a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d0e"
API_KEY = "hunter2-in-the-environment"


def inspected(pid: int = 0, **changes: Any) -> dict[str, Any]:
    """GET /containers/waha/json of Docker 24.0.7 (API 1.43), cut; `changes` by State, HostConfig or the top."""
    running = pid > 0
    answer: dict[str, Any] = {
        "Id": ID,
        "Created": "2026-11-20T08:00:00.000000000Z",
        "Path": "/tini",
        "Args": ["--", "/entrypoint.sh"],
        "State": {
            "Status": "running" if running else "exited",
            "Running": running,
            "Paused": False,
            "Restarting": False,
            "OOMKilled": False,
            "Dead": False,
            "Pid": pid,
            "ExitCode": 0 if running else 7,
            "Error": "",
            "StartedAt": _started(pid),
            "FinishedAt": "0001-01-01T00:00:00Z",
        },
        "Image": "sha256:0",
        "Name": "/waha",
        "RestartCount": 0,
        "HostConfig": {
            "NetworkMode": "default",
            "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
            "Memory": 0,
            "NanoCpus": 0,
            "CpuPeriod": 0,
            "CpuQuota": 0,
            "CpusetCpus": "",
        },
        "Config": {"Env": [f"WAHA_API_KEY={API_KEY}"], "Labels": {"com.docker.compose.service": "waha"}},
        "NetworkSettings": {"Ports": {"3000/tcp": [{"HostIp": "0.0.0.0", "HostPort": "3000"}]}},
    }
    for part in ("State", "HostConfig"):
        answer[part].update(changes.pop(part, {}))
    return {**answer, **changes}


def _started(pid: int) -> str:
    process = proc.stat(pid)
    if process is None:
        return "2026-11-20T08:00:00.123456789Z"
    return datetime.fromtimestamp(wall_time_of(process.born), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "789Z"


def _longest_group(pid: int) -> str:
    """As a container's id stands there."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return max((line.rpartition("/")[2] for line in lines), key=len)


class Engine:
    """Knows containers by name or id, and rows of the list by label."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.containers: dict[str, dict[str, Any]] = {}
        self.labelled: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[str] = []
        self.status: int | None = None
        self.body: bytes | None = None
        self.hangs = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line = head.split(b"\r\n")[0].decode()
        self.asked.append(line)
        try:
            if self.hangs:
                await reader.read()
            else:
                status, body = self._answer(line.split()[1])
                answer = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(answer.encode() + body)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _answer(self, target: str) -> tuple[int, bytes]:
        if self.status is not None or self.body is not None:
            return self.status or 200, self.body or b'{"message":"no"}'
        parts = urlsplit(target)
        if parts.path == "/containers/json":
            (label,) = json.loads(parse_qs(parts.query)["filters"][0])["label"]
            return 200, json.dumps(self.labelled.get(label, [])).encode()
        name = parts.path.removeprefix("/containers/").removesuffix("/json")
        if name not in self.containers:
            return 404, json.dumps({"message": f"No such container: {name}"}).encode()
        return 200, json.dumps(self.containers[name]).encode()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Engine]:
    made = Engine(folder / "docker.sock")
    server = await asyncio.start_unix_server(made.serve, made.socket)
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    async with serving(tmp_path) as made:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{made.socket}")
        yield made


@pytest.fixture
def watch(engine: Engine, clock: SteppedClock) -> ProcessWatch:
    return ProcessWatch(Find(docker="waha"), clock=clock)


class TestFound:
    async def test_by_name_with_what_the_engine_knows_beside(
        self, engine: Engine, watch: ProcessWatch, theatre: Theatre
    ) -> None:
        gateway = theatre.puppet()
        gateway.spawn()
        engine.containers["waha"] = inspected(
            gateway.pid,
            RestartCount=3,
            State={"Health": {"Status": "healthy", "FailingStreak": 0, "Log": [{"Output": "x"}]}},
            HostConfig={
                "Memory": 512 << 20,
                "NanoCpus": 500_000_000,
                "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
            },
        )
        reading = await watch.read()
        assert (reading.exists, reading.pid, reading.processes, reading.detail) == (True, gateway.pid, 2, "")
        assert (reading.limit_bytes, reading.keeper, reading.oom_killed) == (512 << 20, "docker waha", False)
        assert watch.usage.container == Container("waha", "running", 3, oom_killed=False, health="healthy")
        assert engine.asked == ["GET /containers/waha/json HTTP/1.1"]
        assert API_KEY not in repr((reading, watch.usage))

    async def test_it_is_asked_again_each_minute_and_not_in_between(
        self, engine: Engine, watch: ProcessWatch, theatre: Theatre, clock: SteppedClock
    ) -> None:
        gateway = theatre.puppet()
        engine.containers["waha"] = inspected(gateway.pid)
        for _ in range(3):
            await watch.read()
            await watch.survey()
        assert len(engine.asked) == 1
        engine.containers["waha"] = inspected(gateway.pid, HostConfig={"Memory": 256 << 20}, State={"OOMKilled": True})
        clock.ahead += containers.EVERY
        await watch.survey()
        reading = await watch.read()
        assert len(engine.asked) == 2
        assert (reading.limit_bytes, reading.oom_killed) == (256 << 20, True)

    @pytest.mark.parametrize(
        ("given", "cpus"),
        [
            ({"NanoCpus": 1_500_000_000}, 1.5),
            ({"CpuQuota": 50_000, "CpuPeriod": 100_000}, 0.5),
            ({"CpuQuota": 50_000}, 0.5),
            ({"CpuQuota": -1, "CpuPeriod": 100_000}, None),
            # Podman's, for nothing.
            ({"NanoCpus": None, "CpuQuota": None, "CpuPeriod": None, "Memory": None, "RestartPolicy": None}, None),
        ],
    )
    async def test_its_cpus(
        self, engine: Engine, theatre: Theatre, clock: SteppedClock, given: dict[str, Any], cpus: float | None
    ) -> None:
        engine.containers["waha"] = inspected(theatre.puppet().pid, HostConfig=given)
        search = containers.ContainerSearch("waha", clock=clock)
        await search.find(seen_before=False)
        assert (search.limits.cpus, search.limits.memory, search.keeper) == (cpus, None, None)

    @pytest.mark.parametrize(
        ("policy", "restarts", "keeper"),
        [
            ({"Name": "always"}, 9, "docker waha"),
            ({"Name": "on-failure", "MaximumRetryCount": 0}, 9, "docker waha"),
            ({"Name": "on-failure", "MaximumRetryCount": 3}, 2, "docker waha"),
            ({"Name": "on-failure", "MaximumRetryCount": 3}, 3, None),
            ({"Name": "no"}, 0, None),
            ({"Name": ""}, 0, None),
        ],
    )
    async def test_who_brings_it_back(
        self, engine: Engine, theatre: Theatre, clock: SteppedClock, policy: dict[str, Any], restarts: int, keeper: str
    ) -> None:
        changes = {"RestartCount": restarts, "HostConfig": {"RestartPolicy": policy}}
        engine.containers["waha"] = inspected(theatre.puppet().pid, **changes)
        search = containers.ContainerSearch("waha", clock=clock)
        await search.find(seen_before=False)
        assert search.keeper == keeper

    async def test_a_container_with_a_label_is_found_also_when_it_was_made_anew(
        self, engine: Engine, theatre: Theatre, clock: SteppedClock
    ) -> None:
        label = "com.docker.compose.service=waha"
        old = theatre.puppet()
        engine.containers["aa"] = inspected(old.pid, Id="aa")
        engine.labelled[label] = [
            {"Id": "00", "Names": ["/waha-old"], "State": "exited"},
            {"Id": "aa", "Names": ["/compose-waha-1"], "State": "running"},
        ]
        watch = ProcessWatch(Find(docker=f"label={label}"), clock=clock)
        assert (await watch.read()).pid == old.pid
        new = theatre.puppet()
        engine.containers["bb"] = inspected(new.pid, Id="bb")
        engine.labelled[label] = [{"Id": "bb", "Names": ["/compose-waha-1"], "State": "running"}]
        old.kill()
        assert (await watch.read()).pid == new.pid

    async def test_a_process_in_its_control_group_is_it_whatever_the_clock_was(
        self, engine: Engine, watch: ProcessWatch, theatre: Theatre
    ) -> None:
        gateway = theatre.puppet()
        group = _longest_group(gateway.pid)
        if len(group) < 8:
            pytest.skip("the test runs in no control group of its own")
        engine.containers["waha"] = inspected(gateway.pid, Id=group, State={"StartedAt": "2020-01-01T00:00:00Z"})
        assert (await watch.read()).pid == gateway.pid


class TestReplaced:
    async def test_it_is_found_again_and_gone_only_when_the_engine_says_so(
        self, engine: Engine, watch: ProcessWatch, theatre: Theatre
    ) -> None:
        first = theatre.puppet()
        engine.containers["waha"] = inspected(first.pid)
        await watch.read()
        first.kill()
        just_ended = await watch.read()  # the engine has not noticed
        engine.containers["waha"] = inspected(State={"OOMKilled": True})
        gone = await watch.read()
        second = theatre.puppet()
        engine.containers["waha"] = inspected(second.pid, RestartCount=1)
        back = await watch.read()
        assert [one.exists for one in (just_ended, gone, back)] == [None, False, True]
        assert f"process {first.pid} of the container waha is not to be seen here" in just_ended.detail
        assert gone.detail == "the container waha is exited with code 7, killed for want of memory"
        assert (gone.oom_killed, back.pid) == (True, second.pid)
        assert back.run != gone.run

    async def test_without_the_engine_nothing_is_known_of_a_process_that_ended(
        self, engine: Engine, watch: ProcessWatch, theatre: Theatre
    ) -> None:
        gateway = theatre.puppet()
        engine.containers["waha"] = inspected(gateway.pid)
        await watch.read()
        engine.status = 500
        gateway.kill()
        reading = await watch.read()
        assert (reading.exists, reading.pid) == (None, None)
        assert reading.detail == "the engine answered 500 when it was asked about the container waha"

    async def test_an_engine_that_falls_silent_leaves_a_living_gateway_measured(
        self,
        engine: Engine,
        watch: ProcessWatch,
        theatre: Theatre,
        clock: SteppedClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        gateway = theatre.puppet()
        engine.containers["waha"] = inspected(gateway.pid, HostConfig={"Memory": 512 << 20})
        await watch.read()
        engine.status = 500
        with caplog.at_level("INFO", "wasupervisor.host.containers"):
            for _ in range(2):
                clock.ahead += containers.EVERY
                await watch.survey()
        reading = await watch.read()
        assert (reading.exists, reading.limit_bytes) == (True, 512 << 20)
        assert watch.usage.container is None
        said = "the engine answered 500 when it was asked about the container waha"
        assert watch.usage.notes == (f"The container of the gateway: {said}",)
        assert [one.getMessage() for one in caplog.records] == [said]

    async def test_a_hanging_engine_is_waited_for_once_in_a_while(
        self, engine: Engine, watch: ProcessWatch, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(containers, "IN_A_LOOK", 0.05)
        engine.hangs = True
        for _ in range(3):
            reading = await watch.read()
            assert (reading.exists, reading.detail) == (None, "the container engine has not answered within 0.05 s")
        assert len(engine.asked) == 1
        clock.ahead += 31
        await watch.read()
        assert len(engine.asked) == 2


class TestMissing:
    @pytest.mark.parametrize("status", ["created", "exited", "dead", "restarting"])
    async def test_a_container_that_does_not_run_has_no_process(
        self, engine: Engine, watch: ProcessWatch, status: str
    ) -> None:
        engine.containers["waha"] = inspected(State={"Status": status})
        reading = await watch.read()
        assert reading.exists is False
        assert reading.detail.startswith(f"the container waha is {status}")

    async def test_an_unknown_name_is_gone_only_when_it_was_known(
        self, engine: Engine, watch: ProcessWatch, theatre: Theatre
    ) -> None:
        before = await watch.read()
        gateway = theatre.puppet()
        engine.containers["waha"] = inspected(gateway.pid)
        await watch.read()
        gateway.kill()
        del engine.containers["waha"]
        after = await watch.read()
        assert (before.exists, after.exists) == (None, False)
        assert before.detail == "the engine knows no container waha; correct process.find.docker"

    async def test_several_containers_with_one_label_are_named_and_none_is_taken(
        self, engine: Engine, clock: SteppedClock
    ) -> None:
        engine.labelled["app=wa"] = [
            {"Id": "aa", "Names": ["/waha"], "State": "running"},
            {"Id": "bb", "Names": ["/evolution"], "State": "running"},
        ]
        reading = await ProcessWatch(Find(docker="label=app=wa"), clock=clock).read()
        assert reading.exists is None
        text = "2 containers have the label app=wa (evolution, waha); name one in process.find.docker"
        assert reading.detail == text

    async def test_no_container_with_a_label(self, engine: Engine, clock: SteppedClock) -> None:
        reading = await ProcessWatch(Find(docker="label=app=wa"), clock=clock).read()
        assert reading.detail == "no container has the label app=wa; correct process.find.docker"

    async def test_a_pid_of_another_namespace_is_not_taken(
        self, engine: Engine, watch: ProcessWatch, theatre: Theatre
    ) -> None:
        stranger = theatre.puppet()
        engine.containers["waha"] = inspected(stranger.pid, State={"StartedAt": "2020-01-01T00:00:00.5Z"})
        reading = await watch.read()
        assert (reading.exists, reading.pid) == (None, None)
        assert "then needs the host's processes (pid: host)" in reading.detail

    async def test_no_name_leads_to_another_path(self, engine: Engine, clock: SteppedClock) -> None:
        await ProcessWatch(Find(docker="../../images/json?x="), clock=clock).read()
        assert engine.asked == ["GET /containers/..%2F..%2Fimages%2Fjson%3Fx%3D/json HTTP/1.1"]

    @pytest.mark.parametrize(
        "body",
        [b"<html>", b"[]", b'{"Id": 3}', b"\xff", b"{" * 100_000, b" " * (1 << 20) + json.dumps(inspected()).encode()],
    )
    async def test_an_answer_of_another_shape_says_nothing(
        self, engine: Engine, watch: ProcessWatch, body: bytes
    ) -> None:
        engine.body = body
        reading = await watch.read()
        assert reading.exists is None
        assert reading.detail == "the engine's answer about the container waha is not what its API promises"

    async def test_a_filter_before_the_socket_is_told(self, engine: Engine, watch: ProcessWatch) -> None:
        engine.status = 403
        text = "the engine does not allow GET /containers; allow it where the socket is filtered"
        assert (await watch.read()).detail == text

    async def test_an_engine_that_is_not_there(
        self, engine: Engine, clock: SteppedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
        reading = await ProcessWatch(Find(docker="waha"), clock=clock).read()
        assert reading.exists is None
        assert "No such file or directory; is the engine running, and DOCKER_HOST right?" in reading.detail

    @pytest.mark.parametrize("host", ["tcp://h:2375", "ssh://me:pw@h", "unix://relative"])
    async def test_an_engine_elsewhere_is_not_asked(self, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKER_HOST", host)
        reading = await ProcessWatch(Find(docker="waha")).read()
        assert reading.exists is None
        assert reading.detail.startswith("DOCKER_HOST is not the path of a Unix socket")
        assert host not in reading.detail

    @pytest.mark.root
    async def test_a_socket_that_our_user_may_not_use_is_told_and_everything_stays_unknown(
        self, engine: Engine, watch: ProcessWatch, tmp_path: Path
    ) -> None:
        engine.socket.chmod(0o600)
        for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
            folder.chmod(0o755)
        with unprivileged():
            reading = await watch.read()
        assert engine.asked == []
        assert (reading.exists, reading.pid, watch.usage.container) == (None, None, None)
        assert reading.detail.endswith("is not permitted to our user: put the user into the socket's group (docker)")
