"""The tables are whole, and their sentences can be read by a person."""

from __future__ import annotations

import pytest

from wasupervisor.decide import gates, ladder, reasons
from wasupervisor.decide.attempts import grown
from wasupervisor.decide.concluding import GROUP_OF
from wasupervisor.decide.ladder import rung_for
from wasupervisor.decide.memory import Memory, dump, load
from wasupervisor.decide.reasons import CONDITION_OF, TABLE, Nature
from wasupervisor.decide.words import count, first_names, span
from wasupervisor.model.remedies import RemedyKind
from wasupervisor.model.sessions import Condition, Reason


def test_every_reason_has_one_row_and_every_nature_a_condition() -> None:
    assert sorted(row.reason for row in reasons.ROWS) == sorted(Reason)
    assert set(CONDITION_OF) == set(Nature)
    assert set(GROUP_OF) == set(Condition)


@pytest.mark.parametrize("row", reasons.ROWS, ids=lambda row: row.reason)
def test_sentences_follow_a_colon_and_advice_is_a_sentence_of_its_own(row: reasons.ReasonRow) -> None:
    assert not row.sentence.endswith(".")
    assert row.sentence[0].islower() or row.sentence.startswith("WhatsApp")
    assert row.advice == "" or row.advice.endswith(".")
    if row.nature in (Nature.FATAL, Nature.PERSON):
        assert row.advice


@pytest.mark.parametrize("kind", ["waha", "evolution"])
@pytest.mark.parametrize("reason", list(Reason))
def test_no_remedy_for_what_only_a_person_ends_nor_for_what_cannot_be_read(kind: str, reason: Reason) -> None:
    remedy = rung_for(kind, reason).remedy
    if TABLE[reason].nature not in (Nature.TRANSIENT, Nature.LOST):
        assert remedy is None
    if kind == "evolution":
        assert remedy in (None, RemedyKind.RESTART_SESSION, RemedyKind.RESTART_GATEWAY)


def test_no_reason_has_two_rungs_on_one_gateway() -> None:
    assert len(ladder.TABLE) == len(ladder.ROWS)


def test_gates_have_codes_of_their_own_and_force_passes_only_what_an_order_passes_or_more() -> None:
    assert len({row.code for row in gates.ROWS}) == len(gates.ROWS)
    assert all(row.holds_for_restart for row in gates.ROWS if row.holds_for_force)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (172800, "2 d")],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_counts_and_names() -> None:
    assert (count(1, "session"), count(2, "session")) == ("1 session", "2 sessions")
    assert first_names(("a", "b")) == "a, b"
    assert first_names(tuple("abcdefg")) == "a, b, c, d, e and 2 more"


@pytest.mark.parametrize(
    ("first", "factor", "times", "most", "wait"),
    [(5, 2, 0, 600, 5), (5, 2, 3, 600, 40), (5, 2, 99, 600, 600), (5, 1e300, 99, 600, 600), (0, 2, 99, 600, 0)],
)
def test_a_wait_grows_up_to_the_most_and_never_overflows(
    first: float, factor: float, times: int, most: float, wait: float
) -> None:
    assert grown(first, factor, times, most) == wait


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{", b'{"sessions": 1}', b'{"next_id": "a"}', b"\xff"])
def test_what_is_no_memory_is_refused_with_a_sentence(text: bytes) -> None:
    with pytest.raises(ValueError, match="cannot read the decider's memory"):
        load(text)


def test_an_empty_memory_is_small_and_comes_back() -> None:
    assert load(dump(Memory())) == Memory()
    assert load(b"{}") == Memory()
