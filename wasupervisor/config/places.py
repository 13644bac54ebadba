"""Where run-time files, state and the control socket lie when the configuration does not say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

NAME = "wasupervisor"
OF_UNITS = Path("/etc") / NAME
"""The folder of the configurations that the units read: config.yaml, and NAME.yaml of wasupervisor@NAME.service."""


class Places(NamedTuple):
    """The two folders that every default path starts from."""

    runtime: Path
    """For the socket and the health file; gone after a reboot."""
    state: Path
    """For what must outlive the process."""

    @classmethod
    def of(cls, environ: Mapping[str, str], uid: int, home: Path, file: Path | None = None) -> Places:
        """Follow systemd where it says so, /run and /var/lib for root, the XDG folders otherwise.

        `file` is the configuration: whoever asks about one of a unit's means the unit's folders.

        RUNTIME_DIRECTORY and STATE_DIRECTORY may each be several paths with colons between (systemd.exec(5)): the
        first counts. XDG folders that are not absolute are ignored, as their specification asks.
        """
        runtime = _absolute(environ.get("RUNTIME_DIRECTORY", "").split(":")[0])
        state = _absolute(environ.get("STATE_DIRECTORY", "").split(":")[0])
        if file is not None and (unit := cls.of_unit(file)) is not None:
            return cls(runtime or unit.runtime, state or unit.state)
        if uid == 0:
            return cls(runtime or Path("/run") / NAME, state or Path("/var/lib") / NAME)
        own_state = (_absolute(environ.get("XDG_STATE_HOME", "")) or home / ".local" / "state") / NAME
        xdg_runtime = _absolute(environ.get("XDG_RUNTIME_DIR", ""))
        # Without a login session there is no XDG_RUNTIME_DIR, and a folder in /tmp could be anybody's.
        own_runtime = xdg_runtime / NAME if xdg_runtime else own_state / "run"
        return cls(runtime or own_runtime, state or own_state)

    @classmethod
    def of_unit(cls, file: Path) -> Places | None:
        """The folders of the unit that reads this configuration; None: no unit of ours does."""
        whole = Path(os.path.abspath(file))  # noqa: PTH100 - links are not followed: the name tells the unit
        if whole.parent != OF_UNITS or whole.suffix != ".yaml":
            return None
        own = NAME if whole.stem == "config" else f"{NAME}/{whole.stem}"
        return cls(Path("/run") / own, Path("/var/lib") / own)


def _absolute(text: str) -> Path | None:
    return Path(text) if text.startswith("/") else None
