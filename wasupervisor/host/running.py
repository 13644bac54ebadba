"""Runs one program for a remedy: no shell, a trimmed environment, bounded output, and an end in any case."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import anyio

TICK = 0.05
"""Seconds between two looks at the program: no signal, thread or pidfd is needed to hear of its end."""

KEPT = 4096
"""Bytes of its output that are kept, from the end."""

DIES_WITHIN = 2.0
"""Seconds that a killed program has to be gone; one that waits for a dead disk is not."""

# What a program needs to find itself and whom it asks. Our own variables stay here, for they hold API keys.
_PASSED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR"),
    *("PM2_HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT"),
)

_SHOWN = 200
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_UNFIT = re.compile("[^ -~\u00a1-\u2027\u202a-\ud7ff\ue000-\U0010ffff]+")
# Programs repeat what they were given: user and password of a URL, words behind their name, phone numbers.
_SECRETS = (
    (re.compile(r"//[^/\s@]+@"), "//***@"),
    (re.compile(r"(?i)((?:key|token|secret|passw\w*|bearer)[\"']?\s*[=:\s]\s*)[^\s,;]+"), r"\1***"),
    (re.compile(r"\d{9,}"), "***"),
)


class Ran(NamedTuple):
    """What became of a program."""

    status: int | None
    """Its exit status, negative for the signal that ended it; None: it did not end in time."""
    said: str
    """The end of its output, as it came; see `one_line` and `last_line`."""


async def run(argv: Sequence[str], *, seconds: float, environ: Mapping[str, str]) -> Ran:
    """Run it in a session of its own and wait for its end; at its deadline it is killed with its group.

    Cancelled, it is left to end by itself: half a restart is worse than one that nobody waits for.

    Args:
        argv: the program and its arguments.
        seconds: for the whole of it.
        environ: our environment, of which it gets what it needs.

    Raises:
        OSError: it could not be begun.
    """
    process = _begin(argv, environ)
    output = _Tail(process)
    try:
        if not await _ends(process, output, seconds):
            with suppress(OSError):  # it ended just now, or became another user's (sudo)
                os.killpg(process.pid, signal.SIGKILL)
            await _ends(process, output, DIES_WITHIN)
            return Ran(None, output.text())
        output.read()
        return Ran(process.returncode, output.text())
    finally:
        output.close()
        if process.returncode is None:
            # Popen would complain that it still runs; nobody asks for its status any more.
            process.returncode = 0


def _begin(argv: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """On the loop, as asyncio does it: this returns as soon as the program is loaded."""
    return subprocess.Popen(  # noqa: S603 - the operator's own argument list
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={name: environ[name] for name in _PASSED if name in environ},
        start_new_session=True,
    )


async def _ends(process: subprocess.Popen[bytes], output: _Tail, seconds: float) -> bool:
    with anyio.move_on_after(seconds):
        while process.poll() is None:
            output.read()
            await anyio.sleep(TICK)
    return process.poll() is not None


class _Tail:
    """The end of what a program writes. Never waited for: what it started may hold the pipe for ever."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._pipe = process.stdout
        self._kept = b""
        os.set_blocking(self._pipe.fileno(), False)

    def read(self) -> None:
        """Take what is there: 64 kB at the most, so that a chatterbox waits for us and not we for it."""
        with suppress(BlockingIOError):
            self._kept = (self._kept + os.read(self._pipe.fileno(), 65536))[-KEPT:]

    def text(self) -> str:
        """What was kept, as text."""
        return self._kept.decode(errors="replace")

    def close(self) -> None:
        self._pipe.close()


def last_line(text: str) -> str:
    """The last line with anything in it, fit to be shown."""
    return next(filter(None, map(one_line, reversed(text.splitlines()))), "")


def one_line(text: str) -> str:
    """A foreign text as one short line, without control characters and what looks like a secret."""
    text = " ".join(_UNFIT.sub(" ", _ESCAPES.sub("", text)).split())
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
