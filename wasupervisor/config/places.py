"""Where run-time files, state and the control socket lie when the configuration does not say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

NAME = "wasupervisor"


class Places(NamedTuple):
    """The two folders that every default path starts from."""

    runtime: Path
    """For the socket and the health file; gone after a reboot."""
    state: Path
    """For what must outlive the process."""

    @classmethod
    def of(cls, environ: Mapping[str, str], uid: int, home: Path) -> Places:
        """Follow systemd where it says so, /run and /var/lib for root, the XDG folders otherwise.

        RUNTIME_DIRECTORY and STATE_DIRECTORY may each be several paths with colons between (systemd.exec(5)): the
        first counts. XDG folders that are not absolute are ignored, as their specification asks.
        """
        runtime = _absolute(environ.get("RUNTIME_DIRECTORY", "").split(":")[0])
        state = _absolute(environ.get("STATE_DIRECTORY", "").split(":")[0])
        if uid == 0:
            return cls(runtime or Path("/run") / NAME, state or Path("/var/lib") / NAME)
        own_state = (_absolute(environ.get("XDG_STATE_HOME", "")) or home / ".local" / "state") / NAME
        xdg_runtime = _absolute(environ.get("XDG_RUNTIME_DIR", ""))
        # Without a login session there is no XDG_RUNTIME_DIR, and a folder in /tmp could be anybody's.
        own_runtime = xdg_runtime / NAME if xdg_runtime else own_state / "run"
        return cls(runtime or own_runtime, state or own_state)


def _absolute(text: str) -> Path | None:
    return Path(text) if text.startswith("/") else None
