"""`run` before its loop runs: where the settings come from, and how it refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wasupervisor.cli.run import settings_reader
from wasupervisor.config.problems import ConfigError

GATEWAY = "gateway: {kind: waha, url: 'http://127.0.0.1:9', api_key: secret-key}\n"


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wasupervisor", *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_settings_come_from_the_file_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(GATEWAY)
    assert settings_reader(file, None, None, None, {})().gateway.url == "http://127.0.0.1:9"


def test_or_from_the_command_line_alone() -> None:
    settings = settings_reader(None, "evolution", "http://h:1", "KEY", {"KEY": "hush"})()
    assert (settings.gateway.kind, settings.gateway.url) == ("evolution", "http://h:1")
    assert settings.gateway.api_key is not None
    assert settings.gateway.api_key.reveal() == "hush"


def test_but_never_from_both(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="-c: cannot be used together"):
        settings_reader(tmp_path / "config.yaml", "waha", "http://h:1", None, {})


def test_a_token_that_others_can_read_ends_the_start_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("0123456789abcdef" * 4)
    (tmp_path / "t").chmod(0o644)
    (tmp_path / "config.yaml").write_text(f"{GATEWAY}control: {{token_file: t}}\n")
    ran = program("run", "-c", str(tmp_path / "config.yaml"))
    assert ran.returncode == 2
    assert "control.token_file: cannot be used: " in ran.stderr
    assert "run `chmod 6" in ran.stderr
    assert "0123456789abcdef" not in ran.stderr


@pytest.mark.parametrize(("kind", "url"), [(None, "http://h:1"), ("waha", None), (None, None)])
def test_half_of_it_is_told_by_option(kind: str | None, url: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_reader(None, kind, url, "KEY", {"KEY": "hush"})()
    text = str(caught.value)
    assert ("--gateway" in text) is (kind is None)
    assert ("--url" in text) is (url is None)
    assert "hush" not in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "--bogus"], "unrecognized arguments: --bogus"),
        (["run", "--gate", "waha"], "unrecognized arguments: --gate waha"),
        (["run", "now"], "unrecognized arguments: now"),
        (["--json", "run"], "--json"),
    ],
)
def test_wrong_usage_exits_2(words: list[str], told: str) -> None:
    result = program(*words)
    assert result.returncode == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_both_ways_at_once_are_refused_in_one_line(tmp_path: Path) -> None:
    result = program("run", "-c", str(tmp_path / "x"), "--gateway", "waha")
    assert result.returncode == 2
    assert result.stderr.startswith("wasupervisor: -c: cannot be used together with --gateway")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_before_anything_is_open_is_a_stop(tmp_path: Path, number: signal.Signals) -> None:
    fifo = tmp_path / "config.yaml"
    os.mkfifo(fifo)
    code = (
        "import sys; sys.argv = ['wasupervisor', 'run', '-c', sys.argv[1]]\n"
        "import wasupervisor.cli.run as run_module, time\n"
        "run_module.settings_reader = lambda *_: (lambda: (print('reading', flush=True), time.sleep(60)))\n"
        "run_module.run(sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(fifo)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "reading\n"
    process.send_signal(signal.SIGHUP)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_fault_of_ours_is_logged_and_exits_1(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(GATEWAY)
    code = (
        "import sys; sys.argv = ['wasupervisor', 'run', '-c', sys.argv[1]]\n"
        "import wasupervisor.cli.run as run_module\n"
        "async def fail(self): raise RuntimeError('boom')\n"
        "run_module.Daemon.run = fail\n"
        "run_module.run(sys.argv[1:])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 1
    assert "this is a fault of its own, please report it" in result.stderr
    assert "RuntimeError: boom" in result.stderr
    assert "secret-key" not in result.stderr
