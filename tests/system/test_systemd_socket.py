"""The socket unit as it is shipped: systemd listens in the daemon's place, and probes do not notice a restart."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
from systemd_container import Container
from systemd_fixtures import CONFIG, PYTHON, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(420)]

SOCKET = "wasupervisor.socket"
READYZ = 'import urllib.request; print(urllib.request.urlopen("http://127.0.0.1:8090/readyz", timeout=30).status)'
# One connection after the other, until it is told to end.
PROBES = """
import collections, json, os, urllib.error, urllib.request
told = collections.Counter()
while not os.path.exists("/run/probes-end"):
    try:
        told[str(urllib.request.urlopen("http://127.0.0.1:8090/readyz", timeout=30).status)] += 1
    except urllib.error.HTTPError as error:
        told[str(error.code)] += 1
    except OSError as error:
        told[repr(error)] += 1
    open("/run/probes-begun", "w").close()
print(json.dumps(told))
"""


@pytest.fixture
def listening(container: Container, service: Service) -> Iterator[None]:
    container.run("systemctl", "start", SOCKET)
    yield
    container.run("systemctl", "stop", SOCKET)


def test_no_probe_is_lost_in_restarts_by_systemd(container: Container, service: Service, listening: None) -> None:
    service.start()
    service.wait_until_well()
    service.wait("readiness", lambda: service.health().get("ready") is True)
    told: dict[str, int] = {}
    probing = threading.Thread(target=lambda: told.update(json.loads(container.run(PYTHON, "-c", PROBES).stdout)))
    probing.start()
    try:
        service.wait("a probe", container.path("/run/probes-begun").exists)
        for _ in range(3):
            service.systemctl("restart")
            service.systemctl("reload")
            service.wait_until_well()
    finally:
        container.path("/run/probes-end").touch()
        probing.join()
        container.run("rm", "-f", "/run/probes-end", "/run/probes-begun")
    assert set(told) == {"200"}
    assert service.show("NRestarts") == "0"


def test_a_probe_starts_a_daemon_that_does_not_run(container: Container, service: Service, listening: None) -> None:
    service.configure(CONFIG + "health: {rise: 1}\n")
    assert service.show("ActiveState") == "inactive"
    assert container.run(PYTHON, "-c", READYZ).stdout == "200\n"
    assert service.show("ActiveState") == "active"


def test_another_address_in_the_configuration_is_told(container: Container, service: Service, listening: None) -> None:
    service.configure(CONFIG + 'health: {listen: "127.0.0.1:8099"}\n')
    service.start()
    service.wait_until_well()
    assert "health.listen (127.0.0.1:8099) is not used: systemd listens on 127.0.0.1:8090" in service.journal()
    assert "is not used" in service.wasupervisor("history")
