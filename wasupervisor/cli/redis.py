"""`wasupervisor redis`: the gateway's keys, also without the daemon."""

from __future__ import annotations

import getpass
import json
import os
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from wasupervisor.cli.apart import run_apart
from wasupervisor.cli.client import EXIT_UNWELL, EXIT_USAGE, refuse
from wasupervisor.cli.either import NOT_JOURNALED, by_daemon, settings_here
from wasupervisor.cli.options import config_option, json_option
from wasupervisor.cli.screen import console
from wasupervisor.config.schema import Settings
from wasupervisor.decide.words import count, span
from wasupervisor.runtime.redis_orders import NotDoneError, RedisWish, without_daemon


@click.group("redis")
def redis_group() -> None:
    """The keys in the gateway's Redis: mistyped ones found, set aside, put back."""


@redis_group.command("check")
@click.option("-v", "--verbose", is_flag=True, help="Also rules without any key, and what each is for.")
@config_option
@json_option
@click.pass_context
def check_command(ctx: click.Context, config: Path | None, as_json: bool, verbose: bool) -> None:
    """Look at Redis and at all keys; change nothing. Exit status 1 when something is not well."""
    found = _done(ctx, config, "check", RedisWish(), "look at Redis")
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show_check(found, verbose=verbose)
    if not found["well"]:
        ctx.exit(EXIT_UNWELL)


@redis_group.command("repair")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--pattern", metavar="GLOB", help="Only keys that match, as Redis understands it: 'evolution-cache:*'.")
@click.option("--convert", is_flag=True, help="Make it the right type, where that loses nothing; keep the original.")
@click.option("-v", "--verbose", is_flag=True, help="Also keys that are left as they are, and why.")
@config_option
@json_option
@click.pass_context
def repair_command(
    ctx: click.Context,
    config: Path | None,
    as_json: bool,
    dry_run: bool,
    pattern: str | None,
    convert: bool,
    verbose: bool,
) -> None:
    """Set keys of the wrong type aside. None is deleted: `redis undo` puts each back as it was."""
    wish = RedisWish(pattern=pattern, dry_run=dry_run, convert=convert)
    answer = _done(ctx, config, "repair", wish, "repair keys")
    if as_json:
        click.echo(json.dumps(answer))
    else:
        _show_repair(answer, dry_run=dry_run, verbose=verbose)
    _say_if_not_journaled(answer, dry_run=dry_run)
    if not answer["is_done"]:
        ctx.exit(EXIT_UNWELL)


@redis_group.command("quarantine")
@click.option("--purge", "purged", metavar="ID", help="Delete this one for good.")
@config_option
@json_option
@click.pass_context
def quarantine_command(ctx: click.Context, config: Path | None, as_json: bool, purged: str | None) -> None:
    """What was set aside, the oldest first."""
    if purged is not None:
        _one(_done(ctx, config, "purge", RedisWish(id=purged), f"delete {purged}"), as_json=as_json, ctx=ctx)
        return
    keys = _done(ctx, config, "quarantine", RedisWish(), "list the quarantine")["keys"]
    if as_json:
        click.echo(json.dumps(keys))
    elif not keys:
        click.echo("nothing is in quarantine")
    else:
        console().print(_quarantine_table(keys))


@redis_group.command("undo")
@click.argument("wanted", metavar="ID")
@click.option("--replace", is_flag=True, help="Set aside what has taken its place meanwhile.")
@config_option
@json_option
@click.pass_context
def undo_command(ctx: click.Context, wanted: str, config: Path | None, as_json: bool, replace: bool) -> None:
    """Put a key back as it was: its name, its value, its type and its TTL.

    The daemon then leaves it alone for as long as it is of that type.
    """
    wish = RedisWish(id=wanted, replace=replace)
    _one(_done(ctx, config, "undo", wish, f"put {wanted} back"), as_json=as_json, ctx=ctx)


def _done(ctx: click.Context, config: Path | None, verb: str, wish: RedisWish, what: str) -> dict[str, Any]:
    """What the daemon answers; where none runs, or one that cannot do it, what was done here."""
    body = None if verb == "quarantine" else _body(wish)
    answer = by_daemon(ctx, config, f"/redis/{verb}", body, what, conflict=EXIT_USAGE)
    return _here(settings_here(ctx, config, "gateway", "redis"), verb, wish, what) if answer is None else answer


def _here(settings: Settings, verb: str, wish: RedisWish, what: str) -> dict[str, Any]:
    async def do() -> dict[str, Any]:
        async with without_daemon(settings, _user()) as orders:
            return await orders.do(verb, wish)

    try:
        return {"journaled": False, **run_apart(do)}
    except NotDoneError as error:
        refuse(f"cannot {what}: {error}", EXIT_USAGE if error.about_wish else EXIT_UNWELL)
    except ValueError as error:
        refuse(f"cannot {what}: gateway.url: {error}", EXIT_USAGE)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have a user without a name
        return f"uid {os.getuid()}"


def _body(wish: RedisWish) -> dict[str, object]:
    return {name: getattr(wish, name) for name in wish.__struct_fields__}


def _one(answer: dict[str, Any], *, as_json: bool, ctx: click.Context) -> None:
    click.echo(json.dumps(answer) if as_json else answer["text"])
    _say_if_not_journaled(answer, dry_run=False)
    if answer["done"] != "done":
        ctx.exit(EXIT_UNWELL)


def _say_if_not_journaled(answer: dict[str, Any], *, dry_run: bool) -> None:
    if not answer["journaled"] and not dry_run:
        click.echo(NOT_JOURNALED, err=True)


def _show_check(found: dict[str, Any], *, verbose: bool) -> None:
    keys, seconds = count(found["keys"], "key"), found["seconds"]
    click.echo(f"{keys} looked at in {seconds:g} s; {found['quarantined']} in quarantine")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule", overflow="fold")
    table.add_column("keys that match", overflow="fold")
    table.add_column("must be", no_wrap=True)
    table.add_column("found", justify="right", no_wrap=True)
    if verbose:
        table.add_column("when it is wrong", overflow="fold")
    for one in _grouped(found["rules"], all_of_them=verbose):
        why = [Text(one["why"])] if verbose else []
        table.add_row(Text(one["name"]), Text(one["match"]), one["expected"], str(one["keys"]), *why)
    if table.row_count:
        console().print(table)
    else:
        click.echo("no rule matches any key: is redis.prefix, and the database in redis.url, the gateway's?")
    for one in found["held"]:
        click.echo(f"- {one}")
    for one in found["wrong"]:
        click.echo(f"- {one['fault']}. {_fate(one)}")
    _show_gaps(found)
    for one in found["findings"]:
        where = f"{one['node']}: " if one.get("node") else ""
        click.echo(f"- {where}{one['text']}. {one['why']} {one['todo']}")


def _fate(one: dict[str, Any]) -> str:
    if one["left"]:
        return f"It is left as it is: {one['left']}"
    return "The daemon sets it aside; without one: `wasupervisor redis repair`"


def _grouped(rules: list[dict[str, Any]], *, all_of_them: bool) -> list[dict[str, Any]]:
    """One line for each name; the many rules for queues share theirs."""
    lines: dict[str, dict[str, Any]] = {}
    for one in rules:
        known = lines.setdefault(one["name"], {**one, "globs": 0})
        known["globs"] += 1
    for one in lines.values():
        if one["globs"] > 1:
            one["match"] += f"  and {one['globs'] - 1} more"
    return [one for one in lines.values() if one["keys"] or all_of_them]


def _show_gaps(found: dict[str, Any]) -> None:
    """What was not looked at, or is not told."""
    if found["more_wrong"]:
        click.echo(f"- {count(found['more_wrong'], 'more key')} wrong: `redis repair` again finds them")
    if found["unread"]:
        click.echo(f"- could not be looked at: {found['unread']}")
    if found["unknown"]:
        click.echo(f"- {found['unknown']}")


def _show_repair(answer: dict[str, Any], *, dry_run: bool, verbose: bool) -> None:
    keys = answer["keys"]
    left = [one for one in keys if one["done"] == "left"]
    for one in keys:
        if one["done"] != "left" or verbose:
            click.echo(one["text"])
    if not keys:
        click.echo("no key is of the wrong type")
    elif left and not verbose:
        click.echo(f"{count(len(left), 'key')} left as found: --verbose tells why")
    _show_gaps(answer)
    if dry_run and keys:
        click.echo("nothing was done: --dry-run")


def _quarantine_table(keys: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("id", no_wrap=True)
    table.add_column("key", overflow="fold")
    for column in ("was", "must be"):
        table.add_column(column, no_wrap=True)
    for column in ("TTL", "bytes"):
        table.add_column(column, no_wrap=True, justify="right")
    table.add_column("set aside", no_wrap=True)
    for one in keys:
        ttl, size = one["ttl_seconds"], one["size"]
        table.add_row(
            one["id"],
            Text(one["key"]),
            one["type"],
            one["expected"] or "?",
            "never" if ttl is None else span(ttl),
            "?" if size is None else str(size),
            one["at"],
        )
    return table
