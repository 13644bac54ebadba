"""A leaking gateway under a real systemd: its unit is that of docs/process.md, the daemon's the one that we ship."""

from __future__ import annotations

import ctypes
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from gateway_runners import RunGateway
from leak_story import Lapse, configure, hook, leak_and_heal
from skipping import cannot
from stage import Gateway, free_port, wait_until
from systemd_container import Container
from systemd_fixtures import ETC, INSTALL, PYTHON, UNIT, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(420)]

UNITS = "/etc/systemd/system"
PAGE = (Path(__file__).parents[2] / "docs" / "process.md").read_text(encoding="utf-8")
PROGRAM = "/opt/wasupervisor/time_lapse.py"
RUNS = "[Service]\nExecStart=\nExecStart={argv}\n"
BY = "by: systemd, unit: waha.service"
FIND = "{systemd_unit: waha.service}"
CLONE_NEWNET = 0x40000000


class UnitGateway(RunGateway):
    """The page's unit, but that it runs the simulator."""

    def __init__(self, box: Container) -> None:
        uplink_port = free_port()
        super().__init__(uplink_port, "--uplink-port", str(uplink_port))
        self._box = box
        unit = re.findall(r"^```ini\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]
        box.path(f"{UNITS}/waha.service").write_text(unit)
        box.path(f"{UNITS}/waha.service.d").mkdir()
        argv = shlex.join([PYTHON, *self.argv[1:]])
        box.path(f"{UNITS}/waha.service.d/simulator.conf").write_text(RUNS.format(argv=argv))
        box.path("/etc/waha.env").write_text("")
        box.run("sh", "-c", "useradd --system waha && mkdir /opt/waha && systemctl daemon-reload")
        box.run("systemctl", "start", "waha")

    @property
    def pid(self) -> int:
        return int(self.show("MainPID"))

    def show(self, name: str) -> str:
        """A property of its unit."""
        return self._box.run("systemctl", "show", "--value", "-p", name, "waha").stdout.strip()

    def replace(self) -> None:
        self._box.run("systemctl", "restart", "waha")

    def close(self) -> None:
        """Leave nothing behind for the tests that come after."""
        self._box.run("systemctl", "stop", "waha", check=False)
        remove = f"rm -r {UNITS}/waha.service* /opt/waha /etc/waha.env && userdel waha && systemctl daemon-reload"
        self._box.run("sh", "-c", remove)


class UnitLapse(Lapse):
    """The shipped unit, but that time passes faster for the decider."""

    def __init__(self, box: Container, gateway: UnitGateway) -> None:
        self._box = box
        super().__init__(box.path(ETC), gateway)
        shutil.copy(self.program[0], box.path(PROGRAM))
        argv = f"{PYTHON} {PROGRAM} {ETC}/ahead run -c {ETC}/config.yaml"
        self._drop_in = box.path(f"{UNITS}/{UNIT}.d/lapse.conf")
        self._drop_in.write_text(RUNS.format(argv=argv))
        box.run("systemctl", "daemon-reload")

    def settings(self, gateway: Gateway) -> str:
        inside = super().settings(gateway).replace(f"{self.state}", "/var/lib/wasupervisor")
        return inside.replace(str(self.folder), "/run/wasupervisor").replace("127.0.0.1:0", "127.0.0.1:8090")

    def start(self) -> UnitLapse:
        self._box.run("systemctl", "start", UNIT)
        wait_until("the first cycle finished", lambda: self.get("/startupz").status_code == 200)
        return self

    @property
    def url(self) -> str:
        return "http://127.0.0.1:8090"

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._box.run("wasupervisor", *arguments, check=False)

    def close(self) -> None:
        super().close()
        self._box.run("systemctl", "stop", UNIT, check=False)
        self._drop_in.unlink()
        self._box.path(f"{ETC}/ahead").unlink()
        self._box.run("systemctl", "daemon-reload")


def join_network(box: Container) -> None:
    """From now on this thread, and those that it begins, speak with the container's loopback."""
    with (box.path("/").parent / "ns/net").open() as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "the container's network cannot be joined")


@pytest.fixture
def inside(service: Service) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1, initializer=join_network, initargs=(service.container,)) as one:
        yield one


def story(box: Container) -> None:
    with hook() as alerts, closing(UnitGateway(box)) as gateway:
        with closing(UnitLapse(box, gateway)) as it:
            configure(it, gateway, BY, alerts, find=FIND)
            told = leak_and_heal(it, gateway, alerts)
        assert box.run("stat", "-c", "%U", f"/proc/{gateway.pid}").stdout.strip() == "waha"
        assert gateway.show("NRestarts") == "0"
    # The page's TimeoutStopSec is enough: nothing is said of it.
    assert told.endswith("systemd restarted waha.service")


def test_the_page_s_unit_that_leaks_is_restarted_once_by_the_shipped_one(
    service: Service, inside: ThreadPoolExecutor
) -> None:
    if shutil.which("pkaction") is None:
        cannot("this machine has no polkit (Debian: polkitd)")
    assert f"find: {FIND}" in PAGE
    assert f"restart_gateway: {{{BY}}}" in PAGE
    service.container.run(INSTALL, "--allow-restart", "waha.service")
    inside.submit(story, service.container).result()
