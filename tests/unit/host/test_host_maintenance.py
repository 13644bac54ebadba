"""When a maintenance window is open: over midnight, in zones, over the change of the clocks, and where nobody knows."""

from __future__ import annotations

import logging
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from wasupervisor.config.recovery import DAYS, Maintenance
from wasupervisor.config.rules import Hours
from wasupervisor.host.maintenance import Window, is_open

NIGHT = Maintenance(days=("sat", "sun"), hours=Hours(180, 300))
OVER = Maintenance(days=("sun",), hours=Hours(23 * 60, 60))


@pytest.mark.parametrize(
    ("wanted", "day", "time", "is_so"),
    [
        (NIGHT, "sat", "03:00", True),
        (NIGHT, "sat", "04:59", True),
        (NIGHT, "sat", "05:00", False),
        (NIGHT, "sat", "02:59", False),
        (NIGHT, "mon", "03:30", False),
        (OVER, "sun", "22:59", False),
        (OVER, "sun", "23:00", True),
        (OVER, "mon", "00:00", True),
        (OVER, "mon", "00:59", True),
        (OVER, "mon", "01:00", False),
        (OVER, "mon", "23:30", False),
        (OVER, "sun", "00:30", False),
    ],
)
def test_a_window_is_open_on_its_days_beyond_midnight(wanted: Maintenance, day: str, time: str, is_so: bool) -> None:
    hour, minute = map(int, time.split(":"))
    assert is_open(wanted, DAYS.index(day), hour * 60 + minute) is is_so


def at(*when: int, zone: str = "UTC") -> float:
    return datetime(*when, tzinfo=ZoneInfo(zone)).timestamp()  # type: ignore[misc, arg-type]


def test_the_hours_are_those_of_the_zone_in_summer_too() -> None:
    berlin = Maintenance(days=DAYS, hours=Hours(180, 300), zone="Europe/Berlin")
    assert Window(berlin, wall=lambda: at(2026, 7, 4, 1, 30))() is True
    assert Window(berlin, wall=lambda: at(2026, 7, 4, 3, 30))() is False
    assert Window(berlin, wall=lambda: at(2026, 12, 5, 3, 30))() is True


def test_a_clock_that_was_never_set_tells_nothing() -> None:
    assert Window(NIGHT, wall=lambda: at(1970, 1, 3, 3, 30))() is None


def test_a_zone_that_this_host_does_not_know_opens_no_window_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        window = Window(Maintenance(hours=Hours(0, 1439), zone="Europe/Atlantis"))
    assert window() is None
    assert "Europe/Atlantis, and this host knows no such zone" in caplog.text
