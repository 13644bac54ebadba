"""Sessions that work and show no sign of life, though they should by now. Only told, never cured on suspicion.

Idle is not deaf: a watchdog of a peer that took one for the other restarted a quiet account 4,004 times in 17 days.
So a session is called deaf only after several hours in a row that were busy in nearly all weeks before and in which
nothing was heard at all, and only while other sessions hear something.
"""

from __future__ import annotations

from msgspec.structs import replace

from wasupervisor.decide.draft import Draft
from wasupervisor.decide.memory import Hearing, Listening, SessionMemory
from wasupervisor.decide.reasons import TABLE
from wasupervisor.decide.scene import HOUR, Scene
from wasupervisor.decide.week import HOURS, NEW_WEEK, habits, is_habit, noted
from wasupervisor.decide.words import count, first_names, span
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.sessions import Condition, Reason

SLOT = 600.0
"""Seconds: so often the activity is compared, and so often the memory may change for it."""
SLOT_LATE = 1.5 * SLOT
"""A slot that was closed later than this holds time in which nobody looked."""
BUSY_SLOTS = 3
"""An hour was busy when something was heard in half of its slots: one message an hour is no habit."""
HOUR_WATCHED = (3000.0, 4200.0)
"""An hour of the wall clock counts when it was seen for so long; the one that summer time repeats does not."""
LEARN_HOURS = 2 * HOURS
"""Hours to be watched before anything is said."""
REGULAR = 15
"""Fewer busy hours in a week are little traffic, of which nothing is said."""
SILENT_HOURS = 3
"""Busy hours in a row without a sign of life: more than the hours by which a clock may be off."""
MOST_LONGEST = 6
"""Of silences that ended by themselves, as long a one is taken as usual at the most, in busy hours."""
OFF_BY = 2.5 * HOUR
"""A wall clock that moved by more against ours was set; by less it may be summer time."""
WEEK = HOURS * HOUR
DISTRUST = LEARN_HOURS * HOUR
"""Seconds after the wall clock was set in which nothing is said: meanwhile wrong hours are unlearnt."""


def track_activity(draft: Draft, scene: Scene) -> None:
    """Learn when each session usually hears something, and tell of those that are silent beyond that."""
    seen, hour = draft.observation.look.sightings, draft.observation.hour_of_week
    if seen is None or hour is None:
        return
    known = draft.gateway.listening
    if known is None:
        if any(one.activity is not None for one in seen):
            _keep(draft, Listening(hour=hour, began=scene.now, slot=scene.now, run=scene.run))
        return
    listening = _undisturbed(draft, scene, known, hour)
    if hour != listening.hour or scene.now - listening.slot >= SLOT:
        listening = _end_slot(draft, scene, listening, hour)
    if listening is not known:
        _keep(draft, listening)


def deaf_notes(draft: Draft) -> list[str]:
    """What the health document says of it."""
    if draft.gateway.listening is None:
        return []
    notes = []
    deaf = [name for name, one in draft.sessions.items() if one.hearing is not None and one.hearing.deaf]
    if deaf:
        row = TABLE[Reason.DEAF]
        notes.append(f"{first_names(tuple(sorted(deaf)))}: {row.sentence}. {row.advice}")
    if draft.gateway.listening.silent:
        notes.append("Most sessions that usually hear something now are silent together: no single one is called deaf.")
    return notes


def _keep(draft: Draft, listening: Listening) -> None:
    draft.gateway = replace(draft.gateway, listening=listening)


def _undisturbed(draft: Draft, scene: Scene, known: Listening, hour: int) -> Listening:
    """The hour so far, marked when it tells nothing; after whatever may explain a silence, that is counted anew."""
    now, paused = scene.now, draft.paused is not None
    if not draft.observation.first and abs(_clock_moved(known, now, hour)) > OFF_BY:
        _count_anew(draft)
        text = f"the wall clock was set: no session is called deaf for {span(DISTRUST)}, until its hours are learnt"
        draft.say(EntryKind.SUPERVISOR, text)
        return replace(known, hour=hour, began=now, slot=now, broken=True, trusted_from=now + DISTRUST)
    if known.paused is not paused or known.run != scene.run:
        _count_anew(draft)
        return replace(known, broken=True, paused=paused, run=scene.run)
    return replace(known, broken=True) if scene.gap and not known.broken else known


def _clock_moved(known: Listening, now: float, hour: int) -> float:
    """Seconds by which the timeline went further than the wall clock, as far as whole hours tell."""
    return (now - known.began - (hour - known.hour) * HOUR + WEEK / 2) % WEEK - WEEK / 2


def _count_anew(draft: Draft) -> None:
    """From here on silence is counted; who was told as deaf is so until heard."""
    for name, one in draft.sessions.items():
        if one.hearing is not None and one.hearing.silent:
            draft.sessions[name] = replace(one, hearing=replace(one.hearing, silent=0))


def _end_slot(draft: Draft, scene: Scene, listening: Listening, hour: int) -> Listening:
    """Compare the activity of all sessions with that of the slot before, and judge the hour when it is over."""
    now = scene.now
    late = now - listening.slot > SLOT_LATE
    listening = replace(listening, slot=now, broken=listening.broken or late)
    over = hour != listening.hour
    due = [name for name, one in _told(draft).items() if _listen(draft, name, one, listening, over=over)]
    if due:
        listening = _tell_deaf(draft, listening, due)
    elif listening.silent and not _are_silent_together(draft):
        draft.say(EntryKind.GATEWAY, "its sessions are not silent together any more")
        listening = replace(listening, silent=False)
    if over:
        listening = replace(listening, hour=hour, began=now, broken=listening.paused)
    return listening


def _told(draft: Draft) -> dict[str, int | None]:
    """The activity of each session, as far as it tells of others than ourselves."""
    policy = draft.policy
    # WAHA's activity is the last call of its API for the session, our probe's too (2025+, read, not measured).
    ours = policy.probe is not None and policy.gateway_kind == "waha"
    seen = draft.observation.look.sightings or ()
    return {one.name: None if ours else one.activity for one in seen if one.name in draft.sessions}


def _listen(draft: Draft, name: str, activity: int | None, listening: Listening, *, over: bool) -> bool:
    """Take the activity of one session. Returns whether it is silent for so long that it may be deaf."""
    session = draft.sessions[name]
    before = session.hearing
    after = _compared(before, activity, draft.now)
    if after is None:
        return False
    if over:
        after = _hour_over(session, after, listening, draft.now)
    if after is not before:
        draft.sessions[name] = replace(session, hearing=after)
    if before is None or after.deaf:
        return False
    if before.deaf:
        silence = span(draft.now - before.at)
        again = f"it shows a sign of life again, after {silence}"
        text = again if activity is not None else "it was called deaf; nothing is told of its activity any more"
        draft.entries.append(Entry(EntryKind.CONCLUDED, text, session=name, reason=Reason.DEAF))
    return after.silent > before.silent and after.silent >= max(SILENT_HOURS, 2 * after.longest)


def _compared(hearing: Hearing | None, activity: int | None, now: float) -> Hearing | None:
    """The hearing after a slot. An activity that is lower than before was counted anew, and hides what was heard."""
    if activity is None:
        if hearing is None or hearing.value is None:
            return hearing
        return replace(hearing, value=None, heard=None, silent=0, deaf=False)
    if hearing is None:
        return Hearing(value=activity, at=round(now))
    if activity == hearing.value:
        return hearing
    if hearing.value is None or activity < hearing.value:
        return replace(hearing, value=activity, heard=None, silent=0)
    return replace(
        hearing,
        value=activity,
        at=round(now),
        heard=None if hearing.heard is None else hearing.heard + 1,
        silent=0,
        longest=max(hearing.longest, min(hearing.silent, MOST_LONGEST)),
        deaf=False,
    )


def _hour_over(session: SessionMemory, hearing: Hearing, listening: Listening, now: float) -> Hearing:
    """Learn from an hour that was watched as a whole, and count it when it should not have been silent."""
    shortest, longest = HOUR_WATCHED
    heard = None if hearing.value is None else 0
    if not was_left_alone(session, listening.began):
        return replace(hearing, heard=heard, silent=0)
    if listening.broken or hearing.heard is None or not shortest <= now - listening.began <= longest:
        return replace(hearing, heard=heard)
    week, watched = hearing.week or NEW_WEEK, hearing.watched + 1
    usual = now >= listening.trusted_from and is_habit(week, listening.hour)
    return replace(
        hearing,
        heard=heard,
        week=noted(week, listening.hour, busy=hearing.heard >= BUSY_SLOTS),
        watched=watched,
        silent=hearing.silent + (usual and hearing.heard == 0 and _is_regular(hearing)),
        longest=max(0, hearing.longest - (watched % HOURS == 0)),
    )


def was_left_alone(session: SessionMemory, began: float) -> bool:
    """Whether it worked for the whole hour, and no remedy touched it."""
    if session.condition is not Condition.HEALTHY or session.working_since is None or session.attempt is not None:
        return False
    return max(session.working_since, session.last_restart or 0.0, *session.made[-1:]) <= began


def _is_regular(hearing: Hearing) -> bool:
    """Whether so much is known of it, and so much heard, that a silence tells something."""
    return hearing.watched >= LEARN_HOURS and habits(hearing.week) >= REGULAR


def _tell_deaf(draft: Draft, listening: Listening, due: list[str]) -> Listening:
    """Say who is deaf now; of sessions that are silent together, only that."""
    if _are_silent_together(draft):
        if not listening.silent:
            text = "most of its sessions that usually hear something now are silent together: it is not a single one"
            draft.entries.append(Entry(EntryKind.GATEWAY, text, reason=Reason.DEAF, warn=True))
        return replace(listening, silent=True)
    row = TABLE[Reason.DEAF]
    for name in due:
        session = draft.sessions[name]
        hearing = session.hearing or Hearing()
        draft.sessions[name] = replace(session, hearing=replace(hearing, deaf=True))
        hours = count(hearing.silent, "hour")
        text = f"{row.sentence}: nothing for {span(draft.now - hearing.at)}, {hours} of it usually busy"
        entry = Entry(EntryKind.CONCLUDED, f"{text}. {row.advice}", session=name, reason=Reason.DEAF, warn=True)
        draft.entries.append(entry)
    return listening


def _are_silent_together(draft: Draft) -> bool:
    """Whether at least half of the others are as silent as one is, of those that should hear something by now."""
    silent = hearing = 0
    for session in draft.sessions.values():
        one = session.hearing
        if one is None or one.deaf:
            continue
        if one.silent:
            silent += 1
        elif draft.now - one.at <= SILENT_HOURS * HOUR and _is_regular(one):
            hearing += 1
    return silent > max(1, hearing)
