"""The life of the unit as it is shipped, under a real systemd."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from skipping import cannot
from systemd_fixtures import AS_US, CONFIG, ETC, INSTALL, PYTHON, UNIT, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(420)]


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


RESTART = """
import anyio
from wasupervisor.host.restart_systemd import SystemdRestarter
done = anyio.run(SystemdRestarter("{unit}").restart)
print(done.outcome, done.detail)
"""


def test_the_gateways_unit_is_restarted_by_systemd_if_it_lets_us(service: Service) -> None:
    box, python = service.container, PYTHON

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
    assert "may restart other.service, waha.service now" in box.run(INSTALL, "--allow-restart", "other", WAHA).stdout
    for order in (("stop", WAHA), ("restart", "simulator"), ("daemon-reload",)):
        assert box.run(*AS_US, "systemctl", "--no-ask-password", *order, check=False).returncode != 0
    service.start()
    service.wait_until_well()
    first = waha("MainPID")

    box.run("kill", "-STOP", first)
    live: list[str] = []

    def is_replaced() -> bool:
        live.append(box.run(PYTHON, "-c", LIVEZ).stdout.strip())
        return any(outcome == "healed" for outcome, _ in of_restarts(service))

    service.wait("a restart that is verified", is_replaced)
    assert set(live) == {"200"}
    assert waha("MainPID") not in {first, "0"}
    (told,) = [text for outcome, text in of_restarts(service) if outcome == "accepted"]
    assert "systemd restarted waha.service; it had 2 s to stop, and WAHA needs 30: set TimeoutStopSec" in told
    assert waha("NRestarts") == "0"


SOCKET = "wasupervisor.socket"
# Its connection waits while the daemon is started in vain, and is cut off when the socket is given up.
PROBE = "import socket; print(socket.create_connection(('127.0.0.1', 8090), 5).recv(1))"


def test_a_refused_configuration_costs_the_socket_and_not_the_daemon(service: Service) -> None:
    box = service.container
    service.configure("gateway: {kind: nonsense}\n")
    box.run("systemctl", "start", SOCKET)
    try:
        box.run("systemd-run", "-q", "--unit=probe", PYTHON, "-c", PROBE)
        service.wait("an end", lambda: box.run("systemctl", "is-failed", SOCKET, check=False).returncode == 0)
        assert box.run("systemctl", "show", "--value", "-p", "Result", SOCKET).stdout == "trigger-limit-hit\n"
        service.configure(CONFIG)
        service.start()
        service.wait_until_well()
        assert box.run(PYTHON, "-c", LIVEZ).stdout == "200\n"
    finally:
        box.run("systemctl", "stop", SOCKET)
        box.run("systemctl", "reset-failed", check=False)


# Where units, rules, catalogs and links lie.
PLACES = (
    "/etc/systemd/system",
    "/etc/sysusers.d",
    "/etc/tmpfiles.d",
    "/etc/polkit-1/rules.d",
    "/usr/local/lib/systemd",
    "/usr/local/bin",
)


# The last one of all modules: afterwards there is no service.
def test_a_removal_keeps_configuration_and_state(service: Service) -> None:
    container = service.container
    service.systemctl("enable", "--now")
    service.wait_until_well()
    container.run(INSTALL, "--allow-command")
    # Not ours: a person's.
    assert container.path(f"/etc/systemd/system/{UNIT}.d/quick.conf").exists()
    for _ in range(2):
        container.run(INSTALL, "--uninstall")
    assert service.show("LoadState") == "not-found"
    assert service.show("ActiveState") == "inactive"
    left = container.run("find", *PLACES, "-name", "*wasupervisor*", "-o", "-name", "allow-*", check=False)
    assert left.stdout.split() == [f"/etc/systemd/system/{UNIT}.d"]
    assert not os.path.lexists(container.path("/opt/wasupervisor"))
    assert "wasupervisor" not in container.run("journalctl", "--list-catalog").stdout
    assert container.path(f"{ETC}/config.yaml").exists()
    assert any(container.path("/var/lib/wasupervisor").iterdir())
