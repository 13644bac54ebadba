"""One supervisor per state directory: two that do not know of each other would spend two budgets on one gateway."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from wasupervisor.store.directory import tighten_file, whose
from wasupervisor.store.errors import StateDirectoryInUse, StoreError

LOCK_NAME = "lock"


class DirectoryLock:
    """The lock on a state directory, held until `release` or the end of the process.

    It is the kernel's flock(2) and not the file: one that a dead process left behind means nothing.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, directory: Path) -> DirectoryLock:
        """Take the lock and write our pid into it.

        Raises:
            StateDirectoryInUse: another process holds it.
            StoreError: it cannot be made or locked here.
        """
        path = directory / LOCK_NAME
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StateDirectoryInUse(_holder(path), directory) from None
        except OSError as error:
            os.close(descriptor)
            raise StoreError(
                f"state.directory {directory} cannot be locked: {error.strerror}; set one on a local disk"
            ) from None
        # A full disk or a read-only file system keeps the pid out of it, not the lock.
        with contextlib.suppress(OSError):
            text = f"{os.getpid()}\n".encode()
            os.pwrite(descriptor, text, 0)
            os.ftruncate(descriptor, len(text))
        return cls(descriptor)

    def release(self) -> None:
        """Let go of it; the file stays, because removing it would race with the next one that takes it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _open(path: Path) -> int:
    tighten_file(path)
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except PermissionError:
        raise StoreError(f"{path} cannot be opened: {whose(path)}") from None
    except OSError:
        pass
    # Read-only or full: lock what can be opened, at the worst the directory itself.
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"{path} cannot be opened: {error.strerror}") from None


def _holder(path: Path) -> int | None:
    """The pid in the file; waited for a moment, for the case that its writer has only just taken the lock."""
    for _ in range(10):
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int(path.read_text(encoding="ascii").splitlines()[0])
        time.sleep(0.02)
    return None
