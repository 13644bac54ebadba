"""Evolution API, v2; of v1 what its source tells.

Recorded and measured on 2.3.6. What is taken from the source of other versions is marked *unverified*. What each quirk
means for an operator stands in docs/gateways.md.
"""

from __future__ import annotations

import logging
from urllib.parse import quote

from wasupervisor.gateways.answers import left_out, outcome_of, refusal, told
from wasupervisor.gateways.base import Answer, fits
from wasupervisor.gateways.evolution_answers import Page, is_no_route, read_probe, says_error
from wasupervisor.gateways.evolution_database import HINTS, KEY_HINT, ROWS, Database, rows_of, store_ok
from wasupervisor.gateways.evolution_memory import Metrics, Rotation, ask_state
from wasupervisor.gateways.evolution_truths import ABSENT, BAILEYS, OPEN, Row, sight
from wasupervisor.gateways.http import LIST_LIMIT, Clock, Failure, HttpClient, Reply, Turn
from wasupervisor.model.observation import CloseLook, Look, ProbeResult, Proof, Trouble
from wasupervisor.model.remedies import Outcome
from wasupervisor.model.sessions import Sighting

logger = logging.getLogger(__name__)

VERIFY = "/verify-creds"
"""Answers without database, Redis or the internet. `GET /` needs the internet and hangs without (2.3.6)."""

PRESENCE = "/instance/setPresence/"
UNAVAILABLE = b'{"presence":"unavailable"}'

LOOK_SHARE, VERIFY_SHARE = 0.75, 0.2
"""Of a look's time. A look ends before its time is up, so that what it found is not lost."""


class EvolutionGateway:
    """One Evolution API."""

    kind: str = "evolution"
    restart_spacing: float = 60.0
    """Measured: restarts 150 ms apart made 32 logins and 27 conflicts; timed-out ones are all made later."""

    def __init__(
        self,
        url: str,
        api_key: str | None,
        *,
        timeout: float,
        action_timeout: float,
        metrics_auth: str | None,
        clock: Clock,
    ) -> None:
        self._http = HttpClient(url, {"apikey": api_key} if api_key else {})
        self._timeout, self._action_timeout, self._clock = timeout, action_timeout, clock
        self._metrics = Metrics(clock, metrics_auth)
        self._rotation = Rotation(clock)
        self._database = Database(clock)
        self._restart_verb = "POST"
        self._judged: tuple[Page, dict[str, Row], tuple[Sighting, ...]] | None = None

    async def look(self) -> Look:
        """See all instances: memory each time, the database now and then."""
        turn = self._turn()
        page = await self._metrics.ask(turn)
        if isinstance(page, Failure):
            look = await self._unseen(turn, page)
            if look.reachable:
                self._metrics.distrust()
            return look
        if page is not None:
            return await self._look_by_page(turn, page)
        return await self._look_by_calls(turn)

    def read_anew(self) -> None:
        """Have the next look ask the database, though it was asked a moment ago."""
        self._database.read_anew()

    async def look_closely(self, session: str) -> CloseLook:
        """Read the instance from the database and from memory: both must answer now, or nothing may be done.

        A restart while PostgreSQL is down makes a false `open` for ever (measured on 2.3.6).
        """
        if not fits(session):
            return CloseLook(detail="no instance can have this name; nothing was asked")
        turn = self._turn()
        answer = await turn.ask("GET", f"{ROWS}?instanceName={quote(session, safe='')}", limit=LIST_LIMIT)
        rows = rows_of(answer, KEY_HINT)
        well = store_ok(answer, rows)
        if isinstance(rows, Failure):
            return CloseLook(store_ok=well, detail=rows.detail)
        others = await self._others_work(turn, session)
        memory = await ask_state(turn, session)
        row = rows.by_name.get(session)
        if isinstance(memory, Failure):
            return CloseLook(others_working=others, store_ok=well, detail=f"connectionState: {memory.detail}")
        if row is None or memory is None or memory == ABSENT:
            what = "the database does not list the instance" if row is None else "memory does not show the instance"
            return CloseLook(others_working=others, store_ok=well, detail=what)
        return CloseLook(sighting=sight(session, memory, row), others_working=others, store_ok=well)

    async def start_session(self, session: str) -> Answer:  # noqa: ARG002 - the same verb for every gateway
        """Refuse: an instance that is loaded runs, and one that is not is loaded only when the process starts."""
        return Answer(
            Outcome.REFUSED, "Evolution has no start: an instance that is not loaded needs a restart of the process"
        )

    async def restart_session(self, session: str) -> Answer:
        """Restart an instance. v1 has the same call as PUT (unverified: source of 1.8.2)."""
        if not fits(session):
            return Answer(Outcome.REFUSED, "no instance can have this name; nothing was called")
        path = f"/instance/restart/{quote(session, safe='')}"
        reply = await self._http.act(self._restart_verb, path, timeout=self._action_timeout)
        if isinstance(reply, Reply) and is_no_route(reply):
            # Nothing was done: the other version's method is the right one, now and from here on.
            self._restart_verb = "PUT" if self._restart_verb == "POST" else "POST"
            logger.info("this Evolution restarts instances with %s", self._restart_verb)
            reply = await self._http.act(self._restart_verb, path, timeout=self._action_timeout)
        if isinstance(reply, Failure):
            return Answer(outcome_of(reply), reply.detail)
        if not reply.ok:
            return refusal(reply, KEY_HINT, HINTS)
        if says_error(reply.body):
            return Answer(Outcome.REFUSED, f"{told(reply.status)} with `error: true`: nothing was restarted")
        return Answer(Outcome.ACCEPTED, told(reply.status))

    async def park_session(self, session: str) -> Answer:  # noqa: ARG002 - the same verb for every gateway
        """Refuse: Evolution has no stop that keeps the credentials (2.3.6)."""
        return Answer(Outcome.REFUSED, "Evolution has no stop that keeps the credentials")

    async def probe(self, session: str, timeout: float) -> ProbeResult:
        """Set the presence to unavailable: on a socket that is closed that fails with 400 'Connection Closed'.

        201 proves little: a half-open socket answers it for a minute, a fight of two clients always (2.3.6). v1 has the
        same call (unverified), and does not tell `alwaysOnline`, so that nothing is asked of it.
        """
        against = self._against_probe(session)
        if against is not None:
            return ProbeResult(session, Proof.UNKNOWN, against)
        path = f"{PRESENCE}{quote(session, safe='')}"
        answer = await self._http.ask_apart("POST", path, timeout=timeout, body=UNAVAILABLE)
        proof, detail = read_probe(answer)
        return ProbeResult(session, proof, detail)

    def _against_probe(self, session: str) -> str | None:
        """Why this instance is not to be probed; None when it may be."""
        row = (self._database.rows or {}).get(session)
        if row is None or not fits(session):
            return "the database has not told its settings yet"
        if row.integration not in BAILEYS:
            return "it has no socket of its own"
        if row.always_online is None:
            return "this Evolution does not tell whether alwaysOnline is set"
        return "alwaysOnline is set, and the probe would end that" if row.always_online else None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _turn(self) -> Turn:
        return Turn(self._http, self._clock, self._timeout * LOOK_SHARE)

    async def _look_by_page(self, turn: Turn, page: Page) -> Look:
        await self._database.refresh(turn, page.states, all_loaded=True)
        rows = self._database.rows
        if rows is None and not page.states:
            # While Evolution starts its page is empty: without the database that does not mean that there are none.
            return await self._unseen(turn, self._database.failure)
        return self._seen(turn, self._by_page(page, rows or {}), version=page.version)

    def _by_page(self, page: Page, rows: dict[str, Row]) -> tuple[Sighting, ...]:
        """Memory from the page; worked out once for as long as neither the page nor the rows change."""
        if self._judged is None or self._judged[0] is not page or self._judged[1] is not rows:
            listed = [sight(name, page.states.get(name, ABSENT), row) for name, row in rows.items()]
            loaded = [sight(name, word, None) for name, word in page.states.items() if name not in rows]
            self._judged = (page, rows, (*listed, *loaded))
        return self._judged[2]

    async def _look_by_calls(self, turn: Turn) -> Look:
        began = self._clock()
        await self._database.refresh(turn, self._rotation.words(), all_loaded=False)
        rows = self._database.rows
        if rows is None:
            return await self._unseen(turn, self._database.failure)
        known = await self._rotation.ask(turn, rows, store_ok=self._database.ok)
        hung = self._rotation.failure
        if not turn.heard and (silence := await self._silence(hung)) is not None:
            return self._silent(silence)
        sightings = tuple(
            sight(name, known[name].word, row, fresh=known[name].at >= began) for name, row in rows.items()
        )
        told_of = f"connectionState: {hung.detail}; is Evolution's Redis down?" if hung else ""
        return self._seen(turn, sightings, hung=told_of)

    def _seen(self, turn: Turn, sightings: tuple[Sighting, ...], *, version: str | None = None, hung: str = "") -> Look:
        """The instances, and in the notes what could not be read beside them."""
        failure = self._database.failure
        refused = failure is not None and failure.trouble is Trouble.UNAUTHORIZED
        unread = tuple(detail for detail in (hung, failure.detail if failure else "") if detail)
        return Look(
            reachable=True,
            sightings=sightings,
            trouble=Trouble.UNAUTHORIZED if refused else None,
            detail="; ".join(unread),
            latency_seconds=turn.latency,
            version=version,
            store_ok=self._database.ok,
            notes=(*unread, *self._notes()),
        )

    async def _unseen(self, turn: Turn, failure: Failure | None) -> Look:
        """No instance can be told of: because nobody answers, or because the answer is of no use."""
        if failure is None:
            failure = Failure(Trouble.BAD_BODY, "fetchInstances was not read yet")
        if not turn.heard and (silence := await self._silence(failure)) is not None:
            return self._silent(silence)
        return Look(
            reachable=True,
            trouble=failure.trouble,
            detail=failure.detail,
            store_ok=self._database.ok,
            notes=self._notes(),
        )

    def _silent(self, failure: Failure) -> Look:
        self._metrics.forget()
        self._database.forget()
        self._rotation.forget()
        return Look(reachable=False, trouble=failure.trouble, detail=failure.detail, notes=self._notes())

    async def _silence(self, failure: Failure | None) -> Failure | None:
        """Whether nobody answers at all: the failure that says so, or None."""
        if failure is not None and failure.trouble in (Trouble.REFUSED, Trouble.UNRESOLVED):
            return failure
        answer = await self._http.ask("POST", VERIFY, timeout=self._timeout * VERIFY_SHARE)
        if isinstance(answer, Reply) or answer.answered:
            return None
        return failure or answer

    async def _others_work(self, turn: Turn, session: str) -> bool | None:
        """Whether any other instance works; None when that is not known."""
        page = await self._metrics.ask(turn)
        if isinstance(page, Failure):
            return None
        words = self._rotation.words() if page is None else page.states
        if any(word == OPEN for name, word in words.items() if name != session):
            return True
        rows = self._database.rows
        known = page is not None or (rows is not None and rows.keys() <= {*words, session})
        return False if known else None

    def _notes(self) -> tuple[str, ...]:
        note = self._metrics.note
        return (*((note,) if note else ()), *left_out(self._database.unreadable))
