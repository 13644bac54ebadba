"""What may stand against a restart of the gateway process, as a table: the first that holds withholds it."""

from __future__ import annotations

from wasupervisor.decide.asked import Block, Found, Hindrance, Kind, first_holding, spent, told_pause
from wasupervisor.decide.attempts import HEARD_NOTHING_AFTER
from wasupervisor.decide.crashes import loop_ends, loop_told
from wasupervisor.decide.draft import Draft
from wasupervisor.decide.last_rung import Need
from wasupervisor.decide.memory import BreakerState
from wasupervisor.decide.scene import DAY, HOUR, Scene
from wasupervisor.decide.words import count
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.sessions import Reason
from wasupervisor.model.value import Value


class Asked(Value, frozen=True):
    """A restart of the gateway process that is asked for, with everything that the gates look at."""

    need: Need
    draft: Draft
    scene: Scene
    ordered: bool = False
    forced: bool = False

    @property
    def for_process(self) -> bool:
        """Whether the process itself is the trouble, so that it cannot tell how its store is."""
        silent = self.ordered and self.draft.gateway.silent_since is not None
        return silent or self.need.reason in (Reason.GATEWAY_HUNG, Reason.GATEWAY_GONE)


def _no_restarter(asked: Asked) -> Found:
    if asked.scene.policy.restarter != "none":
        return None
    return "recovery.restart_gateway.by is none: set it, so that the gateway can be restarted from here", None


def _under_way(asked: Asked) -> Found:
    attempt = asked.draft.gateway.attempt
    if attempt is None:
        return None
    if attempt.outcome is None:
        return "a restart of the gateway is under way", None
    return None if asked.ordered else ("a restart of the gateway is being verified", None)


def _read_only(asked: Asked) -> Found:
    if asked.draft.observation.state_writable:
        return None
    return "the state cannot be written, so that nothing would be on the books", None


def _mistyped(asked: Asked) -> Found:
    names = asked.draft.observation.not_whole
    if not names:
        return None
    return (
        f"credential keys in Redis are not whole ({', '.join(names[:3])}): their identities would be lost",
        None,
    )


def _observe(asked: Asked) -> Found:
    return None if asked.scene.policy.act else ("recovery.mode is observe", None)


def _paused(asked: Asked) -> Found:
    return told_pause(asked.draft.paused)


def _store(asked: Asked) -> Found:
    scene = asked.scene
    if scene.redis_ok is False or scene.store_ok is False or (asked.for_process and asked.draft.gateway.store_down):
        return "the gateway's store does not answer: a gateway that starts without it throws identities away", None
    if asked.for_process or scene.store_well:
        return None
    return "it is not known whether the gateway's database is well", None


def _disk(asked: Asked) -> Found:
    low = asked.draft.observation.disk_low
    return (
        ("the disk is nearly full, and a gateway that cannot write its credentials loses them", None) if low else None
    )


def _uplink(asked: Asked) -> Found:
    scene = asked.scene
    if scene.uplink is UplinkState.DOWN and scene.policy.uplink_watched:
        return "WhatsApp cannot be reached from here: no session would come back", None
    if asked.for_process or scene.uplink_up:
        return None
    return "it is not known whether WhatsApp can be reached from here", None


def _grace(asked: Asked) -> Found:
    until = asked.draft.gateway.grace_until
    return None if asked.scene.now >= until else ("the grace after a start is not over", until)


def _crash_loop(asked: Asked) -> Found:
    if not asked.draft.gateway.crashes.looping:
        return None
    return f"{loop_told(asked.draft)}, and a restart on top would heal nothing", loop_ends(asked.draft)


def _busy(asked: Asked) -> Found:
    draft, longest = asked.draft, asked.scene.policy.action_timeout + HEARD_NOTHING_AFTER
    attempts = (one.attempt for one in draft.sessions.values()) if draft.in_flight else ()
    # After a crash of ours nobody hears the end of a call, and no session is judged while the list cannot be read.
    if any(one is not None and one.outcome is None and asked.scene.now - one.at < longest for one in attempts):
        return "a remedy of a session is under way", None
    return None


def _breaker(asked: Asked) -> Found:
    breaker = asked.draft.gateway.breaker
    if breaker.state is BreakerState.OPEN and asked.scene.now < breaker.until:
        return "the gateway's breaker is open", breaker.until
    return None


def _budget(asked: Asked) -> Found:
    budget, now = asked.scene.policy.budget, asked.scene.now
    for length, most, word in ((HOUR, budget.gateway_per_hour, "an hour"), (DAY, budget.gateway_per_day, "a day")):
        made, until = spent(asked.draft.gateway.restarts, most, length, now)
        if made >= most:
            return f"the gateway restarted {count(made, 'time')} within {word} because of us", until
    return None


def _backoff(asked: Asked) -> Found:
    until = asked.draft.gateway.not_before
    return None if asked.scene.now >= until else ("the last one was withheld", until)


Row = Hindrance[Asked]

ROWS: tuple[Row, ...] = (
    Row("no_restarter", Kind.GATE, "recovery.restart_gateway.by is none", _no_restarter, True, True),
    Row("under_way", Kind.TURN, "a restart is under way or being verified", _under_way, True, True),
    Row("state_unwritable", Kind.GATE, "the state cannot be written", _read_only, True, True),
    Row("mistyped", Kind.GATE, "a credential key in Redis is mistyped, gone or set aside", _mistyped, True, True),
    Row("observe", Kind.GATE, "recovery.mode is observe", _observe),
    Row("paused", Kind.GATE, "an operator has paused the recovery", _paused),
    Row("store", Kind.GATE, "the gateway's database or Redis is not known to be well", _store, True),
    Row("disk", Kind.GATE, "the disk is nearly full", _disk, True),
    Row("uplink", Kind.GATE, "WhatsApp is not known to be reachable from here", _uplink, True),
    Row("grace", Kind.GATE, "the grace after a start, of ours or of the gateway, is not over", _grace),
    Row("crash_loop", Kind.GATE, "it dies again and again, and something else brings it back each time", _crash_loop),
    Row("busy", Kind.TURN, "a remedy of a session is under way", _busy, True, True),
    Row("breaker", Kind.LIMIT, "the gateway's breaker is open", _breaker),
    Row("budget", Kind.LIMIT, "recovery.budget.gateway_per_hour or gateway_per_day is spent", _budget),
    Row("backoff", Kind.TURN, "the last restart was withheld a moment ago", _backoff),
)


def first_block(asked: Asked) -> Block | None:
    """The first hindrance that holds, or None when the gateway may be restarted."""
    return first_holding(ROWS, asked, ordered=asked.ordered, forced=asked.forced)
