"""The port of HAProxy's agent-check in a daemon that runs: opened, answered from its looks, refused."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import anyio
import pytest
from test_runtime_daemon import Run, ended, running

from wasupervisor.config.loading import load
from wasupervisor.runtime.daemon import Daemon
from wasupervisor.runtime.startup import StartError

pytestmark = pytest.mark.anyio


def configure(it: Run, port: int) -> None:
    it.config.write_text(it.config.read_text().replace("health: {", f'health: {{haproxy_agent: "127.0.0.1:{port}", '))
    it.daemon = Daemon(load(it.config, {}), read_again=lambda: load(it.config, {}), environ={})


async def ask(port: int, line: bytes) -> bytes:
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(line)
        return b"".join([data async for data in stream])


async def test_the_agent_answers_for_as_long_as_the_daemon_lives(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with running(tmp_path, start=False) as it:
        configure(it, 0)
        async with anyio.create_task_group() as tasks:
            await tasks.start(it.live)
            await it.until_healthy()
            found = re.search(r"HAProxy's agent-check: 127\.0\.0\.1:(\d+)", caplog.text)
            assert found
            port = int(found[1])
            assert (await ask(port, b"\n")).startswith(b"up 100% # ")
            assert await ask(port, b"nobody\n") == b"fail # no session 'nobody' is known\n"
            # Another address counts from the next start on.
            it.config.write_text(it.config.read_text().replace('haproxy_agent: "127.0.0.1:0"', "haproxy_agent: null"))
            assert "health.haproxy_agent changed too" in (await it.daemon.reload()).text
            assert (await ask(port, b"\n")).startswith(b"up 100% # ")
            it.daemon.stop()
        await ended(it)
        with pytest.raises(OSError, match="connection"):
            await ask(port, b"\n")


async def test_an_address_that_is_taken_refuses_the_start_by_its_key(tmp_path: Path) -> None:
    async with running(tmp_path, start=False) as it:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            configure(it, taken.getsockname()[1])
            with pytest.raises(StartError, match=r"\(health\.haproxy_agent\): Address already in use: another program"):
                await it.daemon.run()
    assert not (tmp_path / "control.sock").exists()
