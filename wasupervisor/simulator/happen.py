"""Makes a fault happen in a world: one row per fault and kind of gateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from wasupervisor.simulator import faults
from wasupervisor.simulator.evolution_world import EvolutionWorld
from wasupervisor.simulator.faults import SessionFault, WorldFault
from wasupervisor.simulator.waha_world import WahaWorld
from wasupervisor.simulator.world import Ailment, Session, UplinkState

AnyWorld: TypeAlias = WahaWorld | EvolutionWorld
Row: TypeAlias = Callable[[Any, Any, Any], object]
"""Takes the world, the session and the fault."""


def apply(world: AnyWorld, fault: WorldFault) -> None:
    """Let it happen now. Raises ValueError when this gateway cannot have it."""
    match fault:
        case faults.Uplink():
            _uplink(world, fault)
        case faults.Process():
            _process(world, fault)
        case faults.Store():
            _store(world, fault)
        case _:
            _session(world, fault)
    world.changed()


def _session(world: AnyWorld, fault: SessionFault) -> None:
    row = (_WAHA if isinstance(world, WahaWorld) else _EVOLUTION).get(type(fault))
    if row is None:
        raise ValueError(f"{type(fault).__struct_config__.tag}: {world.kind} has nothing like it")
    for session in world.chosen(fault.session):
        row(world, session, fault)
        session.causes += 1
        if fault.lasts is not None:
            world.later(fault.lasts, _ending(session, session.causes))


def _ending(session: Session, causes: int) -> Callable[[], None]:
    def end() -> None:
        if session.causes == causes:
            session.free()

    return end


def _heard(world: AnyWorld, session: Any, _: faults.Heard) -> None:
    if session.socket.value == "open":
        session.messages, session.active_at = session.messages + 1, world.now


def _uplink(world: AnyWorld, fault: faults.Uplink) -> None:
    def end() -> None:
        if world.uplink is fault.state:
            world.set_uplink(UplinkState.UP)

    world.set_uplink(fault.state, cut=fault.cut)
    if fault.lasts is not None:
        world.later(fault.lasts, end)


def _process(world: AnyWorld, fault: faults.Process) -> None:
    back_after = fault.lasts if fault.back_after is None else fault.back_after
    match fault.action:
        case "kill":
            world.kill(back_after=back_after)
        case "terminate":
            world.terminate(back_after)
        case "restart":
            world.terminate(world.timings.boot if back_after is None else back_after)
        case "start":
            world.boot(back_after)
        case "freeze":
            world.freeze()
            if fault.lasts is not None:
                world.later(fault.lasts, world.thaw)
        case "thaw":
            world.thaw()


def _store(world: AnyWorld, fault: faults.Store) -> None:
    if isinstance(world, WahaWorld):
        raise ValueError("store: waha has nothing like it")  # noqa: TRY004 - the fault is wrong, not a type
    evolution = world
    if fault.database is not None:
        evolution.set_database(up=fault.database == "up")
    if fault.redis is not None:
        evolution.set_redis(up=fault.redis == "up")
    if fault.lasts is not None:
        back = faults.Store(database=fault.database and "up", redis=fault.redis and "up")
        evolution.later(fault.lasts, lambda: _store(evolution, back))


def _waha_failed(world: WahaWorld, session: Any, fault: faults.Failed) -> None:
    session.ailment = Ailment("failed", fault.heals_after_restarts)
    world.fail(session)


def _waha_qr_expired(world: WahaWorld, session: Any, _fault: SessionFault) -> None:
    session.paired = session.has_me = False
    world.fail(session)


def _waha_logged_out(world: WahaWorld, session: Any, _fault: SessionFault) -> None:
    session.unlinked = 401
    world.fail(session)


def _waha_claims(_world: WahaWorld, session: Any, fault: faults.Claims) -> None:
    session.claim = fault.status


def _stuck(world: AnyWorld, session: Any, fault: faults.Stuck) -> None:
    session.ailment = Ailment("stuck", fault.heals_after_restarts)
    world.get_stuck(session)


def _unreachable(world: AnyWorld, session: Any, _fault: SessionFault) -> None:
    session.unreachable = UplinkState.REFUSED
    world.drop(session)


def _qr_wanted(world: AnyWorld, session: Any, _fault: SessionFault) -> None:
    session.paired, session.ailment = False, None
    world.connect(session)


def _banned(world: AnyWorld, session: Any, _fault: SessionFault) -> None:
    session.unlinked = 403
    world.connect(session)


def _evolution_qr_expired(world: EvolutionWorld, session: Any, _fault: SessionFault) -> None:
    session.paired = False
    world.give_up_qr(session)


_BOTH: Mapping[type[SessionFault], Row] = {
    faults.Stuck: _stuck,
    faults.Silent: lambda world, session, _: world.fall_silent(session),
    faults.Drop: lambda world, session, _: world.drop(session),
    faults.Unreachable: _unreachable,
    faults.QrWanted: _qr_wanted,
    faults.Banned: _banned,
    faults.Scanned: lambda world, session, _: world.scan(session),
    faults.Heard: _heard,
    faults.Healed: lambda _world, session, _: session.free(),
}
_WAHA: Mapping[type[SessionFault], Row] = {
    **_BOTH,
    faults.Failed: _waha_failed,
    faults.FalseWorking: lambda world, session, _: world.go_deaf(session),
    faults.QrExpired: _waha_qr_expired,
    faults.LoggedOut: _waha_logged_out,
    faults.NotLoaded: lambda world, session, _: world.unlist(session),
    faults.Claims: _waha_claims,
    faults.Stopped: lambda world, session, _: world.stop(session.name),
    faults.Started: lambda world, session, _: world.start(session.name),
}
_EVOLUTION: Mapping[type[SessionFault], Row] = {
    **_BOTH,
    faults.Failed: _stuck,
    faults.FalseWorking: lambda world, session, _: world.open_falsely(session),
    faults.QrExpired: _evolution_qr_expired,
    faults.LoggedOut: lambda world, session, _: world.close_for_good(
        session, 401, "Unauthorized", "Connection Failure"
    ),
    faults.NotLoaded: lambda world, session, _: world.unload(session),
    faults.Fight: lambda world, session, _: world.fight(session),
}
