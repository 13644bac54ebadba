"""The root of the command line. Each family is imported only when it is called."""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import click

from wasupervisor import __version__

CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)

FAMILIES: dict[str, tuple[str, str, str]] = {
    "run": ("main", "run_help", "The daemon, in the foreground."),
    "demo": ("demo", "demo", "A simulated gateway, a supervisor, faults and healing, on screen."),
    "check": ("check", "check", "Look once, decide, do nothing; say what would be done and why."),
    "doctor": ("doctor", "doctor", "Everything around the daemon: settings, rights, the unit; what to do."),
    "status": ("status", "status", "How everything is."),
    "history": ("status", "history", "What was seen, decided and done."),
    "explain": ("explain", "explain", "How one session is, what happens next, and the last hour."),
    "replay": ("replay", "replay_command", "Decide the recorded past again, perhaps by other rules."),
    "recover": ("verbs", "recover", "Reset a session's breaker and begin its ladder now."),
    "restart": ("verbs", "restart", "Restart a session, or the gateway (--gateway), now."),
    "park": ("verbs", "park", "Stop a session that logs in over and over in vain; nothing is lost."),
    "qr": ("qr", "qr", "The QR code of a session that waits for one, to link a phone."),
    "pause": ("verbs", "pause", "Hands off: nothing is repaired until resumed."),
    "resume": ("verbs", "resume", "End a pause."),
    "reload": ("verbs", "reload", "Read the configuration again."),
    "redis": ("redis", "redis_group", "The keys in the gateway's Redis: mistyped ones set aside, put back."),
    "queue": ("queue", "queue_group", "The job queues: how deep they are; failed jobs put back."),
    "config": ("config", "config_group", "Validate, show or make a configuration."),
    "version": ("main", "version", "The version of this program."),
}
"""Name: module, attribute, and the line in the help."""


def main() -> NoReturn:
    """Run one command, and end the process with its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without some character is no reason to say nothing
    status = 0
    try:
        cli(prog_name="wasupervisor")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            if stream is not None:
                stream.flush()
    os._exit(status)  # a thread that waits for a DNS that hangs must not keep the process alive


class Families(click.Group):
    """Knows the names of all commands and loads the one that is called."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C and a reader that went away end it without a word, as with other programs."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(128 + signal.SIGINT)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still to be flushed goes nowhere
            ctx.exit(128 + signal.SIGPIPE)
        except OSError as error:
            if error.errno not in CANNOT_WRITE:
                raise
            raise click.ClickException(f"the output cannot be written: {error.strerror}") from error

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the order of the table, the most used first."""
        return list(FAMILIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Load one command; None when there is none of that name."""
        if cmd_name not in FAMILIES:
            return None
        module, attribute, _line = FAMILIES[cmd_name]
        command = getattr(import_module(f"wasupervisor.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The help, without importing what it is about."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_module, _attribute, line) in FAMILIES.items()])


@click.group(cls=Families, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-c", "--config", type=click.Path(path_type=Path), help="Default: /etc/wasupervisor/config.yaml.")
@click.version_option(__version__, message="wasupervisor %(version)s")
@click.pass_context
def cli(ctx: click.Context, config: Path | None) -> None:
    """Keeps the sessions of one WhatsApp gateway (WAHA or Evolution API) alive, without making it worse."""
    ctx.obj = {"config": config}


@click.command()
def version() -> None:
    """The version of this program."""
    click.echo(f"wasupervisor {__version__}")


@click.command("run")
def run_help() -> None:
    """The daemon, in the foreground. See: wasupervisor run --help."""
