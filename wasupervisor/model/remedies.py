"""Actions that may heal, the orders of operators, and what became of them."""

from __future__ import annotations

from enum import StrEnum

from wasupervisor.model.sessions import Reason
from wasupervisor.model.value import Value


class RemedyKind(StrEnum):
    """What may heal, mildest first. No verb that logs out, deletes or creates exists in this program."""

    START_SESSION = "start_session"
    RESTART_SESSION = "restart_session"
    PARK_SESSION = "park_session"
    """Stop a session that hammers WhatsApp in vain; its credentials are kept, and `recover` starts it again."""
    RESTART_GATEWAY = "restart_gateway"
    """The last rung: the gateway process, through whatever runs it."""


class Remedy(Value, frozen=True):
    """One action, decided and on the books before it is performed."""

    id: str
    kind: RemedyKind
    session: str
    """Empty when it is for the gateway as a whole."""
    why: str
    """The sentence that is journaled."""
    cause: Reason = Reason.NONE
    """What it is to heal."""
    sessions: tuple[str, ...] = ()
    """Of a restart of the gateway: whom it is to heal; empty when it is for the gateway itself."""
    lone: bool = False
    """Performed though no other session works: the one canary, or a person's order."""
    ordered: bool = False
    """An operator asked for this verb: of the gates only store and uplink hold."""
    forced: bool = False
    """An operator's `restart --force`: performed even when the session came back meanwhile, or a gate is shut."""


class Outcome(StrEnum):
    """What the gateway made of a call. None of them means that the session is healed."""

    ACCEPTED = "accepted"
    ALREADY = "already"
    """The gateway says that there is nothing to do (WAHA: 422 'already started'): no failure, no success."""
    REFUSED = "refused"
    """Answered with an error, or with 200 and `error: true`."""
    TIMED_OUT = "timed_out"
    """May still be carried out later; counts as made."""
    DROPPED = "dropped"
    """The connection broke: the gateway process may have died of it. Counts as a gateway restart."""
    UNREACHABLE = "unreachable"
    """Nobody listened: the call was not made."""
    WITHHELD = "withheld"
    """The look right before it said no: the call was not made."""

    @property
    def was_made(self) -> bool:
        """Whether the call reached the gateway, or may have."""
        return self not in (Outcome.UNREACHABLE, Outcome.WITHHELD)


class Result(Value, frozen=True):
    """How the call of a remedy ended."""

    remedy_id: str
    session: str
    """Empty when it was for the gateway as a whole."""
    kind: RemedyKind
    outcome: Outcome
    detail: str = ""
    """One line for a person; no secret in it."""


class OrderKind(StrEnum):
    """What an operator may ask for."""

    RECOVER = "recover"
    RESTART = "restart"
    PARK = "park"
    RESTART_GATEWAY = "restart_gateway"
    QR = "qr"
    """See the QR code of a session that waits for one. What the code says is in no order, reply or entry."""
    PAUSE = "pause"
    RESUME = "resume"


class Order(Value, frozen=True):
    """One wish of an operator."""

    id: str
    kind: OrderKind
    session: str | None = None
    force: bool = False
    pause_for: float | None = None
    """Seconds; None: until somebody resumes."""
    reason: str = ""
    by: str = ""


class Verdict(StrEnum):
    """What became of an order."""

    ACCEPTED = "accepted"
    WITHHELD = "withheld"
    """A gate, or a remedy under way, is against it: HTTP 409."""
    LATER = "later"
    """A breaker or a budget is against it until `retry_after`: HTTP 429."""
    UNKNOWN_SESSION = "unknown_session"


class Reply(Value, frozen=True):
    """The answer to an order."""

    order_id: str
    verdict: Verdict
    text: str
    """What happens next, or what withheld it and until when."""
    previous_status: str | None = None
    current_status: str | None = None
    needs_qr: bool = False
    action: str | None = None
    """The id of the remedy that was begun, or of the QR code that is asked for."""
    retry_after: float | None = None
