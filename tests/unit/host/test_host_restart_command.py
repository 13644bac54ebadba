"""Restarts by a command: real programs, real process groups, and a gateway that does not want to end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from host_theatre import until

from wasupervisor.host import proc
from wasupervisor.host.restart_command import CommandRestarter
from wasupervisor.host.restarter import Restarted
from wasupervisor.host.running import KEPT, run
from wasupervisor.model.remedies import Outcome

pytestmark = pytest.mark.anyio

PATH = {"PATH": os.environ["PATH"]}

# Ignores SIGTERM, as a WAHA that waits for WhatsApp does, and says who it is once it does so.
STUBBORN = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
new = pathlib.Path(sys.argv[1] + ".new")
new.write_text(str(os.getpid()))
new.rename(sys.argv[1])
time.sleep(600)
"""
KEEPER = """
old=$(cat "$1"); rm "$1"
kill -TERM "$old"; sleep 0.1; kill -KILL "$old" && echo "had to kill $old"
setsid "$2" "$3" "$1" </dev/null >/dev/null 2>&1 &
while [ ! -e "$1" ]; do sleep 0.01; done
"""


class Pids:
    """Processes that write their pid into a file; all of them end with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: list[tuple[int, float]] = []

    def read(self, name: str) -> int:
        """Wait for it."""
        file = self.folder / name
        until(lambda: file.exists() and file.read_text().strip() != "")
        pid = int(file.read_text())
        if (found := proc.stat(pid)) is not None:
            self._seen.append(found.identity)
        return pid

    def spawn(self, *argv: str) -> Callable[[], None]:
        """Start one; what is given waits for its end."""
        pid = os.posix_spawn(argv[0], argv, os.environ)
        return lambda: self.reap(pid)

    def reap(self, pid: int) -> None:
        """Wait for the end of a child of ours."""
        os.waitpid(pid, 0)

    def end(self) -> None:
        for pid, born in self._seen:
            if (found := proc.stat(pid)) is not None and found.born == born:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Pids]:
    made = Pids(tmp_path)
    yield made
    made.end()


def alive(pid: int) -> bool:
    found = proc.stat(pid)
    return found is not None and not found.dead


async def restarted(*argv: str, deadline: float = 30.0, environ: dict[str, str] | None = None) -> Restarted:
    return await CommandRestarter(argv, deadline=deadline, environ=PATH if environ is None else environ).restart()


async def shell(script: str, *words: str, deadline: float = 30.0) -> Restarted:
    return await restarted("sh", "-c", script, "sh", *words, deadline=deadline)


async def test_a_gateway_that_ignores_sigterm_is_replaced(tmp_path: Path, pids: Pids) -> None:
    program, pid_file = tmp_path / "gateway.py", tmp_path / "pid"
    program.write_text(STUBBORN)
    reap = pids.spawn(sys.executable, str(program), str(pid_file))
    old = pids.read("pid")
    done = await shell(KEEPER, str(pid_file), sys.executable, str(program))
    reap()
    new = pids.read("pid")
    assert done == Restarted(Outcome.ACCEPTED, f"sh ended well: had to kill {old}")
    assert not alive(old)
    assert alive(new)


async def test_there_is_no_shell_and_no_terminal(tmp_path: Path) -> None:
    script = "import os, sys; assert os.getsid(0) == os.getpid() != os.getppid(); print(sys.argv[1], sys.stdin.read())"
    done = await restarted(sys.executable, "-c", script, f"a; touch {tmp_path}/b")
    assert done.outcome is Outcome.ACCEPTED
    assert done.detail.endswith(f": a; touch {tmp_path}/b")
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_it_gets_what_it_needs_of_the_environment_and_no_key() -> None:
    environ = {**PATH, "PM2_HOME": "/home/op/.pm2", "WAHA_API_KEY": "not-for-you", "DOCKER_HOST": "unix:///x"}
    done = await restarted("env", environ=environ)
    everything = await run(["env"], seconds=30.0, environ=environ)
    assert done.outcome is Outcome.ACCEPTED
    names = {line.split("=")[0] for line in everything.said.splitlines()}
    assert names == {"PATH", "PM2_HOME", "DOCKER_HOST"}


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        ("echo first; echo 'no such process: waha' >&2; exit 3", "sh ended with status 3: no such process: waha"),
        ("exit 1", "sh ended with status 1"),
        ("kill -KILL $$", "sh was ended by signal 9"),
        ("printf '\\033[31mred\\033[0m\\r\\n \\n\\n'; exit 1", "sh ended with status 1: red"),
        ("echo 'api_key=abc123, at http://me:pw@host/'; exit 1", "api_key=***, at http://***@host/"),
        ("echo 'Authorization: Bearer abc.def'; exit 1", "Bearer ***"),
        ("echo 'session 34600111222 is bad'; exit 1", "session *** is bad"),
        ("head -c 500 /dev/zero | tr '\\0' x; exit 1", "xxx..."),
    ],
)
async def test_a_failure_is_refused_with_its_last_line(script: str, detail: str) -> None:
    done = await shell(script)
    assert done.outcome is Outcome.REFUSED
    assert done.detail.endswith(detail)
    assert len(done.detail) < 260


async def test_of_much_output_only_the_end_is_kept() -> None:
    ran = await run(["seq", "200000"], seconds=30.0, environ=PATH)
    assert ran.status == 0
    assert len(ran.said) == KEPT
    assert ran.said.endswith("199999\n200000\n")


async def test_a_program_that_is_not_there_is_told_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    assert await restarted("/nowhere/pm2", "restart") == Restarted(
        Outcome.REFUSED, "pm2 cannot be run: No such file or directory; correct recovery.restart_gateway.argv"
    )
    assert "plain cannot be run: Permission denied" in (await restarted(str(tmp_path / "plain"))).detail
    assert "an argument is not usable" in (await restarted("echo", "a\0b")).detail


async def test_at_its_deadline_it_is_killed_with_its_group(pids: Pids) -> None:
    (pids.folder / "child.sh").write_text("trap '' TERM; echo $$ > child; exec sleep 600")
    done = await shell(f"cd {pids.folder}; echo stopping; sh child.sh & echo $$ > own; wait", deadline=1.0)
    assert done == Restarted(
        Outcome.TIMED_OUT, "sh did not end within 1 s and was killed with what it started: stopping"
    )
    own, child = pids.read("own"), pids.read("child")
    assert own != child
    until(lambda: not alive(own) and not alive(child))


async def test_what_it_leaves_running_with_its_output_is_not_waited_for(pids: Pids) -> None:
    done = await shell(f"cd {pids.folder}; sleep 600 & echo $! > child")
    child = pids.read("child")
    assert done.outcome is Outcome.ACCEPTED
    assert alive(child)


async def test_cancelled_it_is_left_to_end_its_work_while_the_loop_turns(pids: Pids) -> None:
    script = f"cd {pids.folder}; echo $$ > own; while [ ! -e go ]; do sleep 0.01; done; touch done"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shell, script)
        own = await to_thread.run_sync(pids.read, "own")
        tasks.cancel_scope.cancel()
    assert alive(own)
    (pids.folder / "go").touch()
    until((pids.folder / "done").exists)
    pids.reap(own)


async def test_nothing_is_left_to_settle(tmp_path: Path) -> None:
    restarter = CommandRestarter(("touch", str(tmp_path / "a")))
    await restarter.settle()
    assert (restarter.by, restarter.wanted_for, os.listdir(tmp_path)) == ("command", 0.0, [])  # noqa: PTH208
