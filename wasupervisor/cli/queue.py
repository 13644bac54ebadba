"""`wasupervisor queue`: the job queues, also without the daemon."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from msgspec.structs import asdict
from rich.table import Table
from rich.text import Text

from wasupervisor.cli.apart import run_apart
from wasupervisor.cli.client import EXIT_UNWELL, EXIT_USAGE, refuse
from wasupervisor.cli.either import NOT_JOURNALED, by_daemon, settings_here
from wasupervisor.cli.options import config_option, json_option
from wasupervisor.cli.screen import console
from wasupervisor.config.schema import Settings
from wasupervisor.decide.words import span
from wasupervisor.keyspace.trouble import KeyspaceError
from wasupervisor.queue.depth import Depth, Totals, warnings
from wasupervisor.queue.retry import RetryError
from wasupervisor.runtime.queues import NoQueueError, configured, look, put_back

KINDS = {"bullmq": "BullMQ", "bull": "Bull", None: "-"}

NUMBERS = ("waiting", "active", "delayed", "failed", "completed")


@click.group("queue")
def queue_group() -> None:
    """The job queues of the gateway, or of the application behind it (Bull, BullMQ)."""


@queue_group.command("status")
@config_option
@json_option
@click.pass_context
def status_command(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """How deep each queue is: exit status 0 when all is well, 1 when one is beyond `queue.warn`."""
    settings = settings_here(ctx, config, "redis")
    try:
        queue, _redis = configured(settings)
        found = run_apart(lambda: look(settings))
    except NoQueueError as error:
        refuse(f"cannot look at the queues: {error}", EXIT_USAGE)
    except KeyspaceError as error:
        refuse(f"cannot look at the queues: {error}", EXIT_UNWELL)
    sentences = warnings(found, queue.warn)
    if as_json:
        click.echo(json.dumps(_facts(found, sentences)))
    else:
        console().print(_table(found))
        for sentence in sentences:
            click.echo(f"- {sentence}")
    if sentences:
        ctx.exit(EXIT_UNWELL)


@queue_group.command("retry-failed")
@click.option("--queue", "name", metavar="Q", help="Of this queue only; without it, of all that are configured.")
@click.option("--limit", metavar="N", type=click.IntRange(1), help="At the most so many jobs, of all queues together.")
@config_option
@json_option
@click.pass_context
def retry_command(ctx: click.Context, name: str | None, limit: int | None, config: Path | None, as_json: bool) -> None:
    """Put failed jobs back, so that they are tried again (BullMQ only).

    The daemon does it and journals it; where none runs, it is done here, and nothing is journaled.
    """
    settings = settings_here(ctx, config, "redis")
    try:
        configured(settings, name)
        body: dict[str, object] = {"queue": name, "limit": limit}
        answer = by_daemon(ctx, config, "/queue/retry-failed", body, "put jobs back") or _here(settings, name, limit)
    except NoQueueError as error:
        refuse(f"cannot put jobs back: {error}", EXIT_USAGE)
    except (KeyspaceError, RetryError) as error:
        refuse(f"cannot put jobs back: {error}", EXIT_UNWELL)
    if as_json:
        click.echo(json.dumps(answer))
    else:
        for one in answer["queues"]:
            click.echo(f"queue {one['queue']!r}: {one['text']}")
        if not answer["journaled"]:
            click.echo(NOT_JOURNALED, err=True)
    if not all(one["done"] for one in answer["queues"]):
        ctx.exit(EXIT_UNWELL)


def _here(settings: Settings, name: str | None, limit: int | None) -> dict[str, Any]:
    done = run_apart(lambda: put_back(settings, name, limit))
    return {"journaled": False, "queues": [asdict(one) for one in done]}


def _facts(found: tuple[Depth, ...], sentences: tuple[str, ...]) -> dict[str, Any]:
    totals = asdict(Totals.of(found))
    return {**totals, "queues": [asdict(one) for one in found], "notes": list(sentences)}


def _table(found: tuple[Depth, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    # A name is folded and never cut: it is what `--queue` is given.
    table.add_column("queue", overflow="fold", min_width=len("queue"))
    table.add_column("kind", no_wrap=True)
    for column in (*NUMBERS, "oldest"):
        table.add_column(column, no_wrap=True, justify="right")
    table.add_column("", no_wrap=True)
    for one in found:
        numbers = [getattr(one, number) for number in NUMBERS]
        table.add_row(
            Text(one.name),
            KINDS[one.flavour],
            *("?" if number is None else str(number) for number in numbers),
            "" if one.oldest_seconds is None else span(one.oldest_seconds),
            Text("paused" if one.paused else "", style="yellow"),
        )
    return table
