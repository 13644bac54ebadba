"""Restarts by systemd; here systemctl is a script, and the real one is in tests/system."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from host_theatre import until

from wasupervisor.host.restart_systemd import SystemdRestarter
from wasupervisor.model.remedies import Outcome

pytestmark = pytest.mark.anyio

Make = Callable[..., SystemdRestarter]


@pytest.fixture
def saying(tmp_path: Path) -> Make:
    """A restarter of the unit waha whose systemctl does this."""

    def make(body: str = "", *, unit: str = "waha", deadline: float = 30.0) -> SystemdRestarter:
        script = tmp_path / "systemctl"
        script.write_text(f'#!/bin/sh\ncd {tmp_path}\necho "$@" > asked\n{body}\n')
        script.chmod(0o755)
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        return SystemdRestarter(unit, deadline=deadline, environ=environ, command=str(script))

    return make


async def test_systemd_is_asked_without_a_password_and_its_job_is_waited_for(saying: Make, tmp_path: Path) -> None:
    done = await saying().restart()
    assert (done.outcome, done.detail) == (Outcome.ACCEPTED, "systemd restarted waha.service")
    assert (tmp_path / "asked").read_text() == "restart --no-ask-password -- waha.service\n"


async def test_a_unit_that_looks_like_an_option_is_none(saying: Make, tmp_path: Path) -> None:
    await saying(unit="--force.service").restart()
    assert (tmp_path / "asked").read_text() == "restart --no-ask-password -- --force.service\n"


@pytest.mark.parametrize(
    ("said", "status", "told"),
    [
        (
            "Failed to restart waha.service: Interactive authentication required.\nSee system logs for details.",
            1,
            "See system logs for details; let polkit allow our user org.freedesktop.systemd1.manage-units for",
        ),
        ("Failed to restart waha.service: Access denied", 4, "Access denied; let polkit allow"),
        ("Failed to restart waha.service: Unit waha.service not found.", 5, "; correct recovery.restart_gateway.unit"),
        ("Failed to restart waha.service: Unit waha.service is masked.", 1, "; unmask the unit"),
        ("Job for waha.service failed because of unavailable resources.", 1, "; see its log with journalctl -u"),
        ("System has not been booted with systemd as init system (PID 1).", 1, "by: command may be the way"),
        ("", 1, "systemd did not restart waha.service: systemctl ended with status 1"),
    ],
)
async def test_what_systemd_refuses_is_told_with_what_to_do(saying: Make, said: str, status: int, told: str) -> None:
    echo = f"cat >&2 <<'END'\n{said}\nEND\n" if said else ""
    done = await saying(f"{echo}exit {status}").restart()
    assert done.outcome is Outcome.REFUSED
    assert told in done.detail
    assert "\n" not in done.detail


async def test_a_job_that_lasts_is_left_to_systemd(saying: Make, tmp_path: Path) -> None:
    job = "while [ ! -e go ]; do sleep 0.01; done; touch done"
    restarter = saying(f"setsid sh -c '{job}' & echo $$ > own; wait", deadline=1.0)
    done = await restarter.restart()
    assert done.outcome is Outcome.TIMED_OUT
    assert done.detail == "systemd has not restarted waha.service within 1 s; it goes on with it"
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists)


async def test_without_systemctl_it_is_told() -> None:
    done = await SystemdRestarter("waha", command="/nowhere/systemctl").restart()
    assert done.outcome is Outcome.REFUSED
    assert done.detail == "systemctl cannot be run: No such file or directory; by: command may be the way"


async def test_nothing_is_left_to_settle(saying: Make, tmp_path: Path) -> None:
    restarter = saying()
    await restarter.settle()
    assert (restarter.by, restarter.wanted_for) == ("systemd", 0.0)
    assert not (tmp_path / "asked").exists()
