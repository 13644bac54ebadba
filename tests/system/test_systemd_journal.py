"""What systemd's journal knows of the unit as it is shipped: fields to ask for, and `journalctl -x` that explains."""

from __future__ import annotations

import json
from typing import Any

import pytest
from systemd_container import Container
from systemd_fixtures import CONFIG, PYTHON, Service, simulate

from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.sessions import Reason
from wasupervisor.runtime.message_ids import message_id

pytestmark = [pytest.mark.root, pytest.mark.timeout(420)]

QUICK = """
recovery:
  failing_after: {samples: 1, duration: 0s}
  startup_grace: 0s
  stable_for: 300ms
  backoff: {first: 100ms}
  budget: {spacing: 0s}
"""
FAULT = """
import urllib.request
body = b'{"fault": "failed", "session": "s1", "heals_after_restarts": 1}'
urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:3901/_simulator/fault", body)).read()
"""


def entries(box: Container, *matches: str) -> list[dict[str, Any]]:
    """Those of the journal that fit, oldest first."""
    told = box.run("journalctl", "-o", "json", "--no-pager", *matches, check=False).stdout
    return [json.loads(line) for line in told.splitlines()]


def test_journalctl_finds_what_was_done_for_a_session_and_explains_it(container: Container, service: Service) -> None:
    simulate(container, "failing", "--port", "3001", "--control-port", "3901")
    service.configure(CONFIG.replace(":3000", ":3001") + QUICK)
    service.start()
    service.wait_until_well()
    container.run(PYTHON, "-c", FAULT)
    service.wait("a healed session", lambda: entries(container, "SESSION=s1", "KIND=verified") != [])
    container.run("systemctl", "stop", "failing")

    (healed,) = entries(container, "SESSION=s1", "KIND=verified")
    assert {name: healed.get(name) for name in ("REMEDY", "OUTCOME", "PRIORITY", "SYSLOG_IDENTIFIER")} == {
        "REMEDY": "restart_session",
        "OUTCOME": "healed",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "wasupervisor",
    }
    assert healed["REASON"] in set(Reason)
    assert (healed["_TRANSPORT"], healed["_SYSTEMD_UNIT"]) == ("journal", "wasupervisor.service")
    assert not [name for name in healed if name.startswith("CODE_")]
    kinds = [one["KIND"] for one in entries(container, "SESSION=s1")]
    assert [kind for kind in kinds if kind in ("remedy", "result", "verified")] == ["remedy", "result", "verified"]
    assert {one["SESSION"] for one in entries(container, "SESSION=s1")} == {"s1"}

    expected = message_id(Entry(EntryKind.VERIFIED, "", "s1", outcome="healed"))
    told = container.run("journalctl", "-x", "--no-pager", f"MESSAGE_ID={expected}").stdout
    assert "Subject: A remedy has healed" in told
    assert "wasupervisor history --session s1" in told
    verbose = container.run("journalctl", "-x", "-o", "verbose", "--no-pager", "SESSION=s1").stdout
    for field in (f"MESSAGE_ID={expected}", "SESSION=s1", "OUTCOME=healed"):
        assert field in verbose


def test_lines_that_are_no_entries_are_in_the_same_journal(container: Container, service: Service) -> None:
    service.start()
    service.wait_until_well()
    (hello,) = [one for one in entries(container, "-b", "-u", "wasupervisor") if "watches waha" in one["MESSAGE"]][-1:]
    assert (hello["_TRANSPORT"], hello["LOGGER"]) == ("journal", "wasupervisor.runtime.daemon")
    assert "MESSAGE_ID" not in hello


def test_before_there_is_a_log_and_after_a_refusal_the_journal_tells_why(
    container: Container, service: Service
) -> None:
    service.configure("gateway: {kind: waha}\n")
    assert container.run("systemctl", "start", service.unit, check=False).returncode != 0
    assert "gateway.url" in service.journal()
