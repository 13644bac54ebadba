"""Restarts by systemd; here systemctl is a script, and the real one is in tests/system."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from host_theatre import until

from wasupervisor.host import restart_systemd
from wasupervisor.host.restart_systemd import SystemdRestarter, seconds_of
from wasupervisor.host.running import Ran
from wasupervisor.model.remedies import Outcome

pytestmark = pytest.mark.anyio

LIMITS = "TimeoutStartUSec=1min 30s\\nTimeoutStopUSec=45s\\n"
Make = Callable[..., SystemdRestarter]


@pytest.fixture
def saying(tmp_path: Path) -> Make:
    """A restarter of the unit waha whose systemctl does this."""

    def make(body: str = "", *, unit: str = "waha", longest: float = 30.0, limits: str = LIMITS) -> SystemdRestarter:
        script = tmp_path / "systemctl"
        show = f'if [ "$1" = show ]; then printf "{limits}"; exit; fi'
        script.write_text(f'#!/bin/sh\ncd {tmp_path}\n{show}\necho "$@" > asked\n{body}\n')
        script.chmod(0o755)
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LC_ALL": "de_DE.UTF-8"}
        return SystemdRestarter(unit, longest=longest, environ=environ, command=str(script))

    return make


async def test_systemd_is_asked_without_a_password_and_its_job_is_waited_for(saying: Make, tmp_path: Path) -> None:
    done = await saying().restart()
    assert (done.outcome, done.detail) == (Outcome.ACCEPTED, "systemd restarted waha.service")
    assert (tmp_path / "asked").read_text() == "restart --no-ask-password -- waha.service\n"


async def test_a_warning_beside_is_kept(saying: Make) -> None:
    done = await saying("echo 'Warning: The unit file of waha.service changed on disk.' >&2").restart()
    text = "systemd restarted waha.service (Warning: The unit file of waha.service changed on disk.)"
    assert (done.outcome, done.detail) == (Outcome.ACCEPTED, text)


async def test_a_unit_that_looks_like_an_option_is_none(saying: Make, tmp_path: Path) -> None:
    await saying(unit="--force.service").restart()
    assert (tmp_path / "asked").read_text() == "restart --no-ask-password -- --force.service\n"


async def test_with_the_debian_package_its_own_script_is_named(
    saying: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "install.sh"
    script.touch()
    monkeypatch.setattr(restart_systemd, "OF_PACKAGE", str(script))
    done = await saying("echo Access denied; exit 4").restart()
    assert f"; let our user do it: {script} --allow-restart waha.service" in done.detail


@pytest.mark.parametrize(
    ("said", "status", "told"),
    [
        (
            "Failed to restart waha.service: Interactive authentication required.\nSee system logs for details.",
            1,
            "for details; let our user do it: packaging/systemd/install.sh --allow-restart waha.service installs the",
        ),
        ("Failed to restart waha.service: Access denied", 4, "Access denied; let our user do it: "),
        ("Failed to restart waha.service: Unit waha.service not found.", 5, "; correct recovery.restart_gateway.unit"),
        ("Failed to restart waha.service: Unit waha.service is masked.", 1, "; unmask the unit"),
        (
            "Job for waha.service failed because start of the service was attempted too often.",
            1,
            "too often; it ends soon after each start: see its log with journalctl -u",
        ),
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
    restarter = saying(f"setsid sh -c '{job}' & echo $$ > own; wait", longest=1.0)
    done = await restarter.restart()
    assert done.outcome is Outcome.TIMED_OUT
    assert done.detail == "systemd has not restarted waha.service within 1 s; it goes on with it"
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists)


@pytest.mark.parametrize(
    ("limits", "within"),
    [
        ("TimeoutStopUSec=600ms\\nTimeoutStartUSec=0\\n", "30"),
        ("TimeoutStopUSec=infinity\\nTimeoutStartUSec=1s\\n", "30"),
        ("TimeoutStopUSec=200ms\\nTimeoutStartUSec=1s 300ms\\n", "1.6"),
        ("", "30"),
    ],
)
async def test_the_units_own_limits_are_waited_for(
    saying: Make, monkeypatch: pytest.MonkeyPatch, limits: str, within: str
) -> None:
    monkeypatch.setattr(restart_systemd, "BESIDES", 0.1)
    seen: list[float] = []

    async def ran(_argv: object, *, seconds: float, environ: dict[str, str]) -> Ran:
        seen.append(seconds)
        assert environ["LC_ALL"] == "C.UTF-8"
        return Ran(None, "")

    monkeypatch.setattr(restart_systemd, "run", ran)
    done = await saying(limits=limits).restart()
    assert done.detail == f"systemd has not restarted waha.service within {within} s; it goes on with it"
    assert seen == [float(within)]


async def test_too_short_a_time_to_stop_is_told(saying: Make) -> None:
    done = await saying(limits="TimeoutStopUSec=10s\\nTimeoutStartUSec=1min\\n").restart()
    assert done.outcome is Outcome.ACCEPTED
    assert done.detail.endswith("; it had 10 s to stop, and WAHA needs 30: set TimeoutStopSec")


@pytest.mark.parametrize(
    ("span", "seconds"),
    [
        *(("1min 30s", 90.0), ("2h 1min 500ms", 7260.5), ("1.5s", 1.5), ("infinity", math.inf), ("", math.inf)),
        *(("1month", math.inf), ("3 apples 2s", math.inf)),
    ],
)
def test_spans_are_read_as_systemd_writes_them(span: str, seconds: float) -> None:
    assert seconds_of(span) == seconds


async def test_without_systemctl_it_is_told() -> None:
    done = await SystemdRestarter("waha", command="/nowhere/systemctl").restart()
    assert done.outcome is Outcome.REFUSED
    assert done.detail == "systemctl cannot be run: No such file or directory; by: command may be the way"


async def test_nothing_is_left_to_settle(saying: Make, tmp_path: Path) -> None:
    restarter = saying()
    await restarter.settle()
    assert (restarter.by, restarter.wanted_for) == ("systemd", 0.0)
    assert not (tmp_path / "asked").exists()
