"""The entry point. `run` is dispatched before the terminal libraries are imported: the daemon never carries them."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    arguments = sys.argv[1:]
    if _is_run(arguments):
        # httpx imports its own command line, and with it click, rich and pygments (7 MB), where those are installed.
        sys.modules["httpx._main"] = None  # type: ignore[assignment]
        from wasupervisor.cli.run import run  # noqa: PLC0415

        run(arguments)
    else:
        from wasupervisor.cli.main import cli  # noqa: PLC0415

        cli(prog_name="wasupervisor")


def _is_run(arguments: list[str]) -> bool:
    """Whether the first word that is no option is `run`; `-c FILE` may stand before it."""
    words = iter(arguments)
    for word in words:
        if word in ("-c", "--config"):
            next(words, None)
        elif not word.startswith("-"):
            return word == "run"
    return False


if __name__ == "__main__":
    main()
