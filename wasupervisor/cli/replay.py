"""`wasupervisor replay`: what the decider would do with the recorded day, with these rules or with other ones."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from wasupervisor import __version__
from wasupervisor.cli.client import EXIT_UNWELL, EXIT_USAGE, refuse
from wasupervisor.cli.options import json_option
from wasupervisor.config.loading import DEFAULT_FILE, read
from wasupervisor.config.policy import policy_of
from wasupervisor.config.problems import ConfigError
from wasupervisor.config.schema import Settings
from wasupervisor.config.units import parse_duration
from wasupervisor.decide.words import count, span
from wasupervisor.model.policy import Policy
from wasupervisor.runtime.replaying import At, Difference, Replayed, replay
from wasupervisor.store.segments import Reader

LIMIT = "After the first other remedy read with care: the recorded gateway answers only to what was done then."

WORDS: dict[str, tuple[str, str, str]] = {
    "withheld": ("would have been withheld", "would not have been withheld", "would have been withheld"),
    "reply": (
        "an order would have been answered",
        "an order would not have been answered",
        "the answer would have come",
    ),
    "alert": ("a person would have been told", "a person would not have been told", "a person would have been told"),
    **dict.fromkeys(("breaker", "incident"), ("would have been", "would not have been", "would have been")),
}
"""Of what is no remedy: what is said when it would be so now, when it would not, and when only its time is another."""

REMEDY = ("would have been made", "would not have been made", "would have been made")


@click.command("replay")
@click.option(
    "-c", "daemon_config", type=click.Path(path_type=Path), help=f"The daemon's configuration. Default: {DEFAULT_FILE}."
)
@click.option(
    "--config", "new_config", type=click.Path(path_type=Path), help="Decide by the rules of this file instead."
)
@click.option("--since", default="24h", show_default=True, metavar="DURATION", help="How far back.")
@json_option
@click.pass_context
def replay_command(
    ctx: click.Context, daemon_config: Path | None, new_config: Path | None, since: str, as_json: bool
) -> None:
    """Decide the recorded past again, and say what would have been done differently.

    The recording is in the state directory of the daemon (state.record keeps one). Nothing is asked or done, and the
    daemon may be running. Exit status 0 when nothing would have been different, 1 when something would.
    """
    daemon_config = daemon_config or (ctx.obj or {}).get("config")
    if daemon_config is None:
        daemon_config = new_config if new_config is not None and not DEFAULT_FILE.exists() else DEFAULT_FILE
    settings = _read(daemon_config)
    new = None if new_config is None else _read(new_config)
    from_then_on = time.time() - _span(since)
    reader = Reader(settings.state.directory)

    def choose(recorded: Policy) -> Policy:
        assert new is not None
        if new.gateway.kind != recorded.gateway_kind:
            refuse(
                f"the recording is of {recorded.gateway_kind}, and {new_config} is for {new.gateway.kind}", EXIT_USAGE
            )
        return policy_of(new, recorded.restart_spacing)

    try:
        replayed = replay(reader.steps(from_then_on), from_then_on, None if new is None else choose)
    except OSError as error:
        refuse(f"the recording in {reader.folder} cannot be read: {error.strerror or error}", EXIT_USAGE)
    for sentence in (*reader.skipped, *replayed.unreadable):
        click.echo(f"wasupervisor: {sentence}", err=True)
    if not replayed.steps:
        refuse(_nothing(reader, settings, since), EXIT_USAGE)
    fault = _fault(replayed, reader)
    differences = replayed.differences()
    rules = "the recorded rules" if new_config is None else f"the rules of {new_config}"
    if as_json:
        click.echo(json.dumps(_facts(replayed, differences, rules, fault)))
    else:
        for line in _told(replayed, differences, rules, fault):
            click.echo(line)
    if differences or fault or replayed.probes_then != replayed.probes_now:
        ctx.exit(EXIT_UNWELL)


def _read(file: Path) -> Settings:
    """No secret is needed to look back."""
    try:
        return read(file, os.environ).settings
    except ConfigError as error:
        refuse(str(error), EXIT_USAGE)


def _span(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        refuse(f"--since: {error}", EXIT_USAGE)


def _nothing(reader: Reader, settings: Settings, since: str) -> str:
    text = f"nothing that can be read was recorded in {reader.folder} in the last {since}"
    if settings.state.record is None:
        return f"{text}: set state.record, for instance to 24h, and reload the daemon"
    return f"{text}; state.record is set: is the daemon running, or does its health document say why it cannot record?"


def _fault(replayed: Replayed, reader: Reader) -> str:
    """The same release and the same rules have to give the same bytes."""
    others = replayed.steps - replayed.identical
    if not others or not replayed.same_policy or reader.versions != [__version__]:
        return ""
    differ = "1 decision differs in its bytes" if others == 1 else f"{others} decisions differ in their bytes"
    return f"{differ}, and should not: a fault of wasupervisor, please report it"


def _told(replayed: Replayed, differences: list[Difference], rules: str, fault: str) -> list[str]:
    assert replayed.began is not None
    assert replayed.ended is not None
    began, ended = replayed.began, replayed.ended
    steps = count(replayed.steps, "step")
    lines = [f"From {_when(began)} to {_when(ended)} ({span(ended - began)}), {steps}, by {rules}."]
    lines.append(_identical(replayed))
    if replayed.breaks:
        times = count(replayed.breaks, "time")
        lines.append(f"It begins anew {times}, where the daemon was started or steps are missing.")
    lines += ["", *_table(replayed), ""]
    if fault:
        lines += [fault]
    if differences:
        return [*lines, "What would have been different:", *(f"  {_sentence(one)}" for one in differences), "", LIMIT]
    if replayed.probes_then != replayed.probes_now:
        return [*lines, "Only the probes would have been different."]
    return [*lines, "Nothing would have been different."]


def _identical(replayed: Replayed) -> str:
    if replayed.identical == replayed.steps:
        return "Each decision is the recorded one, byte by byte."
    return f"Of {replayed.steps} decisions {replayed.identical} are the recorded ones, byte by byte."


def _table(replayed: Replayed) -> list[str]:
    then, now = _counts(replayed.then, replayed.probes_then), _counts(replayed.now, replayed.probes_now)
    rows = [("", "then", "now")]
    rows += [(what, str(then[what]), str(now[what])) for what in {**then, **now}]
    if len(rows) == 1:
        return ["Nothing was done or withheld then, and nothing would be now."]
    width = max(len(row[0]) for row in rows)
    return [f"  {what:<{width}}  {before:>6}  {after:>6}" for what, before, after in rows]


def _counts(deeds: list[At], probes: int) -> Counter[str]:
    found = Counter(one.deed.what for one in deeds)
    return found + Counter({"probe": probes})


def _sentence(difference: Difference) -> str:
    at = difference.first
    about = at.deed.session or "all"
    return f"{_when(at.wall)}  {about}: {_what(difference)}"


def _what(difference: Difference) -> str:
    then, now = difference
    deed = difference.first.deed
    added, missing, moved = WORDS.get(deed.what, REMEDY)
    if now is None:
        return f"{missing}: {deed.text}"
    if then is None:
        return f"{added}: {deed.text}"
    sooner = "earlier" if now.wall < then.wall else "later"
    clock = datetime.fromtimestamp(now.wall, UTC).astimezone().strftime("%H:%M:%S")
    return f"{moved} {span(abs(now.wall - then.wall))} {sooner}, at {clock}: {now.deed.text}"


def _facts(replayed: Replayed, differences: list[Difference], rules: str, fault: str) -> dict[str, Any]:
    return {
        "from": replayed.began,
        "to": replayed.ended,
        "rules": rules,
        "steps": replayed.steps,
        "identical": replayed.identical,
        "begun_anew": replayed.breaks,
        "then": _counts(replayed.then, replayed.probes_then),
        "now": _counts(replayed.now, replayed.probes_now),
        "differences": [
            {
                "what": one.first.deed.what,
                "session": one.first.deed.session,
                "then": None if one.then is None else one.then.wall,
                "now": None if one.now is None else one.now.wall,
                "text": one.first.deed.text,
            }
            for one in differences
        ],
        "fault": fault,
    }


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
