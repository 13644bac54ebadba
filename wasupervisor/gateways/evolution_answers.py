"""Reading Evolution's answers. Only what is needed is taken: rows hold tokens, restart answers hold QR codes."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from wasupervisor.gateways.answers import UNUSABLE, entries_of, told, word_of
from wasupervisor.gateways.base import fits
from wasupervisor.gateways.evolution_truths import ABSENT, Row
from wasupervisor.gateways.http import Failure, Reply
from wasupervisor.model.observation import Proof
from wasupervisor.model.value import Value


class _V1(msgspec.Struct):
    """A row of v1, unverified (source of 1.8.2): its `status` is a copy of what memory says."""

    instanceName: Any = None  # noqa: N815 - Evolution's names, here and below
    status: Any = None
    owner: Any = None


class _Row(msgspec.Struct):
    id: Any = None
    name: Any = None
    connectionStatus: Any = None  # noqa: N815
    disconnectionReasonCode: Any = None  # noqa: N815
    disconnectionAt: Any = None  # noqa: N815
    updatedAt: Any = None  # noqa: N815
    integration: Any = None
    ownerJid: Any = None  # noqa: N815
    setting: Any = msgspec.field(default=UNSET, name="Setting")
    counts: Any = msgspec.field(default=None, name="_count")
    instance: _V1 | None = None


class _State(msgspec.Struct):
    state: Any = None


class _ConnectionState(msgspec.Struct):
    instance: _State


class _Restarted(msgspec.Struct):
    error: Any = None


_ROWS = msgspec.json.Decoder(list[_Row])
_CONNECTION_STATE = msgspec.json.Decoder(_ConnectionState)
_RESTARTED = msgspec.json.Decoder(_Restarted)


class Rows(Value, frozen=True):
    """The database's list of instances."""

    by_name: dict[str, Row]
    unreadable: int = 0


class Page(Value, frozen=True):
    """What `/metrics` says: every instance in memory with its state, and Evolution's version."""

    states: dict[str, str]
    version: str | None = None


def read_rows(body: bytes) -> Rows | None:
    """Read `fetchInstances`; None when it is no list of instances. Rows without a name are left out."""
    # v1 answers a question for one instance with the bare row (unverified, source of 1.8.2).
    read = entries_of(b"[" + body + b"]" if body[:1] == b"{" else body, _ROWS)
    if read is None:
        return None
    entries, unreadable = read
    rows: dict[str, Row] = {}
    for entry in entries:
        name, row = _row_of(entry)
        if not fits(name):
            unreadable += 1
        elif name not in rows:
            rows[name] = row
    return None if unreadable and not rows else Rows(rows, unreadable)


def _row_of(entry: _Row) -> tuple[Any, Row]:
    if entry.instance is not None:
        v1 = entry.instance
        return v1.instanceName, Row(word_of(v1.status), paired=True if v1.owner else None)
    row = Row(
        word_of(entry.connectionStatus),
        code=None if _is_history(entry) else _code_of(entry.disconnectionReasonCode),
        integration=entry.integration if isinstance(entry.integration, str) else "",
        paired=bool(entry.ownerJid),
        always_online=_is_always_online(entry.setting),
        activity=_messages_of(entry.counts),
        identity=_identity_of(entry.id),
    )
    return entry.name, row


CLOSING = 60.0
"""Seconds in which a close and the clean-up after it write the row."""


def _is_history(entry: _Row) -> bool:
    """Whether the row was written again long after the disconnection that its code tells of.

    The code is never cleared, and a logout on Evolution's side closes the row without one (source of 2.3.6).
    """
    closed, written = _moment(entry.disconnectionAt), _moment(entry.updatedAt)
    return closed is not None and written is not None and written - closed > CLOSING


def _moment(text: object) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _is_always_online(setting: object) -> bool | None:
    """None where the version does not tell; a row without settings has them all off."""
    if setting is UNSET:
        return None
    return isinstance(setting, dict) and setting.get("alwaysOnline") is True


def _messages_of(counts: object) -> int | None:
    number = counts.get("Message") if isinstance(counts, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _identity_of(identity: object) -> str | None:
    """A UUID (2.3.6); any short word is taken, for it only ends the name of a key."""
    return identity if isinstance(identity, str) and re.fullmatch(r"[0-9A-Za-z_-]{1,64}", identity) else None


def _code_of(code: object) -> int | None:
    if isinstance(code, str) and code.isdecimal() and len(code) <= 4:
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def read_connection_state(body: bytes) -> str | None:
    """Read `connectionState`: the word of memory; ABSENT when there is no `state` (no instance in memory, and
    credentials in PostgreSQL: recorded on 2.3.6); None when it cannot be read."""
    try:
        instance = _CONNECTION_STATE.decode(body).instance
    except UNUSABLE:
        return None
    return ABSENT if instance.state is None else word_of(instance.state)


def says_error(body: bytes) -> bool:
    """Whether a restart's answer holds `error: true`: answered with 200, and nothing was done."""
    try:
        return bool(_RESTARTED.decode(body).error)
    except UNUSABLE:
        return False


def read_probe(answer: Reply | Failure) -> tuple[Proof, str]:
    """What an answer to `setPresence` proves, and why."""
    if isinstance(answer, Failure):
        return Proof.UNKNOWN, answer.detail
    if answer.status == 400 and b"Connection Closed" in answer.body:
        return Proof.MISSED, f"{told(answer.status)}: its connection is closed"
    return (Proof.ANSWERED if answer.status == 201 else Proof.UNKNOWN), told(answer.status)


def is_no_route(reply: Reply) -> bool:
    """Whether a 404 says that there is no such call, rather than no such instance."""
    return reply.status == 404 and re.search(rb"Cannot (GET|POST|PUT) /", reply.body[:4096]) is not None


_SERIES = re.compile(r"^evolution_instance_state\{([^\n]*)\}[ \t]+([0-9.eE+-]+)", re.MULTILINE)
_INFO = re.compile(r"^evolution_environment_info\{([^\n]*)\}", re.MULTILINE)
_TOTAL = re.compile(r"^evolution_instances_total[ \t]+([0-9]{1,9})\b", re.MULTILINE)
_LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\\n]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


def read_metrics(body: bytes) -> Page | None:
    """Read Evolution's `/metrics` (from 2.3.4 on).

    None when it is not Evolution's page, or when it shows fewer instances than it counts: what is missing in a page
    that was cut off is not missing in memory.
    """
    text = body.decode("utf-8", errors="replace")
    total = _TOTAL.search(text)
    if total is None:
        return None
    states: dict[str, str] = {}
    seen = 0
    for series in _SERIES.finditer(text):
        labels = _labels(series[1])
        name, state = labels.get("instance"), word_of(labels.get("state"))
        if not _is_one(series[2]):
            continue
        seen += 1
        if name is not None and fits(name):
            states.setdefault(name, state or "unreadable")
    if seen < int(total[1]):
        return None
    info = _INFO.search(text)
    version = _labels(info[1]).get("version") if info else None
    return Page(states, version[:40] if version and version.isprintable() else None)


def _labels(text: str) -> dict[str, str]:
    return {label: _ESCAPED.sub(_unescape, value) for label, value in _LABEL.findall(text)}


def _unescape(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def _is_one(number: str) -> bool:
    try:
        return float(number) == 1.0
    except ValueError:
        return False
