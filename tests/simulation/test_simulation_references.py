"""The world is only as good as this: the policies of today do the same in it as they did to the real gateways.

The figures are those of the measured baseline (docs/gateways.md): two sessions of WAHA 2024.10.8, three of Evolution
2.3.6, a script that looks every 10 s, windows of 150 s.
"""

from __future__ import annotations

import pytest
from sim_figures import FAULTS, OURS, Fault, Outcome, Policy, play

SEEDS = range(6)


def fault_of(kind: str, name: str) -> Fault:
    """By its name."""
    return next(one for one in FAULTS if one.kind == kind and one.name == name)


def outcomes(kind: str, name: str, policy: Policy, window: float = 150.0) -> list[Outcome]:
    """Some runs, each in another phase."""
    return [play(fault_of(kind, name), policy, seed, every=10.0, window=window) for seed in SEEDS]


def healed_within(seconds: float, runs: list[Outcome]) -> bool:
    """All of them."""
    return all(one.healed_after is not None and one.healed_after <= seconds for one in runs)


@pytest.mark.parametrize("name", ["upgrade answered 503, 20 s", "login without success, 30 s"])
def test_without_a_supervisor_waha_hangs_in_starting_for_ever(name: str) -> None:
    assert all(one.healed_after is None for one in outcomes("waha", name, "process"))


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("socket reset", 4.0),
        ("black hole, 40 s", 22.0),
        ("silent peer", 70.0),
        ("WhatsApp refuses, 40 s", 2.5),
        ("hang (SIGSTOP), 30 s", 0.5),
    ],
)
def test_what_heals_alone_in_waha(name: str, seconds: float) -> None:
    assert healed_within(seconds, outcomes("waha", name, "process"))


@pytest.mark.parametrize("kind", ["waha", "evolution"])
def test_a_kept_process_is_back_in_seconds(kind: str) -> None:
    """Measured: 2.7 to 8.2 s on WAHA, 4 s on Evolution, with each keeper."""
    assert healed_within(8.0, outcomes(kind, "kill -9", "process"))


@pytest.mark.parametrize(("name", "most"), [("upgrade answered 503, 20 s", 2), ("black hole, 40 s", 3)])
def test_the_naive_script_kills_waha(name: str, most: int) -> None:
    """1 to 2 deaths with exit code 7 were measured, 2 of the black hole; a phase that was not met makes it 3 here."""
    runs = outcomes("waha", name, "restart")
    assert all(1 <= one.crashes <= most for one in runs)
    assert {code for one in runs for code in one.exits} == {7}
    assert healed_within(25.0, runs)


def test_the_naive_script_heals_a_login_without_success_at_a_price() -> None:
    """Measured: healed 7.6 to 9.6 s after the end, 7 calls, 5 and 4 logins; alone 1 and 1, and never healed."""
    runs = outcomes("waha", "login without success, 30 s", "restart")
    assert healed_within(10.5, runs)
    assert all(5 <= one.calls <= 8 and 6 <= one.logins <= 10 and one.crashes == 0 for one in runs)
    assert {one.logins for one in outcomes("waha", "login without success, 30 s", "process")} == {2}


def test_the_naive_script_disturbs_what_heals_alone() -> None:
    """Measured with refused connections: 8 useless calls, up to 4.5 s after the end instead of 0.4 to 2.4."""
    runs = outcomes("waha", "WhatsApp refuses, 40 s", "restart")
    assert all(6 <= one.calls <= 9 for one in runs)
    assert max(one.healed_after or 0.0 for one in runs) > 2.5


def test_the_naive_script_restarts_an_unlinked_session_for_ever() -> None:
    """Measured: 12 restarts and 11 to 12 logins in 120 s; alone none."""
    runs = outcomes("waha", "unlinked (401), s1", "restart", window=120.0)
    assert all(11 <= one.calls <= 13 and one.logins >= 11 for one in runs)
    alone = outcomes("waha", "unlinked (401), s1", "process", window=120.0)
    assert {(one.calls, one.logins) for one in alone} == {(0, 0)}


@pytest.mark.parametrize(("policy", "least", "most"), [("process", 50, 60), ("restart", 44, 52)])
def test_a_banned_account_logs_in_every_two_seconds(policy: Policy, least: int, most: int) -> None:
    """Measured in 120 s: 53 to 56 logins alone; 45 to 46 with a script that restarts it 12 times."""
    assert all(least <= one.logins <= most for one in outcomes("waha", "banned (403), s1", policy, window=120.0))


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("socket reset, s1", 2.0),
        ("WhatsApp unreachable 40 s, s1 dropped", 8.0),
        ("WhatsApp refuses, 40 s", 8.0),
        ("silent peer, s1", 60.0),
        ("Redis away 30 s, and a drop", 2.0),
        ("hang (SIGSTOP), 30 s", 0.5),
    ],
)
def test_what_heals_alone_in_evolution(name: str, seconds: float) -> None:
    assert healed_within(seconds, outcomes("evolution", name, "process"))


def test_stuck_in_connecting_lasts_for_ever_and_one_restart_heals_it() -> None:
    """Measured: alone not in 148 s; the script in 8 s with 1 restart and 1 login."""
    assert all(one.healed_after is None for one in outcomes("evolution", "stuck in connecting, s1", "process"))
    runs = outcomes("evolution", "stuck in connecting, s1", "restart")
    assert healed_within(12.0, runs)
    assert {(one.calls, one.logins) for one in runs} == {(1, 1)}


@pytest.mark.parametrize("name", ["WhatsApp unreachable 40 s, s1 dropped", "WhatsApp refuses, 40 s"])
def test_the_naive_script_turns_an_outage_into_a_login_fight(name: str) -> None:
    """Measured: 247 to 324 logins instead of 1 and 3, and the fight goes on."""
    runs = outcomes("evolution", name, "restart")
    assert all(one.healed_after is None and one.harm >= 1 and one.logins > 100 for one in runs)
    assert all(one.logins <= 3 for one in outcomes("evolution", name, "process"))


@pytest.mark.parametrize("name", ["Redis away 30 s, and a drop", "hang (SIGSTOP), 30 s"])
def test_calls_that_timed_out_are_made_later(name: str) -> None:
    """Measured: 8 to 15 logins and 9, instead of 1 and none."""
    alone, runs = outcomes("evolution", name, "process"), outcomes("evolution", name, "restart")
    assert min(one.logins for one in runs) > max(one.logins for one in alone)
    assert healed_within(5.0, runs)


@pytest.mark.parametrize("policy", ["restart", "process"])
@pytest.mark.parametrize("name", ["PostgreSQL away 20 s, and a drop", "not loaded, s1", "login fight (440), s1"])
def test_what_only_a_new_process_heals_is_healed_by_none_of_them(name: str, policy: Policy) -> None:
    assert all(one.healed_after is None for one in outcomes("evolution", name, policy))


def test_the_naive_script_burns_qr_codes() -> None:
    """Measured: 15 restarts, 1 connect and 15 QR sessions in 150 s."""
    runs = outcomes("evolution", "logged out (401), s1", "restart")
    assert all(one.harm >= 10 and 13 <= one.calls <= 17 for one in runs)


# And ours in the same world


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: f"{one.kind} {one.name}".replace(" ", "-"))
@pytest.mark.parametrize("policy", OURS)
def test_ours_is_never_worse_than_the_process_alone(fault: Fault, policy: Policy) -> None:
    for seed in SEEDS:
        ours, alone = play(fault, policy, seed, window=300.0), play(fault, "process", seed, window=300.0)
        assert ours.harm <= ours.crashes <= (0 if policy == "ours" else 1)
        assert ours.lost == 0
        if alone.healed_after is not None:
            assert ours.healed_after == pytest.approx(alone.healed_after, abs=1.0)
            assert ours.calls == ours.restarts == 0


@pytest.mark.parametrize("fault", [one for one in FAULTS if one.curable], ids=lambda one: f"{one.kind} {one.name}")
def test_ours_heals_with_a_restarter_whatever_can_be_healed(fault: Fault) -> None:
    runs = [play(fault, "ours", seed, window=600.0) for seed in SEEDS]
    assert all(one.healed_after is not None for one in runs)
    assert all(one.calls + one.restarts <= 2 for one in runs)


@pytest.mark.parametrize("name", ["upgrade answered 503, 20 s", "login without success, 30 s"])
def test_ours_heals_what_hangs_for_ever(name: str) -> None:
    runs = [play(fault_of("waha", name), "ours", seed, window=300.0) for seed in SEEDS]
    assert healed_within(120.0, runs)
    assert all(one.logins <= 4 for one in runs)
