"""Episodes that a person is told of: when one begins, when a reminder is due, and when it ends.

An episode begins with what is judged and ends when it has been over for `stable_for`, so that flapping is one episode.
What cannot be seen now neither begins nor ends one.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from wasupervisor.decide.cases import Case, find_cases
from wasupervisor.decide.draft import Draft
from wasupervisor.decide.memory import Episode
from wasupervisor.decide.scene import Scene
from wasupervisor.decide.telling import describe, farewell
from wasupervisor.model.alerts import Alert, AlertKind, Event

MOST_SINGLY = 5
"""Alerts of one kind within `TOGETHER_WITHIN`; when more sessions are due, one alert names them all."""

TOGETHER_WITHIN = 120.0
"""Seconds."""


def track_episodes(draft: Draft, scene: Scene) -> None:
    """Compare what a person should know now with what was told, and put the difference into `draft.alerts`."""
    tell = draft.policy.tell
    cases = {case.key: case for case in find_cases(draft, scene) if case.kind in tell} if tell else {}
    known = {key: one for key, one in draft.episodes.items() if one.kind in tell}
    draft.episodes = {}
    over: list[Episode] = []
    for key, one in known.items():
        after = _go_on(draft, one, cases.get(key))
        if after is not None:
            draft.episodes[key] = after
        elif one.told_at is not None:
            over.append(one)
    for key, case in cases.items():
        if case.begins and key not in draft.episodes:
            draft.episodes[key] = Episode(id="", kind=case.kind, since=case.since, session=case.session)
    _tell_ends(draft, over)
    _tell_begins(draft, scene, cases)
    _tell_reminders(draft, scene)


def _is_unseen(draft: Draft, one: Episode) -> bool:
    """Whether nothing is known of it, for the list of sessions cannot be read."""
    of_sessions = one.session is not None or one.kind is AlertKind.INCIDENT
    return of_sessions and draft.observation.look.sightings is None


def _go_on(draft: Draft, one: Episode, case: Case | None) -> Episode | None:
    """The episode after this step; None when it is over, or was over before anybody was told."""
    if case is None and _is_unseen(draft, one):
        return one if one.fine_since is None else replace(one, fine_since=None)
    if one.told_at is None:
        return one if case is not None and case.begins else None
    if case is not None:
        return one if one.fine_since is None else replace(one, fine_since=None)
    since = draft.now if one.fine_since is None else one.fine_since
    return None if draft.now - since >= draft.policy.stable_for else replace(one, fine_since=since)


def _tell_ends(draft: Draft, over: list[Episode]) -> None:
    """An episode of several sessions ends with the last of them."""
    going_on = {one.id for one in draft.episodes.values()}
    for identity, members in _by_id(one for one in over if one.id not in going_on).items():
        last = members[-1]
        names = tuple(one.session for one in members if one.session is not None)
        draft.alerts.append(
            Alert(
                id=identity,
                kind=last.kind,
                event=Event.END,
                since=min(one.since for one in members),
                at=draft.now,
                told_before=last.told_at,
                session=last.session,
                sessions=names,
                reason=last.reason,
                what=farewell(draft, last),
            )
        )


def _tell_begins(draft: Draft, scene: Scene, cases: dict[str, Case]) -> None:
    ripe: dict[AlertKind, list[str]] = {}
    for key, one in draft.episodes.items():
        waits = one.told_at is None and not _is_unseen(draft, one)
        if waits and draft.now - one.since >= cases[key].lasts:
            ripe.setdefault(one.kind, []).append(key)
    for kind, keys in ripe.items():
        for batch in _batches(draft, kind, keys):
            identity = f"{int(draft.roll(batch[0]) * 2**32):08x}{int(draft.now):x}"
            for key in batch:
                draft.episodes[key] = replace(draft.episodes[key], id=identity)
            _tell(draft, scene, batch, Event.BEGIN)


def _batches(draft: Draft, kind: AlertKind, keys: list[str]) -> list[list[str]]:
    """The keys that are told of, those together that are told in one alert. The others wait."""
    if kind is AlertKind.RESTART_WANTED:
        return _join(draft, keys)
    room = MOST_SINGLY - _told_lately(draft, kind)
    return [[key] for key in keys] if len(keys) <= room else [keys] if room > 0 else []


def _join(draft: Draft, keys: list[str]) -> list[list[str]]:
    """One restart heals them all, so that there is one alert. Who comes later is named in its reminders."""
    told = (one for one in draft.episodes.values() if one.kind is AlertKind.RESTART_WANTED and one.told_at is not None)
    known = next(told, None)
    if known is None:
        return [keys]
    for key in keys:
        own = draft.episodes[key]
        draft.episodes[key] = replace(known, since=own.since, session=own.session, fine_since=None)
    return []


def _told_lately(draft: Draft, kind: AlertKind) -> int:
    """How many alerts of this kind were told a short while ago."""
    told = [(one.id, one.told_at) for one in draft.episodes.values() if one.kind is kind and one.told_at is not None]
    return len({identity for identity, at in told if draft.now - at < TOGETHER_WITHIN})


def _tell_reminders(draft: Draft, scene: Scene) -> None:
    remind = draft.policy.remind
    if remind is None:
        return
    due: dict[str, list[str]] = {}
    for key, one in draft.episodes.items():
        lasts = one.fine_since is None and not _is_unseen(draft, one)
        if lasts and one.told_at is not None and draft.now - one.told_at >= remind:
            due.setdefault(one.id, []).append(key)
    for keys in due.values():
        _tell(draft, scene, keys, Event.REMIND)


def _tell(draft: Draft, scene: Scene, keys: list[str], event: Event) -> None:
    members = [draft.episodes[key] for key in keys]
    first = members[0]
    names = tuple(one.session for one in members if one.session is not None)
    told = describe(draft, scene, first.kind, names)
    draft.alerts.append(
        Alert(
            id=first.id,
            kind=first.kind,
            event=event,
            since=min(one.since for one in members),
            at=draft.now,
            told_before=first.told_at,
            session=names[0] if len(names) == 1 else None,
            sessions=told.sessions or names,
            reason=told.reason,
            what=told.what,
            tried=told.tried,
            why_no_more=told.why_no_more,
            todo=told.todo,
        )
    )
    what = told.what if event is Event.BEGIN else first.what
    for key, one in zip(keys, members, strict=True):
        draft.episodes[key] = replace(one, reason=told.reason, what=what, told_at=draft.now)


def _by_id(episodes: Iterable[Episode]) -> dict[str, list[Episode]]:
    found: dict[str, list[Episode]] = {}
    for one in episodes:
        found.setdefault(one.id, []).append(one)
    return found
