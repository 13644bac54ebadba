"""Restarts by force: real processes that are stopped, deaf to TERM, somebody else's, or gone."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from host_theatre import Theatre, staged, unprivileged, until

from wasupervisor.host import forcing, proc
from wasupervisor.host.ending import Ending
from wasupervisor.host.forcing import Force, Old
from wasupervisor.host.handles import Handle, hold
from wasupervisor.host.keeper import Parent
from wasupervisor.host.restarter import Restarted
from wasupervisor.model.remedies import Outcome

pytestmark = pytest.mark.anyio

# A gateway with a Chromium in a session of its own, as WAHA's; `deaf` ignores TERM, as it does with a query in flight.
GATEWAY = """
import signal, subprocess, sys, time
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen(["sleep", "600"], start_new_session=True).pid, flush=True)
while True:
    time.sleep(600)
"""


class Gateway:
    """It and its child."""

    def __init__(self, *words: str) -> None:
        argv = [sys.executable, "-c", GATEWAY, *words]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.child = int(self.process.stdout.readline())
        self.pid = self.process.pid
        self.born, self._child = _stat(self.pid).born, _stat(self.child)

    def old(self, *, hung: bool = False) -> Old:
        return Old(self.pid, self.born, hung)

    def stop(self) -> None:
        """As a terminal does, with its child."""
        for pid in (self.pid, self.child):
            os.kill(pid, signal.SIGSTOP)
            until(lambda: state(pid) == "T (stopped)")  # noqa: B023 - called at once

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        now = proc.stat(self.child)
        if now is not None and now.identity == self._child.identity:
            os.kill(self.child, signal.SIGKILL)


@pytest.fixture
def gateways() -> Iterator[Callable[..., Gateway]]:
    made: list[Gateway] = []

    def make(*words: str) -> Gateway:
        made.append(Gateway(*words))
        return made[-1]

    yield make
    for one in made:
        one.close()


def state(pid: int) -> str:
    return Handle(pid, 0.0, None).state


def _stat(pid: int) -> proc.Stat:
    found = proc.stat(pid)
    assert found is not None
    return found


def alive(pid: int) -> bool:
    found = proc.stat(pid)
    return found is not None and not found.dead


@contextmanager
def spawned(*argv: str, user: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """One process for a while."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, user=user) as process:
        try:
            yield process
        finally:
            process.kill()


class Command:
    """Notes whether the old process was alive when it was called."""

    by = "command"
    wanted_for = 0.0

    def __init__(self, pid: int, *outcomes: Outcome) -> None:
        self.pid = pid
        self.met: list[bool] = []
        self._outcomes = list(outcomes)

    async def restart(self) -> Restarted:
        self.met.append(alive(self.pid))
        outcome = self._outcomes.pop(0) if self._outcomes else Outcome.ACCEPTED
        return Restarted(outcome, "pm2 ended well" if outcome is Outcome.ACCEPTED else "pm2 failed to stop")

    async def settle(self) -> None:
        raise NotImplementedError


def force(*, term_within: float = 30.0, systemctl: str = "/nowhere/systemctl") -> Force:
    return Force(Ending(term_within=term_within), systemctl_command=systemctl)


async def test_a_stopped_process_is_woken_and_asked_to_end(gateways: Callable[..., Gateway]) -> None:
    it = gateways()
    it.stop()
    command = Command(it.pid)
    done = await force().restart(command, it.old())
    text = "its process was stopped (state T): CONT and TERM ended it; then pm2 ended well"
    assert done == Restarted(Outcome.ACCEPTED, text)
    assert command.met == [False]
    assert it.process.wait() == -signal.SIGTERM
    assert state(it.child).startswith("S")


@pytest.mark.parametrize("stopped", [True, False])
async def test_one_that_heeds_no_term_is_killed_with_its_children(
    gateways: Callable[..., Gateway], stopped: bool
) -> None:
    it = gateways("deaf")
    if stopped:
        it.stop()
    command = Command(it.pid)
    done = await force(term_within=0.2).restart(command, it.old(hung=True))
    found, asked = ("was stopped (state T)", "CONT and TERM") if stopped else ("hung", "TERM")
    assert done.detail == (
        f"its process {found}: {asked} did not end it within 0.2 s (a query to WhatsApp in flight holds WAHA for "
        "118 s), so that it was killed with 1 process that it had started; then pm2 ended well"
    )
    assert command.met == [False]
    assert it.process.wait() == -signal.SIGKILL
    assert not alive(it.child)


async def test_one_that_hangs_and_heeds_term_is_not_killed(gateways: Callable[..., Gateway]) -> None:
    it = gateways()
    done = await force().restart(Command(it.pid), it.old(hung=True))
    assert done.detail == "its process hung: TERM ended it; then pm2 ended well"
    assert it.process.wait() == -signal.SIGTERM


async def test_one_that_is_well_is_left_to_the_command(gateways: Callable[..., Gateway]) -> None:
    it = gateways()
    command = Command(it.pid)
    assert await force().restart(command, it.old()) == Restarted(Outcome.ACCEPTED, "pm2 ended well")
    assert command.met == [True]
    assert alive(it.pid)


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.TIMED_OUT])
async def test_failed_to_stop_does_not_end_in_giving_up(gateways: Callable[..., Gateway], outcome: Outcome) -> None:
    it = gateways("deaf")
    command = Command(it.pid, outcome)
    done = await force(term_within=0.2).restart(command, it.old())
    assert done.outcome is Outcome.ACCEPTED
    assert done.detail.startswith("pm2 failed to stop; its process was still there: TERM did not end it within 0.2 s")
    assert done.detail.endswith("; then pm2 ended well")
    assert command.met == [True, False]


class EndingCommand(Command):
    """Ends the old process, and then fails."""

    async def restart(self) -> Restarted:
        os.kill(self.pid, signal.SIGKILL)
        until(lambda: not alive(self.pid))
        return await super().restart()


async def test_a_command_that_fails_when_the_old_one_is_gone_is_not_repeated(
    gateways: Callable[..., Gateway],
) -> None:
    it = gateways()
    command = EndingCommand(it.pid, Outcome.REFUSED)
    assert await force().restart(command, it.old()) == Restarted(Outcome.REFUSED, "pm2 failed to stop")
    assert command.met == [False]


async def test_a_command_that_fails_after_the_end_is_not_repeated(gateways: Callable[..., Gateway]) -> None:
    it = gateways()
    it.stop()
    command = Command(it.pid, Outcome.REFUSED)
    done = await force().restart(command, it.old())
    assert done.outcome is Outcome.REFUSED
    assert command.met == [False]


async def test_what_is_not_known_or_gone_or_another_one_is_not_signalled(gateways: Callable[..., Gateway]) -> None:
    it = gateways()
    it.stop()
    for old in (None, Old(it.pid, it.born - 1.0, hung=True), Old((1 << 22) - 1, 1.0, hung=True)):
        command = Command(it.pid)
        assert await force().restart(command, old) == Restarted(Outcome.ACCEPTED, "pm2 ended well")
        assert command.met == [True]
    assert state(it.pid) == "T (stopped)"


def manager(theatre: Theatre) -> int:
    """PM2, with a gateway; gives the gateway's pid."""
    return theatre.puppet(title="PM2 v5.3.0: God Daemon (/home/op/.pm2)").spawn()


async def test_a_keeper_signals_its_own() -> None:
    with staged() as theatre:
        pid = manager(theatre)
        os.kill(pid, signal.SIGSTOP)
        done = await force().restart(Command(pid), Old(*_stat(pid).identity, hung=True))
        assert done.detail == "its process was not signalled by us, for PM2 runs it; then pm2 ended well"
        until(lambda: state(pid) == "T (stopped)")


@pytest.mark.parametrize(
    ("says", "signalled"), [("MainPID={pid}", False), ("MainPID=1", True), ("", True), (None, False)]
)
async def test_systemd_signals_the_main_process_of_a_unit(
    gateways: Callable[..., Gateway],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    says: str | None,
    signalled: bool,
) -> None:
    it = gateways()
    monkeypatch.setattr(forcing, "parent_of", lambda process, _groups: Parent(None, process.pid, "waha.service"))
    script = tmp_path / "systemctl"
    if says is not None:
        script.write_text(f"#!/bin/sh\necho {says.format(pid=it.pid)}\n")
        script.chmod(0o755)
    done = await force(systemctl=str(script)).restart(Command(it.pid), it.old(hung=True))
    assert alive(it.pid) is not signalled
    left = "its process was not signalled by us, for it is in the unit waha.service, which systemd signals; then "
    assert done.detail.startswith(left) is not signalled


@pytest.mark.root
async def test_another_users_process_is_left_alone() -> None:
    with spawned("sleep", "600", user=1) as process:
        with unprivileged():
            done = await force().restart(Command(process.pid), Old(*_stat(process.pid).identity, hung=True))
        assert done.detail == "its process was not signalled by us, for it is another user's; then pm2 ended well"
        assert alive(process.pid)


@pytest.mark.root
async def test_a_containers_process_is_left_to_its_engine() -> None:
    with spawned("unshare", "--pid", "--fork", "--kill-child", "sh", "-c", "echo in; exec sleep 600") as container:
        assert container.stdout is not None
        if container.stdout.readline() != "in\n":
            pytest.skip("no process namespace can be made here")
        (inside,) = [one for one in proc.tree(_stat(container.pid)) if one.pid != container.pid]
        done = await force().restart(Command(inside.pid), Old(*inside.identity, hung=True))
        assert "for it runs in a container" in done.detail
        assert alive(inside.pid)


async def test_when_we_are_stopped_meanwhile_it_is_killed_and_started_all_the_same(
    gateways: Callable[..., Gateway],
) -> None:
    it = gateways("deaf")
    command = Command(it.pid)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(force().restart, command, it.old(hung=True))
        await anyio.wait_all_tasks_blocked()
        assert command.met == []
        tasks.cancel_scope.cancel()
    assert len(command.met) == 1
    assert it.process.wait() == -signal.SIGKILL
    until(lambda: not alive(it.child))


class Unkillable(Handle):
    """Waits for a dead disk."""

    state = "D (disk sleep)"
    ended = False

    def send(self, number: int) -> bool:
        return number != 0


async def test_one_that_even_kill_does_not_end_is_told_and_a_new_one_started() -> None:
    ended = await Ending(term_within=0.0, kill_within=0.1).end(Unkillable(0, 0.0, None))
    assert not ended.gone
    assert ended.text.endswith("so that it was killed, and is still there 0.1 s later (state D (disk sleep))")


async def test_without_pidfd_the_birth_is_compared_before_each_signal(
    gateways: Callable[..., Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_pid: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", unknown)
    it = gateways()
    handle = hold(it.pid, it.born)
    assert handle is not None
    assert not Handle(it.pid, it.born - 1.0, None).send(signal.SIGKILL)
    assert handle.send(signal.SIGTERM)
    assert it.process.wait() == -signal.SIGTERM
    assert handle.ended
    assert not handle.send(signal.SIGTERM)
    handle.close()


async def test_a_held_process_that_ended_is_not_signalled(gateways: Callable[..., Gateway]) -> None:
    it = gateways()
    handle = hold(it.pid, it.born)
    assert handle is not None
    it.process.kill()
    it.process.wait()
    assert not handle.send(signal.SIGTERM)
    assert (handle.ended, handle.state, handle.stopped) == (True, "", False)
    handle.close()
