"""Reading what a gateway answered: tolerant of everything, and quoting nothing of it."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TypeVar

import msgspec

from wasupervisor.gateways.base import Answer
from wasupervisor.gateways.http import Failure, Progress, Reply
from wasupervisor.model.observation import Trouble
from wasupervisor.model.remedies import Outcome

T = TypeVar("T")

UNUSABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What decoding raises on a body that is not what it should be."""

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


def word_of(value: object) -> str | None:
    """A word of the gateway's that is fit to be shown; `unreadable` for a text that is not, None for no text."""
    if not isinstance(value, str) or not value:
        return None
    return value if _WORD.fullmatch(value) else "unreadable"


def told(status: int) -> str:
    """A status in words: `answered 503 Service Unavailable`. Nothing of the body: it may hold user data."""
    try:
        phrase = f" {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = ""
    redirect = " (redirects are not followed: set gateway.url to the final address)" if 300 <= status < 400 else ""
    return f"answered {status}{phrase}{redirect}"


Hints = tuple[tuple[bytes, str], ...]
"""What an error's body says, recognised by a piece of it and told in our words."""


def _in_words(reply: Reply, key_hint: str, hints: Hints) -> str:
    said = [key_hint] if reply.status in (401, 403) else [words for piece, words in hints if piece in reply.body]
    return ": ".join([told(reply.status), *said[:1]])


def usable(answer: Reply | Failure, call: str, key_hint: str, hints: Hints = ()) -> Reply | Failure:
    """The answer when its status is one of success, else why it cannot be used.

    Args:
        answer: what came back.
        call: the call in words, for the detail.
        key_hint: what to do about a 401 or 403.
        hints: what else may be said by the body.
    """
    if isinstance(answer, Failure):
        return Failure(answer.trouble, f"{call}: {answer.detail}", answer.progress)
    if answer.ok:
        return answer
    trouble = Trouble.UNAUTHORIZED if answer.status in (401, 403) else Trouble.BAD_STATUS
    return Failure(trouble, f"{call}: {_in_words(answer, key_hint, hints)}", Progress.ANSWERED)


def entries_of(body: bytes, decoder: msgspec.json.Decoder[list[T]]) -> tuple[list[T], int] | None:
    """The entries of a JSON list, and how many of them are no objects; None when it is no such list."""
    try:
        return decoder.decode(body), 0
    except msgspec.ValidationError:
        pass
    except UNUSABLE:
        return None
    try:
        parts = msgspec.json.decode(body, type=list[msgspec.Raw])
    except UNUSABLE:
        return None
    found: list[T] = []
    for part in parts:
        try:
            found += decoder.decode(b"[" + bytes(part) + b"]")
        except UNUSABLE:
            continue
    return found, len(parts) - len(found)


def left_out(count: int) -> tuple[str, ...]:
    """The note on entries of the list that could not be read."""
    if count == 0:
        return ()
    what = "1 entry of the gateway's list is" if count == 1 else f"{count} entries of the gateway's list are"
    return (f"{what} left out: without a name that can be used, or of another shape",)


def is_page(body: bytes) -> bool:
    """Whether this is a page for a browser: then something in between answered, and not the gateway."""
    return body.lstrip()[:1] == b"<"


def outcome_of(failure: Failure) -> Outcome:
    """What became of an action that got no usable answer."""
    if failure.progress is Progress.NOT_SENT:
        return Outcome.UNREACHABLE
    if failure.trouble is Trouble.TIMED_OUT:
        return Outcome.TIMED_OUT
    return Outcome.DROPPED if failure.trouble is Trouble.DROPPED else Outcome.REFUSED


def refusal(reply: Reply, key_hint: str, hints: Hints = ()) -> Answer:
    """What became of an action that was answered with an error."""
    # From a proxy in between: behind it, the gateway may have died of the call, or may still be at it.
    by_proxy = {502: Outcome.DROPPED, 504: Outcome.TIMED_OUT}
    return Answer(by_proxy.get(reply.status, Outcome.REFUSED), _in_words(reply, key_hint, hints))
