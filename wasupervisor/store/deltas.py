"""What is different between two plain values of the same shape, so that what did not change costs nothing.

A delta is: `None`, the value is not there any more; a list of one, the new value; a whole number, so much was added;
a mapping, the deltas of the members that changed.
"""

from __future__ import annotations

from typing import Any

SAME = object()
"""The delta of what did not change."""

_FAR = 2**62
"""Beyond it a difference may not fit into MessagePack's whole numbers."""


def delta(old: Any, new: Any) -> Any:
    """What makes `new` of `old`; SAME when nothing does.

    Values are what msgspec.to_builtins gives: mappings with texts as keys, lists or tuples, and scalars.
    """
    if type(old) is not type(new):
        return [new]
    if isinstance(new, dict):
        return _of_mappings(old, new)
    if isinstance(new, list | tuple):
        return _of_lists(old, new)
    if old == new:
        return SAME
    if type(new) is int and abs(new - old) < _FAR:
        return new - old
    return [new]


def _of_mappings(old: dict[str, Any], new: dict[str, Any]) -> Any:
    if old == new:
        return SAME
    changed: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        found = delta(old[key], value) if key in old else [value]
        if found is not SAME:
            changed[key] = found
    return changed or SAME


def _of_lists(old: Any, new: Any) -> Any:
    """Only lists of the same length have members that correspond."""
    if len(old) != len(new):
        return [new]
    changed = {}
    for index, (before, after) in enumerate(zip(old, new, strict=True)):
        if before != after:
            changed[index] = delta(before, after)
    return changed or SAME


def changed_by(old: Any, change: Any) -> Any:
    """What the delta makes of `old`.

    Raises:
        ValueError: it was not made of such a value.
    """
    try:
        return _changed(old, change)
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"a delta does not fit: {error}") from None


def _changed(old: Any, change: Any) -> Any:
    if isinstance(change, list):
        (value,) = change
        return value
    if isinstance(change, int):
        return old + change
    if isinstance(old, dict):
        return _changed_mapping(old, change)
    members = list(old)
    for index, inner in change.items():
        members[index] = _changed(members[index], inner)
    return members


def _changed_mapping(old: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    members = dict(old)
    for key, inner in change.items():
        if inner is None:
            del members[key]
        else:
            members[key] = _changed(members[key], inner) if key in members else inner[0]
    return members
