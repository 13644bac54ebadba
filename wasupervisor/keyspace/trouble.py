"""What can go wrong with Redis, in words that an operator can act on."""

from __future__ import annotations

from enum import StrEnum


class RedisTrouble(StrEnum):
    """Why something was not done."""

    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    LOGIN = "login"
    """NOAUTH, WRONGPASS."""
    FORBIDDEN = "forbidden"
    """NOPERM: the ACL of our user lacks a command or a key."""
    LOADING = "loading"
    READ_ONLY = "read_only"
    """A replica, or a primary that takes no writes."""
    FULL = "full"
    """OOM: maxmemory is reached."""
    MOVED = "moved"
    """The cluster, or Sentinel's primary, is not what it was: connect anew."""
    CUT = "cut"
    """The connection broke in the middle: it is not known whether the command was carried out."""
    OTHER = "other"


class KeyspaceError(Exception):
    """Something was not done, and why. No secret in its text."""

    def __init__(self, trouble: RedisTrouble, text: str, code: str = "") -> None:
        super().__init__(text)
        self.trouble = trouble
        self.code = code
        """The first word of what Redis replied: `WRONGTYPE`, `NOSCRIPT`, `ERR`; empty when it did not."""

    @property
    def answers(self) -> bool:
        """Whether Redis itself answered, if only to say no."""
        return self.trouble not in (RedisTrouble.UNREACHABLE, RedisTrouble.TIMED_OUT, RedisTrouble.CUT)
