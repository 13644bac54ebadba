"""WAHA, 2024.x to 2026.x.

Recorded and measured on 2024.10.8 (CORE, NOWEB engine). What is taken from the source or the docs of later versions is
marked *unverified*. What each quirk means for an operator stands in docs/gateways.md.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import msgspec

from wasupervisor.gateways.answers import (
    UNUSABLE,
    entries_of,
    is_page,
    left_out,
    outcome_of,
    refusal,
    told,
    usable,
    word_of,
)
from wasupervisor.gateways.base import Answer, fits
from wasupervisor.gateways.codes import cause_of_name
from wasupervisor.gateways.http import LIST_LIMIT, Clock, Failure, HttpClient, Progress, Reply, Turn
from wasupervisor.model.observation import CloseLook, Look, ProbeResult, Proof, Trouble
from wasupervisor.model.remedies import Outcome
from wasupervisor.model.sessions import Reason, Sighting, State
from wasupervisor.model.value import Value

LIST = "/api/sessions?all=true"
"""All sessions in one call of 2-10 ms that no session's lock blocks. Without `all` the stopped ones are missing."""

STATUS = "/api/server/status"
VERSION = "/api/server/version"
PING = "/ping"
"""Answers while every session is dead, so it tells of the process only. `/health` tells nothing: in CORE it is 422."""

EXISTS = "/api/contacts/check-exists"
"""The only cheap call with a round trip to WhatsApp: 9 ms; behind a silent peer it hangs up to 120 s (2024.10.8)."""

LIST_SHARE, PING_SHARE = 0.75, 0.2
"""Of a look's time. A look ends before its time is up, so that what it found is not lost."""

ASK_RUN_AFTER_STOP = 30.0
"""Seconds after a session was first seen stopped for which each look asks the run."""

ASK_RUN_EVERY = 60.0
"""Seconds. A restart that nobody announced shows as changed states before, and then it is asked at once."""

KEY_HINT = "look at gateway.api_key (sent as X-Api-Key; a key of one session sees only that session)"

HINTS = (
    (b"only 'default' session", "this WAHA (CORE before 2026.6) serves no session but `default`"),
    (b"Session not found", "WAHA does not know the session"),
)

STATES: dict[str, tuple[State, Reason]] = {
    "WORKING": (State.WORKING, Reason.NONE),
    "STARTING": (State.STARTING, Reason.RECONNECTING),
    "SCAN_QR_CODE": (State.NEEDS_HUMAN, Reason.QR_WANTED),
    "STOPPED": (State.STOPPED, Reason.STOPPED),
}

PASSKEY = ("PASSKEY_", (State.NEEDS_HUMAN, Reason.PASSKEY_WANTED))
"""PASSKEY_REQUIRED, PASSKEY_CONFIRMATION_REQUIRED. Unverified, from about 2026.7: between the QR and WORKING."""

FAILED_LINKED = (State.FAILED, Reason.UNEXPLAINED)
"""FAILED with an account: unlinked, or something that a restart cures; one restart tells which (measured)."""

FAILED_UNLINKED = (State.NEEDS_HUMAN, Reason.QR_EXPIRED)
"""FAILED without an account. Unverified, from 2025 on: nobody scanned the sixth QR (2024.10.8 shows QRs for ever)."""


class _Entry(msgspec.Struct):
    """One session of the list. `config` (webhooks with their secrets) is not read."""

    name: Any = None
    status: Any = None
    me: Any = None
    timestamps: Any = None
    """Unverified, from 2025 on (OpenAPI of 2026.7): `activity` in ms, at times null or not there (WAHA issue 2073)."""
    engine: Any = None
    """Unverified: the docs show it in the list, 2024.10.8 only in a single session. WEBJS has its `state` in there."""


class _Existence(msgspec.Struct):
    numberExists: bool  # noqa: N815 - WAHA's name


class _ServerStatus(msgspec.Struct):
    startTimestamp: int | float | str | None = None  # noqa: N815 - WAHA's name


class _ServerVersion(msgspec.Struct):
    version: str | None = None
    engine: str | None = None


_LIST = msgspec.json.Decoder(list[_Entry])


class Numbers(dict[str, str]):
    """The sessions' own phone numbers, by name. They never leave the adapter, not even in its repr."""

    def __repr__(self) -> str:
        return f"{len(self)} numbers"


class Listing(Value, frozen=True):
    """A list of sessions that was read."""

    sightings: tuple[Sighting, ...]
    notes: tuple[str, ...] = ()
    numbers: Numbers = msgspec.field(default_factory=Numbers)


class WahaGateway:
    """One WAHA."""

    kind: str = "waha"
    restart_spacing: float = 0.0

    def __init__(self, url: str, api_key: str | None, *, timeout: float, action_timeout: float, clock: Clock) -> None:
        self._http = HttpClient(url, {"X-Api-Key": api_key} if api_key else {})
        self._timeout, self._action_timeout, self._clock = timeout, action_timeout, clock
        self._identity = _Identity(clock)
        self._numbers = Numbers()

    async def look(self) -> Look:
        """List all sessions; now and then ask which run of which version it is."""
        turn = self._turn()
        listing = await _list(turn)
        if isinstance(listing, Failure):
            self._identity.forget()
            return Look(reachable=await self._reachable(listing), trouble=listing.trouble, detail=listing.detail)
        self._numbers = listing.numbers
        await self._identity.refresh(listing.sightings, turn)
        return Look(
            reachable=True,
            sightings=listing.sightings,
            latency_seconds=turn.latency,
            version=self._identity.version,
            engine=self._identity.engine,
            run=self._identity.run,
            notes=listing.notes,
        )

    def read_anew(self) -> None:
        """Do nothing: each look reads the list."""

    async def look_closely(self, session: str) -> CloseLook:
        """Read the list again: it is cheap, and unlike the call for one session nothing can make it wait."""
        listing = await _list(self._turn())
        if isinstance(listing, Failure):
            return CloseLook(detail=listing.detail)
        sighting = next((one for one in listing.sightings if one.name == session), None)
        return CloseLook(
            sighting=sighting,
            others_working=any(one.state is State.WORKING for one in listing.sightings if one.name != session),
            detail="" if sighting else "WAHA does not list the session",
        )

    async def start_session(self, session: str) -> Answer:
        """Start a stopped session. On a FAILED one WAHA does nothing and says `already started`."""
        return await self._act(session, "start")

    async def restart_session(self, session: str) -> Answer:
        """Stop a session and start it: 3 s, and 10 s and the end of the process while its socket is connecting."""
        return await self._act(session, "restart")

    async def park_session(self, session: str) -> Answer:
        """Stop a session: 3 s; its credentials stay, and `start` brings it back without a QR (2024.10.8)."""
        return await self._act(session, "stop")

    async def probe(self, session: str, timeout: float) -> ProbeResult:
        """Ask WhatsApp for the session's own number: a round trip.

        No answer in time is a miss, for behind a silent peer the call hangs. A probe that is missed goes on inside
        WAHA for up to 120 s and keeps a process that is told to stop alive for as long (2024.10.8).
        """
        number = self._numbers.get(session)
        if number is None:
            return ProbeResult(session, Proof.UNKNOWN, "no number of its own is known")
        path = f"{EXISTS}?phone={number}&session={quote(session, safe='')}"
        proof, detail = read_probe(await self._http.ask_apart("GET", path, timeout=timeout), timeout)
        return ProbeResult(session, proof, detail)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _turn(self) -> Turn:
        return Turn(self._http, self._clock, self._timeout * LIST_SHARE)

    async def _reachable(self, failure: Failure) -> bool:
        """Whether the API answers at all although the list did not."""
        if failure.answered or failure.trouble in (Trouble.REFUSED, Trouble.UNRESOLVED):
            return failure.answered
        ping = await self._http.ask("GET", PING, timeout=self._timeout * PING_SHARE)
        return isinstance(ping, Reply) or ping.answered

    async def _act(self, session: str, verb: str) -> Answer:
        if not fits(session):
            return Answer(Outcome.REFUSED, "no WAHA session can have this name; nothing was called")
        path = f"/api/sessions/{quote(session, safe='')}/{verb}"
        reply = await self._http.act("POST", path, timeout=self._action_timeout)
        if isinstance(reply, Failure):
            return Answer(outcome_of(reply), reply.detail)
        # WAHA answers 201 to every POST (measured); taken for accepted, a failure after it would count as a diagnosis.
        if reply.status == 200 and (is_page(reply.body) or not reply.body.strip()):
            return Answer(Outcome.REFUSED, f"{told(reply.status)} and no JSON: something in between answered, not WAHA")
        if reply.ok:
            return Answer(Outcome.ACCEPTED, told(reply.status))
        if reply.status == 422 and b"already started" in reply.body:
            return Answer(Outcome.ALREADY, f"{told(reply.status)}: it is already started")
        return refusal(reply, KEY_HINT, HINTS)


class _Identity:
    """Which run of which version this is. Asked rarely: it costs two calls. Where WAHA does not tell, it is unknown."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.forget()

    def forget(self) -> None:
        """The gateway did not answer, so it may be another run of another version."""
        self.run: str | None = None
        self.version: str | None = None
        self.engine: str | None = None
        self._asked_at: float | None = None
        self._seen: tuple[tuple[str, str, bool | None], ...] = ()
        self._stopped: frozenset[str] = frozenset()
        self._stop_seen_at: float | None = None

    async def refresh(self, sightings: tuple[Sighting, ...], turn: Turn) -> None:
        """Ask again when a session changed its state, while a stop is young, and after a minute at the latest.

        A CORE that is shut down shows STOPPED for 3 s and goes on answering, and its next run shows STOPPED too
        (2024.10.8): only the run tells whether an operator stopped the session or the process.
        """
        now = self._clock()
        # Without their activity, which changes all the time.
        seen = tuple((one.name, one.claim, one.paired) for one in sightings)
        changed, self._seen = seen != self._seen, seen
        stopped = frozenset(one.name for one in sightings if one.state is State.STOPPED)
        if stopped - self._stopped:
            self._stop_seen_at = now
        self._stopped = stopped
        young = self._stop_seen_at is not None and now - self._stop_seen_at < ASK_RUN_AFTER_STOP
        if not (changed or young) and self._asked_at is not None and now - self._asked_at < ASK_RUN_EVERY:
            return
        first, self._asked_at = self._asked_at is None, now
        run = read_run(await turn.ask("GET", STATUS))
        if first or run != self.run or self.version is None:
            self.version, self.engine = read_version(await turn.ask("GET", VERSION))
        self.run = run


async def _list(turn: Turn) -> Listing | Failure:
    answer = usable(await turn.ask("GET", LIST, limit=LIST_LIMIT), "WAHA's session list", KEY_HINT)
    return answer if isinstance(answer, Failure) else read_list(answer.body)


def read_list(body: bytes) -> Listing | Failure:
    """Read the session list. Entries without a name are left out; a list of nothing else is no list."""
    read = entries_of(body, _LIST)
    if read is None:
        what = "an empty body" if not body.strip() else "something else"
        return Failure(Trouble.BAD_BODY, f"WAHA's session list: answered with {what}", Progress.ANSWERED)
    entries, unreadable = read
    seen: dict[str, Sighting] = {}
    numbers = Numbers()
    for entry in entries:
        if not fits(entry.name):
            unreadable += 1
        elif entry.name not in seen:
            seen[entry.name] = _sighting_of(entry)
            if (number := _number_of(entry.me)) is not None:
                numbers[entry.name] = number
    if unreadable and not seen:
        return Failure(Trouble.BAD_BODY, "WAHA's session list: no entry has a name", Progress.ANSWERED)
    return Listing(tuple(seen.values()), left_out(unreadable), numbers)


def _sighting_of(entry: _Entry) -> Sighting:
    told_state = entry.engine.get("state") if isinstance(entry.engine, dict) else None
    return sight(
        entry.name,
        entry.status,
        linked=_is_account(entry.me),
        engine_state=told_state,
        activity=_activity_of(entry.timestamps),
    )


_NUMBER = re.compile(r"([0-9]{5,20})(?::[0-9]+)?@(?:c\.us|s\.whatsapp\.net)")
"""Of an account's id; one that ends in `@lid` is no phone number."""


def _number_of(me: object) -> str | None:
    account = me.get("id") if isinstance(me, dict) else None
    found = _NUMBER.fullmatch(account) if isinstance(account, str) else None
    return found[1] if found else None


def _activity_of(timestamps: object) -> int | None:
    at = timestamps.get("activity") if isinstance(timestamps, dict) else None
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 < at < 2**53:
        return None
    return int(at)


def _is_account(me: object) -> bool:
    return isinstance(me, dict) and bool(me.get("id"))


def sight(
    name: str, status: object, *, linked: bool, engine_state: object = None, activity: int | None = None
) -> Sighting:
    """What one entry of the list says.

    `me` is the account in memory: it stays when the phone unlinks the device, and it is missing while a session is
    stopped or has just begun to start, so that it tells something in some states only.
    """
    claim = word_of(status) or ""
    if claim == "FAILED":
        state, reason = _failed(engine_state) if linked else FAILED_UNLINKED
    elif claim.startswith(PASSKEY[0]):
        state, reason = PASSKEY[1]
    else:
        state, reason = STATES.get(claim, (State.UNKNOWN, Reason.UNREADABLE))
    tells = linked or claim in ("SCAN_QR_CODE", "FAILED")
    return Sighting(
        name=name, state=state, reason=reason, claim=claim, paired=linked if tells else None, activity=activity
    )


ENGINE_TELLS = (Reason.LOGGED_OUT, Reason.BANNED, Reason.OUTDATED, Reason.REPLACED)
"""Reasons that a state of the engine settles. All others leave a FAILED session unexplained: one restart tells."""


def _failed(engine_state: object) -> tuple[State, Reason]:
    cause = cause_of_name(engine_state)
    return (State.FAILED, cause.reason) if cause is not None and cause.reason in ENGINE_TELLS else FAILED_LINKED


def read_probe(answer: Reply | Failure, timeout: float) -> tuple[Proof, str]:
    """What an answer to the probe proves, and why. Nothing of the body is quoted: it holds the number."""
    if isinstance(answer, Failure):
        hangs = answer.trouble is Trouble.TIMED_OUT and answer.progress is Progress.SENT
        return (Proof.MISSED, f"no answer within {timeout:g} s") if hangs else (Proof.UNKNOWN, answer.detail)
    if answer.status == 500 and b'"Timed Out"' in answer.body:  # unverified: Baileys gave up after 120 s
        return Proof.MISSED, "WAHA waited for WhatsApp in vain"
    if not answer.ok:
        return Proof.UNKNOWN, told(answer.status)
    try:
        exists = msgspec.json.decode(answer.body, type=_Existence).numberExists
    except UNUSABLE:
        return Proof.UNKNOWN, f"{told(answer.status)} with something else"
    # Also a no is an answer of WhatsApp's.
    return Proof.ANSWERED, "WhatsApp answered" if exists else "WhatsApp answered, and does not know its number"


def read_run(answer: Reply | Failure) -> str | None:
    """The start time of the WAHA process, which names its run; None where it is not told."""
    if isinstance(answer, Failure) or not answer.ok:
        return None
    try:
        started = msgspec.json.decode(answer.body, type=_ServerStatus).startTimestamp
    except UNUSABLE:
        return None
    return None if started is None else str(started)[:40]


def read_version(answer: Reply | Failure) -> tuple[str | None, str | None]:
    """Version and engine; None where they are not told."""
    if isinstance(answer, Failure) or not answer.ok:
        return None, None
    try:
        told_version = msgspec.json.decode(answer.body, type=_ServerVersion)
    except UNUSABLE:
        return None, None
    version = told_version.version
    return (version[:40] if version and version.isprintable() else None), word_of(told_version.engine)
