"""What is asked of a glob before anybody matches keys with it; `keyspace.globs` knows what it matches."""

from __future__ import annotations

import re

OURS = "wasupervisor:"
"""Begins the names of our own keys in Redis; `keyspace.keys.OURS`."""

MOST_STARS = 3
"""What `keyspace.globs` takes: each star more multiplies the time that a long key may take."""

_LITERAL = re.compile(r"(?:[^*?\[\\]|\\.)*", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def literal_beginning(glob: str) -> str:
    """What every key begins with that it matches, up to the first `*`, `?` or class."""
    found = _LITERAL.match(glob)
    return _ESCAPED.sub(r"\1", found[0]) if found else ""


def stars_in(glob: str) -> int:
    """How many stars it has; several in a row are one, escaped ones are none, and those in a class count too."""
    return len(re.findall(r"\*+", _ESCAPED.sub("", glob)))
