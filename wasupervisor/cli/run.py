"""`wasupervisor run`: the daemon. Neither click nor rich is imported here."""

from __future__ import annotations

import argparse
import functools
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import anyio

from wasupervisor.config.loading import DEFAULT_FILE, from_arguments, load
from wasupervisor.config.problems import ConfigError, Problem
from wasupervisor.config.schema import Settings
from wasupervisor.runtime.activation import take_passed
from wasupervisor.runtime.daemon import Daemon
from wasupervisor.runtime.logs import Logs
from wasupervisor.runtime.startup import StartError
from wasupervisor.store.errors import StoreError

log = logging.getLogger(__name__)

EXIT_FAULT = 1
EXIT_USAGE = 2


def run(arguments: list[str]) -> NoReturn:
    """Parse the arguments, run the daemon, and end the process."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a reload that comes too early must not kill us
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    passed = take_passed(os.environ)
    options = _parser().parse_args(arguments)
    try:
        read = settings_reader(options.config, options.gateway, options.url, options.api_key_env, os.environ)
        settings = read()
    except ConfigError as error:
        _refuse(*map(str, error.problems))
    logs = Logs(settings.log.level, settings.log.format, os.environ)
    read_again = read if options.gateway is None else None
    daemon = Daemon(settings, read_again=read_again, on_level=logs.set_level, passed=passed)
    gc.freeze()  # what is loaded by now stays: the collector need not look at it again
    try:
        anyio.run(_live, daemon, logs)
    except (StartError, StoreError) as error:
        logs.close()
        _refuse(str(error))
    except Exception:
        log.critical("wasupervisor failed: this is a fault of its own, please report it", exc_info=True)
        logs.close()
        os._exit(EXIT_FAULT)
    raise AssertionError("the daemon ends the process itself")


async def _live(daemon: Daemon, logs: Logs) -> None:
    """Run it, and leave at once: a thread that waits for a hung disk or DNS must not keep the process alive."""
    status = await daemon.run()
    logs.close()
    os._exit(status)


def _leave(_number: int, _frame: object) -> NoReturn:
    """A stop before anything was opened."""
    os._exit(0)


def settings_reader(
    config: Path | None,
    gateway: str | None,
    url: str | None,
    api_key_env: str | None,
    environ: Mapping[str, str],
    *,
    token: bool = True,
) -> Callable[[], Settings]:
    """How the settings are read: from a file, or, for a first look, from the command line alone.

    `token`: with that of the changing verbs, which only the daemon needs.

    Raises:
        ConfigError: both are asked for.
    """
    if gateway is None and url is None and api_key_env is None:
        return functools.partial(load, config or DEFAULT_FILE, environ, token=token)
    if config is not None:
        text = "cannot be used together with --gateway, --url or --api-key-env: leave it out, or these"
        raise ConfigError((Problem("", None, None, "-c", text),))
    return functools.partial(from_arguments, gateway or "", url or "", api_key_env, environ)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wasupervisor", description="Runs the daemon, in the foreground.", allow_abbrev=False
    )
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help=f"default: {DEFAULT_FILE}")
    parser.add_argument("command", choices=["run"])
    look = parser.add_argument_group("without any file, for a first look")
    look.add_argument("--gateway", metavar="KIND", help="waha or evolution")
    look.add_argument("--url", help="where its API answers")
    look.add_argument("--api-key-env", metavar="NAME", help="the environment variable that holds its API key")
    return parser


def _refuse(*texts: str) -> NoReturn:
    for text in texts:
        print(f"wasupervisor: {text}", file=sys.stderr)  # noqa: T201
    if sys.stderr is not None:
        sys.stderr.flush()
    os._exit(EXIT_USAGE)
