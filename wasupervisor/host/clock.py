"""Whether the wall clock of this host is kept by anybody."""

from __future__ import annotations

import ctypes
import os

_TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised to a reliable server."""
_ROOM = 512
"""Bytes; struct timex has 208 on 64 bits."""


def is_synchronised() -> bool:
    """What the kernel says of it; with `modes` 0 nothing is set, and no right is needed.

    Raises:
        OSError: the kernel does not tell (a sandbox).
    """
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_ROOM))
    if state < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return bool(state != _TIME_ERROR)
