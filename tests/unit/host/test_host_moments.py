from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from wasupervisor.host.moments import boot_id, boottime, hour_of_week, wall_time_of
from wasupervisor.host.proc import stat


def test_the_boot_has_a_name_that_stays() -> None:
    assert boot_id()
    assert boot_id() == boot_id()


def test_the_clock_is_the_one_on_which_the_kernel_dates_processes() -> None:
    us = stat(os.getpid())
    assert us is not None
    assert 0 < us.born <= boottime()
    assert wall_time_of(us.born) <= time.time()


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[ZoneInfo]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield ZoneInfo("Europe/Berlin")
    monkeypatch.undo()
    time.tzset()


def test_the_week_begins_on_monday_at_midnight_local_time(berlin: ZoneInfo) -> None:
    assert hour_of_week(datetime(2026, 7, 6, 0, 59, tzinfo=berlin).timestamp()) == 0
    assert hour_of_week(datetime(2026, 7, 7, 10, 0, tzinfo=berlin).timestamp()) == 34
    assert hour_of_week(datetime(2026, 7, 12, 23, 0, tzinfo=berlin).timestamp()) == 167


def test_a_clock_that_was_never_set_tells_nothing(berlin: ZoneInfo) -> None:
    assert hour_of_week(datetime(1970, 1, 1, 12, 0, tzinfo=berlin).timestamp()) is None
