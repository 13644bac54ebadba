"""Globs as Redis understands them, byte by byte: the `stringmatchlen` of its util.c (6.2 and 7.0).

Unlike globs elsewhere: a class that is not closed goes on to the end of the glob, `[a-]` is a range up to `]`, an empty
class matches nothing, `^` negates it and `!` does not, and a reversed range is turned round. A range compares signed
bytes, as Redis does on x86; it is of no matter unless one end is ASCII and the other is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

Bytes = frozenset[int]
"""The bytes that may stand in one place of a key. Empty: nothing can."""

_ANY: Bytes = frozenset(range(256))
_STAR, _QUESTION, _OPEN, _CLOSE, _NOT, _TO, _BACKSLASH = b"*?[]^-\\"
_SPECIAL = re.compile(rb"([*?\[\\])")
MOST_STARS = 3
"""Each star of a Lua pattern multiplies the time that a long key may take, and Redis serves nobody meanwhile."""


def escape(text: bytes) -> bytes:
    """The glob that matches this text and no other."""
    return _SPECIAL.sub(rb"\\\1", text)


def matches(glob: bytes, key: bytes) -> bool:
    """Whether Redis would list this key for this glob. Takes at most the product of both lengths, however many stars.

    To SCAN and KEYS a lone `*` is every key; the key without a name is matched by no other glob with stars.
    """
    if not key:
        return glob in (b"", b"*")
    return _expression(glob).fullmatch(key) is not None


def literal_prefix(glob: bytes) -> bytes:
    """What every key begins with that the glob matches."""
    prefix = bytearray()
    for place in _places(glob):
        if place is None or len(place) != 1:
            break
        prefix.extend(place)
    return bytes(prefix)


def literal_suffix(glob: bytes) -> bytes:
    """What every key ends with that the glob matches."""
    suffix = bytearray()
    for place in reversed(list(_places(glob))):
        if place is None or len(place) != 1:
            break
        suffix.extend(place)
    return bytes(reversed(suffix))


def lua_pattern(glob: bytes) -> bytes | None:
    """The pattern of Lua 5.1 for `string.find` that finds the same keys; None for a glob with too many stars.

    Source: lstrlib.c of Lua 5.1: NUL ends a pattern and is written `%z`; `%` before any other punctuation makes it
    plain, also within a set; `.` is every byte; ranges compare unsigned bytes.
    """
    *before, last = _segments(glob)
    if len(before) > MOST_STARS:
        return None
    parts = [b"".join(_lua_set(place) for place in segment) for segment in (*before, last)]
    if before and not last:
        # Whatever follows the last star: no need to walk to the end of the key.
        return b"^" + b".-".join(parts[:-1]) + (b"." if set(glob) == {_STAR} and len(glob) > 1 else b"")
    return b"^" + b".-".join(parts) + b"$"


@lru_cache(maxsize=1024)
def _expression(glob: bytes) -> re.Pattern[bytes]:
    """The same as a regular expression; what stands between two stars is looked for once and never given back."""
    first, *others = _segments(glob)
    text = _text(first)
    if others:
        *middle, last = others
        text += b"".join(b"(?>.*?" + _text(segment) + b")" for segment in middle) + b".*" + _text(last)
    return re.compile(text, re.DOTALL)


def _text(segment: list[Bytes]) -> bytes:
    return b"".join(_regex_set(place) for place in segment)


def _segments(glob: bytes) -> list[list[Bytes]]:
    """The places between the stars; several stars in a row are one."""
    segments: list[list[Bytes]] = [[]]
    starred = False
    for place in _places(glob):
        if place is not None:
            segments[-1].append(place)
        elif not starred:
            segments.append([])
        starred = place is None
    return segments


def _places(glob: bytes) -> Iterator[Bytes | None]:
    """What may stand in each place; None for a star."""
    at = 0
    while at < len(glob):
        char = glob[at]
        if char == _STAR:
            yield None
        elif char == _QUESTION:
            yield _ANY
        elif char == _OPEN:
            members, at = _class(glob, at + 1)
            yield members
        else:
            if char == _BACKSLASH and at + 1 < len(glob):
                at += 1
            yield frozenset((glob[at],))
        at += 1


def _class(glob: bytes, at: int) -> tuple[Bytes, int]:
    """The bytes of a class, and where its `]` stands; without one, the end of the glob."""
    negated = at < len(glob) and glob[at] == _NOT
    at += negated
    members: set[int] = set()
    while at < len(glob):
        left = len(glob) - at
        if left >= 2 and glob[at] == _BACKSLASH:
            members.add(glob[at + 1])
            at += 2
        elif glob[at] == _CLOSE:
            break
        elif left >= 3 and glob[at + 1] == _TO:
            members.update(_range(glob[at], glob[at + 2]))
            at += 3
        else:
            members.add(glob[at])
            at += 1
    return (_ANY - members if negated else frozenset(members)), at


def _range(one: int, other: int) -> Iterator[int]:
    low, high = sorted(byte - 256 if byte > 127 else byte for byte in (one, other))
    return (byte % 256 for byte in range(low, high + 1))


def _regex_set(place: Bytes) -> bytes:
    if len(place) == 1:
        return re.escape(bytes(place))
    if place == _ANY:
        return b"."
    inside = b"".join(b"\\x%02x-\\x%02x" % run for run in _runs(place))
    return b"[" + inside + b"]" if inside else b"(?!)"


def _lua_set(place: Bytes) -> bytes:
    if len(place) == 1:
        return _lua_char(next(iter(place)))
    if place == _ANY:
        return b"."
    if not place:
        return b"[^%z\x01-\xff]"
    return b"[" + b"".join(_lua_run(*run) for run in _runs(place)) + b"]"


def _lua_run(low: int, high: int) -> bytes:
    """A range only between ends that mean nothing else in a set."""
    plain = [byte for byte in range(low, high + 1) if not _is_special(byte)]
    special = b"".join(_lua_char(byte) for byte in range(low, high + 1) if _is_special(byte))
    ranges = (bytes((one, _TO, other)) if one != other else bytes((one,)) for one, other in _runs(frozenset(plain)))
    return special + b"".join(ranges)


def _lua_char(byte: int) -> bytes:
    if not byte:
        return b"%z"
    return b"%" + bytes((byte,)) if _is_special(byte) else bytes((byte,))


def _is_special(byte: int) -> bool:
    """NUL and the punctuation of ASCII."""
    return not byte or (0x20 < byte < 0x7F and not chr(byte).isalnum())


def _runs(place: Bytes) -> Iterator[tuple[int, int]]:
    """The bytes as ranges, both ends included."""
    start = None
    for byte in range(257):
        if byte in place:
            start = byte if start is None else start
        elif start is not None:
            yield start, byte - 1
            start = None
