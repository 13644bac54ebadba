"""Restarts by a container engine: a stand-in on a real Unix socket, with the answers that its published API names."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from host_theatre import unprivileged

from wasupervisor.host.restart_docker import DockerRestarter
from wasupervisor.host.restarter import Restarted
from wasupervisor.model.remedies import Outcome

pytestmark = pytest.mark.anyio


# What dockerd 24 tells of a container, cut to a few of its fields (API 1.43, ContainerInspect).
TOLD: dict[str, Any] = {
    "Id": "4e2c0f0b",
    "State": {"Status": "running", "Running": True, "Pid": 4711, "OOMKilled": False},
    "Name": "/waha",
    "RestartCount": 0,
    "HostConfig": {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}},
    "Config": {"Hostname": "4e2c0f0b", "Env": ["WAHA_API_KEY=secret"], "Image": "devlikeapro/waha"},
}
RESTART = "POST /containers/waha/restart?t=30 HTTP/1.1"


class Engine:
    """Answers one status, with the body that dockerd sends along (API 1.41, ErrorResponse)."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.status = 204
        self.message: str | None = None
        self.body: bytes | None = None
        self.config: dict[str, Any] = {}
        self.inspected = 200, b""
        self.listed: tuple[int, list[dict[str, Any]] | bytes] = 200, []
        self.hangs: tuple[str, ...] = ()
        self.breaks_off: tuple[str, ...] = ()
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.split(b"\r\n")[0].decode())
        method, target = (word.decode() for word in head.split()[:2])
        try:
            if method in self.hangs:
                await reader.read()
            elif method not in self.breaks_off:
                about_all = target.startswith("/containers/json?")
                writer.write(self._list() if about_all else self._told() if method == "GET" else self._answer())
                await writer.drain()
        finally:
            writer.close()

    def _list(self) -> bytes:
        status, rows = self.listed
        return self._http(status, rows if isinstance(rows, bytes) else json.dumps(rows).encode())

    def _told(self) -> bytes:
        status, body = self.inspected
        told = json.dumps({**TOLD, "Config": {**TOLD["Config"], **self.config}}).encode()
        return self._http(status, body or told)

    def _answer(self) -> bytes:
        body = json.dumps({"message": self.message}).encode() if self.message is not None else self.body or b""
        return self._http(self.status, body)

    @staticmethod
    def _http(status: int, body: bytes) -> bytes:
        lines = [f"HTTP/1.1 {status} X", "Api-Version: 1.41", "Docker-Experimental: false"]
        if status != 204:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def restarter(self, container: str = "waha", **limits: float) -> DockerRestarter:
        return DockerRestarter(container, environ={"DOCKER_HOST": f"unix://{self.socket}"}, **limits)


@asynccontextmanager
async def engine(folder: Path) -> AsyncIterator[Engine]:
    made = Engine(folder / "docker.sock")
    server = await asyncio.start_unix_server(made.serve, made.socket)
    try:
        yield made
    finally:
        server.close()
        await server.wait_closed()


async def test_the_engine_gives_the_container_30_seconds_to_stop(tmp_path: Path) -> None:
    async with engine(tmp_path) as it:
        done = await it.restarter().restart()
        assert done == Restarted(Outcome.ACCEPTED, "the engine restarted the container waha, with 30 s to stop")
        assert it.asked == ["GET /containers/waha/json HTTP/1.1", RESTART]


@pytest.mark.parametrize(
    ("config", "seconds", "told"),
    [
        ({"StopTimeout": 10}, 30, "with 30 s to stop"),
        ({"StopTimeout": 120, "StopSignal": "SIGTERM"}, 120, "with 120 s to stop"),
        ({"StopTimeout": -1}, 600, "with 600 s to stop"),
        ({"StopTimeout": 86400}, 600, "with 600 s to stop"),
        ({"StopTimeout": None, "StopSignal": "SIGINT"}, 30, "with 30 s to stop by its own signal SIGINT"),
    ],
)
async def test_what_the_container_asks_for_is_respected(
    tmp_path: Path, config: dict[str, Any], seconds: int, told: str
) -> None:
    async with engine(tmp_path) as it:
        it.config = config
        done = await it.restarter().restart()
        assert done == Restarted(Outcome.ACCEPTED, f"the engine restarted the container waha, {told}")
        assert it.asked[1] == f"POST /containers/waha/restart?t={seconds} HTTP/1.1"


@pytest.mark.parametrize(
    ("status", "body", "told"), [(403, b"Forbidden", "403"), (200, b"[]", "200"), (500, b'{"message": "x"}', "500")]
)
async def test_a_socket_that_lets_only_the_restart_through_is_enough(
    tmp_path: Path, status: int, body: bytes, told: str
) -> None:
    async with engine(tmp_path) as it:
        it.inspected = status, body
        done = await it.restarter().restart()
        assert done.outcome is Outcome.ACCEPTED
        assert done.detail.endswith(f"with 30 s to stop (its StopTimeout could not be read: {told})")
        assert it.asked[1] == RESTART


async def test_a_container_that_is_not_there_is_not_restarted(tmp_path: Path) -> None:
    async with engine(tmp_path) as it:
        it.inspected = 404, b'{"message":"No such container: waha"}'
        done = await it.restarter().restart()
        text = "(404: No such container: waha); correct recovery.restart_gateway.container"
        assert done == Restarted(Outcome.REFUSED, f"the engine did not restart the container waha {text}")
        assert len(it.asked) == 1


async def test_an_engine_that_does_not_tell_in_time_is_asked_to_restart_all_the_same(tmp_path: Path) -> None:
    async with engine(tmp_path) as it:
        it.hangs = ("GET",)
        done = await it.restarter(look=0.1).restart()
        assert done.outcome is Outcome.ACCEPTED
        assert done.detail.endswith("(it could not be asked for its StopTimeout in time)")


async def test_an_engine_that_breaks_off_before_was_certainly_not_asked(tmp_path: Path) -> None:
    async with engine(tmp_path) as it:
        it.breaks_off = ("GET", "POST")
        done = await it.restarter().restart()
        text = "the engine broke off before it was asked to restart waha (RemoteProtocolError)"
        assert done == Restarted(Outcome.UNREACHABLE, text)


async def test_no_name_leads_to_another_path(tmp_path: Path) -> None:
    async with engine(tmp_path) as it:
        await it.restarter("../../volumes/prune?x=").restart()
        folder = "/containers/..%2F..%2Fvolumes%2Fprune%3Fx%3D"
        assert it.asked == [f"GET {folder}/json HTTP/1.1", f"POST {folder}/restart?t=30 HTTP/1.1"]


@pytest.mark.parametrize(
    ("status", "message", "detail"),
    [
        (404, "No such container: waha", "(404: No such container: waha); correct recovery.restart_gateway.container"),
        (403, "authorization denied by plugin", "(403: authorization denied by plugin); allow this call where the"),
        (500, "Cannot restart container waha: OCI\nruntime", "(500: Cannot restart container waha: OCI runtime)"),
        (500, "container start: token=abc is bad", "(500: container start: token=*** is bad)"),
        (304, None, "(304)"),
    ],
)
async def test_what_the_engine_refuses_is_told(tmp_path: Path, status: int, message: str | None, detail: str) -> None:
    async with engine(tmp_path) as it:
        it.status, it.message = status, message
        done = await it.restarter().restart()
    assert done.outcome is Outcome.REFUSED
    assert done.detail.startswith("the engine did not restart the container waha ")
    assert detail in done.detail


@pytest.mark.parametrize("body", [b"<html>", b'{"message": 3}', b"[]", b"\xff", b""])
async def test_an_answer_of_another_shape_is_refused_without_its_words(tmp_path: Path, body: bytes) -> None:
    async with engine(tmp_path) as it:
        it.status, it.body = 502, body
        done = await it.restarter().restart()
    assert done == Restarted(Outcome.REFUSED, "the engine did not restart the container waha (502)")


async def test_a_call_that_lasts_may_still_be_carried_out(tmp_path: Path) -> None:
    async with engine(tmp_path) as it:
        it.hangs = ("POST",)
        done = await it.restarter(besides=-29.8).restart()
    text = "the engine has not restarted waha within 0.2 s; it may go on with it"
    assert done == Restarted(Outcome.TIMED_OUT, text)


async def test_a_call_that_was_broken_off_counts_as_made(tmp_path: Path) -> None:
    async with engine(tmp_path) as it:
        it.breaks_off = ("POST",)
        done = await it.restarter().restart()
    assert done == Restarted(Outcome.TIMED_OUT, "the engine broke off the call (RemoteProtocolError)")


async def test_an_engine_that_is_not_there_was_certainly_not_asked(tmp_path: Path) -> None:
    async with engine(tmp_path) as it:
        gone = it.restarter()
    done = await gone.restart()
    assert done.outcome is Outcome.UNREACHABLE
    assert "Connection refused; is the engine running, and DOCKER_HOST right?" in done.detail
    (tmp_path / "docker.sock").unlink()
    assert "No such file or directory" in (await gone.restart()).detail


@pytest.mark.root
async def test_a_socket_that_our_user_may_not_use_is_told(tmp_path: Path) -> None:
    async with engine(tmp_path) as it:
        it.socket.chmod(0o600)
        for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
            folder.chmod(0o755)
        with unprivileged():
            done = await it.restarter().restart()
        assert it.asked == []
    assert done.outcome is Outcome.REFUSED
    assert done.detail.endswith("is not permitted to our user: put the user into the socket's group (docker)")


@pytest.mark.parametrize("host", ["tcp://h:2375", "ssh://me:pw@h", "unix://relative", "fd://"])
async def test_an_engine_elsewhere_is_refused_without_its_address(host: str) -> None:
    done = await DockerRestarter("waha", environ={"DOCKER_HOST": host}).restart()
    assert done.outcome is Outcome.REFUSED
    assert done.detail.startswith("DOCKER_HOST is not the path of a Unix socket")
    assert host not in done.detail


async def test_the_usual_socket_is_taken_where_no_other_is_named() -> None:
    restarter = DockerRestarter("waha", environ={"DOCKER_HOST": ""})
    assert restarter._host == "unix:///var/run/docker.sock"
    await restarter.settle()
    assert (restarter.by, restarter.wanted_for) == ("docker", 0.0)


# By a label, as in process.find.docker


LIST = "GET /containers/json?all=true&filters=%7B%22label%22%3A%5B%22app%3Dwa%22%5D%7D HTTP/1.1"


def row(identity: str, name: str, state: str = "running") -> dict[str, Any]:
    """Cut from API 1.43, ContainerSummary."""
    return {"Id": identity, "Names": [f"/{name}"], "State": state, "Labels": {"app": "wa"}}


async def test_the_container_with_a_label_is_restarted_and_looked_for_anew_each_time(tmp_path: Path) -> None:
    async with engine(tmp_path) as it:
        restarter = it.restarter("label=app=wa")
        it.listed = 200, [row("4e2c", "app-waha-1"), row("0b0b", "app-waha-0", "exited")]
        done = await restarter.restart()
        assert done == Restarted(Outcome.ACCEPTED, "the engine restarted the container app-waha-1, with 30 s to stop")
        restart = "POST /containers/{}/restart?t=30 HTTP/1.1"
        assert it.asked == [LIST, "GET /containers/4e2c/json HTTP/1.1", restart.format("4e2c")]
        it.listed = 200, [row("77aa", "app-waha-1", "exited")]
        assert (await restarter.restart()).outcome is Outcome.ACCEPTED
        assert it.asked[-1] == restart.format("77aa")


@pytest.mark.parametrize(
    ("status", "rows", "detail"),
    [
        (
            200,
            [row("aa", "waha"), row("bb", "evolution")],
            "2 containers have the label app=wa (evolution, waha); name one in recovery.restart_gateway.container",
        ),
        (200, [], "no container has the label app=wa; correct recovery.restart_gateway.container"),
        (200, b"<html>", "the engine's answer about the label app=wa is not what its API promises"),
        (
            403,
            b'{"message": "denied"}',
            (
                "the engine does not tell which container has the label app=wa (403: denied); "
                "allow GET /containers/json where the socket is filtered"
            ),
        ),
        (500, b"", "the engine does not tell which container has the label app=wa (500)"),
    ],
)
async def test_where_it_is_not_told_which_one_nothing_is_restarted(
    tmp_path: Path, status: int, rows: list[dict[str, Any]] | bytes, detail: str
) -> None:
    async with engine(tmp_path) as it:
        it.listed = status, rows
        assert await it.restarter("label=app=wa").restart() == Restarted(Outcome.REFUSED, detail)
        assert it.asked == [LIST]


async def test_an_engine_that_does_not_tell_which_one_in_time_was_certainly_not_asked(tmp_path: Path) -> None:
    async with engine(tmp_path) as it:
        it.hangs = ("GET",)
        done = await it.restarter("label=app=wa", look=0.1).restart()
    text = "the engine has not told within 0.1 s which container has the label app=wa"
    assert done == Restarted(Outcome.UNREACHABLE, text)
