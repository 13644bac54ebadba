"""`qr`: the QR code of a session that waits for one, drawn on the terminal for the phone."""

from __future__ import annotations

import json
import shutil
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Any

import click
import segno

from wasupervisor.cli.client import EXIT_UNWELL, EXIT_USAGE, Client, refuse, session_path
from wasupervisor.cli.options import config_option, json_option

HTTP_OK = 200
NO_SUCH = (400, 404, 405)

NO_TERMINAL = (
    "the QR code is not written where no terminal is: whoever has it can link a phone, and it would stay in a file or "
    "a log. With --raw its text is written all the same"
)
ON_THE_PHONE = "On the phone: WhatsApp, Settings, Linked devices, Link a device; then point it at the code."
OTHERWISE = "it can also be scanned where the gateway itself shows it: in WAHA's dashboard, in Evolution's manager"

BORDER = 2
"""Modules around the code. Four are the standard's; phones do with two, and the terminal is small."""

HALVES = {(1, 1): "█", (1, 0): "▀", (0, 1): "▄", (0, 0): " "}
"""Upper and lower module, dark or not."""

BLACK_ON_WHITE, DARK, LIGHT, RESET = "\x1b[30;107m", "\x1b[40m", "\x1b[107m", "\x1b[0m"
"""Set in any case: on a terminal of dark letters on a light ground the code would be the wrong way round."""


@click.command()
@click.argument("session")
@click.option("--raw", is_flag=True, help="Its text alone, also into a pipe or a file. It is a secret.")
@config_option
@json_option
@click.pass_context
def qr(ctx: click.Context, session: str, raw: bool, config: Path | None, as_json: bool) -> None:
    """Show the QR code of a session that waits for one, to link a phone.

    It is refused where it would do harm, or no more often than recovery.qr_interval.
    """
    path = session_path(session, "qr")
    if not raw and not on_terminal():
        refuse(NO_TERMINAL, EXIT_USAGE)
    status, answer = Client.for_command(ctx, config).ask(path)
    if as_json:
        click.echo(json.dumps(answer))
    elif status == HTTP_OK and raw:
        click.echo(answer["qr"])
    else:
        for line in _shown(answer) if status == HTTP_OK else _refused(answer):
            click.echo(line, err=status in NO_SUCH or raw, color=True)
    if status != HTTP_OK:
        ctx.exit(EXIT_USAGE if status in NO_SUCH else EXIT_UNWELL)


def on_terminal() -> bool:
    """Whether a person reads what is written."""
    return sys.stdout.isatty()


def _shown(answer: dict[str, Any]) -> list[str]:
    lines = drawn(answer["qr"], sys.stdout.encoding)
    width = segno.make_qr(answer["qr"], error="l", boost_error=False).symbol_size(border=BORDER)[0]
    told = [*lines, "", ON_THE_PHONE, f"{answer['text']}."]
    columns, rows = shutil.get_terminal_size()
    wide = width if len(lines) < width else 2 * width
    if columns < wide or rows < len(told) + 1:
        told.append(f"This terminal is too small to show it whole: make it {wide} columns by {len(told) + 2} lines.")
    return told


def _refused(answer: dict[str, Any]) -> list[str]:
    lines = [f"not done: {answer.get('text') or answer.get('error')}"]
    if answer.get("needs_qr"):
        lines.append(OTHERWISE)
    return lines


def drawn(code: str, encoding: str | None) -> list[str]:
    """The QR code as lines: two modules to a character, or two blanks to a module where there are no half blocks."""
    made = segno.make_qr(code, error="l", boost_error=False)
    modules = [bytes(row) for row in made.matrix_iter(border=BORDER)]
    try:
        "".join(HALVES.values()).encode(encoding or "ascii")
    except UnicodeError:
        return ["".join(f"{DARK if dark else LIGHT}  " for dark in row) + RESET for row in modules]
    pairs = zip_longest(modules[::2], modules[1::2], fillvalue=bytes(len(modules[0])))
    return [f"{BLACK_ON_WHITE}{''.join(map(HALVES.__getitem__, zip(*pair, strict=True)))}{RESET}" for pair in pairs]
