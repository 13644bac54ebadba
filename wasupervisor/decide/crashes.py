"""Deaths of the gateway process that were not our doing: one by the kernel, and many in a row."""

from __future__ import annotations

from msgspec.structs import replace

from wasupervisor.decide.draft import Draft
from wasupervisor.decide.memory import Crashes
from wasupervisor.decide.words import count, span
from wasupervisor.model.journal import EntryKind

LOOP = 3
"""So many deaths within `WITHIN` are a loop."""

WITHIN = 600.0
"""Seconds."""

MOST = 20
"""Deaths that are remembered."""

CALM_AFTER = 300.0
"""Seconds of one run, or of none at all, that end a loop: no keeper waits longer with a start (the kubelet's longest
back-off is 5 min, Docker's 1 min, PM2's 15 s)."""

KILLED_WITHIN = 120.0
"""Seconds after an OOM kill within which a new run is taken as its consequence."""

TOLD_FOR = 600.0
"""Seconds for which an OOM kill is shown."""


def take_kills(draft: Draft) -> None:
    """What tells of OOM kills: the kernel's counter, of which a lower one is a new group's, and who runs the gateway.

    The engine and systemd forget when it runs again (Docker clears OOMKilled, systemd Result), so that they tell
    between two runs. systemd removes the group of a unit that ended; the one above tells of it or of a neighbour.
    """
    known, process = draft.gateway.crashes, draft.observation.process
    counter, said = process.oom_kills, process.oom_killed
    changed = known
    if counter is not None and counter != known.oom_kills:
        grew = known.oom_kills is not None and counter > known.oom_kills
        changed = _killed(draft, changed, whole=False) if grew else changed
        changed = replace(changed, oom_kills=counter)
    if said is not None and said is not known.engine_said:
        is_news = said and (known.engine_said is False or process.exists is False)
        changed = _killed(draft, changed, whole=True) if is_news else changed
        changed = replace(changed, engine_said=said)
    above = process.oom_kills_above
    if above is not None and above != known.oom_kills_above:
        grew = known.oom_kills_above is not None and above > known.oom_kills_above
        changed = replace(changed, oom_kills_above=above, maybe_killed_at=draft.now if grew else None)
    if changed is not known:
        draft.gateway = replace(draft.gateway, crashes=changed)


def _killed(draft: Draft, known: Crashes, *, whole: bool) -> Crashes:
    what = "the gateway" if whole else "a process of the gateway"
    draft.say(EntryKind.GATEWAY, f"the kernel killed {what} for want of memory (OOM)", warn=True)
    return replace(known, killed_at=draft.now, killed_whole=whole)


def died(draft: Draft) -> str:
    """Book a new run that follows a death not by us. Returns whose doing it was."""
    known, now = draft.gateway.crashes, draft.now
    begun = (*(at for at in known.begun if now - at < WITHIN), now)
    killed = known.killed_at is not None and now - known.killed_at < KILLED_WITHIN
    crashes = replace(known, begun=begun[-MOST:], killed_whole=known.killed_whole or killed)
    draft.gateway = replace(draft.gateway, crashes=crashes)
    if killed:
        return "for the kernel killed it for want of memory (OOM)"
    # Only in this very look: what was killed before was another.
    maybe = known.maybe_killed_at == now
    return "not by us; perhaps by the kernel, which killed it or a neighbour (OOM)" if maybe else "not by us"


def track_loop(draft: Draft) -> None:
    """Begin a loop; end it when the gateway has run on, or nothing brings it back any more."""
    known = draft.gateway.crashes
    if not known.looping and len(known.begun) >= LOOP:
        draft.gateway = replace(draft.gateway, crashes=replace(known, looping=True))
        draft.say(EntryKind.GATEWAY, f"{loop_told(draft)}; it is not restarted by us meanwhile", warn=True)
    elif known.looping and draft.now >= loop_ends(draft):
        draft.gateway = replace(draft.gateway, crashes=replace(known, looping=False, begun=()))
        draft.say(EntryKind.GATEWAY, f"the gateway has not died again for {span(CALM_AFTER)}")


def loop_ends(draft: Draft) -> float:
    """When the present loop is over, if it does not die again."""
    return draft.gateway.crashes.begun[-1] + CALM_AFTER


def loop_told(draft: Draft) -> str:
    """A loop as a sentence."""
    begun = draft.gateway.crashes.begun
    return f"the gateway dies again and again: {count(len(begun), 'time')} within {span(draft.now - begun[0])}"


def was_killed(draft: Draft) -> bool:
    """Whether an OOM kill was seen a short while ago."""
    at = draft.gateway.crashes.killed_at
    return at is not None and draft.now - at < TOLD_FOR
