"""The simulated Evolution API does what the real one was measured to do; in virtual time."""

from __future__ import annotations

import pytest

from wasupervisor.simulator import faults
from wasupervisor.simulator.evolution_world import EvolutionWorld, Socket
from wasupervisor.simulator.faults import WorldFault
from wasupervisor.simulator.happen import apply
from wasupervisor.simulator.world import UplinkState

NAMES = ("s1", "s2")


@pytest.fixture
def world() -> EvolutionWorld:
    return EvolutionWorld(NAMES, keeper=True)


def truths(world: EvolutionWorld, name: str = "s1") -> tuple[str | None, str, str]:
    session = world.sessions[name]
    return session.memory, session.database, str(session.socket)


def happens(world: EvolutionWorld, *what: WorldFault) -> None:
    for fault in what:
        apply(world, fault)


def passes(world: EvolutionWorld, seconds: float) -> None:
    world.advance(world.now + seconds)


def restart(world: EvolutionWorld, name: str = "s1") -> str | None:
    answer = world.restart(world.sessions[name])
    passes(world, 2)
    return answer


OPEN = ("open", "open", "open")
FALSE_OPEN = ("open", "open", "none")


def test_a_healthy_gateway_has_nothing_under_way(world: EvolutionWorld) -> None:
    assert truths(world) == OPEN
    assert world.next_at is None
    assert world.harm == []


def test_a_dropped_socket_heals_alone(world: EvolutionWorld) -> None:
    happens(world, faults.Drop(session="s1"))
    assert truths(world) == ("connecting", "open", "none")
    passes(world, 2)
    assert truths(world) == OPEN


@pytest.mark.parametrize("kind", [faults.Failed, faults.Stuck])
def test_stuck_connecting_lasts_for_ever_and_a_restart_heals_it(
    world: EvolutionWorld, kind: type[faults.Failed | faults.Stuck]
) -> None:
    happens(world, kind(session="s1"))
    passes(world, 3600)
    assert truths(world) == ("connecting", "open", "connecting")
    assert restart(world) == "connecting"
    assert truths(world) == OPEN


def test_heals_only_at_the_restart_that_was_named(world: EvolutionWorld) -> None:
    happens(world, faults.Stuck(session="s1", heals_after_restarts=2))
    restart(world)
    assert truths(world)[0] == "connecting"
    restart(world)
    assert truths(world) == OPEN


def test_an_unreachable_whatsapp_shows_close_and_heals_alone(world: EvolutionWorld) -> None:
    happens(world, faults.Uplink(state=UplinkState.REFUSED, lasts=60))
    seen = set()
    for _ in range(500):
        passes(world, 0.1)
        seen.add(truths(world)[:2])
    assert seen == {("connecting", "open"), ("close", "open")}
    assert world.restart(world.sessions["s1"]) in (None, "connecting")
    passes(world, 12)
    assert truths(world) == OPEN


def test_restart_of_a_closed_instance_does_nothing(world: EvolutionWorld) -> None:
    happens(world, faults.LoggedOut(session="s1"))
    assert restart(world) is None
    assert truths(world) == ("close", "close", "none")
    assert world.sessions["s1"].restarts == 0


def test_a_logout_by_whatsapp_stores_the_reason_and_deletes_the_credentials(world: EvolutionWorld) -> None:
    happens(world, faults.LoggedOut(session="s1"))
    session = world.sessions["s1"]
    assert (session.reason_code, session.paired) == (401, False)
    happens(world, faults.Banned(session="s2"))
    passes(world, 1)
    assert (world.sessions["s2"].reason_code, truths(world, "s2")[:2]) == (403, ("close", "close"))


def test_a_second_client_fights_until_the_process_starts_anew(world: EvolutionWorld) -> None:
    happens(world, faults.Uplink(state=UplinkState.REFUSED, lasts=10))
    passes(world, 2.2)
    while world.sessions["s1"].memory != "close":
        passes(world, 0.01)
    world.connect_verb(world.sessions["s1"])
    assert [harm.what for harm in world.harm] == ["second_client"]
    passes(world, 60)
    assert world.sessions["s1"].logins > 50
    restart(world)
    before = world.sessions["s1"].logins
    passes(world, 10)
    assert world.sessions["s1"].logins > before + 10
    assert world.sessions["s2"].logins <= 2
    happens(world, faults.Process(action="restart"))
    passes(world, 10)
    before = world.sessions["s1"].logins
    passes(world, 60)
    assert (world.sessions["s1"].logins, truths(world)) == (before, OPEN)


def test_a_drop_while_postgresql_is_down_is_a_false_open_for_ever(world: EvolutionWorld) -> None:
    happens(world, faults.Store(database="down", lasts=20), faults.Drop(session="s1"))
    passes(world, 3600)
    assert truths(world) == FALSE_OPEN
    assert restart(world) == "open"
    assert truths(world) == FALSE_OPEN
    happens(world, faults.Process(action="kill"))
    passes(world, 3)
    assert truths(world) == OPEN


def test_a_restart_while_postgresql_is_down_makes_a_false_open(world: EvolutionWorld) -> None:
    happens(world, faults.Store(database="down"))
    assert restart(world) == "open"
    assert truths(world) == FALSE_OPEN
    assert [harm.what for harm in world.harm] == ["false_open"]


def test_restart_of_a_healthy_instance_is_a_short_reconnect(world: EvolutionWorld) -> None:
    assert world.restart(world.sessions["s1"]) == "open"
    assert truths(world)[0] == "connecting"
    passes(world, 1)
    assert truths(world) == OPEN
    assert world.harm == []


def test_calls_wait_for_redis_and_are_all_done_when_it_returns(world: EvolutionWorld) -> None:
    happens(world, faults.Store(redis="down"))
    session = world.sessions["s1"]
    calls = [world.redis_answers().map(lambda _: world.restart(session)) for _ in range(3)]
    passes(world, 30)
    assert not any(call.done for call in calls)
    happens(world, faults.Store(redis="up"))
    assert all(call.done for call in calls)
    assert session.restarts == 3


def test_mode_b_does_not_ask_redis() -> None:
    world = EvolutionWorld(NAMES, mode="B")
    happens(world, faults.Store(redis="down"))
    assert world.redis_answers().done


def test_a_drop_while_redis_is_down_shows_close_and_heals_when_it_returns(world: EvolutionWorld) -> None:
    happens(world, faults.Store(redis="down", lasts=30), faults.Drop(session="s1"))
    passes(world, 20)
    assert truths(world)[:2] == ("close", "open")
    passes(world, 12)
    assert truths(world) == OPEN


def test_what_postgresql_did_not_give_at_the_start_is_never_loaded(world: EvolutionWorld) -> None:
    happens(world, faults.Store(database="down", lasts=10), faults.Process(action="kill"))
    passes(world, 3600)
    assert truths(world) == (None, "open", "none")
    happens(world, faults.Process(action="restart"))
    passes(world, 3)
    assert truths(world) == OPEN


def test_the_list_in_memory_is_empty_right_after_the_start(world: EvolutionWorld) -> None:
    happens(world, faults.Process(action="kill"))
    passes(world, 1.75)
    assert (world.alive, truths(world)[0]) == (True, None)
    passes(world, 1)
    assert truths(world) == OPEN


def test_sigterm_is_sudden_death(world: EvolutionWorld) -> None:
    happens(world, faults.Process(action="terminate"))
    assert (world.alive, world.deaths[0].exit_code) == (False, 143)


def test_sigterm_to_a_frozen_process_waits_for_its_wake(world: EvolutionWorld) -> None:
    happens(world, faults.Process(action="freeze"), faults.Process(action="terminate"))
    passes(world, 60)
    assert world.alive
    happens(world, faults.Process(action="thaw"))
    assert not world.alive


def test_a_silent_socket_passes_as_open_until_the_keep_alive(world: EvolutionWorld) -> None:
    happens(world, faults.Silent(session="s1"))
    passes(world, 42)
    assert truths(world) == ("open", "open", "silent")
    passes(world, 3)
    assert truths(world) == OPEN


def test_a_qr_is_connecting_in_memory_and_database_and_ends_at_the_limit() -> None:
    world = EvolutionWorld(NAMES, qr_limit=4)
    happens(world, faults.QrWanted(session="s1"))
    passes(world, 1)
    assert truths(world)[:2] == ("connecting", "connecting")
    passes(world, 120)
    assert truths(world)[:2] == ("close", "connecting")
    assert world.sessions["s1"].qr_count == 0


def test_restarting_a_session_that_shows_a_qr_burns_it(world: EvolutionWorld) -> None:
    happens(world, faults.QrWanted(session="s1"))
    passes(world, 1)
    restart(world)
    assert [harm.what for harm in world.harm] == ["qr_burned"]
    happens(world, faults.Scanned(session="s1"))
    passes(world, 1)
    assert truths(world) == OPEN


def test_unreadable_credentials_ask_for_a_qr_at_the_next_login_only(world: EvolutionWorld) -> None:
    session = world.sessions["s1"]
    session.creds_readable = False
    passes(world, 3600)
    assert truths(world) == OPEN
    happens(world, faults.Drop(session="s1"))
    passes(world, 2)
    assert truths(world)[:2] == ("connecting", "connecting")
    session.creds_readable = True
    restart(world)
    assert truths(world) == OPEN


def test_a_503_at_the_upgrade_never_heals_alone_and_a_restart_heals_it(world: EvolutionWorld) -> None:
    happens(world, faults.Uplink(state=UplinkState.UPGRADE_503, lasts=5))
    passes(world, 3600)
    assert truths(world)[:2] == ("connecting", "open")
    restart(world)
    assert truths(world) == OPEN


def test_verbs_that_destroy_are_written_down(world: EvolutionWorld) -> None:
    assert world.logout(world.sessions["s1"])
    assert not world.logout(world.sessions["s1"])
    world.delete(world.sessions["s2"])
    world.create("new", with_qr=False)
    assert [(harm.what, harm.session) for harm in world.harm] == [("logout", "s1"), ("delete", "s2"), ("create", "new")]
    assert world.sessions["s1"].socket is Socket.NONE
