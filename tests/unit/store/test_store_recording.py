"""Steps as bytes: whatever a step holds goes through unchanged, and what did not change costs next to nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.observation import Look, Observation, ProcessReading, Trouble, Uplink, UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Order, OrderKind
from wasupervisor.model.sessions import Sighting, State, Truths
from wasupervisor.store.deltas import SAME, changed_by, delta
from wasupervisor.store.recording import Decoder, Encoder, Made, Step

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=5)
NUMBER = st.integers(-(2**63), 2**63 - 1)
FLOAT = st.floats(allow_nan=False).map(lambda one: one + 0.0)
"""Without -0.0, which is equal to 0.0 and means the same."""
SCALAR = st.one_of(st.none(), st.booleans(), NUMBER, FLOAT, TEXT)
PLAIN = st.recursive(
    SCALAR,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)

SIGHTING = st.builds(
    Sighting,
    name=st.sampled_from(["a", "b", "5511"]),
    state=st.sampled_from(State),
    claim=TEXT,
    paired=st.sampled_from([None, True, False]),
    activity=st.one_of(st.none(), NUMBER),
    truths=st.sampled_from([None, Truths("open", "close")]),
)
LOOK = st.builds(
    Look,
    reachable=st.sampled_from([None, True, False]),
    sightings=st.one_of(st.none(), st.lists(SIGHTING, max_size=3).map(tuple)),
    trouble=st.sampled_from([None, *Trouble]),
    latency_seconds=st.one_of(st.none(), FLOAT),
)
OBSERVATION = st.builds(
    Observation,
    look=LOOK,
    process=st.builds(ProcessReading, pid=st.one_of(st.none(), NUMBER), cpu_percent=FLOAT, detail=TEXT),
    uplink=st.builds(Uplink, state=st.sampled_from(UplinkState), age_seconds=FLOAT),
    first=st.booleans(),
    orders=st.sampled_from([(), (Order("1", OrderKind.PAUSE, pause_for=0.5, by="eve"),)]),
    mistyped=st.lists(TEXT, max_size=2).map(tuple),
)
ANY_STEP = st.builds(
    Step,
    number=st.integers(0, 2**31),
    wall=st.floats(0, 4e9),
    now=st.floats(0, 1e9),
    dice=st.floats(0, 1),
    observation=OBSERVATION,
    policy=st.sampled_from([Policy(), Policy(act=False, notes=("a",)), Policy(expect=("b",), restart_spacing=60.0)]),
    digest=st.binary(min_size=16, max_size=16),
    made=st.sampled_from([Made(), Made(journal=(Entry(EntryKind.WITHHELD, "no", "a"),), probes=("a",))]),
    memory=st.one_of(st.none(), st.binary(max_size=40)),
    anew=st.booleans(),
)


def through_bytes(value: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value))


def as_written(value: Any) -> bytes:
    """Tells 1 from 1.0 and from True, which are equal in Python."""
    return msgspec.json.encode(value, order="deterministic")


@given(PLAIN, PLAIN)
def test_a_delta_makes_the_new_value_of_the_old_one(old: Any, new: Any) -> None:
    change = delta(old, new)
    made = old if change is SAME else changed_by(old, through_bytes(change))
    assert made == new


def test_what_did_not_change_has_no_delta() -> None:
    assert delta({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}) is SAME


def test_only_what_changed_is_in_a_delta() -> None:
    assert delta({"a": [1, {"b": 2}], "c": 1.5, "d": ""}, {"a": [1, {"b": 9}], "c": 2.5}) == {
        "a": {1: {"b": 7}},
        "c": [2.5],
        "d": None,
    }


def test_a_delta_for_another_value_is_refused() -> None:
    for old, change in (({}, {"a": 1}), ([], {0: [1]}), (1, {"a": None}), ({"a": 1}, {"b": None})):
        with pytest.raises(ValueError, match="does not fit"):
            changed_by(old, change)


@settings(max_examples=50, deadline=None)
@given(st.lists(ANY_STEP, max_size=6))
def test_any_steps_go_through_unchanged(steps: list[Step]) -> None:
    encoder, decoder = Encoder(), Decoder()
    for step in steps:
        again = decoder.decode(encoder.encode(step))
        assert abs(again.wall - step.wall) < 1.0
        again = msgspec.structs.replace(again, wall=step.wall)
        assert as_written(again) == as_written(step)
        assert again == step


def a_step(number: int = 1, **fields: Any) -> Step:
    values: dict[str, Any] = {
        "number": number,
        "wall": 1e9 + 5.0 * number,
        "now": 5.0 * number,
        "dice": 0.5,
        "observation": quiet(number),
        "policy": Policy(),
        "digest": bytes(16),
    }
    return Step(**{**values, **fields})


def quiet(number: int, sessions: int = 50) -> Observation:
    sightings = tuple(Sighting(f"s{one}", State.WORKING, claim="WORKING", paired=True) for one in range(sessions))
    return Observation(
        look=Look(reachable=True, sightings=sightings, latency_seconds=0.01 + number / 1e6, run="1"),
        process=ProcessReading(exists=True, pid=7, cpu_percent=number / 7, rss_bytes=10**8 + 4096 * number),
        uplink=Uplink(UplinkState.UP),
    )


def test_a_quiet_step_costs_few_bytes() -> None:
    encoder = Encoder()
    first, *others = (len(encoder.encode(a_step(number))) for number in range(10))
    assert first > 1500
    assert max(others) < 150


def test_an_unchanged_observation_is_the_same_object_again() -> None:
    encoder, decoder = Encoder(), Decoder()
    same = quiet(1)
    one, two = (decoder.decode(encoder.encode(a_step(number, observation=same))) for number in (1, 2))
    assert one.observation is two.observation


def test_a_clock_that_is_set_is_seen() -> None:
    encoder, decoder = Encoder(), Decoder()
    walls = [1e9, 1e9 + 5.2, 1e9 - 3600]
    again = [
        decoder.decode(encoder.encode(a_step(number, wall=wall, now=5.0 * number))) for number, wall in enumerate(walls)
    ]
    assert [one.wall for one in again] == [1e9, 1e9 + 5.0, 1e9 - 3600]


def test_what_a_later_release_added_is_left_out_and_what_it_changed_is_refused() -> None:
    row = [1, 1.0, 0.5, b"d", {"look": [{"reachable": True, "hue": 3}], "mood": ["fine"]}, {"later": 1}]
    assert Decoder().decode(msgspec.msgpack.encode(row)).observation == Observation(look=Look(reachable=True))
    row[4] = {"look": [{"trouble": "a word of later"}]}
    with pytest.raises(ValueError, match="a word of later"):
        Decoder().decode(msgspec.msgpack.encode(row))


def test_what_cannot_be_written_is_an_error_and_not_a_wrong_step() -> None:
    sighting = Sighting("s", State.WORKING, activity=2**70)
    with pytest.raises((ValueError, OverflowError)):
        Encoder().encode(a_step(observation=Observation(look=Look(sightings=(sighting,)))))
