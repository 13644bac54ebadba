"""What operators order, and what they are answered."""

from __future__ import annotations

from msgspec.structs import replace

from wasupervisor.decide.draft import Draft
from wasupervisor.decide.gates import Block, Kind, first_block
from wasupervisor.decide.ladder import rung_for
from wasupervisor.decide.memory import Breaker
from wasupervisor.decide.reasons import TABLE
from wasupervisor.decide.scene import Scene
from wasupervisor.decide.words import span
from wasupervisor.model.health import Pause
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.remedies import Order, OrderKind, RemedyKind, Reply, Verdict
from wasupervisor.model.sessions import Condition, Reason, State

QR_REASONS = frozenset({Reason.QR_WANTED, Reason.QR_EXPIRED, Reason.LOGGED_OUT})


def take_orders(draft: Draft, scene: Scene) -> None:
    """Carry out the orders in the order in which they came."""
    for order in draft.observation.orders:
        if order.kind is OrderKind.PAUSE:
            _pause(draft, order)
        elif order.kind is OrderKind.RESUME:
            _resume(draft, order)
        else:
            _about_session(draft, scene, order)


def end_pause(draft: Draft) -> None:
    """A pause with an end ends by itself."""
    if draft.paused is not None and draft.paused.until is not None and draft.now >= draft.paused.until:
        draft.paused = None
        draft.say(EntryKind.ORDER, "the pause is over")


def _pause(draft: Draft, order: Order) -> None:
    until = None if order.pause_for is None else draft.now + order.pause_for
    draft.paused = Pause(since=draft.now, until=until, reason=order.reason, by=order.by)
    lasts = "until somebody resumes" if order.pause_for is None else f"for {span(order.pause_for)}"
    why = f": {order.reason}" if order.reason else ""
    draft.say(EntryKind.ORDER, f"paused {lasts}{_by(order)}{why}")
    draft.replies.append(
        Reply(order_id=order.id, verdict=Verdict.ACCEPTED, text=f"hands off {lasts}; what is under way is finished")
    )


def _resume(draft: Draft, order: Order) -> None:
    was_paused, draft.paused = draft.paused is not None, None
    if was_paused:
        draft.say(EntryKind.ORDER, f"resumed{_by(order)}")
    text = "recovery goes on" if was_paused else "it was not paused"
    draft.replies.append(Reply(order_id=order.id, verdict=Verdict.ACCEPTED, text=text))


def _about_session(draft: Draft, scene: Scene, order: Order) -> None:
    name = order.session or ""
    if name not in draft.sessions:
        text = f"no session {name!r} is known; `wasupervisor status` lists them"
        draft.replies.append(Reply(order_id=order.id, verdict=Verdict.UNKNOWN_SESSION, text=text))
        return
    before = draft.sessions[name].condition
    draft.say(EntryKind.ORDER, f"{order.kind}{' --force' if order.force else ''} was ordered{_by(order)}", name)
    if order.kind is OrderKind.RESTART:
        verdict, text, retry_after = _restart(draft, scene, name, forced=order.force)
    else:
        verdict, text, retry_after = _recover(draft, scene, name)
    after = draft.sessions[name]
    draft.replies.append(
        Reply(
            order_id=order.id,
            verdict=verdict,
            text=text,
            previous_status=before,
            current_status="recovering" if after.attempt is not None else after.condition,
            needs_qr=after.cause in QR_REASONS,
            retry_after=retry_after,
        )
    )


def _restart(draft: Draft, scene: Scene, name: str, *, forced: bool) -> tuple[Verdict, str, float | None]:
    """The verb now: of the gates only store and uplink hold, and with --force not even these."""
    asked = draft.ask(name, RemedyKind.RESTART_SESSION, scene, ordered=True, forced=forced)
    block = first_block(asked)
    if block is not None:
        return _refusal(draft, name, RemedyKind.RESTART_SESSION, block)
    draft.sessions[name] = replace(draft.sessions[name], operator_stopped=False)
    draft.book(replace(asked, session=draft.sessions[name]))
    return Verdict.ACCEPTED, f"restart_session is performed now; verified when it works for {_stable(scene)}", None


def _recover(draft: Draft, scene: Scene, name: str) -> tuple[Verdict, str, float | None]:
    """Reset the breaker and begin the ladder at once, with all gates."""
    session = draft.sessions[name]
    if session.condition in (Condition.HEALTHY, Condition.SETTLING) and session.state is State.WORKING:
        return Verdict.ACCEPTED, "it works; nothing is to be done", None
    if session.attempt is not None:
        return Verdict.WITHHELD, f"{session.attempt.kind} is under way or being verified already", None
    reset = replace(
        session,
        breaker=Breaker(),
        unverified=(),
        failures=0,
        not_before=draft.now,
        diagnosed=False,
        withheld="",
    )
    kind = rung_for(scene.policy.gateway_kind, session.cause).remedy
    if session.state is State.STOPPED and scene.policy.gateway_kind == "waha":
        kind, reset = RemedyKind.START_SESSION, replace(reset, operator_stopped=False, cause=Reason.NOT_STARTED)
    elif session.condition is Condition.FATAL:
        kind = rung_for(scene.policy.gateway_kind, session.told).remedy
        reset = reset if kind is None else replace(reset, condition=Condition.FAILING, cause=session.told)
    draft.sessions[name] = reset
    if kind is None:
        row = TABLE[reset.cause]
        return Verdict.WITHHELD, f"{row.sentence}. {row.advice}".strip(), None
    asked = draft.ask(name, kind, scene)
    block = first_block(asked)
    if block is not None:
        return _refusal(draft, name, kind, block)
    draft.book(asked)
    return Verdict.ACCEPTED, f"its breaker is reset and {kind} is performed now", None


def _refusal(draft: Draft, name: str, kind: RemedyKind, block: Block) -> tuple[Verdict, str, float | None]:
    wait = None if block.until is None else max(0.0, block.until - draft.now)
    text = f"{kind} is withheld{'' if wait is None else f' for {span(wait)}'}: {block.text}"
    draft.say(EntryKind.WITHHELD, text, name)
    limited = block.kind is not Kind.GATE and wait is not None
    return (Verdict.LATER if limited else Verdict.WITHHELD), text, wait


def _stable(scene: Scene) -> str:
    return span(scene.policy.stable_for)


def _by(order: Order) -> str:
    return f" by {order.by}" if order.by else ""
