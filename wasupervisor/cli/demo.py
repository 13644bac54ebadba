"""`wasupervisor demo`: a simulated gateway, a real supervisor, faults and healing, told in plain words."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import anyio
import click

from wasupervisor.cli.client import EXIT_USAGE, refuse
from wasupervisor.cli.screen import console, status_screen
from wasupervisor.config.loading import load
from wasupervisor.config.problems import ConfigError
from wasupervisor.config.schema import Settings
from wasupervisor.model.journal import EntryKind
from wasupervisor.runtime.daemon import Daemon
from wasupervisor.runtime.journald import entry_of
from wasupervisor.runtime.startup import StartError
from wasupervisor.simulator.kinds import Kind, make_world
from wasupervisor.simulator.script import Script, Step, demo_script, play
from wasupervisor.simulator.server import SimulatedGateway, serve
from wasupervisor.store.errors import StoreError

LEAST_SECONDS = 20

COLOURS = {EntryKind.REMEDY: "yellow", EntryKind.VERIFIED: "green", EntryKind.WITHHELD: "magenta"}

LONGEST = 60
"""Characters of a folder for temporary files that leave room for ours: the path of a socket has at most 107 bytes."""

CONFIGURATION = """
gateway: {{kind: {kind}, url: "{url}", api_key: demo, poll_every: 500ms, timeout: 2s, action_timeout: 8s}}
recovery:
  failing_after: {{samples: 3, duration: 1500ms}}
  starting_timeout: 4s
  startup_grace: 1s
  stable_for: 3s
  backoff: {{first: 1s}}
  budget: {{spacing: 200ms}}
uplink: {{host: 127.0.0.1, port: {uplink_port}}}
health: {{listen: "127.0.0.1:0", file: {health_file}}}
control: {{socket: {socket}}}
state: {{directory: {state}}}
"""
"""As in life, but with less patience: the story is to be told in a minute."""


@click.command()
@click.option("--gateway", "kind", type=click.Choice(["waha", "evolution"]), default="waha", show_default=True)
@click.option("--seconds", default=60, show_default=True, help=f"How long; at least {LEAST_SECONDS}.")
def demo(kind: Kind, seconds: int) -> None:
    """A simulated gateway, a supervisor, faults and healing, on screen."""
    if seconds < LEAST_SECONDS:
        click.echo(f"The story takes at least {LEAST_SECONDS} s.\n")
    place = None if len(tempfile.gettempdir()) <= LONGEST else "/tmp"  # noqa: S108 - the folder in it has a name of its own
    with tempfile.TemporaryDirectory(prefix="wasupervisor-demo-", dir=place) as folder:
        try:
            anyio.run(_demo, kind, max(seconds, LEAST_SECONDS), Path(folder))
        except BaseExceptionGroup as group:
            error = _first(group)
            if isinstance(error, (ConfigError, StartError, StoreError)):
                refuse(str(error), EXIT_USAGE)
            raise error from group


async def _demo(kind: Kind, seconds: int, folder: Path) -> None:
    script = demo_script(kind, seconds)
    world = make_world(kind, list(script.sessions), speed=script.speed)
    async with serve(world, api_key="demo") as gateway:
        daemon = Daemon(_settings(kind, gateway, folder))
        narrator = Narrator(daemon.stop)
        async with anyio.create_task_group() as tasks:
            host, port = await tasks.start(daemon.run)
            _begin(kind, host, port, folder)
            narrator.listen()
            try:
                with anyio.CancelScope() as story:
                    tasks.start_soon(_cancel_with, daemon, story)
                    await play(script, gateway, narrator.tell)
                document = daemon.document()
            finally:
                narrator.hush()
                daemon.stop()
        _end(script, gateway, document)


async def _cancel_with(daemon: Daemon, story: anyio.CancelScope) -> None:
    """Ctrl-C reaches the daemon, and ends the story too."""
    await daemon.wait_stopping()
    story.cancel()


def _settings(kind: Kind, gateway: SimulatedGateway, folder: Path) -> Settings:
    places = {"health_file": "health.json", "socket": "control.sock", "state": "state"}
    file = folder / "config.yaml"
    file.write_text(
        CONFIGURATION.format(
            kind=kind,
            url=gateway.url,
            uplink_port=gateway.uplink.door.port,
            # The folder for temporary files may have any name.
            **{name: json.dumps(str(folder / place)) for name, place in places.items()},
        ),
        encoding="utf-8",
    )
    return load(file, os.environ)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first that went wrong."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class Narrator(logging.Handler):
    """Tells, side by side, what happens to the gateway and what the supervisor makes of it."""

    def __init__(self, on_nobody: Callable[[], None]) -> None:
        """`on_nobody` is called when nobody reads any more."""
        super().__init__(logging.INFO)
        self._on_nobody = on_nobody
        self._begun = time.monotonic()

    def listen(self) -> None:
        """Hear what the supervisor says."""
        logger = logging.getLogger("wasupervisor")
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        self._begun = time.monotonic()

    def hush(self) -> None:
        """Stop listening."""
        logger = logging.getLogger("wasupervisor")
        logger.removeHandler(self)
        logger.propagate = True

    def tell(self, step: Step) -> None:
        """The simulator's side."""
        self._say(f"\n{self._at()}  {click.style('happens', fg='cyan', bold=True)}     {step.says}")

    def emit(self, record: logging.LogRecord) -> None:
        """The supervisor's side."""
        entry = entry_of(record)
        if entry is None or entry.kind is EntryKind.SEEN:
            return
        colour = COLOURS.get(entry.kind) or ("red" if entry.warn else "white")
        self._say(f"{self._at()}  {click.style(f'{entry.kind:<11}', fg=colour)} {record.getMessage()}")

    def _say(self, text: str) -> None:
        try:
            click.echo(text, color=False if "NO_COLOR" in os.environ else None)
        except OSError:
            self._on_nobody()

    def _at(self) -> str:
        return f"{time.monotonic() - self._begun:4.0f} s"


def _begin(kind: Kind, host: str, port: int, folder: Path) -> None:
    click.echo(f"A simulated {kind} gateway with five sessions, and a wasupervisor beside it (with less patience than")
    click.echo("in life, so that a minute is enough). Everything is real but the gateway. Look meanwhile, in another")
    click.echo("terminal:\n")
    click.echo(f"  curl http://{host}:{port}/health")
    click.echo(f"  curl -i http://{host}:{port}/readyz")
    click.echo(f"  {Path(sys.argv[0])} -c {folder}/config.yaml status --watch")
    click.echo("\nCtrl-C ends it.")


def _end(script: Script, gateway: SimulatedGateway, document: dict[str, object]) -> None:
    click.echo("\nAt the end:\n")
    console().print(status_screen(document))
    calls = Counter(_verb(call.method, call.path) for call in gateway.calls)
    click.echo("\nWhat the gateway was asked in that time:")
    for what, number in calls.most_common():
        click.echo(f"  {number:5d}  {what}")
    harm = len(gateway.world.harm)
    click.echo(f"  {harm:5d}  calls that log out, delete, create or connect")
    click.echo(f"\nSessions: {', '.join(script.sessions)}. The next step: README.md, Install.")


def _verb(method: str, path: str) -> str:
    """A call without the session's name, so that equal ones are counted together."""
    parts = path.split("?", maxsplit=1)[0].strip("/").split("/")
    if len(parts) >= 3 and parts[0] in ("api", "instance"):
        parts = [*parts[:2], "...", *parts[3:]] if parts[0] == "api" else [*parts[:2], "..."]
    return f"{method} /{'/'.join(parts)}"
