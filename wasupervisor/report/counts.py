"""What has happened since the supervisor started, counted: for the metrics, and for nothing that decides."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class Counted(StrEnum):
    """What is counted."""

    MADE = "made"
    """Calls that reached the gateway, or may have; and restarts of its process."""
    HEALED = "healed"
    """What a remedy was for was seen well afterwards."""
    NOT_HEALED = "not_healed"
    WITHHELD = "withheld"
    """As the journal tells it: once for each reason."""
    BREAKER_TRIPS = "breaker_trips"
    ALERTS_TOLD = "alerts_told"
    """Messages to one channel each."""
    ALERTS_FAILED = "alerts_failed"
    """Messages that will never be delivered."""


class Counts(msgspec.Struct, frozen=True):
    """The figures as of one look."""

    happened: Mapping[tuple[Counted, str], int] = {}
    """With the remedy, where it is about one; what has not happened is not in it."""
    keys_set_aside: int | None = None
    """Mistyped keys of the gateway's Redis, by the supervisor itself; None: it does not look after them."""

    def of(self, what: Counted, remedy: str = "") -> int:
        """How often."""
        return self.happened.get((what, remedy), 0)
