"""The state directory: made, kept from the eyes of others, and refused in plain words when it cannot be used."""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path

from wasupervisor.store.errors import StoreError

logger = logging.getLogger(__name__)

_OTHERS = 0o077
_OUR_NAMES = ("lock", "state.db", "memory.corrupt-", "names.key", "recording", "lost+found")


def prepare_directory(directory: Path) -> None:
    """Make the directory and its missing parents with mode 0700, and take the rights of others from an existing one.

    A directory that also holds what is not ours is left as it is, with a warning: somebody pointed us at /var/lib.
    A read-only file system is no error here; the state is then read and not written.

    Raises:
        StoreError: it cannot be made, is not a directory, or our user may not write in it.
    """
    _create(directory)
    if not directory.is_dir():
        raise StoreError(f"state.directory {directory} is not a directory: name a directory of wasupervisor's own")
    _tighten_directory(directory)
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True) and not _is_read_only(directory):
        raise StoreError(f"state.directory {directory} is not writable: {whose(directory)}")


def _create(directory: Path) -> None:
    try:
        missing = [place for place in (directory, *directory.parents) if not os.path.lexists(place)]
        for place in reversed(missing):
            with contextlib.suppress(FileExistsError):
                place.mkdir(mode=0o700)
    except NotADirectoryError:
        raise StoreError(
            f"state.directory {directory} cannot be created: a part of that path is a file; set another one"
        ) from None
    except OSError as error:
        raise StoreError(
            f"state.directory {directory} cannot be created: {error.strerror} ({error.filename}); "
            "create it for our user, or set another one"
        ) from None


def _tighten_directory(directory: Path) -> None:
    found = directory.stat()
    if not found.st_mode & _OTHERS or found.st_uid != os.geteuid():
        return
    with contextlib.suppress(OSError):
        strangers = [entry.name for entry in directory.iterdir() if not entry.name.startswith(_OUR_NAMES)]
        if strangers:
            logger.warning(
                "state.directory %s also holds %s: its mode %o is left so; give wasupervisor one of its own",
                directory,
                strangers[0],
                stat.S_IMODE(found.st_mode),
            )
            return
        directory.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)


def tighten_file(path: Path) -> None:
    """Take the rights of others from a file of ours; nothing happens when it is absent or not ours."""
    with contextlib.suppress(OSError):
        found = path.stat()
        if found.st_mode & _OTHERS and found.st_uid == os.geteuid():
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)


def whose(path: Path) -> str:
    """Who owns it, or the nearest directory above it that can be looked at, and who we are; ends an error message."""
    us = _user(os.geteuid())
    for place in (path, *path.parents):
        with contextlib.suppress(OSError):
            found = place.stat()
            owner = _user(found.st_uid)
            if owner == us:
                return f"the mode of {place} is {stat.S_IMODE(found.st_mode):04o}; give {us} the right to write"
            return f"{place} belongs to {owner} and wasupervisor runs as {us}; chown it, or run as {owner}"
    return f"wasupervisor runs as {us}; give it the right to"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _is_read_only(directory: Path) -> bool:
    return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)


LOW_BYTES, LOW_SHARE = 64 * 1024 * 1024, 0.05
"""Hardly any room: less than both of these, so that a small disk of its own is not always low."""

Free = Callable[[Path], os.statvfs_result]


def is_low(directory: Path, free: Free = os.statvfs) -> bool:
    """Whether the disk of a directory is nearly full. What cannot be asked is not known to be. May block."""
    try:
        disk = free(directory)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < min(LOW_BYTES, LOW_SHARE * disk.f_blocks * disk.f_frsize)
