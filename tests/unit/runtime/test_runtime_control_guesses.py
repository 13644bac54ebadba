"""How guesses at the token are slowed down, in time that is injected."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasupervisor.runtime.control_guesses import ALL, EACH, HERE, LOOPBACK, MOST_KNOWN, Guesses, source_of

LONGEST = max(EACH.every, ALL.every, LOOPBACK.every)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guesses(clock: Clock) -> Guesses:
    return Guesses(clock)


def exhaust(guesses: Guesses, address: str) -> int:
    """Guess until told to wait; how often that was possible."""
    count = 0
    while not guesses.wait(address):
        guesses.wrong(address)
        count += 1
    return count


@pytest.mark.parametrize(("address", "allowance"), [("192.0.2.1", EACH), ("2001:db8::1", EACH), ("::1", LOOPBACK)])
def test_some_are_taken_at_once_and_then_one_now_and_then(
    guesses: Guesses, clock: Clock, address: str, allowance: object
) -> None:
    assert isinstance(allowance, type(EACH))
    assert exhaust(guesses, address) == allowance.at_once
    assert guesses.wait(address) == math.ceil(allowance.every)
    clock.now += allowance.every + 0.001
    assert exhaust(guesses, address) == 1
    clock.now += allowance.at_once * allowance.every + 0.001
    assert exhaust(guesses, address) == allowance.at_once


def test_one_source_costs_another_nothing(guesses: Guesses) -> None:
    exhaust(guesses, "192.0.2.1")
    assert guesses.wait("192.0.2.2") == 0
    assert guesses.wait("127.0.0.1") == 0


def test_many_sources_together_are_slowed_down_too_but_not_who_is_known_nor_this_host(
    guesses: Guesses, clock: Clock
) -> None:
    guesses.right("198.51.100.7")
    for number in range(ALL.at_once):
        assert guesses.wait(f"192.0.2.{number}") == 0
        guesses.wrong(f"192.0.2.{number}")
    assert guesses.wait("203.0.113.1") == math.ceil(ALL.every)
    assert guesses.wait("198.51.100.7") == guesses.wait("127.0.0.1") == 0
    clock.now += ALL.every + 0.001
    assert guesses.wait("203.0.113.1") == 0


def test_who_is_known_may_not_guess_for_ever_either(guesses: Guesses) -> None:
    guesses.right("198.51.100.7")
    assert exhaust(guesses, "198.51.100.7") == EACH.at_once


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("127.0.0.1", "::1", True),
        ("127.8.8.8", "::ffff:127.0.0.1", True),
        ("", "x", True),
        ("", "127.0.0.1", False),
    ],
)
def test_who_counts_as_one(one: str, other: str, same: bool) -> None:
    assert (source_of(one) == source_of(other)) is same


def test_everybody_on_this_host_is_one() -> None:
    assert source_of("127.0.0.1") == HERE


def test_who_guessed_long_ago_is_forgotten(guesses: Guesses, clock: Clock) -> None:
    for number in range(2000):
        clock.now += ALL.every
        address = f"192.0.{number // 200}.{number % 200}"
        assert guesses.wait(address) == 0
        guesses.wrong(address)
    assert len(guesses) <= ALL.at_once
    for number in range(2000):
        guesses.right(f"198.51.{number // 200}.{number % 200}")
    assert len(guesses) <= ALL.at_once + MOST_KNOWN


_STEP = st.tuples(
    st.sampled_from([0.0, 0.05, 0.3, 1.0, 7.0, 60.0]), st.integers(0, 400), st.sampled_from(["wrong", "right"])
)


@given(steps=st.lists(_STEP, max_size=300))
def test_nobody_ever_waits_longer_than_one_guess_takes_to_come_back_and_memory_is_bounded(
    steps: list[tuple[float, int, str]],
) -> None:
    clock = Clock()
    guesses = Guesses(clock)
    taken = 0
    began = clock.now
    for passed, number, kind in steps:
        clock.now += passed
        address = f"192.0.{number // 200}.{number % 200}" if number else "127.0.0.1"
        assert guesses.wait(address) <= math.ceil(LONGEST)
        if guesses.wait(address) == 0:
            if kind == "right":
                guesses.right(address)
            else:
                taken += number > 0
                guesses.wrong(address)
        remembered = ALL.at_once + EACH.at_once * EACH.every / ALL.every + 2 * MOST_KNOWN
        assert len(guesses) <= remembered
    if not any(kind == "right" for *_, kind in steps):
        assert taken <= ALL.at_once + (clock.now - began) / ALL.every + 1
