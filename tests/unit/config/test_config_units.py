"""Durations, sizes and shares as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wasupervisor.config.units import (
    format_duration,
    format_share,
    format_size,
    parse_duration,
    parse_share,
    parse_size,
)

calm = settings(deadline=None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("100ms", 0.1), ("1.5s", 1.5), ("30s", 30), ("5m", 300), ("1h", 3600), ("90d", 7_776_000)],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["30", "0", "1.5"])
def test_a_duration_without_its_unit_is_told_so(text: str) -> None:
    with pytest.raises(ValueError, match=f"write the unit too, for instance {text}s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "s", "5 s", "5 minutes", "-5s", "+5s", "1h30m", "1e3s", "12:30:45", "५s", "5S"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write a number with its unit"):
        parse_duration(text)


def test_a_duration_below_a_millisecond_is_not_rounded_in_silence() -> None:
    with pytest.raises(ValueError, match="whole milliseconds"):
        parse_duration("0.0005s")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(60, "60s"), (120, "2m"), (90, "90s"), (3600, "1h"), (86400, "24h"), (172800, "2d"), (0.1, "100ms"), (0, "0s")],
)
def test_a_duration_is_written_as_people_would(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@calm
@given(st.integers(0, 10**12))
def test_every_duration_survives_being_written_and_read(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1.8GB", 1_800_000_000),
        ("200MB", 200_000_000),
        ("512MiB", 536_870_912),
        ("1.8GiB", 1_932_735_283),
        ("4kB", 4000),
        ("4KB", 4000),
        ("7B", 7),
    ],
)
def test_a_size_tells_powers_of_ten_from_powers_of_two(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "1.8 GB", "1.8gb", "1,8GB", "-1GB", "512M", "1e3MB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write a number with its unit"):
        parse_size(text)


def test_a_size_without_its_unit_is_told_so() -> None:
    with pytest.raises(ValueError, match="write the unit too, for instance 200MB"):
        parse_size("200")


@calm
@given(st.integers(0, 2**50))
def test_every_size_survives_being_written_and_read(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(("size", "text"), [(1_800_000_000, "1.8GB"), (2**30, "1GiB"), (1025, "1025B"), (10, "10B")])
def test_a_size_is_written_as_people_would(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(0, 100))
def test_every_share_survives_being_written_and_read(per_cent: int) -> None:
    share = parse_share(f"{per_cent}%")
    assert share == per_cent / 100
    assert format_share(share) == f"{per_cent}%"


@pytest.mark.parametrize("text", ["101%", "-1%", "%", "", "0.5", "12.5%", "²%", "abc"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="from 0% to 100%"):
        parse_share(text)


def test_a_share_without_its_sign_is_told_so() -> None:
    with pytest.raises(ValueError, match="write the per cent sign too: 80%"):
        parse_share("80")
