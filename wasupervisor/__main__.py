"""The entry point. `run` is dispatched before the terminal libraries are imported: the daemon never carries them."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    arguments = sys.argv[1:]
    if _is_run(arguments):
        from wasupervisor.cli.run import run  # noqa: PLC0415

        run(arguments)
    else:
        from wasupervisor.cli.main import main as command  # noqa: PLC0415

        command()


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
