"""What a person may ask a gateway for through us, and the loop may not: the QR code that links a phone.

No adapter of the loop and nothing that the cycle imports knows these modules (import-linter holds it): on Evolution the
very question can start a second client, and a QR code that nobody scans is burnt.
"""

from __future__ import annotations

import re
from typing import Protocol

import msgspec

from wasupervisor.gateways.answers import UNUSABLE
from wasupervisor.gateways.http import Clock
from wasupervisor.model.value import Value

_FIT = re.compile(r"[\x20-\x7e]{8,2048}")
"""Of a QR code's text: nothing that a terminal would obey, and not more than a QR code holds."""


class QrAnswer(Value, frozen=True):
    """A QR code, or why there is none."""

    code: str | None
    """What the QR code says. Whoever has it can link a phone: it goes to the person who asked and nowhere else."""
    text: str
    """How long it is valid, or why there is none; no secret in it."""

    def __repr__(self) -> str:
        return f"QrAnswer({'a QR code' if self.code else 'no QR code'}, {self.text!r})"


class Operator(Protocol):
    """What only a person may ask for. No method raises, whatever the gateway answers."""

    async def qr(self, session: str) -> QrAnswer:
        """Read the session anew, and only if it surely waits for a person, ask for its QR code: once.

        Takes no longer than `timeout` and `action_timeout` together.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


def open_operator(
    kind: str, url: str, api_key: str | None, *, timeout: float, action_timeout: float, clock: Clock
) -> Operator:
    """Give the operator's adapter for a gateway; nothing is called yet.

    Args:
        kind: `waha` or `evolution`.
        url: its address, http or https.
        api_key: sent with each call; None where the gateway asks for none.
        timeout: seconds in which the session is read anew.
        action_timeout: seconds for the call itself.
        clock: seconds, monotonic.

    Raises:
        ValueError: when the kind is unknown or the address cannot be used.
    """
    if kind == "waha":
        from wasupervisor.gateways.operator_waha import WahaOperator  # noqa: PLC0415

        return WahaOperator(url, api_key, timeout=timeout, action_timeout=action_timeout, clock=clock)
    if kind == "evolution":
        from wasupervisor.gateways.operator_evolution import EvolutionOperator  # noqa: PLC0415

        return EvolutionOperator(url, api_key, timeout=timeout, action_timeout=action_timeout, clock=clock)
    raise ValueError(f"cannot use gateway.kind {kind!r}: it is none of waha, evolution")


def none(text: str) -> QrAnswer:
    """No QR code, and why."""
    return QrAnswer(None, text)


def fit(text: object) -> str | None:
    """The text of a QR code, when it can be one; else None."""
    return text if isinstance(text, str) and _FIT.fullmatch(text) else None


def object_of(body: bytes) -> dict[str, object]:
    """A JSON object; an empty one when the body is none."""
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except UNUSABLE:
        return {}
