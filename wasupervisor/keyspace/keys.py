"""The names of keys: as a person reads them, and those of our own beside another."""

from __future__ import annotations

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


def beside(beginning: bytes, key: bytes) -> bytes | None:
    """The name of a key of ours that stands in the same slot of a Redis Cluster as the key that it is about.

    The slot of a key is that of its hash tag, what stands between the first `{` and the next `}`, if that is not
    empty, else that of the whole key (redis.io, cluster specification, 'Hash tags').

    Returns:
        None when there is no such name: the key holds a `}` and no tag of its own.
    """
    if hash_tag(key) is not None:
        return beginning + key
    if b"}" in key:
        return None
    return beginning + b"{" + key + b"}"


def about(beginning: bytes, name: bytes) -> bytes:
    """The key that a name of ours is about: what `beside` was given."""
    rest = name.removeprefix(beginning)
    if rest.startswith(b"{") and rest.endswith(b"}") and hash_tag(rest[1:-1]) is None:
        return rest[1:-1]
    return rest


def hash_tag(key: bytes) -> bytes | None:
    """What alone decides the slot of a key; None: the whole key does."""
    _before, opened, rest = key.partition(b"{")
    tag, closed, _after = rest.partition(b"}")
    return tag if opened and closed and tag else None
