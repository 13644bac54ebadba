"""What an operator may order: recover, restart, park, pause, resume, reload."""

from __future__ import annotations

import json
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
    """Reset a session's breaker and begin its ladder now, with all gates. Starts what is parked or stopped."""
    _order(ctx, config, session_path(session, "recover"), {}, as_json=as_json)


@click.command()
@click.argument("session", required=False)
@click.option("--gateway", is_flag=True, help="The gateway process instead of a session: all its sessions drop.")
@click.option("--force", is_flag=True, help="Even when the store or the uplink is not well.")
@config_option
@json_option
@click.pass_context
def restart(
    ctx: click.Context, session: str | None, gateway: bool, force: bool, config: Path | None, as_json: bool
) -> None:
    """Restart a session, or the gateway process, now: of the gates only store and uplink hold.

    The gateway process is restarted in the way that recovery.restart_gateway names.
    """
    if gateway == (session is not None):
        refuse("name either a session or --gateway: `restart SESSION` or `restart --gateway`", EXIT_USAGE)
    path = "/gateway/restart" if session is None else session_path(session, "restart")
    _order(ctx, config, path, {"force": force}, as_json=as_json)


@click.command()
@click.argument("session")
@config_option
@json_option
@click.pass_context
def park(ctx: click.Context, session: str, config: Path | None, as_json: bool) -> None:
    """Stop a session that logs in over and over in vain; its credentials are kept. `recover` starts it again."""
    _order(ctx, config, session_path(session, "park"), {}, as_json=as_json)


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
            refuse(f"--for {lasts}: {error}", EXIT_USAGE)
    body: dict[str, object] = {"reason": reason}
    if lasts is not None:
        body["for"] = lasts
    _order(ctx, config, "/pause", body, as_json=as_json)


@click.command()
@config_option
@json_option
@click.pass_context
def resume(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """End a pause."""
    _order(ctx, config, "/resume", {}, as_json=as_json)


@click.command("reload")
@config_option
@json_option
@click.pass_context
def reload(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """Read the configuration again; a bad one is not taken."""
    _status, answer = Client.for_command(ctx, config).post("/reload")
    taken = bool(answer.get("reloaded"))
    if as_json:
        click.echo(json.dumps(answer))
    else:
        lines = [answer.get("text") or answer.get("error", ""), *answer.get("problems", ())]
        for line in lines:
            click.echo(line, err=not taken)
    if not taken:
        ctx.exit(EXIT_USAGE)


def _order(ctx: click.Context, config: Path | None, path: str, body: dict[str, object], *, as_json: bool) -> None:
    status, answer = Client.for_command(ctx, config).post(path, body)
    usage = status in (HTTP_NOT_FOUND, HTTP_BAD_REQUEST)
    if as_json:
        click.echo(json.dumps(answer))
    else:
        for line in _told(answer):
            click.echo(line, err=usage)
    if status != HTTP_ACCEPTED:
        ctx.exit(EXIT_USAGE if usage else EXIT_UNWELL)


def _told(answer: dict[str, Any]) -> list[str]:
    word = "" if answer.get("accepted") else "not done: "
    lines = [f"{word}{answer.get('text') or answer.get('error')}"]
    before, after = answer.get("previous_status"), answer.get("current_status")
    if before:
        lines.append(f"it was {before}, it is {after}" if before != after else f"it is {after}")
    if answer.get("needs_qr"):
        lines.append("it needs a person to scan its QR code")
    if answer.get("action"):
        lines.append(f"action {answer['action']}; follow it with: wasupervisor status --watch")
    return lines
