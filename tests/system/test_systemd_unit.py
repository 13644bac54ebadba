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
from systemd_container import Container, UnavailableError, until, why_unavailable

pytestmark = [pytest.mark.root, pytest.mark.timeout(420)]

CHECKOUT = Path(__file__).parents[2]
UNIT = "wasupervisor.service"
ETC = "/etc/wasupervisor"
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


def cannot(reason: str) -> None:
    """Skipped with its reason on a developer's machine; in CI it must run."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """With wasupervisor installed by packaging/systemd/install.sh, and a simulated WAHA of three sessions."""
    if reason := why_unavailable():
        cannot(reason)
    box: Container | None = None
    try:
        box = Container(tmp_path_factory.mktemp("container"))
        install(box)
        box.boot()
        box.path(f"/etc/systemd/system/{UNIT}.d").mkdir()
        box.path(f"/etc/systemd/system/{UNIT}.d/quick.conf").write_text(QUICK)
        box.run("systemctl", "daemon-reload")
        simulator = ("/opt/wasupervisor/bin/python", "-m", "wasupervisor.simulator", "--kind", "waha")
        box.run("systemd-run", "--unit=simulator", "-q", *simulator, "--sessions", "3", "--port", "3000")
        yield box
    except UnavailableError as error:
        cannot(str(error))
    finally:
        if box is not None:
            box.close()


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
    """The unit in the container."""

    def __init__(self, container: Container) -> None:
        self.container = container

    def configure(self, text: str) -> None:
        self.container.path(f"{ETC}/config.yaml").write_text(text)

    def systemctl(self, *words: str, check: bool = True) -> str:
        return self.container.run("systemctl", *words, UNIT, check=check).stdout.strip()

    def start(self) -> None:
        if self.container.run("systemctl", "start", UNIT, check=False).returncode != 0:
            pytest.fail(f"the unit did not start:\n{self.journal()}")

    def show(self, name: str) -> str:
        return self.systemctl("show", "--value", "-p", name)

    def health(self) -> dict[str, Any]:
        """The health file; empty while there is none."""
        try:
            document: dict[str, Any] = json.loads(self.container.path("/run/wasupervisor/health.json").read_bytes())
        except FileNotFoundError:
            return {}
        return document

    def forget_health(self) -> None:
        """So that what is read next is not from an earlier process."""
        self.container.path("/run/wasupervisor/health.json").unlink(missing_ok=True)

    def journal(self) -> str:
        return self.container.run("journalctl", "-u", UNIT, "-o", "cat", "--no-pager", "-n", "50").stdout

    def wasupervisor(self, *words: str) -> str:
        return self.container.run("/usr/local/bin/wasupervisor", *words).stdout

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


def test_start_returns_when_the_daemon_is_ready(service: Service) -> None:
    service.start()
    assert service.show("ActiveState") == "active"
    service.wait_until_well()
    service.wait("a status line in systemctl", lambda: service.show("StatusText") != "")
    assert service.show("NRestarts") == "0"


def test_the_daemon_is_not_root_and_its_folders_are_closed(service: Service) -> None:
    service.start()
    container = service.container
    owner = container.run("stat", "-c", "%U", f"/proc/{service.show('MainPID')}").stdout.strip()
    assert owner == "wasupervisor"
    modes = container.run("stat", "-c", "%a %U", "/var/lib/wasupervisor", "/run/wasupervisor", ETC)
    assert modes.stdout.splitlines() == ["700 wasupervisor", "755 wasupervisor", "750 root"]


def test_reload_reads_the_configuration_again(service: Service) -> None:
    service.start()
    service.wait_until_well()
    service.configure(CONFIG + "sessions: {include: [nobody]}\n")
    service.systemctl("reload")
    service.wait("no session any more", lambda: service.health()["connections"]["total"] == 0)
    assert service.show("ActiveState") == "active"
    assert service.show("NRestarts") == "0"


def test_a_bad_reload_keeps_the_daemon_running(service: Service) -> None:
    service.start()
    service.wait_until_well()
    service.configure("gateway: {kind: nonsense}\n")
    service.systemctl("reload")
    service.wait("why the file was refused", lambda: "nonsense" in service.journal())
    service.wait("the unit is active, not reloading for ever", lambda: service.show("ActiveState") == "active")
    assert service.health()["connections"]["active"] == 3


def test_a_daemon_that_stands_still_is_replaced_and_the_next_remembers(service: Service) -> None:
    service.start()
    service.wait_until_well()
    service.wasupervisor("pause", "--reason", "the test says so")
    first = service.show("MainPID")
    service.container.run("kill", "-STOP", first)
    service.forget_health()
    service.wait("a restart by the watchdog", lambda: service.show("NRestarts") == "1")
    service.wait("a second process", lambda: service.show("MainPID") not in {first, "0"})
    service.wait_until_well()
    assert service.health()["paused"]["reason"] == "the test says so"
    assert "Watchdog timeout" in service.journal()
    service.wasupervisor("resume")


def test_stop_is_clean_and_the_health_file_says_so(service: Service) -> None:
    service.start()
    service.wait_until_well()
    service.systemctl("stop")
    assert service.show("Result") == "success"
    assert service.show("ExecMainStatus") == "0"
    assert service.health()["status"] == "stopped"


def test_a_bad_configuration_is_told_and_not_tried_again(service: Service) -> None:
    service.configure("gateway: {kind: nonsense, url: 'http://127.0.0.1:3000'}\n")
    assert service.container.run("systemctl", "start", UNIT, check=False).returncode != 0
    assert service.show("ExecMainStatus") == "2"
    # RestartSec is 200 ms: a restart would be scheduled or under way by now.
    assert service.show("ActiveState") == "failed"
    assert service.show("NRestarts") == "0"
    assert "nonsense" in service.journal()


def test_the_secret_comes_from_the_environment_file(service: Service) -> None:
    service.configure(CONFIG.replace("timeout: 2s", "timeout: 2s, api_key: '${WAHA_API_KEY}'"))
    environment = service.container.path(f"{ETC}/environment")
    template = environment.read_text()
    assert service.container.run("systemctl", "start", UNIT, check=False).returncode != 0
    assert "WAHA_API_KEY" in service.journal()
    environment.write_text(template + "WAHA_API_KEY=a-secret-of-the-test\n")
    try:
        service.start()
        service.wait_until_well()
        assert "a-secret-of-the-test" not in service.journal()
    finally:
        environment.write_text(template)


def test_an_upgrade_keeps_what_a_person_edited(service: Service) -> None:
    # install() has put one edit into each file between two runs of the script, and then gathered both here.
    assert service.container.path(f"{ETC}/environment").read_text().count("# edited by a person") == 2


AS_US = ("setpriv", "--reuid=wasupervisor", "--regid=wasupervisor", "--clear-groups")
RESTART = """
import anyio
from wasupervisor.host.restart_systemd import SystemdRestarter
done = anyio.run(SystemdRestarter("{unit}").restart)
print(done.outcome, done.detail)
"""


def test_the_gateways_unit_is_restarted_by_systemd_if_it_lets_us(service: Service) -> None:
    box, python = service.container, "/opt/wasupervisor/bin/python"

    def pid() -> str:
        return box.run("systemctl", "show", "--value", "-p", "MainPID", "simulator").stdout.strip()

    first = pid()
    told = box.run(*AS_US, python, "-c", RESTART.format(unit="simulator")).stdout
    assert told.startswith("refused systemd did not restart simulator.service: ")
    assert "; let our user do it: packaging/systemd/install.sh --allow-restart simulator.service" in told
    assert pid() == first
    told = box.run(python, "-c", RESTART.format(unit="simulator")).stdout
    assert told == "accepted systemd restarted simulator.service\n"
    assert pid() not in {first, "0"}
    told = box.run(python, "-c", RESTART.format(unit="nobody")).stdout
    assert "Unit nobody.service not found; correct recovery.restart_gateway.unit" in told


WAHA = "waha.service"
# It ignores TERM, so that systemd has to kill it; its sessions are those of any other.
WAHA_UNIT = """
[Service]
ExecStart=/usr/bin/env --block-signal=TERM /opt/wasupervisor/bin/python -m wasupervisor.simulator --kind waha \\
    --sessions 3 --port 3001
TimeoutStopSec=2
"""
RESTARTS_WAHA = """
gateway: {kind: waha, url: "http://127.0.0.1:3001", poll_every: 200ms, timeout: 1s}
process: {find: {systemd_unit: waha.service}}
recovery:
  restart_gateway: {by: systemd, unit: waha.service, drain: 0s}
  gateway: {hung_after: 1s, gone_after: 1s}
  startup_grace: 200ms
  stable_for: 300ms
uplink: null
"""
LIVEZ = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8090/livez', timeout=5).status)"


@pytest.fixture
def waha(service: Service) -> Iterator[Callable[[str], str]]:
    """The gateway as a unit of its own; asks for its properties."""
    box = service.container
    box.path(f"/etc/systemd/system/{WAHA}").write_text(WAHA_UNIT)
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "start", WAHA)
    service.configure(RESTARTS_WAHA)
    yield lambda name: box.run("systemctl", "show", "--value", "-p", name, WAHA).stdout.strip()
    box.run("systemctl", "stop", WAHA, check=False)


def of_restarts(service: Service) -> list[tuple[str, str]]:
    entries = json.loads(service.wasupervisor("history", "--json"))
    return [(str(one["outcome"]), str(one["text"])) for one in entries if one["remedy"] == "restart_gateway"]


def test_the_daemon_restarts_its_gateways_unit_by_the_rule_that_we_ship(
    service: Service, waha: Callable[[str], str]
) -> None:
    if shutil.which("pkaction") is None:
        cannot("this machine has no polkit (Debian: polkitd)")
    box = service.container
    for name in ("install.sh", "polkit.rules"):
        box.path(f"/root/{name}").write_bytes((CHECKOUT / "packaging/systemd" / name).read_bytes())
    assert "may restart waha.service now" in box.run("sh", "/root/install.sh", "--allow-restart", "waha").stdout
    for order in (("stop", WAHA), ("restart", "simulator"), ("daemon-reload",)):
        assert box.run(*AS_US, "systemctl", "--no-ask-password", *order, check=False).returncode != 0
    service.start()
    service.wait_until_well()
    first = waha("MainPID")

    box.run("kill", "-STOP", first)
    live: list[str] = []

    def is_replaced() -> bool:
        live.append(box.run("/opt/wasupervisor/bin/python", "-c", LIVEZ).stdout.strip())
        return any(outcome == "healed" for outcome, _ in of_restarts(service))

    service.wait("a restart that is verified", is_replaced)
    assert set(live) == {"200"}
    assert waha("MainPID") not in {first, "0"}
    (told,) = [text for outcome, text in of_restarts(service) if outcome == "accepted"]
    assert "systemd restarted waha.service; it had 2 s to stop, and WAHA needs 30: set TimeoutStopSec" in told
    assert waha("NRestarts") == "0"


# The last one: afterwards there is no service.
def test_a_removal_keeps_configuration_and_state(service: Service) -> None:
    container = service.container
    service.systemctl("enable", "--now")
    service.wait_until_well()
    container.path("/root/install.sh").write_bytes((CHECKOUT / "packaging/systemd/install.sh").read_bytes())
    for _ in range(2):
        container.run("sh", "/root/install.sh", "--uninstall")
    assert not container.path("/etc/polkit-1/rules.d/50-wasupervisor.rules").exists()
    assert service.show("LoadState") == "not-found"
    assert service.show("ActiveState") == "inactive"
    gone = ("/opt/wasupervisor", "/usr/local/bin/wasupervisor", "/etc/systemd/system/multi-user.target.wants/" + UNIT)
    assert not [path for path in gone if os.path.lexists(container.path(path))]
    assert container.path(f"{ETC}/config.yaml").exists()
    assert any(container.path("/var/lib/wasupervisor").iterdir())
