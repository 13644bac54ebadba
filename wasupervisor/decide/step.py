"""The heart: observation in, decision out. No I/O, no clock, no dice of its own."""

from __future__ import annotations

from wasupervisor.decide.concluding import conclude_health
from wasupervisor.decide.conditions import wants_uplink
from wasupervisor.decide.deafness import track_activity
from wasupervisor.decide.decision import Decision
from wasupervisor.decide.draft import Draft
from wasupervisor.decide.episodes import track_episodes
from wasupervisor.decide.gateway import scene_of, track_gateway
from wasupervisor.decide.incidents import track_incident
from wasupervisor.decide.last_rung import may_want_restart
from wasupervisor.decide.leak import track_leak
from wasupervisor.decide.limits import track_limits
from wasupervisor.decide.maintenance import track_window
from wasupervisor.decide.memory import Memory
from wasupervisor.decide.orders import end_pause, take_orders
from wasupervisor.decide.planning import plan
from wasupervisor.decide.probing import plan_probes, take_probes
from wasupervisor.decide.restarts import plan_restart, verify_restart
from wasupervisor.decide.results import take_results
from wasupervisor.decide.sightings import take_sightings
from wasupervisor.model.observation import Observation
from wasupervisor.model.policy import Policy


def step(memory: Memory, observation: Observation, now: float, dice: float, policy: Policy) -> Decision:
    """Decide what one observation means and what is to be done.

    Args:
        memory: what was decided before.
        observation: everything that this cycle saw, ordered, and heard back.
        now: seconds on the supervisor's timeline; never less than in the step before.
        dice: one throw, 0 to 1.
        policy: the operator's rules.

    Returns:
        The new memory, which is to be made durable *before* the remedies are performed.
    """
    draft = Draft(memory, observation, now, dice, policy)
    end_pause(draft)
    take_results(draft)
    track_gateway(draft)
    track_limits(draft)
    track_leak(draft)
    track_window(draft)
    scene = scene_of(draft)
    take_probes(draft, scene)
    take_sightings(draft, scene)
    track_activity(draft, scene)
    verify_restart(draft, scene)
    track_incident(draft, scene)
    draft.count_in_flight()
    take_orders(draft, scene)
    plan_restart(draft, scene)
    plan(draft, scene)
    plan_probes(draft, scene)
    health = conclude_health(draft, scene)
    track_episodes(draft, scene)
    return Decision(
        memory=Memory(
            sessions=draft.sessions,
            gateway=draft.gateway,
            paused=draft.paused,
            incident=draft.incident,
            readiness=draft.readiness,
            next_id=draft.next_id,
            episodes=draft.episodes,
        ),
        health=health,
        remedies=tuple(draft.remedies),
        journal=tuple(draft.entries),
        replies=tuple(draft.replies),
        ask_uplink=draft.gateway.silent_since is not None
        or may_want_restart(draft)
        or any(map(wants_uplink, draft.sessions.values())),
        probes=tuple(draft.probes),
        alerts=tuple(draft.alerts),
    )
