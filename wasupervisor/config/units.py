"""Durations, sizes and shares as people write them. Each `parse_*` is undone by its `format_*`."""

from __future__ import annotations

import re

_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LEAST_COUNT = {"d": 2, "h": 1, "m": 2, "s": 1, "ms": 0}
"""From how many on a unit reads best: 60s and 24h, not 1m and 1d."""
_DURATION = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,6}))?(ms|s|m|h|d)")

_BYTES = {
    "TiB": 2**40,
    "TB": 10**12,
    "GiB": 2**30,
    "GB": 10**9,
    "MiB": 2**20,
    "MB": 10**6,
    "KiB": 2**10,
    "kB": 10**3,
    "B": 1,
}
_SIZE = re.compile(rf"([0-9]{{1,18}})(?:\.([0-9]{{1,6}}))?({'|'.join(_BYTES)}|KB)")

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


def parse_duration(text: str) -> float:
    """Read `500ms`, `1.5s`, `5m`, `1h`, `90d` as seconds.

    Raises:
        ValueError: with what to write instead.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        if _NUMBER.fullmatch(text):
            raise ValueError(f"write the unit too, for instance {text[:12]}s")
        raise ValueError("write a number with its unit (ms, s, m, h or d), for instance 30s")
    whole, fraction, unit = match[1], match[2] or "", match[3]
    scale = int(10 ** len(fraction))
    milliseconds, rest = divmod(int(whole + fraction) * _MILLISECONDS[unit], scale)
    if rest:
        raise ValueError("write it in whole milliseconds")
    return milliseconds / 1000


def format_duration(seconds: float) -> str:
    """Write seconds with the largest unit that needs no fraction."""
    milliseconds = round(seconds * 1000)
    if milliseconds == 0:
        return "0s"
    for unit, least in _LEAST_COUNT.items():
        count, rest = divmod(milliseconds, _MILLISECONDS[unit])
        if not rest and count >= least:
            return f"{count}{unit}"
    raise AssertionError("milliseconds take any whole number")


def parse_size(text: str) -> int:
    """Read `1.8GB` (10**9) or `512MiB` (2**20) as bytes, rounded to a whole byte.

    Raises:
        ValueError: with what to write instead.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        if _NUMBER.fullmatch(text):
            raise ValueError(f"write the unit too, for instance {text[:18]}MB")
        raise ValueError("write a number with its unit (kB, MB, GB, or KiB, MiB, GiB), for instance 1.8GB")
    whole, fraction, unit = match[1], match[2] or "", match[3]
    factor = _BYTES["kB" if unit == "KB" else unit]
    scale = int(10 ** len(fraction))
    return (int(whole + fraction) * factor + scale // 2) // scale


def format_size(size: int) -> str:
    """Write bytes with the largest unit that is exact with two decimals."""
    for unit, factor in _BYTES.items():
        hundredths, rest = divmod(size * 100, factor)
        if not rest and hundredths >= 100:
            whole, part = divmod(hundredths, 100)
            return f"{whole}.{part:02}".rstrip("0").rstrip(".") + unit if part else f"{whole}{unit}"
    return f"{size}B"


def parse_share(text: str) -> float:
    """Read `80%` as 0.8.

    Raises:
        ValueError: with what to write instead.
    """
    digits = text.removesuffix("%")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 3 and int(digits) <= 100):
        raise ValueError("write whole per cent from 0% to 100%, for instance 80%")
    if digits == text:
        raise ValueError(f"write the per cent sign too: {digits}%")
    return int(digits) / 100


def format_share(share: float) -> str:
    """Write 0.8 as `80%`."""
    return f"{round(share * 100)}%"
