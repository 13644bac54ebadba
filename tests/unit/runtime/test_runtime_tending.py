"""A fault of our own never ends the daemon, and is told once."""

from __future__ import annotations

import logging

import anyio
import pytest

from wasupervisor.runtime.tending import Mishaps, attempt, tend

pytestmark = pytest.mark.anyio


def fail(text: str = "a") -> None:
    raise KeyError(text)


def fail_elsewhere() -> None:
    raise KeyError("b")


def caught(work: object, *arguments: object) -> Exception:
    assert callable(work)
    try:
        work(*arguments)
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


async def test_side_work_that_fails_is_begun_again_and_told_once_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 4:
            fail(str(begun))

    await tend("pruning", work, again_after=0.0)
    assert begun == 4
    assert [record.getMessage() for record in caplog.records] == [
        "pruning failed: this is a fault of wasupervisor, please report it"
    ]
    assert "KeyError" in (caplog.text)


async def test_side_work_can_be_cancelled() -> None:
    with anyio.move_on_after(0) as scope:
        await tend("pruning", anyio.sleep_forever)
    assert scope.cancelled_caught


def test_another_fault_is_told_though_one_is_known_and_the_end_of_the_row_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mishaps = Mishaps("a turn")
    told = [
        mishaps.failed(caught(fail, "1")),
        mishaps.failed(caught(fail, "2")),
        mishaps.failed(caught(fail_elsewhere)),
        mishaps.failed(caught(int, "x")),
    ]
    assert told == [True, False, True, True]
    assert mishaps.in_a_row == 4
    mishaps.went_well()
    mishaps.went_well()
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 3 + [logging.WARNING]
    assert "goes well again, after 4 failures" in caplog.text
    assert mishaps.failed(caught(fail))


def test_the_same_fault_is_known_in_whatever_groups_it_comes() -> None:
    mishaps = Mishaps("a turn")
    assert mishaps.failed(ExceptionGroup("one", [caught(fail)]))
    assert not mishaps.failed(ExceptionGroup("two", [ExceptionGroup("three", [caught(fail)])]))


async def test_a_last_attempt_that_fails_does_not_keep_the_next_one_from_being_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        fail()

    await attempt("saying that it stops", work())
    assert "saying that it stops failed" in caplog.text
