"""The real daemon as a process beside a simulated gateway as another, for tests over real HTTP and real signals."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

PATIENCE = 30.0
"""Seconds after which a test that waits for something gives up; it says nothing about speed."""

QUICK = """
gateway: {{kind: {kind}, url: "{url}", api_key: secret-key, poll_every: 100ms, timeout: 2s, action_timeout: 8s}}
recovery:
  failing_after: {{samples: 2, duration: 200ms}}
  starting_timeout: 1500ms
  startup_grace: 200ms
  stable_for: 500ms
  backoff: {{first: 500ms}}
  breaker: {{failures: 2, within: 30m, open_for: 1h, open_max: 1h}}
  budget: {{per_session_per_hour: 6, spacing: 0s}}
uplink: {{host: 127.0.0.1, port: {uplink_port}}}
health: {{listen: "127.0.0.1:0", file: {folder}/health.json}}
control: {{socket: {folder}/control.sock}}
state: {{directory: {state}}}
log: {{format: json}}
"""


def wait_until(what: str, check: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Ask again until the answer is true, and give it back."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = check()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"this never came true: {what}")


def read_line(process: subprocess.Popen[str], patience: float = PATIENCE) -> str:
    """The next line of a process's standard output."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], patience)
    if not ready:
        raise AssertionError("the process said nothing")
    return process.stdout.readline()


class Gateway:
    """A simulated gateway in a process of its own."""

    def __init__(self, kind: str = "waha", sessions: str = "3", *options: str, port: int = 0) -> None:
        command = [sys.executable, "-m", "wasupervisor.simulator", "--kind", kind, "--sessions", sessions]
        command += ["--port", str(port), "--api-key", "secret-key", "--speed", "8", *options]
        self.kind = kind
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.about = json.loads(read_line(self.process))
        self.url: str = self.about["url"]
        self.uplink_port: int = self.about["uplink_port"]
        self._control = httpx.Client(base_url=self.about["control_url"], trust_env=False)

    def fault(self, fault: str, **fields: Any) -> None:
        """Let it happen."""
        answer = self._control.post("/_simulator/fault", json={"fault": fault, **fields})
        assert answer.status_code == 200, answer.text

    def count(self, match: str) -> int:
        """How many calls fit the pattern, such as `POST */restart`."""
        return len(self._control.get("/_simulator/calls", params={"match": match}).json())

    def world(self) -> dict[str, Any]:
        """The truth about the gateway."""
        world: dict[str, Any] = self._control.get("/_simulator/world").json()
        return world

    def close(self) -> None:
        """End the process."""
        self._control.close()
        self.process.terminate()
        self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Supervisor:
    """The daemon in a process of its own; it may be started again in the same folder."""

    def __init__(
        self,
        folder: Path,
        gateway: Gateway,
        *,
        state: Path | None = None,
        more: str = "",
        environ: Mapping[str, str] = {},
    ) -> None:
        self.folder = folder
        self.state = state or folder / "state"
        self.config = folder / "config.yaml"
        self.log = folder / "daemon.log"
        self.config.write_text(self.settings(gateway) + more)
        self.program: tuple[str, ...] = ("-m", "wasupervisor")
        self._environ = {**os.environ, **environ}
        self.process: subprocess.Popen[str] | None = None
        self._http = httpx.Client(trust_env=False, timeout=PATIENCE)

    def settings(self, gateway: Gateway) -> str:
        """The configuration, with little patience."""
        return QUICK.format(
            kind=gateway.kind,
            url=gateway.url,
            uplink_port=gateway.uplink_port,
            folder=self.folder,
            state=self.state,
        )

    def start(self) -> Supervisor:
        """Start it and wait until its first cycle has finished."""
        self._spawn()
        wait_until("the daemon answers", self._answers)
        wait_until("the first cycle finished", lambda: self.get("/startupz").status_code == 200)
        return self

    def _spawn(self) -> None:
        with self.log.open("a") as log:
            self.log_from = log.tell()
            argv = [sys.executable, *self.program, "run", "-c", str(self.config)]
            self.process = subprocess.Popen(argv, stderr=log, text=True, env=self._environ)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.logged()
        return any("health: http://" in line for line in self.logged().splitlines())

    @property
    def url(self) -> str:
        """Of its health port, as it logs it."""
        line = next(line for line in self.logged().splitlines() if "health: http://" in line)
        url: str = json.loads(line)["message"].removeprefix("health: ").removesuffix("/health")
        return url

    def logged(self) -> str:
        """What it has logged since its last start."""
        with self.log.open() as log:
            log.seek(self.log_from)
            return log.read()

    def get(self, path: str) -> httpx.Response:
        """Ask the health port."""
        return self._http.get(self.url + path)

    def document(self) -> dict[str, Any]:
        """The health document."""
        document: dict[str, Any] = self.get("/health").json()
        return document

    def session(self, name: str) -> dict[str, Any]:
        """One session of it."""
        return next((one for one in self.document()["sessions"] if one["name"] == name), {})

    def until_condition(self, name: str, *conditions: str) -> dict[str, Any]:
        """Wait until a session has one of these conditions."""
        found: dict[str, Any] = wait_until(
            f"{name} is {' or '.join(conditions)}",
            lambda: (one := self.session(name)) and one["condition"] in conditions and one,
        )
        return found

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of the command line, as an operator types it."""
        return subprocess.run(
            [sys.executable, "-m", "wasupervisor", "-c", str(self.config), *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            env={**os.environ, "COLUMNS": "200"},
        )

    def history(self, *arguments: str) -> list[dict[str, Any]]:
        """The journal."""
        entries: list[dict[str, Any]] = json.loads(self.command("history", "--json", *arguments).stdout)
        return entries

    def signal(self, number: int) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; gives the exit status."""
        assert self.process is not None
        status = self.process.wait(PATIENCE)
        self.process = None
        return status

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """SIGKILL."""
        self.signal(signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        """End it, however it is."""
        self._http.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)


def refused(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `wasupervisor` with arguments that it should refuse at once."""
    return subprocess.run(
        [sys.executable, "-m", "wasupervisor", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        **options,
    )


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
