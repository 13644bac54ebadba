"""Real queues of Bull and BullMQ, driven through node."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis_fixtures import RedisServer
from skipping import cannot

DRIVER = Path(__file__).with_name("bull_driver.cjs")
LIBRARIES = Path(sys.prefix) / "npm"
"""Where `make test` installs them."""


class Bull:
    """A node process that knows all versions of both libraries: bull, bullmq (5), bullmq3, bullmq4, bullmq6."""

    def __init__(self, node: str, port: int) -> None:
        self.process = subprocess.Popen(
            [node, str(DRIVER), str(LIBRARIES), str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def call(self, library: str, queue: str, call: str, prefix: str = "bull", **request: Any) -> Any:
        """One request to the library; its result."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        message = {"library": library, "prefix": prefix, "queue": queue, "call": call, **request}
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def add(self, library: str, queue: str, number: int = 1, prefix: str = "bull", **opts: Any) -> list[str]:
        """Jobs; their ids."""
        return [self.call(library, queue, "add", prefix, opts=opts) for _ in range(number)]

    def work(self, library: str, queue: str, outcome: str, number: int, prefix: str = "bull") -> None:
        """Let jobs be taken: completed, failed, or active and never done."""
        self.call(library, queue, "work", prefix, outcome=outcome, number=number)

    def stop(self) -> None:
        """End it, with all its workers."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="session")
def shared_bull(shared_redis: RedisServer) -> Iterator[Bull]:
    """One node process for each server: to load the libraries takes longest."""
    node = shutil.which("node")
    if node is None or not (LIBRARIES / "node_modules" / "bullmq").is_dir():
        cannot("needs BullMQ for node: `make test` installs it where there is npm")
    it = Bull(node, shared_redis.port)
    yield it
    it.stop()


@pytest.fixture
def bull(redis_server: RedisServer, shared_bull: Bull) -> Iterator[Bull]:
    """The libraries on the empty `redis_server`."""
    yield shared_bull
    shared_bull.call("", "", "reset")
