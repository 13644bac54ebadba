"""The root: which commands there are, and how a command ends when the world does not listen."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_daemon import Daemon, document, entry, run, session

from wasupervisor import __version__
from wasupervisor.__main__ import _is_run
from wasupervisor.cli.main import FAMILIES

BUILT = (
    "run demo check doctor status history explain replay recover restart park qr "
    "pause resume reload redis queue config version"
)
NOT_BUILT = ["vault"]


def program(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The program itself, as a process."""
    command = [sys.executable, "-m", "wasupervisor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=env)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    it = Daemon(tmp_path)
    it.answer("/health", document(*(session(f"s{number}") for number in range(2000))))
    it.answer("/history", {"entries": [entry(number, "x" * 100) for number in range(2000)]})
    yield it
    it.close()


def test_every_command_is_in_the_help_and_has_its_own() -> None:
    text = run("--help").stdout
    assert " ".join(FAMILIES) == BUILT
    for name in FAMILIES:
        assert f"\n  {name} " in text
        assert run(name, "--help").exit_code == 0


@pytest.mark.parametrize("name", NOT_BUILT)
def test_what_is_not_built_does_not_exist(name: str) -> None:
    result = run(name)
    assert result.exit_code == 2
    assert f"No such command '{name}'" in result.stderr


def test_the_version_is_told_both_ways() -> None:
    assert run("version").stdout == f"wasupervisor {__version__}\n"
    assert run("--version").stdout == f"wasupervisor {__version__}\n"


@pytest.mark.parametrize(
    ("words", "is_run"),
    [
        ("run", True),
        ("-c /x run", True),
        ("--config /x run", True),
        ("--config=/x run", True),
        ("-c/x run", True),
        ("run -c /x", True),
        ("explain run", False),
        ("-c run status", False),
        ("--help", False),
        ("", False),
    ],
)
def test_run_is_known_wherever_the_configuration_stands(words: str, is_run: bool) -> None:
    assert _is_run(words.split()) is is_run


def test_the_daemon_loads_no_terminal_library() -> None:
    code = (
        "import sys; sys.argv = ['wasupervisor', 'run', '-c', '/nowhere']\n"
        "import os; os._exit = lambda status: print(sorted({'click', 'rich', 'httpx'} & set(sys.modules))) or exit(0)\n"
        "from wasupervisor.__main__ import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert result.stdout == "[]\n"


@pytest.mark.parametrize("command", [["history"], ["history", "--json"], ["status"], ["status", "--json"]])
def test_a_reader_that_goes_away_ends_it_without_a_word(daemon: Daemon, command: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "wasupervisor", "-c", str(daemon.config), *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},  # unbuffered, Python itself swallows the error
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 128 + signal.SIGPIPE
    assert told == ""


def test_a_full_disk_under_the_output_is_one_line(daemon: Daemon) -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "wasupervisor", "-c", str(daemon.config), "status"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr == "Error: the output cannot be written: No space left on device\n"


def test_ctrl_c_while_the_daemon_is_waited_for_is_no_traceback(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"gateway: {{kind: waha, url: 'http://h:1'}}\ncontrol: {{socket: {tmp_path}/c.sock}}\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "c.sock"))
        listener.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", "wasupervisor", "-c", str(config), "status"], stderr=subprocess.PIPE, text=True
        )
        client, _ = listener.accept()
        with client:
            client.recv(10)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            told = process.stderr.read()
            process.stderr.close()
        assert process.wait(30) == 128 + signal.SIGINT
    assert told == ""


def test_a_terminal_that_knows_few_characters_is_no_reason_to_fail(daemon: Daemon) -> None:
    daemon.answer("/health", document(session("größe-日本")))
    result = program(
        "-c", str(daemon.config), "status", env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "gr??e" in result.stdout


def test_without_colour_there_are_no_escapes_and_with_a_terminal_there_are(daemon: Daemon) -> None:
    daemon.answer("/health", document(session("s1")))
    assert "\x1b" not in program("-c", str(daemon.config), "status").stdout
    forced = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    assert "\x1b[" in program("-c", str(daemon.config), "status", env=forced).stdout


def test_a_thread_that_hangs_does_not_keep_a_command_alive() -> None:
    code = (
        "import threading, sys; sys.argv = ['wasupervisor', 'version']\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "from wasupervisor.__main__ import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (result.returncode, result.stdout) == (0, f"wasupervisor {__version__}\n")
