"""The gateway as a whole: does it answer, and is it still the same process."""

from __future__ import annotations

from msgspec.structs import replace

from wasupervisor.decide.crashes import died, take_kills, track_loop
from wasupervisor.decide.draft import Draft
from wasupervisor.decide.engine import seems_gone, track_engine
from wasupervisor.decide.limits import of_this_run
from wasupervisor.decide.memory import GatewayMemory
from wasupervisor.decide.scene import Scene
from wasupervisor.decide.words import span
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.sessions import State

SILENT_AFTER_SAMPLES = 2
"""One look without an answer may be chance; two are told."""

OURS_WITHIN = 120.0
"""Seconds after a dropped connection within which a new process is taken as our doing."""

GRACE_SERVES = 20
"""Sessions for which the grace of the configuration is enough."""

GRACE_PER_SESSION = 1.0
"""Seconds that each further one adds to the grace after a restart of the process."""

LONGEST_GRACE = 600.0
"""Seconds."""


def track_gateway(draft: Draft) -> None:
    """Take the look at the gateway itself into the draft."""
    blind_since = draft.gateway.unreadable_since
    blind_for = 0.0 if blind_since is None else draft.now - blind_since
    unseen = draft.observation.first or draft.gateway.unseen
    draft.gap = unseen or blind_for >= max(draft.policy.failing_after, draft.policy.poll_every)
    if draft.observation.first:
        draft.gateway = replace(
            _silent_anew(draft.gateway, draft.now),
            grace_until=max(draft.gateway.grace_until, draft.now + draft.policy.startup_grace),
            gone_since=None,
        )
    draft.gateway = replace(draft.gateway, unseen=unseen and draft.observation.look.sightings is None)
    take_kills(draft)
    _track_runs(draft)
    track_loop(draft)
    of_this_run(draft)
    track_engine(draft)
    _track_presence(draft)
    _track_silence(draft)
    _track_store(draft)


def is_silent(draft: Draft) -> bool:
    """Whether the API has not answered for long enough to say so."""
    return draft.gateway.silent_samples >= SILENT_AFTER_SAMPLES


def scene_of(draft: Draft) -> Scene:
    """The surroundings of all sessions. An uplink that is 'down' while sessions work is not known to be down."""
    look = draft.observation.look
    sightings = look.sightings or ()
    working = frozenset(one.name for one in sightings if one.state is State.WORKING)
    uplink, incident = draft.observation.uplink.state, draft.incident
    if uplink is UplinkState.DOWN and working:
        uplink = UplinkState.UNKNOWN
    return Scene(
        now=draft.now,
        policy=draft.policy,
        run=draft.gateway.run,
        run_since=draft.gateway.run_since,
        run_known=draft.observation.process.run is not None or look.run is not None,
        gap=draft.gap,
        uplink=uplink,
        store_ok=look.store_ok,
        working=working,
        uplink_refused=draft.observation.uplink.refused and draft.observation.uplink.state is UplinkState.DOWN,
        redis_ok=draft.observation.redis_ok,
        together=frozenset() if incident is None or incident.proven else frozenset(incident.sessions),
        cpu_percent=draft.observation.process.cpu_percent,
        engine_gone=seems_gone(draft) and not working,
    )


def _track_runs(draft: Draft) -> None:
    """Count the runs of the process. The process and the API both tell of a restart, soon or late: it is one event."""
    known, process, api = draft.gateway, draft.observation.process.run, draft.observation.look.run
    new_process = process is not None and known.process_run is not None and process != known.process_run
    new_api = api is not None and known.api_run is not None and api != known.api_run
    current = process or known.process_run
    told_already = current is not None and known.api_run_in not in (None, current)
    restarted = new_process or (new_api and not told_already)
    changed = replace(
        known,
        # Told by the API alone, the process may still be read as the old one: its next reading is the one to go by.
        process_run=None if restarted and not new_process else process or known.process_run,
        api_run=api or known.api_run,
        # An adapter may keep its reading for a while, so it belongs to the process that it was first read in.
        api_run_in=(process if restarted else current) if new_api or known.api_run_in is None else known.api_run_in,
    )
    if restarted:
        grace = grace_for(len(draft.sessions), draft.policy)
        changed = replace(
            changed, run=known.run + 1, run_since=draft.now, grace_until=draft.now + grace, relieved_at=None
        )
        draft.gateway = changed = _silent_anew(changed, draft.now)
        draft.say(
            EntryKind.GATEWAY,
            f"the gateway process was restarted, {_by_whom(draft)}; its sessions have {span(grace)} to come back",
            warn=True,
        )
    elif changed != known:
        draft.gateway = changed


def _silent_anew(known: GatewayMemory, now: float) -> GatewayMemory:
    """The silence of another process, or from before nobody looked, does not tell how long this one hangs."""
    return known if known.silent_since is None else replace(known, silent_since=now)


def grace_for(sessions: int, policy: Policy) -> float:
    """Seconds for which nothing is judged after the process began anew: the longer, the more sessions have to log in.

    Reported: 20 minutes until 90 sessions were up (WAHA issue 2012); 20 of Evolution's take 2.4 s (2.3.6).
    """
    more = GRACE_PER_SESSION * max(0, sessions - GRACE_SERVES)
    return min(policy.startup_grace + more, max(policy.startup_grace, LONGEST_GRACE))


def _by_whom(draft: Draft) -> str:
    known = draft.gateway
    if known.attempt is not None:
        return "by us"
    ours = known.dropped_at is not None and draft.now - known.dropped_at < OURS_WITHIN
    return "by our session restart" if ours else died(draft)


def _track_silence(draft: Draft) -> None:
    look, known, now = draft.observation.look, draft.gateway, draft.now
    if look.reachable:
        if known.silent_samples >= SILENT_AFTER_SAMPLES and known.silent_since is not None:
            draft.say(EntryKind.GATEWAY, f"the gateway answers again after {span(now - known.silent_since)}")
            # Where no run is told, this may be a new process; and what hung needs its time as well.
            grace = max(known.grace_until, now + draft.policy.startup_grace)
            draft.gateway = replace(draft.gateway, grace_until=grace)
        draft.gateway = replace(draft.gateway, silent_since=None, silent_samples=0)
    elif look.reachable is False:
        samples = min(known.silent_samples + 1, SILENT_AFTER_SAMPLES)
        since = now if known.silent_since is None else known.silent_since
        draft.gateway = replace(draft.gateway, silent_since=since, silent_samples=samples)
        if samples == SILENT_AFTER_SAMPLES != known.silent_samples:
            draft.say(EntryKind.GATEWAY, f"the gateway does not answer: {look.detail or look.trouble}", warn=True)
    _track_trouble(draft)


def _track_presence(draft: Draft) -> None:
    """Since when the process is known to be gone. That it is not known is no sign of that."""
    gone = draft.observation.process.exists is False
    since = draft.gateway.gone_since
    if gone is not (since is not None):
        draft.gateway = replace(draft.gateway, gone_since=draft.now if gone else None)


def _track_store(draft: Draft) -> None:
    """Tell when the gateway's own database stops to answer, and when it answers again."""
    store_ok, known = draft.observation.look.store_ok, draft.gateway
    if store_ok is None or known.store_down is (not store_ok):
        return
    draft.gateway = replace(known, store_down=not store_ok)
    if store_ok:
        draft.say(EntryKind.GATEWAY, "the gateway's database answers again")
    else:
        text = "the gateway's database does not answer: no session is restarted meanwhile, that would do harm"
        draft.say(EntryKind.GATEWAY, text, warn=True)


def _track_trouble(draft: Draft) -> None:
    """A gateway that answers, but not with a list of sessions."""
    look, known = draft.observation.look, draft.gateway
    readable = look.sightings is not None
    whole = readable and look.trouble is None
    trouble = "" if whole or not look.reachable else look.detail or str(look.trouble)
    if readable:
        draft.gateway = replace(draft.gateway, unreadable_since=None, dropped_at=None, trouble=trouble)
        if trouble and trouble != known.trouble:
            draft.say(EntryKind.GATEWAY, f"not all can be read: {trouble}", warn=True)
        elif known.trouble and not trouble:
            draft.say(EntryKind.GATEWAY, "the list of sessions can be read again")
        return
    if known.unreadable_since is None:
        draft.gateway = replace(draft.gateway, unreadable_since=draft.now)
    elif trouble and trouble != known.trouble:
        draft.gateway = replace(draft.gateway, trouble=trouble)
        draft.say(EntryKind.GATEWAY, f"the list of sessions cannot be read: {trouble}", warn=True)
