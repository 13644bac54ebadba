"""The unit as it is shipped, installed by the script that the README names, under a real systemd."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from skipping import cannot
from systemd_container import Container, UnavailableError, until, why_unavailable

CHECKOUT = Path(__file__).parents[2]
UNIT = "wasupervisor.service"
ETC = "/etc/wasupervisor"
PYTHON = "/opt/wasupervisor/bin/python"
SIMULATOR = (PYTHON, "-m", "wasupervisor.simulator", "--kind", "waha", "--sessions", "3")
INSTALL = "/root/systemd/install.sh"
CONFIG = """
gateway: {kind: waha, url: "http://127.0.0.1:3000", poll_every: 200ms, timeout: 2s}
uplink: null
"""
# The shipped 90 s and 5 s are too long to wait for.
QUICK = """
[Service]
WatchdogSec=3
RestartSec=200ms
"""
AS_US = ("setpriv", "--reuid=wasupervisor", "--regid=wasupervisor", "--clear-groups")


@pytest.fixture(scope="session")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """With wasupervisor installed by packaging/systemd/install.sh, and a simulated WAHA of three sessions."""
    if reason := why_unavailable():
        cannot(reason)
    box: Container | None = None
    try:
        box = Container(tmp_path_factory.mktemp("container"))
        install(box)
        box.boot()
        # As in the checkout, which is not seen from here on.
        shutil.copytree(CHECKOUT / "packaging/systemd", box.path("/root/systemd"))
        box.path(f"/etc/systemd/system/{UNIT}.d").mkdir()
        box.path(f"/etc/systemd/system/{UNIT}.d/quick.conf").write_text(QUICK)
        box.run("systemctl", "daemon-reload")
        simulate(box, "simulator", "--port", "3000")
        yield box
    except UnavailableError as error:
        cannot(str(error))
    finally:
        if box is not None:
            box.close()


def simulate(box: Container, unit: str, *options: str) -> None:
    """A gateway of three sessions as a unit; it is root's, and so another user's than ours."""
    box.run("systemd-run", f"--unit={unit}", "-q", *SIMULATOR, *options)


def install(box: Container) -> None:
    """As a person does, twice; pip may need this machine's settings for the network."""
    settings = {
        name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.lower().endswith("_proxy")
    }
    script = str(CHECKOUT / "packaging/systemd/install.sh")
    again = f"{script} && echo '# edited by a person' | tee -a {ETC}/environment >>{ETC}/config.yaml && {script}"
    again += f" && tail -n 1 {ETC}/config.yaml >>{ETC}/environment"
    try:
        box.prepare("/bin/sh", "-c", again, bind=CHECKOUT, environ=settings)
    except subprocess.CalledProcessError as error:
        pytest.fail(f"install.sh failed: {error.output}")


class Service:
    """The unit in the container, or an instance of wasupervisor@.service."""

    def __init__(self, container: Container, instance: str = "") -> None:
        self.container = container
        self.unit = f"wasupervisor@{instance}.service" if instance else UNIT
        self.config = f"{ETC}/{instance or 'config'}.yaml"
        self._health = f"/run/wasupervisor/{instance}/health.json".replace("//", "/")

    def configure(self, text: str) -> None:
        self.container.path(self.config).write_text(text)

    def systemctl(self, *words: str, check: bool = True) -> str:
        return self.container.run("systemctl", *words, self.unit, check=check).stdout.strip()

    def start(self) -> None:
        if self.container.run("systemctl", "start", self.unit, check=False).returncode != 0:
            pytest.fail(f"the unit did not start:\n{self.journal()}")

    def show(self, name: str) -> str:
        return self.systemctl("show", "--value", "-p", name)

    def health(self) -> dict[str, Any]:
        """The health file; empty while there is none."""
        try:
            document: dict[str, Any] = json.loads(self.container.path(self._health).read_bytes())
        except FileNotFoundError:
            return {}
        return document

    def forget_health(self) -> None:
        """So that what is read next is not from an earlier process."""
        self.container.path(self._health).unlink(missing_ok=True)

    def journal(self) -> str:
        return self.container.run("journalctl", "-u", self.unit, "-o", "cat", "--no-pager", "-n", "50").stdout

    def wasupervisor(self, *words: str) -> str:
        return self.container.run("wasupervisor", "-c", self.config, *words).stdout

    def wait(self, what: str, done: Callable[[], bool]) -> None:
        if not until(done):
            status = self.systemctl("status", check=False)
            pytest.fail(f"never seen: {what}\nhealth: {self.health()}\n{status}\n{self.journal()}")

    def wait_until_well(self) -> None:
        self.wait("three active sessions", lambda: self.health().get("connections", {}).get("active") == 3)


@pytest.fixture
def service(container: Container) -> Iterator[Service]:
    """Configured, not yet started; afterwards stopped and without a past."""
    it = Service(container)
    it.configure(CONFIG)
    it.forget_health()
    yield it
    it.systemctl("stop", check=False)
    it.systemctl("reset-failed", check=False)
    container.run("rm", "-rf", "/var/lib/wasupervisor")
