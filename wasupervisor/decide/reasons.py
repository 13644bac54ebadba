"""The reasons as a table: what nature each has, in which words it is told, and what a person should do."""

from __future__ import annotations

from enum import StrEnum

from wasupervisor.model.sessions import Condition, Reason
from wasupervisor.model.value import Value


class Nature(StrEnum):
    """What a reason calls for."""

    FINE = "fine"
    TRANSIENT = "transient"
    """May heal, by itself or by a remedy; never given up."""
    PERSON = "person"
    """Waits for a person; no remedy."""
    FATAL = "fatal"
    """Will not heal by any restart; no remedy, and a person is told."""
    OPERATOR = "operator"
    """As its operator wants it."""
    LOST = "lost"
    """Expected, and the gateway does not run it."""
    UNREADABLE = "unreadable"


class ReasonRow(Value, frozen=True):
    """One reason."""

    reason: Reason
    nature: Nature
    sentence: str
    advice: str = ""


R, N = Reason, Nature

ROWS: tuple[ReasonRow, ...] = (
    ReasonRow(R.NONE, N.FINE, "nothing is wrong"),
    ReasonRow(R.RECONNECTING, N.TRANSIENT, "the gateway is connecting it by itself"),
    ReasonRow(
        R.CONNECTION_LOST,
        N.TRANSIENT,
        "its connection to WhatsApp is lost and the gateway keeps trying by itself",
        "If it lasts though WhatsApp, its database and its Redis can be reached: restart the gateway process.",
    ),
    ReasonRow(R.UNEXPLAINED, N.TRANSIENT, "it failed and the gateway does not say why"),
    ReasonRow(
        R.STUCK_STARTING,
        N.TRANSIENT,
        "it has been starting for longer than it takes to heal by itself",
        "If no restart heals it: open WhatsApp on the phone and read what it says, look at the gateway's log, and "
        "update the gateway.",
    ),
    ReasonRow(
        R.QR_WANTED,
        N.PERSON,
        "it waits for a person to scan its QR code",
        "Scan the QR code with the phone: wasupervisor qr SESSION, or in the gateway's dashboard or manager.",
    ),
    ReasonRow(
        R.QR_EXPIRED,
        N.PERSON,
        "nobody scanned its QR code in time and the gateway has stopped to show it",
        "Ask the gateway for a new QR code when the phone is at hand, and scan it.",
    ),
    ReasonRow(
        R.PASSKEY_WANTED,
        N.PERSON,
        "it waits for a person to confirm with a passkey",
        "Confirm the login with the passkey: in the gateway's dashboard.",
    ),
    ReasonRow(
        R.LOGGED_OUT,
        N.FATAL,
        "the account is not linked any more, so that no restart can heal it",
        "Link the phone again: log the session out in the gateway and scan its new QR code.",
    ),
    ReasonRow(
        R.BANNED,
        N.FATAL,
        "WhatsApp has banned or restricted the account",
        "Do not link it again at once: open WhatsApp on the phone and read what it says.",
    ),
    ReasonRow(
        R.REPLACED,
        N.FATAL,
        "another client uses the same credentials",
        "Stop the other gateway that runs this session; `wasupervisor recover SESSION` then goes on here.",
    ),
    ReasonRow(
        R.OUTDATED,
        N.FATAL,
        "WhatsApp does not accept the version of the client any more",
        "Update the gateway, or pin the WhatsApp Web version that its project recommends.",
    ),
    ReasonRow(
        R.RATE_LIMITED,
        N.PERSON,
        "WhatsApp limits the rate of logins",
        "Wait at least half an hour before anything is tried.",
    ),
    ReasonRow(
        R.NOT_LOADED,
        N.LOST,
        "the gateway has it in its database and does not run it",
        "When its database and its Redis answer, restart the gateway process: only that loads it. "
        "Do not create it again, that would delete its data.",
    ),
    ReasonRow(
        R.NOT_LISTED,
        N.LOST,
        "the gateway does not list it any more",
        "If it was deleted on purpose, nothing is to be done: it is forgotten after a day.",
    ),
    ReasonRow(R.STOPPED, N.OPERATOR, "it is stopped, and stays so until its operator starts it"),
    ReasonRow(
        R.STOPPED_WITH_PROCESS,
        N.TRANSIENT,
        "the gateway process was restarted and did not start it again",
    ),
    ReasonRow(R.STOPPED_BY_REMEDY, N.TRANSIENT, "our restart stopped it and it did not start again"),
    ReasonRow(R.NOT_STARTED, N.TRANSIENT, "the configuration expects it up and it is stopped"),
    ReasonRow(
        R.UNREADABLE, N.UNREADABLE, "the gateway does not say how it is, or not in words that this version knows"
    ),
    ReasonRow(
        R.FALSE_WORKING,
        N.TRANSIENT,
        "the gateway says working and the session does not answer",
        "Restart the gateway process when its database and its Redis answer: only that surely reconnects it.",
    ),
    ReasonRow(
        R.UPGRADE_REFUSED,
        N.TRANSIENT,
        "WhatsApp's answer to its last connection was no websocket, and the gateway waits for one for ever",
        "Restart the gateway process: nothing else ends its waiting.",
    ),
    ReasonRow(
        R.FLAPPING,
        N.TRANSIENT,
        "it works and falls again, over and over",
        "Look whether another program uses the same account, and whether the network is stable.",
    ),
    ReasonRow(
        R.FIGHT,
        N.TRANSIENT,
        "two clients inside the gateway fight for the account",
        "Restart the gateway process when its database and its Redis answer: nothing else ends the fight.",
    ),
    ReasonRow(
        R.PARKED,
        N.PERSON,
        "it is parked: stopped with its credentials kept, until a person recovers it",
        "Open WhatsApp on the phone and read what it says; `wasupervisor recover SESSION` then starts it again.",
    ),
    ReasonRow(
        R.BAD_SESSION,
        N.PERSON,
        "the engine says that the data of the session is broken",
        "Restart it once: wasupervisor restart SESSION. If that does not heal it: put a copy of its data back, or link "
        "the phone again.",
    ),
    ReasonRow(
        R.DEAF,
        N.FINE,
        "it works and shows no sign of life, though at this time it usually does",
        "Send it a message. If it does not arrive: restart the session; if that does not help, the gateway process. "
        "If it does, it may be a holiday, or the program that uses the session may be down.",
    ),
    ReasonRow(R.UPLINK_DOWN, N.TRANSIENT, "WhatsApp cannot be reached from here, so that no restart would help"),
    ReasonRow(R.STORE_DOWN, N.TRANSIENT, "the gateway's database does not answer, so that a restart would do harm"),
    ReasonRow(R.GATEWAY_DOWN, N.TRANSIENT, "the gateway's API does not answer"),
    ReasonRow(
        R.GATEWAY_HUNG,
        N.TRANSIENT,
        "the gateway's process is there and its API does not answer",
        "Look at the gateway's log and at the CPU and memory of its process, and restart it.",
    ),
    ReasonRow(
        R.GATEWAY_GONE,
        N.TRANSIENT,
        "the gateway's process is not there and nothing brings it back",
        "Start the gateway, and look into its log for why it ended.",
    ),
    ReasonRow(
        R.ENGINE_GONE,
        N.TRANSIENT,
        "the process of the gateway's engine is gone, and the gateway lives on without it",
        "Restart the gateway process: nothing else starts its engine again. Look into its log for why it ended.",
    ),
    ReasonRow(
        R.MEMORY_HIGH,
        N.TRANSIENT,
        "the gateway uses more memory than its limit",
        "Update the gateway, for leaks are mended often. If it needs so much for its sessions, raise the limit.",
    ),
    ReasonRow(
        R.CPU_HIGH,
        N.TRANSIENT,
        "the gateway uses more of the CPU than its limit",
        "Look into its log for what it is busy with. If it needs so much for its sessions, raise the limit.",
    ),
    ReasonRow(
        R.MEMORY_LEAK,
        N.TRANSIENT,
        "the gateway's memory grows and will reach its limit",
        "Restart the gateway at a time that suits you, before that. recovery.maintenance names such times.",
    ),
    ReasonRow(
        R.CRASH_LOOP,
        N.TRANSIENT,
        "the gateway dies again and again, and something brings it back each time",
        "Look into the gateway's log for why it ends.",
    ),
    ReasonRow(
        R.OOM_KILLED,
        N.TRANSIENT,
        "the kernel killed a process of the gateway for want of memory",
        "Give it more memory, or set process.memory.restart below what it may use, so that it is restarted gracefully.",
    ),
)

TABLE: dict[Reason, ReasonRow] = {row.reason: row for row in ROWS}


def advice_for(reason: Reason, session: str) -> str:
    """What a person should do for this session; empty when nothing."""
    return TABLE[reason].advice.replace("SESSION", session)


FOR_RESOURCES = frozenset({Reason.MEMORY_HIGH, Reason.CPU_HIGH, Reason.MEMORY_LEAK})
"""Of the gateway process, with which it may work as well as ever."""

QR_REASONS = frozenset({Reason.QR_WANTED, Reason.QR_EXPIRED, Reason.LOGGED_OUT})
"""What ends only when a person scans a QR code."""

CONDITION_OF: dict[Nature, Condition] = {
    Nature.FINE: Condition.HEALTHY,
    Nature.TRANSIENT: Condition.FAILING,
    Nature.PERSON: Condition.NEEDS_HUMAN,
    Nature.FATAL: Condition.FATAL,
    Nature.OPERATOR: Condition.STOPPED,
    Nature.LOST: Condition.MISSING,
    Nature.UNREADABLE: Condition.UNKNOWN,
}
"""The condition of a reason, once it has lasted long enough to be judged."""

FOR_A_PERSON = frozenset({Condition.NEEDS_HUMAN, Condition.FATAL})
"""Conditions in which only a person helps."""
