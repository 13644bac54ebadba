"""Times as they stand in names: no two alike, whatever the clock does."""

from __future__ import annotations

from datetime import UTC, datetime

from wasupervisor.keyspace.aside import AT
from wasupervisor.runtime.stamps import FORM, Stamps


def test_it_is_the_time_in_utc() -> None:
    assert Stamps(lambda: 1_769_860_800.25)() == "20260131T120000.250000Z"


def test_no_two_are_alike_also_when_the_clock_stands_or_goes_back() -> None:
    times = iter([100.0, 100.0, 100.0, 50.0, 0.0, 100.000001, 200.0])
    stamps = Stamps(lambda: next(times))
    given = [stamps() for _ in range(7)]
    assert given == sorted({*given})
    assert given[-1] == "19700101T000320.000000Z"


def test_the_quarantine_reads_them() -> None:
    assert FORM == AT
    read = datetime.strptime(Stamps(lambda: 1_769_860_800.5)(), AT).replace(tzinfo=UTC)
    assert read.timestamp() == 1_769_860_800.5
