"""Small words for sentences."""

from __future__ import annotations


def span(seconds: float) -> str:
    """A duration as a person says it: `4 s`, `2 min`, `3 h`."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{round(whole / 60)} min"
    return f"{round(whole / 3600)} h" if whole < 172800 else f"{round(whole / 86400)} d"


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 session`, `3 sessions`."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or f'{noun}s'}"


def first_names(names: tuple[str, ...], most: int = 5) -> str:
    """Some names of many: `a, b, c and 12 more`."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def size(amount: float) -> str:
    """Bytes as a person says them: `950 MB`, `1.8 GB`."""
    return f"{amount / 1e9:.1f} GB" if amount >= 999.5e6 else f"{amount / 1e6:.0f} MB"
