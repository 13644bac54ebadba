"""What a user may do with a file, told without becoming that user. Nothing is tried: modes and owners are read."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

READ, WRITE, SEARCH = 4, 2, 1
"""Bits of a mode; to search a folder is to run a file."""


class Person(NamedTuple):
    """A user with its groups."""

    name: str
    uid: int
    gids: frozenset[int]

    def may(self, path: Path, bits: int) -> bool:
        """Whether it may do all of these, the folders above included. May block on a dead disk.

        Of ourselves the kernel is asked, which also knows access control lists.

        Raises:
            OSError: it is not there, or we may not look at it.
        """
        about = path.stat()
        if self.uid == os.geteuid():
            return os.access(path, bits, effective_ids=True)
        above = all(self._has(parent.stat(), SEARCH) for parent in path.absolute().parents)
        is_read_only = bool(bits & WRITE) and bool(os.statvfs(path).f_flag & os.ST_RDONLY)
        return above and not is_read_only and self._has(about, bits)

    def _has(self, about: os.stat_result, bits: int) -> bool:
        if self.uid == 0:
            return not bits & SEARCH or bool(about.st_mode & 0o111)
        shift = 6 if about.st_uid == self.uid else 3 if about.st_gid in self.gids else 0
        return (about.st_mode >> shift) & bits == bits


def ourselves() -> Person:
    """Who runs this."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may have a user without a name
        name = f"user id {uid}"
    return Person(name, uid, frozenset((*os.getgroups(), os.getegid())))


def person(user: str, groups: Iterable[str] = ()) -> Person:
    """A user by name or number, with its groups and these.

    Raises:
        KeyError: this host knows no such user or group.
    """
    known = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    more = (int(one) if one.isdecimal() else grp.getgrnam(one).gr_gid for one in groups)
    return Person(known.pw_name, known.pw_uid, frozenset((*os.getgrouplist(known.pw_name, known.pw_gid), *more)))
