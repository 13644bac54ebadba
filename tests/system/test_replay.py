"""A real run, recorded and replayed by another process: the same byte by byte, and by other rules not the same."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from stage import Gateway, Supervisor, wait_until

pytestmark = pytest.mark.timeout(120)


def steps_with_remedies(supervisor: Supervisor, remedies: int) -> int:
    """How many steps can be replayed once these remedies are among them; 0: they are not yet."""
    told = supervisor.command("replay", "--json")
    if told.returncode == 2:  # nothing was written so far
        return 0
    found = json.loads(told.stdout)
    return int(found["steps"]) if found["then"].get("restart_session", 0) >= remedies else 0


@pytest.mark.parametrize("kind", ["waha", "evolution"])
def test_a_recorded_run_is_replayed_byte_by_byte(
    kind: str, gateways: Callable[..., Gateway], supervisors: Callable[..., Supervisor], tmp_path: Path
) -> None:
    gateway = gateways(kind)
    supervisor = supervisors(gateway)
    text = supervisor.config.read_text()
    supervisor.config.write_text(text.replace("state: {", "state: {record: 1h, "))
    supervisor.start().until_condition("s1", "healthy")
    gateway.fault("stuck", session="s1", heals_after_restarts=1)
    wait_until("restart_session was made", lambda: gateway.count("POST */restart*") == 1)
    supervisor.until_condition("s1", "healthy")
    assert supervisor.command("restart", "s2").returncode == 0
    steps = wait_until("both restarts are recorded", lambda: steps_with_remedies(supervisor, 2))
    supervisor.config.write_text(supervisor.config.read_text().replace("stable_for: 500ms", "stable_for: 700ms"))
    supervisor.signal(signal.SIGHUP)
    wait_until("the reload is told", lambda: "read again" in supervisor.logged())
    supervisor.kill()
    supervisor.start().until_condition("s1", "healthy")
    supervisor.stop()

    told = supervisor.command("replay", "--json")
    assert told.returncode == 0, told.stdout + told.stderr
    found = json.loads(told.stdout)
    assert found["steps"] == found["identical"] > steps
    assert found["begun_anew"] == 1
    assert found["then"] == found["now"]
    assert found["then"]["restart_session"] == 2
    assert found["differences"] == []
    assert (supervisor.state / "recording").stat().st_mode & 0o777 == 0o700

    new = tmp_path / "new.yaml"
    new.write_text(text.replace("recovery:", "recovery:\n  mode: observe"))
    told = supervisor.command("replay", "--config", str(new))
    assert told.returncode == 1, told.stdout + told.stderr
    assert "s1: would not have been made: restart_session" in told.stdout
    assert "s1: would have been withheld: " in told.stdout
    assert told.stderr == ""


def test_a_recording_that_cannot_be_written_is_told_and_harms_nothing(
    gateways: Callable[..., Gateway], supervisors: Callable[..., Supervisor]
) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway)
    supervisor.state.mkdir()
    (supervisor.state / "recording").write_text("in the way")
    supervisor.start().until_condition("s1", "healthy")
    text = supervisor.config.read_text()
    supervisor.config.write_text(text.replace("state: {", "state: {record: 1h, "))
    assert supervisor.command("reload").returncode == 0
    wait_until("it is told", lambda: any("The recording" in one for one in supervisor.document()["notes"]))
    gateway.fault("failed", session="s2", heals_after_restarts=1)
    wait_until("s2 is restarted", lambda: gateway.count("POST */restart") == 1)
    supervisor.until_condition("s2", "healthy")
    (supervisor.state / "recording").unlink()
    wait_until("it goes on", lambda: "goes on" in supervisor.logged())
    wait_until("the note goes", lambda: not any("The recording" in one for one in supervisor.document()["notes"]))
    assert supervisor.command("replay").returncode == 0
    assert supervisor.stop() == 0
