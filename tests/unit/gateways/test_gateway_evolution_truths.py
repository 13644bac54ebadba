"""The table of Evolution's truths: every combination has one row, and each row is reached."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from wasupervisor.gateways import codes
from wasupervisor.gateways.evolution_truths import ABSENT, CLOUD, TABLE, UNREADABLE, Row, Truth, judge, sight
from wasupervisor.model.sessions import Reason, State, Truths

CODED = [cause.code for cause in codes.TABLE if cause.code is not None]
MEMORY = ["open", "connecting", "close", ABSENT, "unreadable", "refused", None]
DATABASE = ["open", "connecting", "close", "unreadable", None]
CODES = [None, *CODED, 599]
COMBINATIONS = list(product(MEMORY, DATABASE, CODES))


def truth(memory: str | None, database: str | None, code: int | None) -> Truth:
    return judge(memory, Row(database, code))


def test_every_row_is_reached() -> None:
    assert {id(truth(*one)) for one in COMBINATIONS} == {id(row) for row in (*TABLE, UNREADABLE)}


def test_every_row_has_its_sentence() -> None:
    assert len({row.sentence for row in TABLE}) == len(TABLE)


def test_what_is_not_known_is_never_failed_or_working() -> None:
    for memory, database, code in COMBINATIONS:
        state = truth(memory, database, code).state
        if memory in ("unreadable", None) or (database == "unreadable" and memory not in ("open", "refused", ABSENT)):
            assert state is State.UNKNOWN
        if memory == "open":
            assert state is State.WORKING


def test_a_code_is_history_unless_the_database_says_close() -> None:
    for memory, database, code in COMBINATIONS:
        if not (memory == database == "close"):
            assert truth(memory, database, code) is truth(memory, database, None)


def test_only_a_linked_or_unknown_instance_counts_as_starting() -> None:
    """A restart of a starting instance may follow, and one that shows a QR must not be restarted."""
    starting = {one[:2] for one in COMBINATIONS if truth(*one).state is State.STARTING}
    assert starting == {("connecting", "open"), ("connecting", None)}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (401, Reason.LOGGED_OUT),
        (402, Reason.BANNED),
        (403, Reason.BANNED),
        (406, Reason.BANNED),
        (405, Reason.OUTDATED),
        (409, Reason.OUTDATED),
        (408, Reason.CONNECTION_LOST),
        (411, Reason.CONNECTION_LOST),
        (428, Reason.CONNECTION_LOST),
        (429, Reason.RATE_LIMITED),
        (440, Reason.REPLACED),
        (500, Reason.BAD_SESSION),
        (503, Reason.CONNECTION_LOST),
        (515, Reason.CONNECTION_LOST),
        (599, Reason.QR_WANTED),
        (None, Reason.QR_WANTED),
    ],
)
def test_a_final_close_tells_why(code: int | None, reason: Reason) -> None:
    assert truth("close", "close", code).reason is reason


def test_without_a_row_the_database_is_unknown() -> None:
    sighting = sight("x", "close", None)
    assert (sighting.state, sighting.reason) == (State.FAILED, Reason.CONNECTION_LOST)
    assert sighting.claim == "memory close, database unknown"
    assert sighting.truths == Truths(memory="close")


@pytest.mark.parametrize("memory", MEMORY)
def test_the_cloud_api_works_or_is_unknown(memory: str | None) -> None:
    row = Row("open", integration="WHATSAPP-BUSINESS")
    assert judge(memory, row) is (CLOUD if memory == "open" else UNREADABLE)


def test_the_docs_tell_each_row_as_the_table_does() -> None:
    docs = (Path(__file__).parents[3] / "docs" / "gateways.md").read_text()
    for row in TABLE:
        (line,) = [line for line in docs.splitlines() if row.sentence in line]
        memory, database, said = (cell.strip() for cell in line.strip("|").split("|")[:3])
        assert memory == row.memory
        assert database.startswith("any" if row.database == "*" else row.database)
        assert [int(word) for word in re.findall(r"\d+", database)] == list(row.codes)
        if row.reason not in (Reason.NONE, Reason.NOT_LOADED):
            assert f"`{row.reason}`" in said
