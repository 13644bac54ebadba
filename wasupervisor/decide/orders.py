"""What operators order, and what they are answered."""

from __future__ import annotations

from msgspec.structs import replace

from wasupervisor.decide import gateway_gates
from wasupervisor.decide.asked import Block, Kind
from wasupervisor.decide.conditions import is_judged_now, is_patient, patience_left
from wasupervisor.decide.draft import Draft
from wasupervisor.decide.gates import first_block
from wasupervisor.decide.ladder import WAHA, remedy_for, wants_gateway_restart
from wasupervisor.decide.last_rung import Need
from wasupervisor.decide.memory import Breaker, SessionMemory
from wasupervisor.decide.qr import show_qr
from wasupervisor.decide.reasons import FOR_A_PERSON, QR_REASONS, TABLE, Nature, advice_for
from wasupervisor.decide.restarts import book
from wasupervisor.decide.scene import Scene
from wasupervisor.decide.words import span
from wasupervisor.model.health import Pause
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.remedies import Order, OrderKind, RemedyKind, Reply, Verdict
from wasupervisor.model.sessions import Condition, Reason, State

Answer = tuple[Verdict, str, float | None]
"""With the seconds after which it is worth to ask again."""


def take_orders(draft: Draft, scene: Scene) -> None:
    """Carry out the orders as they came, but hands off, or on, before anything else of the same cycle."""
    for order in sorted(draft.observation.orders, key=lambda order: order.session is not None):
        if order.kind is OrderKind.PAUSE:
            _pause(draft, order)
        elif order.kind is OrderKind.RESUME:
            _resume(draft, order)
        elif order.kind is OrderKind.RESTART_GATEWAY:
            _restart_gateway(draft, scene, order)
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
    before, begun = draft.sessions[name].condition, len(draft.remedies)
    draft.say(EntryKind.ORDER, f"{order.kind}{' --force' if order.force else ''} was ordered{_by(order)}", name)
    if order.kind is OrderKind.RESTART:
        verdict, text, retry_after = _restart(draft, scene, name, forced=order.force)
    elif order.kind is OrderKind.PARK:
        verdict, text, retry_after = _park(draft, scene, name)
    elif order.kind is OrderKind.QR:
        verdict, text, retry_after = show_qr(draft, scene, name)
    else:
        verdict, text, retry_after = _recover(draft, scene, name)
    after = draft.sessions[name]
    action = draft.remedies[-1].id if len(draft.remedies) > begun else None
    if order.kind is OrderKind.QR and verdict is Verdict.ACCEPTED:
        action = draft.new_id()
    draft.replies.append(
        Reply(
            order_id=order.id,
            verdict=verdict,
            text=text,
            previous_status=before,
            current_status="recovering" if after.attempt is not None else after.condition,
            needs_qr=after.cause in QR_REASONS,
            action=action,
            retry_after=retry_after,
        )
    )


def _restart(draft: Draft, scene: Scene, name: str, *, forced: bool) -> Answer:
    """The verb now: of the gates only store and uplink hold, and with --force not even these."""
    asked = draft.ask(name, RemedyKind.RESTART_SESSION, scene, ordered=True, forced=forced)
    block = first_block(asked)
    if block is not None:
        return _refusal(draft, name, RemedyKind.RESTART_SESSION, block)
    draft.sessions[name] = replace(draft.sessions[name], operator_stopped=False)
    draft.book(replace(asked, session=draft.sessions[name]))
    return Verdict.ACCEPTED, f"restart_session is performed now; verified when it works for {_stable(scene)}", None


def _park(draft: Draft, scene: Scene, name: str) -> Answer:
    """Stop it with its credentials kept; it is ours from then on, until it is recovered."""
    if scene.policy.gateway_kind != WAHA:
        return Verdict.WITHHELD, "Evolution has no stop that keeps the credentials; nothing was done", None
    session = draft.sessions[name]
    if session.state is State.STOPPED and session.absent_since is None:
        text = "it is parked already" if session.parked else "it is stopped already, and stays so"
        return Verdict.WITHHELD, f"{text}; wasupervisor recover starts it", None
    asked = draft.ask(name, RemedyKind.PARK_SESSION, scene, ordered=True)
    block = first_block(asked)
    if block is not None:
        return _refusal(draft, name, RemedyKind.PARK_SESSION, block)
    draft.book(asked)
    return Verdict.ACCEPTED, "park_session is performed now; wasupervisor recover starts it again", None


def _restart_gateway(draft: Draft, scene: Scene, order: Order) -> None:
    """The process now: of the gates those of the store, the uplink and the keys hold; with --force only the keys'."""
    flag = " --force" if order.force else ""
    draft.say(EntryKind.ORDER, f"a restart of the gateway{flag} was ordered{_by(order)}")
    asked = gateway_gates.Asked(Need(Reason.NONE), draft, scene, ordered=True, forced=order.force)
    block = gateway_gates.first_block(asked)
    action = None
    if block is None:
        action = book(draft, asked)
        verdict, text = (
            Verdict.ACCEPTED,
            f"restart_gateway is performed now; verified when it answers for {_stable(scene)}",
        )
    else:
        verdict, text = Verdict.WITHHELD, f"restart_gateway is withheld: {block.text}"
        draft.say(EntryKind.WITHHELD, text)
    draft.replies.append(Reply(order_id=order.id, verdict=verdict, text=text, action=action))


def _recover(draft: Draft, scene: Scene, name: str) -> Answer:
    """Reset the breaker and begin the ladder anew, with all gates."""
    session = draft.sessions[name]
    if name not in draft.listed and session.absent_since is None:
        return Verdict.WITHHELD, "the gateway did not tell its state in this look; try again when it answers", None
    if session.state is State.WORKING and session.absent_since is None:
        draft.sessions[name] = _reset(session, draft.now)
        return Verdict.ACCEPTED, "it works; nothing is to be done", None
    if session.attempt is not None:
        return Verdict.WITHHELD, f"{session.attempt.kind} is under way or being verified already", None
    waited = session.state is State.STOPPED and session.condition in FOR_A_PERSON
    if session.condition is Condition.STOPPED or session.parked or waited:
        return _start_stopped(draft, scene, name)
    if session.condition is Condition.FATAL and TABLE[session.told].nature is Nature.FATAL:
        return _nothing(name, session, scene)
    reset = _reset(session, draft.now)
    if session.condition is Condition.FATAL and remedy_for(scene.policy, session.told) is not None:
        reset = replace(reset, condition=Condition.FAILING, cause=session.told)
    draft.sessions[name] = reset
    kind = remedy_for(scene.policy, reset.cause)
    not_yet = reset.condition is not Condition.FAILING or reset.cause is Reason.RECONNECTING
    if not_yet and TABLE[reset.cause].nature is Nature.TRANSIENT:
        return Verdict.ACCEPTED, f"nothing is to be done yet: {TABLE[reset.cause].sentence}", None
    if kind is None or reset.condition is not Condition.FAILING:
        return _nothing(name, reset, scene)
    if not is_judged_now(name, reset, scene):
        return Verdict.ACCEPTED, f"its breaker is reset; it is watched whether {kind} is needed", None
    return _begin(draft, scene, name, kind)


def _nothing(name: str, session: SessionMemory, scene: Scene) -> Answer:
    if wants_gateway_restart(scene.policy, session.cause) and scene.policy.restarter != "none":
        text = "its breaker is reset; restart_gateway follows as soon as nothing is against it"
        return Verdict.ACCEPTED, text, None
    row = TABLE[session.cause]
    text = f"nothing can be done from here: {row.sentence}. {advice_for(row.reason, name)}"
    return Verdict.WITHHELD, text.strip(), None


def _begin(draft: Draft, scene: Scene, name: str, kind: RemedyKind) -> Answer:
    session, asked = draft.sessions[name], draft.ask(name, kind, scene)
    block = first_block(asked)
    if block is not None and block.kind is not Kind.TURN:
        verdict, text, wait = _refusal(draft, name, kind, block)
        return verdict, f"its breaker is reset; {text}", wait
    if is_patient(session, scene):
        wait = patience_left(session, scene)
        text = f"its breaker is reset; {kind} in {span(wait)} if it does not come back by itself"
        return Verdict.ACCEPTED, text, None
    if block is not None:
        return Verdict.ACCEPTED, f"its breaker is reset; {kind} follows as soon as it is its turn: {block.text}", None
    draft.book(asked)
    return Verdict.ACCEPTED, f"its breaker is reset and {kind} is performed now", None


def _start_stopped(draft: Draft, scene: Scene, name: str) -> Answer:
    """To recover a session that is stopped is to start it; only WAHA stops sessions."""
    stopped = draft.sessions[name]
    draft.sessions[name] = replace(
        _reset(stopped, draft.now),
        operator_stopped=False,
        condition=Condition.STOPPED,
        cause=Reason.NOT_STARTED,
    )
    asked = draft.ask(name, RemedyKind.START_SESSION, scene)
    block = first_block(asked)
    if block is not None:
        draft.sessions[name] = stopped
        return _refusal(draft, name, RemedyKind.START_SESSION, block)
    draft.book(asked)
    return Verdict.ACCEPTED, "start_session is performed now", None


def _reset(session: SessionMemory, now: float) -> SessionMemory:
    return replace(
        session,
        breaker=Breaker(),
        unverified=(),
        failures=0,
        unmade=0,
        not_before=now,
        diagnosed=False,
        gateway_tried=None,
        fought=None,
        withheld="",
    )


def _refusal(draft: Draft, name: str, kind: RemedyKind, block: Block) -> Answer:
    wait = None if block.until is None else max(0.0, block.until - draft.now)
    text = f"{kind} is withheld{'' if wait is None else f' for {span(wait)}'}: {block.text}"
    draft.say(EntryKind.WITHHELD, text, name)
    limited = block.kind is not Kind.GATE and wait is not None
    return (Verdict.LATER if limited else Verdict.WITHHELD), text, wait


def _stable(scene: Scene) -> str:
    return span(scene.policy.stable_for)


def _by(order: Order) -> str:
    return f" by {order.by}" if order.by else ""
