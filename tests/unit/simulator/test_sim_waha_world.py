"""The simulated WAHA does what the real one was measured to do; in virtual time."""

from __future__ import annotations

import pytest

from wasupervisor.simulator import faults
from wasupervisor.simulator.faults import WorldFault
from wasupervisor.simulator.happen import apply
from wasupervisor.simulator.virtual import Pending
from wasupervisor.simulator.waha_world import Socket, WahaSession, WahaWorld
from wasupervisor.simulator.world import UplinkState

NAMES = ("s1", "s2", "s3")


@pytest.fixture
def world() -> WahaWorld:
    return WahaWorld(NAMES, keeper=True)


def status(world: WahaWorld, name: str = "s1") -> str:
    return world.sessions[name].status


def happens(world: WahaWorld, *what: WorldFault) -> None:
    for fault in what:
        apply(world, fault)


def passes(world: WahaWorld, seconds: float) -> None:
    world.advance(world.now + seconds)


def restart(world: WahaWorld, name: str = "s1") -> Pending[WahaSession | None]:
    """Restart and wait for the answer or for the crash."""
    pending = world.restart(name)
    passes(world, 10.0)
    return pending


def test_a_healthy_gateway_has_nothing_under_way(world: WahaWorld) -> None:
    assert {session.status for session in world.sessions.values()} == {"WORKING"}
    assert world.next_at is None
    assert world.harm == []


def test_a_restart_shows_stopped_for_three_seconds_and_answers_then(world: WahaWorld) -> None:
    pending = world.restart("s1")
    passes(world, 2.9)
    assert (status(world), pending.done) == ("STOPPED", False)
    passes(world, 0.15)
    assert (status(world), pending.done) == ("STARTING", True)
    passes(world, 0.1)
    assert status(world) == "WORKING"
    assert status(world, "s2") == "WORKING"


def test_restarts_of_one_session_queue_on_its_lock(world: WahaWorld) -> None:
    calls = [world.restart("s1") for _ in range(3)]
    answered = []
    for _ in range(100):
        passes(world, 0.1)
        answered.append(sum(call.done for call in calls))
    assert [answered.index(count) / 10 for count in (1, 2, 3)] == pytest.approx([3.0, 6.0, 9.0], abs=0.2)


def test_failed_stays_failed_until_it_is_restarted(world: WahaWorld) -> None:
    happens(world, faults.Failed(session="s1"))
    passes(world, 3600)
    assert status(world) == "FAILED"
    assert world.sessions["s1"].me is not None
    restart(world)
    assert status(world) == "WORKING"
    assert world.sessions["s1"].restarts == 1


@pytest.mark.parametrize("kind", [faults.Failed, faults.Stuck])
def test_heals_only_at_the_restart_that_was_named(world: WahaWorld, kind: type[faults.Failed | faults.Stuck]) -> None:
    happens(world, kind(session="s1", heals_after_restarts=3))
    seen = []
    for _ in range(3):
        restart(world)
        seen.append(status(world))
    bad = "FAILED" if kind is faults.Failed else "STARTING"
    assert seen == [bad, bad, "WORKING"]


def test_never_heals_when_no_restart_is_named(world: WahaWorld) -> None:
    happens(world, faults.Failed(session="s1", heals_after_restarts=None))
    for _ in range(20):
        restart(world)
    assert status(world) == "FAILED"


def test_a_stuck_login_is_safe_to_restart_and_heals(world: WahaWorld) -> None:
    happens(world, faults.Stuck(session="s1"))
    passes(world, 3600)
    assert status(world) == "STARTING"
    assert not restart(world).dropped
    assert status(world) == "WORKING"
    assert world.deaths == []


def test_a_reset_socket_shows_working_for_two_seconds_and_heals_alone(world: WahaWorld) -> None:
    happens(world, faults.Drop(session="s1"))
    passes(world, 2.0)
    assert (status(world), world.sessions["s1"].socket) == ("WORKING", Socket.RESET)
    passes(world, 0.15)
    assert status(world) == "STARTING"
    passes(world, 0.1)
    assert (status(world), world.sessions["s1"].socket) == ("WORKING", Socket.OPEN)


def test_a_silent_peer_is_noticed_after_a_minute(world: WahaWorld) -> None:
    happens(world, faults.Silent(session="s1"))
    passes(world, 58)
    assert (status(world), world.sessions["s1"].socket) == ("WORKING", Socket.SILENT)
    passes(world, 1)
    assert world.sessions["s1"].socket is Socket.OPEN


def test_false_working_lasts_for_ever_and_a_restart_heals_it(world: WahaWorld) -> None:
    happens(world, faults.FalseWorking(session="s1"))
    asked = world.check_exists(world.sessions["s1"])
    passes(world, 119)
    assert (status(world), asked.done) == ("WORKING", False)
    passes(world, 2)
    assert asked.value is False
    restart(world)
    again = world.check_exists(world.sessions["s1"])
    assert again.value is True


def test_logged_out_fails_again_right_after_each_restart_and_keeps_its_me(world: WahaWorld) -> None:
    happens(world, faults.LoggedOut(session="s1"))
    for _ in range(3):
        restart(world)
        assert status(world) == "FAILED"
        assert world.sessions["s1"].me is not None
    happens(world, faults.Scanned(session="s1"))
    restart(world)
    assert status(world) == "WORKING"


def test_a_banned_account_hammers_whatsapp(world: WahaWorld) -> None:
    happens(world, faults.Banned(session="s1"))
    passes(world, 120)
    assert status(world) == "STARTING"
    assert 50 <= world.sessions["s1"].logins <= 60


def test_a_qr_is_shown_for_ever_and_a_scan_heals_it(world: WahaWorld) -> None:
    happens(world, faults.QrWanted(session="s1"))
    passes(world, 1000)
    assert status(world) == "SCAN_QR_CODE"
    happens(world, faults.Scanned(session="s1"))
    passes(world, 1.0)
    assert (status(world), world.sessions["s1"].me is not None) == ("SCAN_QR_CODE", True)
    passes(world, 1.5)
    assert status(world) == "WORKING"


def test_restarting_a_session_that_shows_a_qr_burns_it(world: WahaWorld) -> None:
    happens(world, faults.QrWanted(session="s1"))
    passes(world, 1)
    restart(world)
    assert [harm.what for harm in world.harm] == ["qr_burned"]
    assert status(world) == "SCAN_QR_CODE"


def test_an_expired_qr_is_failed_without_a_me(world: WahaWorld) -> None:
    happens(world, faults.QrExpired(session="s1"))
    assert (status(world), world.sessions["s1"].me) == ("FAILED", None)


@pytest.mark.parametrize("uplink", [UplinkState.BLACK_HOLE, UplinkState.UPGRADE_503])
def test_restarting_a_connecting_session_kills_the_whole_gateway(world: WahaWorld, uplink: UplinkState) -> None:
    happens(world, faults.Uplink(state=uplink))
    passes(world, 3)
    assert status(world) == "STARTING"
    other = world.call()
    pending = world.restart("s1")
    passes(world, 9.9)
    assert (pending.done, world.alive) == (False, True)
    passes(world, 0.2)
    assert (pending.dropped, other.dropped, world.alive) == (True, True, False)
    assert [(death.exit_code) for death in world.deaths] == [7]
    assert [harm.what for harm in world.harm] == ["crash"]
    passes(world, 1.7)
    assert world.alive
    assert status(world) == "STARTING"


def test_a_session_that_cannot_connect_at_once_is_safe_to_restart(world: WahaWorld) -> None:
    happens(world, faults.Uplink(state=UplinkState.REFUSED))
    passes(world, 3.5)
    assert not restart(world).dropped
    assert world.deaths == []


def test_a_black_hole_heals_alone_once_the_connect_times_out(world: WahaWorld) -> None:
    happens(world, faults.Uplink(state=UplinkState.BLACK_HOLE, lasts=6))
    passes(world, 20)
    assert status(world) == "STARTING"
    passes(world, 5)
    assert status(world) == "WORKING"


def test_a_503_at_the_upgrade_never_heals_alone_and_a_new_process_heals_it(world: WahaWorld) -> None:
    happens(world, faults.Uplink(state=UplinkState.UPGRADE_503, lasts=6))
    passes(world, 3600)
    assert status(world) == "STARTING"
    happens(world, faults.Process(action="restart"))
    passes(world, 9)
    assert world.alive
    passes(world, 6)
    assert (status(world), world.deaths[0].exit_code) == ("WORKING", 7)


def test_one_session_alone_may_be_unreachable(world: WahaWorld) -> None:
    happens(world, faults.Unreachable(session="s1", lasts=30))
    passes(world, 20)
    assert (status(world, "s1"), status(world, "s2")) == ("STARTING", "WORKING")
    passes(world, 15)
    assert status(world, "s1") == "WORKING"


def test_a_stopped_session_stays_stopped_also_over_a_new_process(world: WahaWorld) -> None:
    happens(world, faults.Stopped(session="s1"))
    passes(world, 4)
    happens(world, faults.Process(action="kill"))
    passes(world, 10)
    assert (status(world, "s1"), status(world, "s2")) == ("STOPPED", "WORKING")
    happens(world, faults.Started(session="s1"))
    passes(world, 1)
    assert status(world, "s1") == "WORKING"


def test_the_old_core_starts_nothing_after_a_process_restart() -> None:
    world = WahaWorld(["default"], core=True, keeper=True)
    happens(world, faults.Process(action="kill"))
    passes(world, 10)
    assert (world.alive, status(world, "default")) == (True, "STOPPED")


def test_a_killed_process_stays_away_without_a_keeper() -> None:
    world = WahaWorld(NAMES)
    happens(world, faults.Process(action="kill"))
    passes(world, 3600)
    assert not world.alive
    happens(world, faults.Process(action="start"))
    passes(world, 2)
    assert world.alive
    assert status(world) == "WORKING"


def test_a_restart_under_way_dies_with_its_process(world: WahaWorld) -> None:
    pending = world.restart("s1")
    passes(world, 1)
    happens(world, faults.Process(action="kill", back_after=0.5))
    passes(world, 10)
    assert pending.dropped
    assert (status(world), world.sessions["s1"].logins) == ("WORKING", 2)


def test_sigterm_shows_all_stopped_and_takes_three_seconds(world: WahaWorld) -> None:
    happens(world, faults.Process(action="terminate"))
    assert {session.status for session in world.sessions.values()} == {"STOPPED"}
    passes(world, 3.0)
    assert world.alive
    passes(world, 0.1)
    assert (world.alive, world.deaths[0].exit_code) == (False, 0)


def test_a_frozen_process_works_on_what_waited_when_it_wakes(world: WahaWorld) -> None:
    happens(world, faults.Process(action="freeze", lasts=30))
    calls = [world.thawed().bind(lambda _: world.restart("s1")) for _ in range(2)]
    passes(world, 29)
    assert not any(call.done for call in calls)
    passes(world, 10)
    assert all(call.done for call in calls)
    assert world.sessions["s1"].restarts == 2


def test_a_long_freeze_costs_one_reconnect(world: WahaWorld) -> None:
    happens(world, faults.Process(action="freeze", lasts=45))
    seen = []
    for seconds in (46, 2):
        passes(world, seconds)
        seen.append(world.sessions["s1"].socket)
    assert seen == [Socket.RESET, Socket.OPEN]


def test_a_frozen_process_can_be_killed_and_answers_nobody(world: WahaWorld) -> None:
    happens(world, faults.Process(action="freeze"))
    call = world.thawed()
    happens(world, faults.Process(action="kill"))
    assert (call.dropped, world.frozen_since) == (True, None)
    passes(world, 5)
    assert status(world) == "WORKING"


def test_not_loaded_is_missing_until_the_process_starts_anew(world: WahaWorld) -> None:
    happens(world, faults.NotLoaded(session="s1"))
    assert world.find("s1") is None
    assert world.restart("s1").value is None
    happens(world, faults.Process(action="kill"))
    passes(world, 5)
    assert status(world) == "WORKING"


@pytest.mark.parametrize("verb", ["logout", "delete"])
def test_verbs_that_destroy_credentials_do_and_are_written_down(world: WahaWorld, verb: str) -> None:
    getattr(world, verb)("s1")
    passes(world, 5)
    assert [(harm.what, harm.session) for harm in world.harm] == [(verb, "s1")]
    if verb == "logout":
        assert (status(world), world.sessions["s1"].me) == ("SCAN_QR_CODE", None)
    else:
        assert "s1" not in world.sessions


def test_an_unknown_session_is_none_to_every_verb(world: WahaWorld) -> None:
    for verb in (world.restart, world.stop, world.logout, world.delete):
        assert verb("nope").value is None


def test_a_thousand_sessions_start_anew_together() -> None:
    world = WahaWorld([f"s{number}" for number in range(1000)], keeper=True)
    happens(world, faults.Process(action="kill"))
    passes(world, 2)
    assert {session.status for session in world.sessions.values()} == {"WORKING"}
