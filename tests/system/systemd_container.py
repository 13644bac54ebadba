"""A real systemd as PID 1 of a container, on a throw-away overlay of this machine's own file system, or of another.

Everything is mounted in a mount namespace of its own, held by a process that ends with the tests: even after a kill -9
nothing stays mounted. Needs root, systemd-nspawn (Debian: systemd-container), and nsenter, setpriv, unshare
(util-linux).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

_TOOLS = ("systemd-nspawn", "nsenter", "setpriv", "unshare")
_CGROUPS = Path("/sys/fs/cgroup")

# In the overlay only: nothing that this machine has enabled starts in the container.
_LAY_OUT = """
set -e
mount -t tmpfs -o mode=0755 tmpfs "$1"
mkdir "$1/root" "$1/upper" "$1/work"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
cd "$1/root/etc"
rm -rf systemd/system/*.wants systemd/system/*.requires rc?.d fstab
: >machine-id
echo laid out
exec cat >/dev/null
"""
# An own cgroup in each hierarchy that systemd uses, so that several containers and a host without systemd are fine.
_IN_CGROUP = 'for group in $1; do echo $$ >"$group/cgroup.procs"; done; shift; exec "$@"'


class UnavailableError(Exception):
    """This machine cannot boot one; the text is the reason."""


def why_unavailable() -> str | None:
    """What is missing before trying, or None."""
    if os.geteuid() != 0:
        return "a systemd container needs root"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"a systemd container needs {' and '.join(missing)} (Debian: systemd-container, util-linux)"
    return None


def until(done: Callable[[], bool], *, seconds: float = 30.0) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


class Container:
    """Lay out, `prepare`, `boot`, `run`, `close`; the last also after a failure of any of the others."""

    def __init__(self, folder: Path, tree: Path = Path("/")) -> None:
        """`folder` is an empty one, used as a mount point; `tree` is what lies below, and is not changed.

        Raises:
            UnavailableError: the mounts are refused (an unprivileged container, say).
        """
        self._name = f"wasupervisor-{os.getpid()}-{time.monotonic_ns():x}"
        self._folder = folder
        self._init: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self._cgroups: list[Path] = []
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _LAY_OUT, "sh", str(folder), str(tree)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "laid out\n":
            _, said = self._holder.communicate()
            raise UnavailableError(f"no overlay can be mounted here: {said.strip()}")

    def prepare(self, *command: str, bind: Path, environ: Mapping[str, str]) -> None:
        """Run a command in the tree before it is booted, with this machine's network; `bind` is seen at its own path.

        Raises:
            subprocess.CalledProcessError: it failed; `output` says what it said.
        """
        settings = [f"--setenv={name}={value}" for name, value in environ.items()]
        subprocess.run(
            self._nspawn("--pipe", f"--bind-ro={bind}", *settings, *command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
            timeout=240,
        )

    def boot(self) -> None:
        """Start systemd, without any network but the loopback.

        Raises:
            UnavailableError: it did not come up.
        """
        self._make_cgroups()
        log = self._folder.with_name(self._folder.name + ".log")
        flags = ("--boot", "--private-network", "--console=pipe")
        with log.open("wb") as console:
            self._init = subprocess.Popen(
                self._nspawn(*flags, "--", "--unit=multi-user.target"),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        if not until(self._has_booted) or self._init.poll() is not None:
            raise UnavailableError(f"systemd did not boot in the container: {log.read_text(errors='replace')[-2000:]}")

    def run(self, *command: str, check: bool = True, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command inside, with the output as text; `check` and `seconds` as in subprocess.run."""
        enter = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-C", "--"]
        return subprocess.run(
            [*enter, *command], capture_output=True, text=True, check=check, timeout=seconds, stdin=subprocess.DEVNULL
        )

    def path(self, inside: str) -> Path:
        """Where this machine finds a file of the container."""
        return Path(f"/proc/{self._leader}/root{inside}")

    def close(self) -> None:
        """Power off; kill what does not; give the mounts and the cgroups back."""
        if self._init is not None:
            self._init.terminate()
            try:
                self._init.wait(timeout=20)
            except subprocess.TimeoutExpired:
                # The leader first: without its keeper it would live on.
                os.kill(self._leader or self._init.pid, signal.SIGKILL)
                self._init.kill()
                self._init.wait()
        self._holder.kill()
        self._holder.communicate()
        for group in self._cgroups:
            for inner in sorted(group.glob("**/"), reverse=True):
                with contextlib.suppress(OSError):
                    inner.rmdir()

    def _nspawn(self, *arguments: str) -> list[str]:
        """In the holder's namespace, ended with us, and known to no systemd of this machine."""
        groups = " ".join(str(group) for group in self._cgroups)
        enter = ["nsenter", "-t", str(self._holder.pid), "--mount", "setpriv", "--pdeathsig", "TERM"]
        shell = ["sh", "-c", _IN_CGROUP, "sh", groups]
        flags = ["--quiet", "--register=no", "--keep-unit", f"--machine={self._name}", "-D", f"{self._folder}/root"]
        return [*enter, *shell, "systemd-nspawn", *flags, *arguments]

    def _make_cgroups(self) -> None:
        hierarchies = [_CGROUPS] if (_CGROUPS / "cgroup.controllers").exists() else list(_CGROUPS.glob("[su][yn]*"))
        for hierarchy in hierarchies:
            group = hierarchy / self._name
            with contextlib.suppress(OSError):
                group.mkdir()
                self._cgroups.append(group)

    def _has_booted(self) -> bool:
        assert self._init is not None
        if self._init.poll() is not None:
            return True
        if not self._leader:
            self._leader = self._find_leader(self._init.pid)
        if not self._leader:
            return False
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in {"running", "degraded"}

    @staticmethod
    def _find_leader(nspawn: int) -> int:
        """The container's PID 1 as this machine numbers it, 0 while there is none."""
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split():
                status = Path(f"/proc/{child}/status").read_text()
                if any(line.startswith("NSpid:") and line.split()[-1] == "1" for line in status.splitlines()):
                    return int(child)
        return 0
