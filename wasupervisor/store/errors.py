"""What can be wrong with the state, each told in one line that a person can act on."""

from __future__ import annotations

from pathlib import Path


class StoreError(Exception):
    """The state cannot be used, and somebody has to look at it."""


class StateDirectoryInUse(StoreError):  # noqa: N818 - reads as what it says
    """Another supervisor holds the state directory."""

    def __init__(self, pid: int | None, directory: Path) -> None:
        who = "another wasupervisor" if pid is None else f"another wasupervisor (pid {pid})"
        super().__init__(f"{who} already runs on {directory}: stop it, or give this one a state.directory of its own")
        self.pid = pid
        self.directory = directory


class NewerState(StoreError):  # noqa: N818
    """The state was written by a later release; it is left as it is."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"{path} was written by a later wasupervisor (its schema is {found}, this release knows {known}): "
            "install that release again, or set another state.directory to begin anew"
        )
        self.found = found
        self.known = known


class StateUnwritable(StoreError):  # noqa: N818
    """The state cannot be written now; it may come right by itself, and the next call tries again."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
