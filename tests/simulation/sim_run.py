"""Runs one schedule: the faults, then the calm in which everything that a restart can heal must become healthy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import ceil

from sim_daemon import Daemon
from sim_events import Ordered, Schedule
from sim_promises import Promises
from sim_site import Site
from sim_witness import BrokenPromiseError

from wasupervisor.decide.memory import BreakerState
from wasupervisor.model.alerts import AlertKind
from wasupervisor.model.journal import Entry
from wasupervisor.model.sessions import Condition, Reason
from wasupervisor.simulator.evolution_world import EvolutionSession, EvolutionWorld
from wasupervisor.simulator.waha_world import Socket, WahaSession, WahaWorld
from wasupervisor.simulator.world import UplinkState

CALM_STEP = 30.0
TOLD_WITHIN = 180.0
"""Seconds within which a person hears that he is needed, or is no longer."""
TRIED_WITHIN = 900.0
"""Seconds before the verdict 'tried in vain' in which the process must really have been restarted."""


@dataclass
class Run:
    """What came of a schedule."""

    schedule: Schedule
    site: Site
    broken: BrokenPromiseError | None
    calm_for: float = 0.0
    """Seconds of calm until all was well."""

    @property
    def journal(self) -> list[tuple[float, Entry]]:
        """As on disk."""
        return self.site.disk.journal


def run(schedule: Schedule, *, jumps: bool = True) -> Run:
    """Play it, with all promises looked at; without `jumps` each single poll is made."""
    site = Site(schedule, Daemon, Promises, jumps=jumps)
    result = Run(schedule, site, None)
    try:
        for one in schedule.events:
            site.world.later(one.at, partial(site.happen, one.event))
        site.world.later(schedule.length, lambda: None)  # what ends the faults comes from outside: no jump beyond it
        site.world.advance(schedule.length)
        result.calm_for = _calm(site)
    except BrokenPromiseError as broken:
        result.broken = broken
    return result


def play(schedule: Schedule) -> Site:
    """Play it to its end, with all promises looked at but the last: nothing is put right from outside."""
    site = Site(schedule, Daemon, Promises)
    for one in schedule.events:
        site.world.later(one.at, partial(site.happen, one.event))
    site.world.advance(schedule.length)
    site.promises.look_for_harm()
    return site


def unwell(site: Site) -> list[str]:
    """The sessions that are not healthy, or not known as healthy."""
    known = {} if site.daemon is None else site.daemon.memory.sessions
    told = {name for name, one in known.items() if one.condition is Condition.HEALTHY}
    return [name for name in site.world.sessions if name not in told or not _is_healthy(site, name)]


def _calm(site: Site) -> float:
    """All faults end; gives the seconds until all that can be healed is healthy, and is told so."""
    _end_faults(site)
    begun, last = site.now, _bound(site)
    while site.now - begun < last:
        site.world.advance(site.now + CALM_STEP)
        site.promises.look_for_harm()
        if site.now - begun >= 2 * CALM_STEP and not _missing(site):
            return site.now - begun
    missing = _missing(site)
    if missing:
        text = f"{', '.join(missing)} after {last:.0f} s of calm"
        raise BrokenPromiseError("what a restart can heal is healed, and never given up", site.now, text)
    return site.now - begun


def _end_faults(site: Site) -> None:
    world = site.world
    site.door.calm()
    site.armed = None
    site.body.rest()
    world.thaw()
    world.set_uplink(UplinkState.UP)
    if isinstance(world, EvolutionWorld):
        world.set_database(up=True)
        world.set_redis(up=True)
    for session in world.sessions.values():
        session.unreachable = None
        ailment = session.ailment
        if ailment is not None and ailment.restarts_left is None and ailment.outcome == "stuck":
            session.ailment = None
        if isinstance(session, WahaSession):
            session.claim = None
    if not world.alive:
        world.boot(5.0)
    # Whoever paused resumes; the supervisor may just be away, so more than once.
    for after in (1.0, 200.0):
        site.world.later(after, partial(site.happen, Ordered(order="resume")))


def _bound(site: Site) -> float:
    """Within which it must be well: the widest breaker and a spent budget end, and then the ladder is climbed."""
    policy, sessions = site.policy, len(site.world.sessions)
    budget = policy.budget
    hours = 1 + max(ceil(3 * sessions / budget.sessions_per_hour), ceil(4 / budget.per_session_per_hour))
    return 3600.0 * hours + policy.breaker.open_max * 1.25 * 3 + 900.0


def _missing(site: Site) -> list[str]:
    daemon = site.daemon
    if daemon is None or not site.world.alive:
        return ["the supervisor"] if daemon is None else ["the gateway"]
    missing = []
    for name, session in site.world.sessions.items():
        memory = daemon.memory.sessions.get(name)
        healthy = _is_healthy(site, name)
        known = memory is not None and memory.condition is Condition.HEALTHY
        if (healthy or curable(site, name)) and not (healthy and known):
            missing.append(f"{name} ({site.world.state_of(session)}, {memory and memory.condition})")  # type: ignore[arg-type]
    return missing or _untold(daemon)


def _untold(daemon: Daemon) -> list[str]:
    """Of whom a person should have been told, or should have heard the end."""
    if not daemon.policy.tell:
        return []
    now, wrong = daemon.timeline.now(), []
    for name, one in daemon.memory.sessions.items():
        if now - one.condition_since < TOLD_WITHIN:
            continue
        episode = daemon.memory.episodes.get(f"{AlertKind.NEEDS_HUMAN}:{name}")
        told = episode is not None and episode.told_at is not None
        waits = one.condition in (Condition.FATAL, Condition.NEEDS_HUMAN)
        if waits is not told and (waits or one.condition is Condition.HEALTHY):
            wrong.append(f"{name} ({one.condition}, {'told' if told else 'not told'})")
    return wrong


def _is_healthy(site: Site, name: str) -> bool:
    session = site.world.sessions[name]
    shown = session.listed if isinstance(session, WahaSession) else True
    return shown and bool(site.world.state_of(session)["healthy"])  # type: ignore[arg-type]


def curable(site: Site, name: str) -> bool:
    """Whether the remedies that we have can heal the session, or it heals by itself."""
    session = site.world.sessions[name]
    if session.unlinked is not None or not session.paired or not site.policy.act:
        return False
    if _is_held(site, name):
        return False
    if site.body.engine_is_gone:
        return _engine_is_missed(site, name)
    if session.ailment is not None and session.ailment.restarts_left is None:
        return False
    if isinstance(session, WahaSession):
        return _waha_curable(site, session)
    return _evolution_curable(site, session)


def _engine_is_missed(site: Site, name: str) -> bool:
    """Whether only a restart of the gateway process heals it, which is made where nobody works and it is known."""
    session = site.world.sessions[name]
    assert site.daemon is not None
    assert isinstance(session, WahaSession)
    known = site.daemon.memory.sessions.get(name)
    missed = site.daemon.memory.gateway.engine.samples > 0 and known is not None and known.cause is Reason.ENGINE_GONE
    claims = session.status == "WORKING" or _others_claim_to_work(site, name)
    return missed and not claims and _restarts_gateway(site, name)


def _is_held(site: Site, name: str) -> bool:
    """Whether a fatal reason was told once: then only a person, or observed health, lets go of it."""
    known = site.daemon.memory.sessions.get(name) if site.daemon is not None else None
    return known is not None and known.breaker.state is BreakerState.HELD


def _restarts_gateway(site: Site, name: str) -> bool:
    """Whether a restart of the gateway process may still be made for the session."""
    assert site.daemon is not None
    memory, policy = site.daemon.memory, site.policy
    known = memory.sessions.get(name)
    tried = None if known is None else known.gateway_tried
    in_vain = tried is not None and any(tried - TRIED_WITHIN <= one.at <= tried for one in site.world.deaths)
    return policy.restarter != "none" and not in_vain and len(memory.gateway.restarts) < policy.budget.gateway_per_day


def _lacks_keeper(site: Site, name: str) -> bool:
    """Whether no other session works and nothing is known that would bring the gateway back: a person is told."""
    return not _others_work(site, name) and site.schedule.process != "kept" and site.policy.restarter == "none"


def _others_work(site: Site, name: str) -> bool:
    return any(_is_healthy(site, other) for other in site.world.sessions if other != name)


def _others_claim_to_work(site: Site, name: str) -> bool:
    others = (one for one in site.world.sessions.values() if one.name != name)
    return any(isinstance(one, WahaSession) and one.status == "WORKING" for one in others)


def _waha_curable(site: Site, session: WahaSession) -> bool:
    assert site.daemon is not None
    assert isinstance(site.world, WahaWorld)
    name = session.name
    memory = site.daemon.memory.sessions.get(name)
    if memory is None or not session.listed or session.socket is Socket.SILENT or memory.parked:
        return False
    if session.socket is Socket.DEAF:
        return site.policy.probe is not None
    if memory.operator_stopped or (session.status == "STOPPED" and not memory.remembered):
        return False
    if session.status == "STOPPED":
        return session.wanted and memory.condition is not Condition.NEEDS_HUMAN  # a person was asked to
    return session.status != "STARTING" or _starting_curable(site, name, refused=memory.refused)


def _starting_curable(site: Site, name: str, *, refused: bool) -> bool:
    """WAHA: a restart of the session may end the process, which needs others that work, a keeper, or a restarter."""
    assert site.daemon is not None
    if _restarts_gateway(site, name):
        return True
    if _lacks_keeper(site, name) or (refused and _others_claim_to_work(site, name)):
        return False
    return len(site.daemon.memory.gateway.restarts) < site.policy.budget.gateway_per_day


def _evolution_curable(site: Site, session: EvolutionSession) -> bool:
    if not session.creds_readable or session.database != "open":
        return False
    if session.memory == "open" and session.socket.value == "none":
        return site.policy.probe is not None and _restarts_gateway(site, session.name)
    if session.second_client and site.schedule.process == "unseen":
        return False  # nobody sees how busy it is
    ended = session.memory == "close"  # a minute into the calm: its client is not there any more
    if session.memory is None or session.second_client or ended:
        return _restarts_gateway(site, session.name)
    return True
