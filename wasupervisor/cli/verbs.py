"""What an operator may order: recover, restart, pause, resume, reload."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from wasupervisor.cli.client import EXIT_UNWELL, EXIT_USAGE, Client, refuse, session_path
from wasupervisor.cli.options import config_option, json_option
from wasupervisor.config.units import parse_duration

HTTP_ACCEPTED = 202
HTTP_NOT_FOUND = 404
HTTP_BAD_REQUEST = 400


@click.command()
@click.argument("session")
@config_option
@json_option
@click.pass_context
def recover(ctx: click.Context, session: str, config: Path | None, as_json: bool) -> None:
    """Reset a session's breaker and begin its ladder now, with all gates."""
    _order(Client.for_command(ctx, config), session_path(session, "recover"), {}, as_json)


@click.command()
@click.argument("session")
@click.option("--force", is_flag=True, help="Even when the store or the uplink is not well.")
@config_option
@json_option
@click.pass_context
def restart(ctx: click.Context, session: str, force: bool, config: Path | None, as_json: bool) -> None:
    """Restart a session now: of the gates only store and uplink hold."""
    _order(Client.for_command(ctx, config), session_path(session, "restart"), {"force": force}, as_json)


@click.command()
@click.option("--for", "lasts", metavar="DURATION", help="How long, such as 30m or 1h; without it until `resume`.")
@click.option("--reason", default="", help="Why, for those who read the journal.")
@config_option
@json_option
@click.pass_context
def pause(ctx: click.Context, lasts: str | None, reason: str, config: Path | None, as_json: bool) -> None:
    """Hands off: the daemon goes on watching and repairs nothing."""
    if lasts is not None:
        try:
            parse_duration(lasts)
        except ValueError as error:
            refuse(f"--for: {error}", EXIT_USAGE)
    body: dict[str, object] = {"reason": reason}
    if lasts is not None:
        body["for"] = lasts
    _order(Client.for_command(ctx, config), "/pause", body, as_json)


@click.command()
@config_option
@json_option
@click.pass_context
def resume(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """End a pause."""
    _order(Client.for_command(ctx, config), "/resume", {}, as_json)


@click.command("reload")
@config_option
@json_option
@click.pass_context
def reload(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """Read the configuration again; a bad one is not taken."""
    _status, answer = Client.for_command(ctx, config).post("/reload")
    click.echo(json.dumps(answer) if as_json else answer.get("text", answer.get("error", "")))
    if not answer.get("reloaded"):
        sys.exit(EXIT_USAGE)


def _order(client: Client, path: str, body: dict[str, object], as_json: bool) -> None:
    status, answer = client.post(path, body)
    if as_json:
        click.echo(json.dumps(answer))
    else:
        _tell(answer)
    if status != HTTP_ACCEPTED:
        sys.exit(EXIT_USAGE if status in (HTTP_NOT_FOUND, HTTP_BAD_REQUEST) else EXIT_UNWELL)


def _tell(answer: dict[str, Any]) -> None:
    word = "" if answer.get("accepted") else "not done: "
    click.echo(f"{word}{answer.get('text') or answer.get('error')}")
    before, after = answer.get("previous_status"), answer.get("current_status")
    if before:
        click.echo(f"it was {before}, it is {after}" if before != after else f"it is {after}")
    if answer.get("needs_qr"):
        click.echo("it needs a person to scan its QR code")
    if answer.get("accepted") and str(answer.get("id", "")).startswith("a"):
        click.echo(f"action {answer['id']}; follow it with: wasupervisor history")
