"""Tells people: each channel gets its messages in their order, in a task of its own, for as long as it takes.

A message is queued in the transaction of the decision that made it, and removed in one after it was delivered. So a
crash loses none; it may be sent twice, with the same `Idempotency-Key`.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable
from random import Random
from typing import NamedTuple

import anyio

from wasupervisor import __version__
from wasupervisor.config.policy import webhooks
from wasupervisor.config.schema import Settings
from wasupervisor.model.alerts import Alert, Event
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.sessions import Reason
from wasupervisor.report.webhook import Sender, about, body_of
from wasupervisor.runtime.counting import NOT_TOLD, TOLD
from wasupervisor.runtime.logs import log_entry
from wasupervisor.runtime.posting import Sent, call, shown
from wasupervisor.runtime.tending import tend
from wasupervisor.store.outbox import MOST_WAITING, Message, Outbox

log = logging.getLogger(__name__)

FIRST_WAIT = 5.0
LONGEST_WAIT = 600.0
"""Seconds between two attempts at a channel: doubling, with jitter on top."""

JITTER = 0.25

GIVE_UP_AFTER = 86400.0
"""Seconds: older news would only mislead."""

CLEAN_EVERY = 60.0


class Wish(NamedTuple):
    """What one entry of `alerts` asks for."""

    on: frozenset[str]
    """Empty: everything."""
    remind: float | None

    def wants(self, alert: Alert) -> bool:
        """Whether this alert is asked for."""
        return (not self.on or alert.kind in self.on) and alert.is_due(self.remind)


class Channel(NamedTuple):
    """One address that is told."""

    key: str
    """Names it in the state."""
    url: str
    """May hold a token: never shown."""
    wishes: tuple[Wish, ...]
    """More than one where it is configured more than once."""

    def __repr__(self) -> str:
        return f"Channel({shown(self.url)})"


def channels_of(settings: Settings) -> dict[str, Channel]:
    """The channels by their keys; only those that are webhooks."""
    from hashlib import blake2b  # noqa: PLC0415 - 0.8 MB, which only those need that are told

    found: dict[str, Channel] = {}
    for one in webhooks(settings):
        url = one.to.reveal()
        key = blake2b(url.encode(errors="surrogatepass"), digest_size=8).hexdigest()
        before = found[key].wishes if key in found else ()
        found[key] = Channel(key, url, (*before, Wish(frozenset(one.on), one.remind)))
    return found


class Telling:
    """Queues alerts and sends them. Nobody waits for it."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        now: Callable[[], float],
        dice: Random,
        wall: Callable[[], float] = time.time,
        hostname: Callable[[], str] = socket.gethostname,
    ) -> None:
        """`now` gives the supervisor's timeline."""
        self._outbox = outbox
        self._now = now
        self._dice = dice
        self._wall = wall
        self._hostname = hostname()
        self._channels: dict[str, Channel] = {}
        self._sender = Sender("", "", self._hostname, __version__)
        self._changed = anyio.Event()
        self._woken = anyio.Event()
        self._notes: list[Entry] = []

    def use(self, settings: Settings) -> None:
        """Tell whom these settings name, of the gateway that they name."""
        gateway = settings.gateway
        host = shown(gateway.url).partition("://")[2]
        self._sender = Sender(gateway.kind, host, self._hostname, __version__)
        channels = channels_of(settings) if settings.alerts else {}
        if channels != self._channels:
            self._channels = channels
            self._changed.set()

    def put(self, alerts: Iterable[Alert]) -> None:
        """Queue alerts for those who want them; sent after the commit that they go with."""
        messages = [
            self._message(alert, channel)
            for alert in alerts
            for channel in self._channels.values()
            if any(wish.wants(alert) for wish in channel.wishes)
        ]
        for gone in self._outbox.put(messages):
            text = f"could not be told: {MOST_WAITING} messages wait for it, and the least of them goes"
            self._note_of(gone, text, outcome=NOT_TOLD)

    def wake(self) -> None:
        """Something may be sent now."""
        self._woken.set()

    def take_notes(self) -> tuple[Entry, ...]:
        """What is to be said in the journal, since the last time."""
        taken, self._notes = tuple(self._notes), []
        return taken

    def note(self, entry: Entry) -> None:
        """Have an entry in the journal, with the next commit."""
        log_entry(log, entry)
        self._notes.append(entry)

    async def run(self) -> None:
        """Send for ever, and begin anew whenever the channels change."""
        while True:
            self._changed = anyio.Event()
            async with anyio.create_task_group() as tasks:
                for channel in self._channels.values():
                    tasks.start_soon(self._tend, channel, name=f"tell {shown(channel.url)}")
                tasks.start_soon(self._give_up_old, name="give up old messages")
                await self._changed.wait()
                tasks.cancel_scope.cancel()

    async def _tend(self, channel: Channel) -> None:
        """A fault of ours in one channel leaves the others alone."""

        async def serve() -> None:
            await self._serve(channel)

        await tend(f"telling {shown(channel.url)}", serve)

    async def _serve(self, channel: Channel) -> None:
        failures = 0
        while True:
            message = self._outbox.first(channel.key)
            if message is None:
                self._woken = self._woken if not self._woken.is_set() else anyio.Event()
                await self._woken.wait()
                continue
            sent = await _send(channel, message)
            if self._judge(message, sent, failures):
                failures = 0
                continue
            failures += 1
            await anyio.sleep(self._wait(failures))

    def _judge(self, message: Message, sent: Sent, failures: int) -> bool:
        """Whether the message is done with: delivered, or never to be delivered."""
        if sent.ok or sent.refused:
            self._outbox.remove(message)
            if sent.ok:
                self._note_of(message, "told", outcome=TOLD)
            else:
                self._note_of(message, f"could not be told: it {sent.text}", outcome=NOT_TOLD)
            return True
        if not failures:
            lasts = f"{GIVE_UP_AFTER / 3600:g} h"
            self._note_of(message, f"could not be told yet: {sent.text}; it is tried again for {lasts}")
        return False

    def _wait(self, failures: int) -> float:
        wait: float = min(FIRST_WAIT * 2 ** min(failures - 1, 16), LONGEST_WAIT)
        return wait * (1 + JITTER * self._dice.random())

    async def _give_up_old(self) -> None:
        while True:
            for one in self._outbox.remove_older(self._now() - GIVE_UP_AFTER):
                text = f"could not be told in {GIVE_UP_AFTER / 3600:g} h, and is not any more"
                self._note_of(one, text, outcome=NOT_TOLD)
            await anyio.sleep(CLEAN_EVERY)

    def _message(self, alert: Alert, channel: Channel) -> Message:
        now = self._now()
        again = f".{alert.at:.0f}" if alert.event is Event.REMIND else ""
        return Message(
            channel=channel.key,
            id=f"{alert.id}.{alert.event}{again}",
            event=alert.event,
            queued=now,
            body=body_of(alert, self._sender, now=now, wall=self._wall()),
            about=about(alert),
            session=alert.session,
            reason=alert.reason,
        )

    def _note_of(self, message: Message, what: str, *, outcome: str | None = None) -> None:
        """`outcome`: where it is done with."""
        channel = self._channels.get(message.channel)
        whom = "a channel that is not configured any more" if channel is None else shown(channel.url)
        text = f"told {whom}" if outcome == TOLD else f"{whom} {what}"
        reason = Reason(message.reason) if message.reason in set(Reason) else Reason.NONE
        entry = Entry(
            EntryKind.ALERT,
            f"{text}: {message.about}",
            session=message.session,
            reason=reason,
            outcome=outcome,
            warn=outcome != TOLD,
        )
        self.note(entry)


async def _send(channel: Channel, message: Message) -> Sent:
    headers = (("Content-Type", "application/json"), ("Idempotency-Key", message.id))
    return await call("POST", channel.url, message.body, headers)
