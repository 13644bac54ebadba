"""The names of keys: as a person reads them, and those of our own beside another."""

from __future__ import annotations

from typing import NamedTuple

OURS = b"wasupervisor:"
"""Begins the name of every key that we make. No rule and no sweep looks at such a key as at the gateway's."""

QUARANTINE = OURS + b"quarantine:"
"""Begins the name of what was set aside: then the time, a colon and the key that it was."""

NOTE = OURS + b"note:"
"""Begins the name of the hash that tells of a key in quarantine what its name does not."""

UNDONE = OURS + b"undone:"
"""Begins the name of what marks a key that a person put back as it was: it is not set aside again by itself."""

LEASE = OURS + b"lease:"
"""Begins the name of the lease of those who repair."""


def shown(key: bytes) -> str:
    """A key in one printable line; what is not is escaped. Two keys that differ may look the same only in escapes."""
    text = key.decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def beside(beginning: bytes, key: bytes, *, cluster: bool = True) -> bytes | None:
    """The name of a key of ours that is about another; `about` reads it.

    In a cluster it stands in the same slot. The slot of a key is that of its hash tag, what stands between the first
    `{` and the next `}`, if that is not empty, else that of the whole key (redis.io, cluster specification, 'Hash
    tags'). So a key with a tag is named as it is, and any other becomes the tag. A colon more tells a key that begins
    with `{` or `:` itself from one that was made a tag.

    Returns:
        None when a cluster has no such name: the key has no tag of its own, and holds a `}` or nothing at all.
    """
    if not cluster or hash_tag(key) is not None:
        return beginning + (b":" if key.startswith((b"{", b":")) else b"") + key
    if not key or b"}" in key:
        return None
    return beginning + b"{" + key + b"}"


def about(beginning: bytes, name: bytes) -> bytes:
    """The key that a name of ours is about: what `beside` was given."""
    rest = name.removeprefix(beginning)
    if rest.startswith(b":"):
        return rest[1:]
    return rest[1:-1] if rest.startswith(b"{") else rest


class Place(NamedTuple):
    """What the name of a key in quarantine tells."""

    at: str
    """When it was set aside: `20261121T200512.123456Z`."""
    key: bytes


def quarantine_name(at: str, key: bytes, *, cluster: bool) -> bytes | None:
    """Where a key goes that is set aside; None: see `beside`."""
    assert not set(at) & set(":{}"), at
    return beside(QUARANTINE + at.encode() + b":", key, cluster=cluster)


def note_name(name: bytes) -> bytes:
    """Of the note beside a key in quarantine; in the same slot."""
    return NOTE + name.removeprefix(QUARANTINE)


def place_of(name: bytes) -> Place | None:
    """When which key was set aside, by its name in quarantine; None: this name was not made by us."""
    at, colon, _rest = name.removeprefix(QUARANTINE).partition(b":")
    if not name.startswith(QUARANTINE) or not colon or not at.isascii():
        return None
    return Place(at.decode(), about(QUARANTINE + at + colon, name))


def hash_tag(key: bytes) -> bytes | None:
    """What alone decides the slot of a key; None: the whole key does."""
    _before, opened, rest = key.partition(b"{")
    tag, closed, _after = rest.partition(b"}")
    return tag if opened and closed and tag else None
