"""Which MESSAGE_ID an entry bears in systemd's journal: the table that `wasupervisor.catalog` explains.

An id never changes its meaning: operators filter by it (`journalctl MESSAGE_ID=...`). A new meaning gets a new id, made
with `journalctl --new-id128`, and an entry in packaging/systemd/wasupervisor.catalog; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from wasupervisor.decide.reasons import TABLE, Nature
from wasupervisor.model.journal import Entry, EntryKind


class MessageId(NamedTuple):
    """One meaning that an entry may have."""

    kind: EntryKind
    fits: Callable[[Entry], bool]
    """Asked for entries of this kind that no row before fits."""
    id: str
    subject: str
    """As the catalog heads it."""


def message_id(entry: Entry) -> str:
    """The id of the first row that fits; each kind has one that always does."""
    return next(row.id for row in ROWS if row.kind is entry.kind and row.fits(entry))


def _wants_a_person(entry: Entry) -> bool:
    return entry.warn and TABLE[entry.reason].nature in (Nature.PERSON, Nature.FATAL)


def _of_gateway(entry: Entry) -> bool:
    return entry.session is None


def _is_healed(entry: Entry) -> bool:
    return entry.outcome == "healed"


def _warns(entry: Entry) -> bool:
    return entry.warn


def _always(_: Entry) -> bool:
    return True


K = EntryKind

ROWS: tuple[MessageId, ...] = (
    MessageId(K.SEEN, _always, "3bed0d090a054155b7a293e9c25c3b2a", "The gateway claims something new about a session"),
    MessageId(K.CONCLUDED, _wants_a_person, "758e76350bee418ba1de5b4714a1fc54", "A session needs a person"),
    MessageId(K.CONCLUDED, _warns, "48e653f19491490bb720d466f85cddf7", "A session is not well"),
    MessageId(K.CONCLUDED, _always, "6d1e77908af548b2966fa891f550a2f5", "The condition of a session changed"),
    MessageId(K.REMEDY, _of_gateway, "ae150c4c729d4d0f8a9a7085c1736a96", "The gateway is restarted"),
    MessageId(K.REMEDY, _always, "2963420f20a8401d9cfdf3bd63a75091", "A remedy is performed on a session"),
    MessageId(K.RESULT, _warns, "fcc7367efd714ca7b447ab7d0c8c512b", "The call of a remedy failed"),
    MessageId(K.RESULT, _always, "e1c66fc198fa43bf83bf9aa6feccd648", "The call of a remedy ended"),
    MessageId(K.VERIFIED, _is_healed, "840752e257e848ddab7a7a09b3ea83db", "A remedy has healed"),
    MessageId(K.VERIFIED, _warns, "741323fb261d450a81f410627a8fd373", "A remedy has not helped"),
    MessageId(K.VERIFIED, _always, "15c93d82e57e4971b851a44e1188c03d", "What a remedy came to"),
    MessageId(K.WITHHELD, _always, "33c54c944845479e8194da3db202d910", "A remedy is withheld"),
    MessageId(K.BREAKER, _always, "17cfc0bdc9734603ad9211b598f81352", "The breaker of a session opens"),
    MessageId(K.INCIDENT, _warns, "6801607bd68f404a978aabf5e24dce77", "Many sessions fail together"),
    MessageId(K.INCIDENT, _always, "72b6e90b402e4c818b2689fd9517df07", "An incident goes on or is over"),
    MessageId(K.PROBE, _always, "555550d8559e4c6392a51be61abc3daf", "A probe of a session gave news"),
    MessageId(K.ALERT, _warns, "9565775d570642469a2b86148cd31d2e", "Somebody could not be told"),
    MessageId(K.ALERT, _always, "cd43e8f3d9b0481baafed2d2220906f5", "Somebody was told, or can be told again"),
    MessageId(K.ORDER, _always, "cc7efc5fde4b448a80edc9ffbe1341b2", "A person gave an order"),
    MessageId(K.GATEWAY, _warns, "5ff4b8474af743828fc4713cafb8e474", "Something is wrong with the gateway"),
    MessageId(K.GATEWAY, _always, "16eccde03f4a4ea2926977a6a88f7003", "The gateway changed"),
    MessageId(
        K.REDIS, _always, "806942b118a24aa18fd9205188b70c7c", "Something was found or done in the gateway's Redis"
    ),
    MessageId(
        K.SUPERVISOR, _warns, "9bc6919675654a01b21bf92754342fcf", "Something is wrong with the supervisor itself"
    ),
    MessageId(K.SUPERVISOR, _always, "5f7f63354dab44a7aaa9969832b01129", "The supervisor tells about itself"),
)
