"""The base of every shared value."""

from __future__ import annotations

import msgspec


class Value(msgspec.Struct, frozen=True, omit_defaults=True):
    """A frozen value. Collections inside are tuples, or dicts that nobody changes after construction."""
