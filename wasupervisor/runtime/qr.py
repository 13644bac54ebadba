"""Fetches a QR code for a person who asked for it: beside the cycle, which does not know this module."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wasupervisor.config.schema import Gateway
from wasupervisor.model.journal import Entry, EntryKind

if TYPE_CHECKING:
    from wasupervisor.gateways.operator import QrAnswer


async def fetch_qr(gateway: Gateway, session: str, clock: Callable[[], float]) -> QrAnswer:
    """Ask the gateway for the QR code of a session, once; the decision is on the books already."""
    # Loaded for the first one that is asked for: most daemons never are.
    from wasupervisor.gateways.operator import open_operator  # noqa: PLC0415

    operator = open_operator(
        gateway.kind,
        gateway.url,
        None if gateway.api_key is None else gateway.api_key.reveal(),
        timeout=gateway.timeout,
        action_timeout=gateway.action_timeout,
        clock=clock,
    )
    try:
        return await operator.qr(session)
    finally:
        await operator.aclose()


def qr_entry(session: str, by: str, answer: QrAnswer) -> Entry:
    """What the journal may know of it: to whom, and nothing of the code."""
    to = f" to {by}" if by else ""
    text = f"a QR code was shown{to}" if answer.code is not None else f"no QR code could be shown{to}: {answer.text}"
    return Entry(kind=EntryKind.ORDER, text=text, session=session)
