"""Writes what the tables of the program know into the docs: `make docs`.

docs/decisions.md and docs/doctor.md are made whole. Of each page in docs/reasons/ the head is made, and what stands
below the marker is written by hand and kept. A test compares the files with what is made here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from wasupervisor.decide import confirm, gates, gateway_gates, last_rung, qr
from wasupervisor.decide.diagrams import CONDITIONS, DIAGRAMS, Diagram, Edge
from wasupervisor.decide.ladder import EVOLUTION, WAHA, Rung
from wasupervisor.decide.ladder import ROWS as RUNGS
from wasupervisor.decide.reasons import CONDITION_OF, Nature, ReasonRow
from wasupervisor.decide.reasons import ROWS as REASONS
from wasupervisor.gateways import codes, evolution_truths, waha
from wasupervisor.model.sessions import Condition
from wasupervisor.runtime.doctor import ROWS as CHECKS
from wasupervisor.runtime.doctor import WITHIN

DOCS = Path(__file__).parent

MARKER = "<!-- Above: made by `make docs`. Below: written by hand, and kept. -->"

QUESTIONS = ("What it means", "How it looks", "What is done, and what is not", "What you do")
"""What the part below the marker answers."""

NAME_OF = {WAHA: "WAHA", EVOLUTION: "Evolution"}

NATURES: dict[Nature, str] = {
    Nature.FINE: "nothing has to be done",
    Nature.TRANSIENT: "may heal, by itself or by a remedy; it is never given up, only tried ever more rarely",
    Nature.PERSON: "waits for a person; no remedy",
    Nature.FATAL: "no restart heals it; no remedy, the breaker is held, and a person is told",
    Nature.OPERATOR: "as its operator wants it",
    Nature.LOST: "expected, and the gateway does not run it",
    Nature.UNREADABLE: "not known; what is not known never leads to a remedy of a session",
}

INTRODUCTION = """\
# How it decides

<!-- Made from the tables of the program by `make docs`; a test compares. -->

Every few seconds `step(memory, observation, now, dice, policy)` says what each session's condition is, why, and what
is done about it. It does so by the tables of this page, which are those of the program: the sentences here are the ones
that the journal, `explain` and `status` show.

A sighting becomes a **condition** and a **reason**. The reason's row in the **ladder** names a remedy, if there is one.
The **gates** are asked in their order, and the first that holds withholds it. Right before the call the session is read
again, and the **last look** may still object. Afterwards only a session that is *seen* working for
`recovery.stable_for` was healed.
"""

GATES_INTRODUCTION = """\
A *gate* is a precondition. A *limit* ends by itself, at a time that is told. A *turn* only waits for others and is not
journaled. The first that holds withholds the remedy. `restart` is an operator's order, `--force` the same by force.
"""

STATUS = """\
| status | when; the first row that holds |
|---|---|
| unhealthy | the gateway does not answer, its sessions cannot be read, or none of the expected sessions is active |
| degraded | an expected session is not active, an incident, a breaker is open or held, or the state cannot be written |
| starting | the sessions were not read yet |
| healthy | else; also when no session is there, or none is expected |
"""

DOCTOR = f"""\
# wasupervisor doctor

<!-- Made from the tables of the program by `make docs`; a test compares. -->

```
sudo wasupervisor doctor              # -v: also what is well; --json: for programs; -c FILE: another configuration
```

looks at everything around the daemon and changes nothing: no remedy, no login, no QR code, nothing written. All is
looked at side by side, each for {WITHIN:g} s at the most. Exit status 0: well, 1: something is wrong or a warning,
2: the configuration cannot be used.

| verdict | means |
|---|---|
| `ok` | well. With something to do it is an offer: `could be better` |
| `unknown` | it could not be looked at, and why: no fault by itself |
| `warning` | it works, and may fail you |
| `wrong` | it does not work |

Where a daemon runs, its word on process and Redis counts, for it looks as its own user; folders and rights are judged
for the unit's user, whoever asks. As root most is seen: variables of the unit's environment file, polkit's answer to
the daemon. A user who may not read the configuration is told so (exit status 2).

In `--json`: `well`, `version`, `asked_daemon`, `looked_as`, `runs_as`, `counts`, and `checks` with `group code title
verdict text why todo`. Codes never change; a row that does not apply is left out, and one may be told several times.

"""


def documents() -> dict[Path, str]:
    """Every file that is made, with its text."""
    pages = {DOCS / "reasons" / f"{row.reason}.md": _page(row) for row in REASONS if row.reason != "none"}
    return {
        DOCS / "decisions.md": decisions(),
        DOCS / "reasons" / "README.md": _index(),
        DOCS / "doctor.md": doctor(),
        **pages,
    }


def decisions() -> str:
    """The page of all tables."""
    sections: tuple[tuple[str, str], ...] = (
        ("Diagrams", "\n".join(map(_diagram, DIAGRAMS))),
        ("Reasons", _reasons()),
        ("Ladders", "".join(map(_ladder, NAME_OF))),
        ("What calls for a restart of the gateway process", _last_rung()),
        ("What may stand against a remedy of a session", f"{GATES_INTRODUCTION}\n{_gates(gates.ROWS)}"),
        ("What may stand against a restart of the gateway process", _gates(gateway_gates.ROWS)),
        ("The last look before a remedy", _objections()),
        ("What stands against showing a QR code", _refusals()),
        ("What WAHA says", _waha()),
        ("What Evolution's truths mean together", _truths()),
        ("Why WhatsApp closes a connection", _codes()),
        ("The status of the whole", STATUS),
    )
    return INTRODUCTION + "".join(f"\n## {title}\n\n{text.rstrip()}\n" for title, text in sections)


def doctor() -> str:
    """The page of what `wasupervisor doctor` looks at."""
    return DOCTOR + _table(("code", "what", "why"), ((f"`{row.code}`", row.title, row.why) for row in CHECKS))


def _diagram(diagram: Diagram) -> str:
    """One as mermaid, and below it what each state means."""
    lines = [f"### {diagram.title}", "", "```mermaid", "stateDiagram-v2"]
    for title, members in diagram.groups.items():
        lines += [f'    state "{title}" as {_id(title)} {{', *(f"        {name}" for name in members), "    }"]
    lines += [f"    {arrow}" for edge in diagram.edges for arrow in _arrows(diagram, edge)]
    lines += ["```", ""]
    meaning = _table(("", "means"), ((f"`{place.name}`", place.sentence) for place in diagram.places))
    return "\n".join(lines) + f"\n{meaning}"


def _arrows(diagram: Diagram, edge: Edge) -> Iterator[str]:
    """Its arrows; the label stands at the first one."""
    label = f" : {edge.when.replace(';', ',').replace(':', ' -')}"
    for before in _ends(diagram, edge.before):
        for after in _ends(diagram, edge.after):
            yield f"{before} --> {after}{label}"
            label = ""


def _ends(diagram: Diagram, names: tuple[str, ...]) -> tuple[str, ...]:
    """The states, with a group in the place of all of its members."""
    if not names:
        return ("[*]",)
    left = names
    whole: tuple[str, ...] = ()
    for title, members in diagram.groups.items():
        if set(members) <= set(left):
            whole, left = (*whole, _id(title)), tuple(name for name in left if name not in members)
    return (*left, *whole)


def _id(title: str) -> str:
    return title.replace(" ", "_")


def _reasons() -> str:
    rows = ((f"[`{row.reason}`](reasons/{row.reason}.md)", row.nature, row.sentence, row.advice) for row in _told())
    natures = _table(("nature", "means"), NATURES.items())
    return f"{natures}\n{_table(('reason', 'nature', 'in words', 'what a person should do'), rows)}"


def _told() -> Iterable[ReasonRow]:
    return (row for row in REASONS if row.reason != "none")


def _ladder(gateway: str) -> str:
    rows = (
        (f"[`{row.reason}`](reasons/{row.reason}.md)", _remedy(row), row.why) for row in RUNGS if row.gateway == gateway
    )
    return (
        f"### {NAME_OF[gateway]}\n\nWhat has no row has no remedy.\n\n{_table(('reason', 'remedy', 'because'), rows)}\n"
    )


def _last_rung() -> str:
    return _table(("code", "restarted when"), ((f"`{row.code}`", row.sentence) for row in last_rung.ROWS))


def _remedy(row: Rung) -> str:
    if row.remedy is None:
        return "none"
    without = f"; without a restarter `{row.without}`" if row.without is not None else ""
    return f"`{row.remedy}`{without}"


def _gates(rows: Iterable[gates.Row | gateway_gates.Row]) -> str:
    heads = ("code", "is a", "holds when", "against `restart`", "against `--force`", "against a park")
    told = [
        (
            f"`{row.code}`",
            row.kind,
            row.sentence,
            _yes(row.holds_for_restart),
            _yes(row.holds_for_force),
            *((_yes(row.parks),) if isinstance(row, gates.Row) else ()),
        )
        for row in rows
    ]
    return _table(heads[: len(told[0])], told)


def _objections() -> str:
    rows = ((row.text, _yes(row.for_ordered)) for row in confirm.ROWS)
    heads = ("the remedy is not made when", "holds against `restart` too")
    return f"Nothing is objected to `--force`.\n\n{_table(heads, rows)}"


def _refusals() -> str:
    return _table(("code", "refused when"), ((f"`{row.code}`", row.sentence) for row in qr.ROWS))


def _waha() -> str:
    prefix, passkey = waha.PASSKEY
    rows = [
        *waha.STATES.items(),
        (f"{prefix}...", passkey),
        ("FAILED, with an account", waha.FAILED_LINKED),
        ("FAILED, without an account", waha.FAILED_UNLINKED),
    ]
    return _table(("WAHA says", "state", "reason"), ((f"`{said}`", state, reason) for said, (state, reason) in rows))


def _truths() -> str:
    rows = (
        (
            row.memory,
            f"{row.database}{f' (code {_numbers(row.codes)})' if row.codes else ''}",
            row.state,
            row.reason,
            row.sentence,
        )
        for row in (*evolution_truths.TABLE, evolution_truths.UNREADABLE, evolution_truths.CLOUD)
    )
    return _table(("memory", "database", "state", "reason", "because"), rows)


def _codes() -> str:
    rows = (
        ("" if row.code is None else str(row.code), ", ".join(row.names), f"`{row.reason}`", row.sentence, row.source)
        for row in codes.TABLE
    )
    return _table(("code", "names in the engines", "reason", "means", "source"), rows)


def _numbers(several: Iterable[int]) -> str:
    return ", ".join(map(str, several))


def _page(row: ReasonRow) -> str:
    """The head of a reason's page, and what was written by hand below it."""
    condition = Condition.SETTLING if row.reason == "reconnecting" else CONDITION_OF[row.nature]
    meaning = next(place.sentence for place in CONDITIONS.places if place.name == condition)
    rows = [
        ("condition", f"{condition}: {meaning}"),
        ("nature", f"{row.nature}: {NATURES[row.nature]}"),
        *((f"on {NAME_OF[gateway]}", _rung(row, gateway)) for gateway in NAME_OF),
        ("what you should do", row.advice or "nothing"),
    ]
    head = f"# `{row.reason}`\n\n{_capital(row.sentence)}.\n\n{_table(('', ''), rows)}"
    return f"{head}\n{MARKER}\n{_by_hand(DOCS / 'reasons' / f'{row.reason}.md')}"


def _rung(row: ReasonRow, gateway: str) -> str:
    rung = next((one for one in RUNGS if (one.gateway, one.reason) == (gateway, row.reason)), None)
    return "no remedy" if rung is None else f"{_remedy(rung).replace('none', 'no remedy')}: {rung.why}"


def _by_hand(page: Path) -> str:
    """What stands below the marker; on a new page the questions that it should answer."""
    if page.exists() and MARKER in (text := page.read_text(encoding="utf-8")):
        return text.partition(MARKER)[2].removeprefix("\n")
    return "".join(f"\n## {question}\n" for question in QUESTIONS)


def _index() -> str:
    rows = ((f"[`{row.reason}`]({row.reason}.md)", row.sentence) for row in _told())
    head = "# Reasons\n\n<!-- Made by `make docs`. -->\n\nWhy a session is as it is: one page each."
    return f"{head} `wasupervisor explain SESSION` names the one that fits.\n\n{_table(('reason', 'in words'), rows)}"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _yes(holds: bool) -> str:
    return "yes" if holds else ""


def _table(heads: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    return "".join(map(_row, (heads, tuple("---" for _ in heads), *rows)))


def _row(cells: tuple[object, ...]) -> str:
    told = (str(cell).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(told)} |\n"


def main() -> None:
    """Write what changed, and say so."""
    for path, text in documents().items():
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(DOCS.parent)} is new\n")


if __name__ == "__main__":
    main()
