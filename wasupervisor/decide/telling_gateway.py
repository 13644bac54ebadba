"""The words of an alert about the gateway, or about many sessions together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from wasupervisor.decide.cases import store_is_red
from wasupervisor.decide.concluding import how_to_restart
from wasupervisor.decide.crashes import was_killed
from wasupervisor.decide.draft import Draft
from wasupervisor.decide.gateway import is_silent
from wasupervisor.decide.gateway_gates import Asked, first_block
from wasupervisor.decide.last_rung import need
from wasupervisor.decide.leak import forecast
from wasupervisor.decide.limits import GAUGES, MEMORY, RESTART, Gauge, held, key
from wasupervisor.decide.process_notes import deaths_told, over_told
from wasupervisor.decide.reasons import TABLE
from wasupervisor.decide.scene import Scene
from wasupervisor.decide.told import Told, held_back
from wasupervisor.decide.words import count, first_names, span
from wasupervisor.model.alerts import AlertKind
from wasupervisor.model.observation import Trouble
from wasupervisor.model.sessions import Reason


def _gateway_down(draft: Draft, scene: Scene) -> Told:
    look, exists = draft.observation.look, draft.observation.process.exists
    detail = look.detail or str(look.trouble or "nobody knows why")
    refused = look.trouble is Trouble.UNAUTHORIZED
    rows = (
        (not is_silent(draft), Reason.UNREADABLE, "the gateway's list of sessions cannot be read"),
        (exists is False, Reason.GATEWAY_GONE, TABLE[Reason.GATEWAY_GONE].sentence),
        (exists is True, Reason.GATEWAY_HUNG, TABLE[Reason.GATEWAY_HUNG].sentence),
        (True, Reason.GATEWAY_DOWN, TABLE[Reason.GATEWAY_DOWN].sentence),
    )
    reason, what = next((reason, what) for holds, reason, what in rows if holds)
    advice = TABLE[reason].advice or "Look at the gateway's log."
    todo = f"{advice} {how_to_restart(draft.observation.process)}" if draft.policy.restarter == "none" else advice
    return Told(
        what=f"{what}: {detail}",
        reason=reason,
        tried=_restarts(draft),
        why_no_more=_why_no_restart(draft, scene),
        todo="Check gateway.api_key: the gateway lives and does not accept it." if refused else todo,
    )


def _incident(draft: Draft, scene: Scene) -> Told:
    incident = draft.incident
    assert incident is not None
    waits = draft.gateway.canary_not_before - draft.now
    canary = incident.canary
    rows = (
        (incident.cause is Reason.UPLINK_DOWN, "nothing is restarted until WhatsApp can be reached again"),
        (incident.cause is Reason.STORE_DOWN, "nothing is restarted until the store is well again"),
        (incident.cause is Reason.ENGINE_GONE, _why_no_restart(draft, scene)),
        (incident.proven, "the canary was healed, and the others follow one after the other"),
        (canary is not None, f"{canary} is the canary, and is tried before any other"),
        (waits > 0, f"the last canary was not healed; the next one not before {span(waits)}"),
        (True, "one canary is tried before any other"),
    )
    tried = _restarts(draft)
    if draft.gateway.canaries:
        tried = (*tried, f"{count(draft.gateway.canaries, 'canary', 'canaries')} in vain")
    names = incident.sessions
    return Told(
        what=f"{count(len(names), 'session')} of {len(draft.sessions)} fail together ({first_names(names)}). "
        f"Likely cause: {TABLE[incident.cause].sentence}",
        reason=incident.cause,
        tried=tried,
        why_no_more=held_back(draft) + next(text for holds, text in rows if holds),
        todo=TABLE[incident.cause].advice or _look_at(scene, incident.cause),
        sessions=names,
    )


def _look_at(scene: Scene, cause: Reason) -> str:
    looks = {
        Reason.UPLINK_DOWN: "Look at the network of this host: WhatsApp cannot be reached from here.",
        Reason.STORE_DOWN: "Look at the database and the Redis of the gateway.",
    }
    return looks.get(cause, f"Look at the log of the gateway ({scene.policy.gateway_kind}).")


_BRING_BACK = "Bring the gateway's database and Redis back, and do not restart the gateway before."
_MAKE_WHOLE = (
    "Put a good copy of the key back, or log the session out and link it again, and do not restart the gateway before. "
    "`wasupervisor redis check` and `wasupervisor redis quarantine` show what was found and what was set aside."
)


def _store_down(draft: Draft, _scene: Scene) -> Told:
    keyless = draft.observation.not_whole
    rows = (
        (draft.gateway.store_down, "the gateway's database does not answer", _BRING_BACK),
        (draft.observation.redis_ok is False, "the gateway's Redis does not answer", _BRING_BACK),
        (
            bool(keyless),
            f"the credential key in Redis is mistyped, gone or set aside: {first_names(keyless)}",
            _MAKE_WHOLE,
        ),
    )
    assert store_is_red(draft)
    return Told(
        what="; ".join(text for holds, text, _ in rows if holds),
        reason=Reason.STORE_DOWN,
        tried=_restarts(draft),
        why_no_more="a gateway that starts without its store throws identities away, so that nothing is restarted",
        todo=" ".join(dict.fromkeys(todo for holds, _, todo in rows if holds)),
        sessions=keyless,
    )


def restart_wanted(draft: Draft, scene: Scene, names: tuple[str, ...]) -> Told:
    """What only a person can do, for these sessions."""
    causes = Counter(draft.sessions[name].cause for name in names)
    reason = max(sorted(causes), key=lambda cause: causes[cause])
    return Told(
        what=f"only a restart of the gateway process heals {first_names(names)}: {TABLE[reason].sentence}",
        reason=reason,
        tried=_restarts(draft),
        why_no_more=_why_no_restart(draft, scene),
        todo=f"When its database and its Redis answer, restart it. {how_to_restart(draft.observation.process)}",
        sessions=names,
    )


def _breaker_open(draft: Draft, scene: Scene) -> Told:
    wanted = need(draft, scene)
    tried = {name: one for name, one in draft.sessions.items() if one.gateway_tried is not None}
    causes = [one.cause for one in tried.values()] if wanted is None else [wanted.reason]
    reason = next(iter(causes), Reason.GATEWAY_DOWN)
    names = tuple(sorted({*tried, *(() if wanted is None else wanted.sessions)}))
    return Told(
        what=f"a restart of the gateway did not heal {first_names(names) or 'it'}: {TABLE[reason].sentence}",
        reason=reason,
        tried=_restarts(draft),
        why_no_more=_why_no_restart(draft, scene),
        todo="Look at the gateway's log for why it does not come back well.",
        sessions=names,
    )


def _resources(draft: Draft, scene: Scene) -> Told:
    gauge, level = _worst(draft)
    only_told = f"it is only told: process.{gauge.name}.restart is not reached, or is never"
    return Told(
        what="; ".join(over_told(draft)) or f"the gateway used too much {gauge.noun} until it was restarted",
        reason=gauge.reason,
        tried=_restarts(draft),
        why_no_more=_why_no_restart(draft, scene) if level == RESTART else held_back(draft) + only_told,
        todo=_todo(draft, gauge.reason),
    )


def _worst(draft: Draft) -> tuple[Gauge, str]:
    """The limit that is exceeded and matters most; none while a restart for it is not yet judged."""
    over = [(gauge, level) for gauge, level, _ in held(draft)]
    if over:
        return next((one for one in over if one[1] == RESTART), over[0])
    attempt, seen = draft.gateway.attempt, draft.gateway.resources.over
    cause = None if attempt is None else attempt.cause
    return next((one for one in GAUGES if one.reason is cause or key(one, RESTART) in seen), MEMORY), RESTART


def _leak(draft: Draft, _scene: Scene) -> Told:
    leak, policy = draft.gateway.resources.leak, draft.policy
    assert leak is not None
    rows = (
        (
            policy.restarter == "none",
            "nobody is configured to restart the gateway (recovery.restart_gateway.by is none)",
        ),
        (policy.maintenance is not None, "it is restarted when a window of recovery.maintenance is open"),
        (MEMORY.limit(policy, RESTART) is not None, "it is restarted when it reaches process.memory.restart"),
        (True, "no limit is configured at which it is restarted (process.memory.restart)"),
    )
    return Told(
        what=forecast(leak, draft.now),
        reason=Reason.MEMORY_LEAK,
        tried=_restarts(draft),
        why_no_more=held_back(draft) + next(text for holds, text in rows if holds),
        todo=_todo(draft, Reason.MEMORY_LEAK),
    )


def _crashes(draft: Draft, scene: Scene) -> Told:
    crashes = draft.gateway.crashes
    kinds = ((was_killed(draft), Reason.OOM_KILLED), (crashes.looping, Reason.CRASH_LOOP), (True, Reason.ENGINE_GONE))
    reason = next(reason for holds, reason in kinds if holds)
    rows = (
        (reason is Reason.ENGINE_GONE and bool(scene.working), "sessions work, so that nothing is restarted for it"),
        (reason is Reason.ENGINE_GONE, _why_no_restart(draft, scene)),
        (crashes.looping, "what brings it back does so already, and a restart on top would heal nothing"),
        (draft.gateway.gone_since is not None, "it is not back yet, and started if nothing else brings it back"),
        (crashes.killed_whole, "it was brought back, and its sessions have their time"),
        (True, "the gateway itself goes on"),
    )
    return Told(
        what="; ".join(deaths_told(draft)),
        reason=reason,
        tried=_restarts(draft),
        why_no_more=held_back(draft) + next(text for holds, text in rows if holds),
        todo=TABLE[reason].advice,
    )


def _todo(draft: Draft, reason: Reason) -> str:
    by_hand = how_to_restart(draft.observation.process) if draft.policy.restarter == "none" else ""
    return f"{TABLE[reason].advice} {by_hand}".rstrip()


OF_GATEWAY: dict[AlertKind, Callable[[Draft, Scene], Told]] = {
    AlertKind.GATEWAY_DOWN: _gateway_down,
    AlertKind.INCIDENT: _incident,
    AlertKind.STORE_DOWN: _store_down,
    AlertKind.BREAKER_OPEN: _breaker_open,
    AlertKind.RESOURCES: _resources,
    AlertKind.LEAK: _leak,
    AlertKind.CRASHES: _crashes,
}


def _restarts(draft: Draft) -> tuple[str, ...]:
    restarts = draft.gateway.restarts
    if not restarts:
        return ()
    ago = span(draft.now - max(restarts))
    return (f"{count(len(restarts), 'restart')} of the gateway because of us in the last day, the last one {ago} ago",)


def _why_no_restart(draft: Draft, scene: Scene) -> str:
    """What the gates of a restart of the process say."""
    if draft.policy.restarter == "none":
        return f"{held_back(draft)}nobody is configured to restart the gateway (recovery.restart_gateway.by is none)"
    wanted = need(draft, scene)
    block = None if wanted is None else first_block(Asked(wanted, draft, scene))
    if block is None:
        return "it is not so for long enough that the gateway would be restarted"
    return block.text if block.until is None else f"{block.text}, for {span(block.until - draft.now)}"
