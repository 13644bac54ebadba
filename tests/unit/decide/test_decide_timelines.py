"""The fault rows of the baselines, with the default policy: what a supervisor must do, and what it must not do.

The bar is the measured behaviour of the gateways alone (docs/gateways.md): never slower than they heal by themselves,
never a death of the gateway that we caused, and the faults healed that last for ever without us.
"""

from __future__ import annotations

import pytest
from decide_loop import Make, evolution_loop, waha_loop

from wasupervisor.model.health import Status
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.remedies import Outcome, RemedyKind
from wasupervisor.model.sessions import Condition, Reason
from wasupervisor.simulator import faults
from wasupervisor.simulator.world import UplinkState

RESTART, START = RemedyKind.RESTART_SESSION, RemedyKind.START_SESSION
ACCEPTED = Outcome.ACCEPTED
BOTH = pytest.mark.parametrize("make", [waha_loop, evolution_loop])


# Heals alone: nothing is to be done


@BOTH
def test_row_1_and_8_a_socket_that_is_reset_is_left_alone(make: Make) -> None:
    loop = make()
    loop.run(3)  # any phase
    loop.happen(faults.Drop(session="*"))
    loop.run(90)
    assert loop.made == []
    assert loop.all_up
    assert set(loop.logins().values()) == {1}
    assert not [one for _, one in loop.journal if one.warn]


@BOTH
def test_row_4_a_peer_that_is_silent_for_a_minute_is_left_to_the_gateway(make: Make) -> None:
    loop = make()
    loop.happen(faults.Silent(session="*"))
    loop.run(180)
    assert loop.made == []
    assert loop.all_up


@BOTH
@pytest.mark.parametrize("state", [UplinkState.BLACK_HOLE, UplinkState.REFUSED])
@pytest.mark.parametrize("seconds", [40.0, 200.0, 1800.0])
def test_rows_3_and_9_without_an_uplink_nothing_is_restarted(make: Make, state: UplinkState, seconds: float) -> None:
    loop = make()
    loop.happen(faults.Uplink(state=state, lasts=seconds))
    end = loop.now + seconds
    loop.run(seconds)
    if seconds > 100:
        assert loop.status() is Status.UNHEALTHY
        assert loop.health.incident is not None
        assert any("WhatsApp cannot be reached from here" in one for one in loop.health.notes)
    loop.run(120)
    assert loop.made == []
    assert loop.all_up
    assert max(loop.up_at.values()) <= end + 33  # Evolution's handshake alone takes 30 s
    assert set(loop.logins().values()) == {1}
    assert loop.world.harm == []


@BOTH
def test_row_10_a_gateway_that_hangs_for_30_s_is_left_alone(make: Make) -> None:
    loop = make()
    loop.happen(faults.Process(action="freeze", lasts=30.0))
    loop.run(20)
    assert loop.status() is Status.UNHEALTHY
    loop.run(90)
    assert loop.made == []
    assert loop.all_up
    assert loop.status() is Status.HEALTHY


@BOTH
def test_row_11_a_gateway_that_is_killed_and_kept_comes_back_without_us(make: Make) -> None:
    loop = make()
    loop.happen(faults.Process(action="kill"))
    loop.run(120)
    assert loop.made == []
    assert loop.all_up
    assert "the gateway process was restarted, not by us; its sessions have 30 s to come back" in (
        loop.told(EntryKind.GATEWAY)
    )


@BOTH
def test_row_11_a_gateway_that_is_killed_and_not_kept_is_told_and_not_called(make: Make) -> None:
    loop = make(keeper=False)
    loop.happen(faults.Process(action="kill"))
    loop.run(600)
    assert loop.made == []
    assert loop.status() is Status.UNHEALTHY
    assert loop.health.why == "the gateway does not answer"


# Lasts for ever without us


def test_row_5_waha_with_a_login_that_is_not_answered_is_healed_by_one_restart_each() -> None:
    loop = waha_loop()
    begun = loop.happen(faults.Uplink(state=UplinkState.NO_LOGIN, lasts=30.0))
    loop.run(180)
    assert loop.made == [(RESTART, "default", ACCEPTED), (RESTART, "second", ACCEPTED)]
    assert loop.all_up
    assert loop.up_at["default"] <= begun + 30 + 60
    assert loop.up_at["second"] <= begun + 30 + 70
    assert max(loop.logins().values()) <= 2
    assert loop.world.harm == []
    assert loop.world.deaths == []


def test_row_5_without_a_keeper_the_person_is_told_what_to_do() -> None:
    loop = waha_loop(keeper=False)
    loop.happen(faults.Uplink(state=UplinkState.NO_LOGIN, lasts=30.0))
    loop.run(600)
    assert loop.made == []
    assert loop.health.notes[0].startswith("Only a restart of the gateway process heals default, second.")


def test_row_5_one_of_two_is_healed_without_any_keeper() -> None:
    loop = waha_loop(keeper=False)
    loop.happen(faults.Stuck(session="default"))
    loop.run(180)
    assert loop.made == [(RESTART, "default", ACCEPTED)]
    assert loop.all_up


def test_row_2_waha_behind_a_503_is_healed_by_the_one_canary_that_ends_the_process() -> None:
    loop = waha_loop()
    begun = loop.happen(faults.Uplink(state=UplinkState.UPGRADE_503, lasts=20.0))
    loop.run(240)
    assert loop.made == [(RESTART, "default", Outcome.DROPPED)]
    assert [one.exit_code for one in loop.world.deaths] == [7]
    assert loop.all_up
    assert max(loop.up_at.values()) <= begun + 20 + 60
    assert max(loop.logins().values()) == 1
    assert len(loop.memory.gateway.restarts) == 1
    assert any("by our session restart" in one for one in loop.told(EntryKind.GATEWAY))


def test_row_2_waha_behind_a_503_without_a_keeper_is_never_killed() -> None:
    loop = waha_loop(keeper=False)
    loop.happen(faults.Uplink(state=UplinkState.UPGRADE_503, lasts=20.0))
    loop.run(3600)
    assert loop.made == []
    assert loop.world.deaths == []
    assert loop.health.notes[0].startswith("Only a restart of the gateway process heals default, second.")
    assert loop.health.incident is not None
    assert len(loop.told(EntryKind.INCIDENT)) == 1
    assert len(loop.told(EntryKind.WITHHELD)) <= 2


def test_row_2_evolution_stuck_connecting_is_healed_by_one_restart() -> None:
    loop = evolution_loop()
    begun = loop.happen(faults.Stuck(session="alpha"))
    loop.run(150)
    assert loop.made == [(RESTART, "alpha", ACCEPTED)]
    assert loop.all_up
    assert loop.up_at["alpha"] <= begun + 80
    assert loop.logins() == {"alpha": 1, "beta": 0, "gamma": 0}


def test_row_2_evolution_with_all_stuck_is_healed_canary_first() -> None:
    loop = evolution_loop()
    loop.happen(faults.Uplink(state=UplinkState.UPGRADE_503, lasts=20.0))
    loop.run(300)
    assert [name for _, name, _ in loop.made] == ["alpha", "beta", "gamma"]
    assert loop.all_up
    assert max(loop.logins().values()) == 1


def test_row_12_kill_minus_nine_of_an_old_core_that_starts_nothing_by_itself() -> None:
    loop = waha_loop("default", core=True)
    begun = loop.happen(faults.Process(action="kill"))
    loop.run(120)
    assert loop.made == [(START, "default", ACCEPTED)]
    assert loop.all_up
    assert loop.up_at["default"] <= begun + 60


# Cannot be healed: bounded, and a person is told


def test_row_6_an_unlinked_session_gets_one_restart_and_no_more() -> None:
    loop = waha_loop()
    loop.happen(faults.LoggedOut(session="default"))
    loop.run(4 * 3600)
    assert loop.made == [(RESTART, "default", ACCEPTED)]
    assert loop.session("default").condition is Condition.FATAL
    assert loop.session("default").needs_qr
    assert loop.logins() == {"default": 1, "second": 0}
    assert "second" in loop.up_at


def test_row_6_evolution_says_so_itself_and_gets_none() -> None:
    loop = evolution_loop()
    loop.happen(faults.LoggedOut(session="alpha"))
    loop.run(4 * 3600)
    assert loop.made == []
    assert loop.session("alpha").reason is Reason.LOGGED_OUT
    assert loop.world.harm == []


def test_row_7_a_banned_number_that_waha_hammers_with_is_bounded_by_breaker_and_budget() -> None:
    loop = waha_loop()
    loop.happen(faults.Banned(session="default"))
    loop.run(6 * 3600)
    begun = [when for when, _, _ in loop.calls]
    assert all(sum(1 for one in begun if when <= one < when + 3600) <= 6 for when in begun)
    assert sum(1 for one in begun if one > loop.now - 3 * 3600) <= 3
    assert loop.session("default").group == "failed"
    assert any("open WhatsApp on the phone" in one for one in loop.health.notes)
    assert loop.world.deaths == []
    assert "second" in loop.up_at


def test_row_8_lost_credentials_ask_for_a_person_and_burn_no_qr() -> None:
    for loop, name in ((waha_loop(), "default"), (evolution_loop(), "alpha")):
        loop.happen(faults.QrWanted(session=name))
        loop.run(400)
        assert loop.made == []
        assert loop.session(name).condition is Condition.NEEDS_HUMAN
        assert loop.world.harm == []
        loop.happen(faults.Scanned(session=name))
        loop.run(120)
        assert loop.all_up


def test_evolution_whose_instance_is_not_loaded_is_told_and_not_touched() -> None:
    loop = evolution_loop()
    loop.happen(faults.NotLoaded(session="alpha"))
    loop.run(600)
    assert loop.made == []
    assert loop.session("alpha").condition is Condition.MISSING
    assert loop.health.notes[0].startswith("Only a restart of the gateway process heals alpha.")
    loop.happen(faults.Process(action="restart"))
    loop.run(120)
    assert loop.all_up


# Stores


def test_row_5_evolution_with_postgresql_down_is_never_restarted() -> None:
    loop = evolution_loop()
    loop.happen(faults.Stuck(session="alpha"))
    loop.happen(faults.Store(database="down", lasts=600.0))
    loop.run(595)
    assert loop.made == []
    loop.run(120)
    assert loop.made == [(RESTART, "alpha", ACCEPTED)]
    assert loop.all_up
    assert loop.world.harm == []


def test_row_7_evolution_with_redis_down_is_withheld_and_no_call_is_queued() -> None:
    loop = evolution_loop()
    loop.happen(faults.Stuck(session="alpha"))
    loop.happen(faults.Store(redis="down", lasts=900.0))
    loop.run(890)
    assert loop.made == []
    looks = [one for one in loop.told(EntryKind.WITHHELD) if "could not be read again" in one]
    assert 1 <= len(looks) <= 20  # ever more rarely
    loop.run(150)
    assert loop.made == [(RESTART, "alpha", ACCEPTED)]
    assert loop.all_up


# The supervisor itself is killed at the worst moment


@pytest.mark.parametrize("seconds", range(0, 160, 10))
def test_a_supervisor_killed_at_any_moment_heals_all_the_same(seconds: int) -> None:
    loop = waha_loop()
    loop.happen(faults.Stuck(session="default"))
    loop.run(seconds)
    loop.results.clear()
    loop.under_way.clear()
    loop.first, loop.asked, loop.ask_uplink = True, None, False
    loop.run(300)
    assert loop.all_up
    assert 1 <= loop.world.sessions["default"].restarts <= 2
    assert loop.world.deaths == []


def test_a_session_that_needs_three_restarts_gets_them() -> None:
    loop = waha_loop()
    loop.happen(faults.Stuck(session="default", heals_after_restarts=3))
    loop.run(600)
    assert loop.made == [(RESTART, "default", ACCEPTED)] * 3
    assert loop.all_up
    assert loop.memory.sessions["default"].failures == 0
