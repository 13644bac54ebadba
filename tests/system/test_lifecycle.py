"""Start, stop, crash, reload, and everything that can stand against a start."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from skipping import cannot
from stage import Gateway, Supervisor, refused, wait_until

pytestmark = pytest.mark.timeout(120)

Gateways = Callable[..., Gateway]
Supervisors = Callable[..., Supervisor]


def health_file(supervisor: Supervisor) -> dict[str, object]:
    document: dict[str, object] = json.loads((supervisor.folder / "health.json").read_text())
    return document


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_flushes_and_the_file_says_stopped(
    number: signal.Signals, gateways: Gateways, supervisors: Supervisors
) -> None:
    supervisor = supervisors(gateways()).start()
    supervisor.until_condition("s1", "healthy")
    assert health_file(supervisor)["status"] == "healthy"
    supervisor.signal(number)
    assert supervisor.wait() == 0
    assert health_file(supervisor)["status"] == "stopped"
    assert health_file(supervisor)["ready"] is False
    assert not (supervisor.folder / "control.sock").exists()
    supervisor.start()
    texts = [one["text"] for one in supervisor.history()]
    assert sum(text.startswith("started") for text in texts) == 2
    assert "stopped" in texts


def test_a_remedy_under_way_gets_its_time_at_a_stop(gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("s1", "healthy")
    gateway.fault("http", answer="slow", path="*/restart", seconds=1)
    gateway.fault("failed", session="s1", heals_after_restarts=1)
    wait_until("the restart was asked for", lambda: gateway.count("POST */restart") == 1)
    supervisor.signal(signal.SIGTERM)
    wait_until("not ready", lambda: supervisor.get("/readyz").status_code == 503)
    assert supervisor.document()["status"] == "stopping"
    assert supervisor.wait() == 0
    supervisor.start()
    results = [one["outcome"] for one in supervisor.history("--session", "s1", "--kind", "result")]
    assert results == ["accepted"]


def test_a_second_signal_forces(gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("s1", "healthy")
    gateway.fault("http", answer="hang", path="*/restart")
    gateway.fault("failed", session="s1")
    wait_until("the restart was asked for", lambda: gateway.count("POST */restart") == 1)
    supervisor.signal(signal.SIGTERM)
    wait_until("stopping", lambda: supervisor.document()["status"] == "stopping")
    supervisor.signal(signal.SIGTERM)
    assert supervisor.wait() == 128 + signal.SIGTERM


def test_sigterm_at_any_instant_ends_it_and_leaves_a_state_that_loads(
    gateways: Gateways, supervisors: Supervisors
) -> None:
    """From before the first line of Python to the middle of its work, in steps of 50 ms."""
    gateway = gateways()
    gateway.fault("stuck", session="s1", heals_after_restarts=None)
    supervisor = supervisors(gateway)
    for step in range(16):
        supervisor._spawn()
        time.sleep(0.05 * step)
        supervisor.signal(signal.SIGTERM)
        assert supervisor.wait() in (0, -signal.SIGTERM), supervisor.logged()
        assert "Traceback" not in supervisor.logged()
        assert not (supervisor.folder / "control.sock").exists()
    supervisor.start()
    texts = [one["text"] for one in supervisor.history()]
    assert texts.count("stopped") >= 2
    assert not any("damaged" in note for note in supervisor.document()["notes"])


def test_a_log_that_nobody_reads_stops_nothing(gateways: Gateways, supervisors: Supervisors) -> None:
    supervisor = supervisors(gateways())
    supervisor.config.write_text(supervisor.config.read_text().replace("format: json", "format: json, level: debug"))
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    process = subprocess.Popen(
        [sys.executable, "-m", "wasupervisor", "run", "-c", str(supervisor.config)], stderr=writing
    )
    os.close(writing)
    try:
        wait_until("it looks", (supervisor.folder / "health.json").exists)
        wait_until("it is healthy", lambda: supervisor.command("status").returncode == 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(reading)
    assert health_file(supervisor)["status"] == "stopped"


def test_the_gateways_key_is_told_nowhere(gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway)
    good = supervisor.config.read_text().replace("format: json", "format: json, level: debug")
    supervisor.config.write_text(good)
    supervisor.start()
    supervisor.until_condition("s1", "healthy")
    gateway.fault("failed", session="s1", heals_after_restarts=1)
    wait_until("it is healed", lambda: gateway.count("POST */restart") == 1)
    gateway.fault("http", answer="status", status=401)
    supervisor.until_condition("s1", "unknown")
    supervisor.config.write_text(good.replace("poll_every: 100ms", "poll_every: secret-key"))
    told = [supervisor.command(*words) for words in (["reload"], ["history"], ["status"], ["explain", "s1"], ["check"])]
    supervisor.config.write_text(good)
    told += [supervisor.command(*words) for words in (["check"], ["config", "show"])]
    supervisor.stop()
    texts = [supervisor.logged(), json.dumps(health_file(supervisor)), *(one.stdout + one.stderr for one in told)]
    texts += [path.read_bytes().decode("latin-1") for path in supervisor.state.iterdir()]
    shown = [text for text in texts if "secret-key" in text]
    assert [text for text in shown if "poll_every" not in text] == []


def test_kill_9_and_a_restart_buy_no_attempt(gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("s1", "healthy")
    gateway.fault("stuck", session="s1", heals_after_restarts=None)
    wait_until("the breaker is open", lambda: supervisor.document()["breakers"]["open"] == 1)
    made = gateway.count("POST */restart")
    for _ in range(3):
        supervisor.kill()
        supervisor.start()
        assert supervisor.document()["breakers"]["open"] == 1
    polls = gateway.count("GET *")
    wait_until("it goes on looking", lambda: gateway.count("GET *") > polls + 15)
    assert gateway.count("POST */restart") == made


def test_a_kill_9_in_the_middle_of_a_remedy_counts_it_as_made(gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("s1", "healthy")
    gateway.fault("http", answer="hang", path="*/restart", times=1)
    gateway.fault("failed", session="s1")
    wait_until("the restart was asked for", lambda: gateway.count("POST */restart") == 1)
    supervisor.kill()
    supervisor.start()
    polls = gateway.count("GET *")
    wait_until("it goes on looking", lambda: gateway.count("GET *") > polls + 15)
    assert gateway.count("POST */restart") == 1
    assert supervisor.document()["connections"]["recovering"] == 1


def test_a_good_reload_is_taken_and_a_bad_one_is_not(gateways: Gateways, supervisors: Supervisors) -> None:
    supervisor = supervisors(gateways()).start()
    good = supervisor.config.read_text()
    supervisor.config.write_text(good.replace("  stable_for", "  mode: observe\n  stable_for"))
    supervisor.signal(signal.SIGHUP)
    wait_until("it observes", lambda: any("observe" in note for note in supervisor.document()["notes"]))
    supervisor.config.write_text(good.replace("stable_for", "stabel_for"))
    answer = supervisor.command("reload")
    assert answer.returncode == 2
    assert "stable_for" in answer.stdout + answer.stderr
    assert any("observe" in note for note in supervisor.document()["notes"])
    supervisor.config.write_text(good)
    assert supervisor.command("reload").returncode == 0
    wait_until("it acts", lambda: not any("observe" in note for note in supervisor.document()["notes"]))


def test_pause_means_hands_off_and_survives_a_restart(gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("s1", "healthy")
    assert supervisor.command("pause", "--for", "1h", "--reason", "moving house").returncode == 0
    supervisor.stop()
    supervisor.start()
    gateway.fault("failed", session="s1", heals_after_restarts=1)
    supervisor.until_condition("s1", "failing")
    assert supervisor.document()["paused"]["reason"] == "moving house"
    assert gateway.count("POST *") == 0
    assert supervisor.command("resume").returncode == 0
    supervisor.until_condition("s1", "healthy")
    assert gateway.count("POST */restart") == 1


def test_two_daemons_on_one_state_are_one_too_many(gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways()
    first = supervisors(gateway).start()
    assert first.process is not None
    second = supervisors(gateway, "two", state=first.state)
    answer = refused("run", "-c", str(second.config))
    assert answer.returncode == 2
    assert str(first.process.pid) in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_named(gateways: Gateways, supervisors: Supervisors) -> None:
    supervisor = supervisors(gateways())
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        supervisor.config.write_text(supervisor.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        answer = refused("run", "-c", str(supervisor.config))
    assert answer.returncode == 2
    assert f"127.0.0.1:{port}" in answer.stderr
    assert "health.listen" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_bad_configuration_is_one_line_for_each_mistake(gateways: Gateways, supervisors: Supervisors) -> None:
    supervisor = supervisors(gateways())
    supervisor.config.write_text("gateway: {kind: wahaa, url: 'http://127.0.0.1:1', api_key: hush-hush}\nrecovry: {}\n")
    answer = refused("run", "-c", str(supervisor.config))
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 2
    assert "hush-hush" not in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_missing_configuration_is_said(tmp_path: Path) -> None:
    answer = refused("run", "-c", str(tmp_path / "nowhere.yaml"))
    assert answer.returncode == 2
    assert "nowhere.yaml" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_state_folder_without_permission_is_said(gateways: Gateways, supervisors: Supervisors) -> None:
    supervisor = supervisors(gateways())
    supervisor.state.mkdir(mode=0o700)
    command = [sys.executable, "-m", "wasupervisor", "run", "-c", str(supervisor.config)]
    if os.geteuid() == 0:
        # Root without the right to override permissions, and a folder of somebody else.
        os.chown(supervisor.state, 65534, 65534)
        rights = "-dac_override,-dac_read_search,-fowner,-chown"
        command = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", *command]
    else:
        supervisor.state.chmod(0o500)
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert answer.returncode == 2
    assert str(supervisor.state) in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        cannot(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.root
def test_with_a_full_disk_it_runs_on_and_only_observes(
    small_disk: Path, gateways: Gateways, supervisors: Supervisors
) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway, state=small_disk / "state").start()
    supervisor.until_condition("s1", "healthy")
    filler = small_disk / "filler"
    with filler.open("wb") as file:
        while True:
            try:
                os.write(file.fileno(), bytes(4096))
            except OSError:
                break
    gateway.fault("failed", session="s1", heals_after_restarts=1)
    supervisor.until_condition("s1", "failing")
    wait_until(
        "it says that the state cannot be written",
        lambda: any("state cannot be written" in note for note in supervisor.document()["notes"]),
    )
    assert supervisor.document()["status"] == "degraded"
    assert supervisor.get("/livez").status_code == 200
    polls = gateway.count("GET *")
    wait_until("it goes on looking", lambda: gateway.count("GET *") > polls + 10)
    assert gateway.count("POST *") == 0
    filler.unlink()
    supervisor.until_condition("s1", "healthy")
    assert gateway.count("POST */restart") == 1
    assert not any("state cannot be written" in note for note in supervisor.document()["notes"])


def test_a_damaged_state_is_moved_aside_and_told(gateways: Gateways, supervisors: Supervisors) -> None:
    supervisor = supervisors(gateways()).start()
    supervisor.until_condition("s1", "healthy")
    supervisor.kill()
    for path in supervisor.state.glob("state.db*"):
        path.write_bytes(b"this is no database" * 1000)
    supervisor.start()
    assert any("damaged" in note or "moved" in note for note in supervisor.document()["notes"])
    supervisor.until_condition("s1", "healthy")


def test_a_hung_daemon_would_not_feed_the_watchdog(
    tmp_path: Path, gateways: Gateways, supervisors: Supervisors
) -> None:
    """systemd hears READY, STATUS, WATCHDOG for finished cycles, RELOADING and STOPPING, in that order."""
    address = str(tmp_path / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(address)
        ear.settimeout(20)
        supervisor = supervisors(gateways(), environ={"NOTIFY_SOCKET": address}).start()
        heard: list[str] = []
        while not any("WATCHDOG=1" in one for one in heard):
            heard.append(ear.recv(4096).decode())
        assert heard[0].startswith("READY=1")
        supervisor.signal(signal.SIGHUP)
        while not any("RELOADING=1" in one and "MONOTONIC_USEC=" in one for one in heard):
            heard.append(ear.recv(4096).decode())
        supervisor.signal(signal.SIGTERM)
        while not any("STOPPING=1" in one for one in heard):
            heard.append(ear.recv(4096).decode())
        assert any("STATUS=" in one for one in heard)
        assert supervisor.wait() == 0


def test_a_look_without_any_file_changes_nothing(tmp_path: Path, gateways: Gateways) -> None:
    gateway = gateways("waha", "2")
    gateway.fault("failed", session="s1")
    time.sleep(0.1)
    environ = {**os.environ, "KEY": "secret-key", "HOME": str(tmp_path), "STATE_DIRECTORY": str(tmp_path / "state")}
    look = ["check", "--gateway", "waha", "--url", gateway.url, "--api-key-env", "KEY"]
    answer = refused(*look, env=environ)
    assert answer.returncode == 1
    assert "s1 is failing" in answer.stdout
    assert gateway.count("POST *") == 0
    assert not (tmp_path / "state").exists()


def test_the_state_of_a_later_release_is_refused_and_left_alone(gateways: Gateways, supervisors: Supervisors) -> None:
    supervisor = supervisors(gateways()).start()
    supervisor.stop()
    database = supervisor.state / "state.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.commit()
    before = database.read_bytes()
    answer = refused("run", "-c", str(supervisor.config))
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1
    assert "99" in answer.stderr
    assert database.read_bytes() == before


def test_hashed_names_never_leave_through_the_port_or_the_file(gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways("waha", "5511987654321,5511912345678")
    supervisor = supervisors(gateway)
    supervisor.config.write_text(supervisor.config.read_text().replace("health: {", "health: {names: hashed, "))
    supervisor.start()
    gateway.fault("logged_out", session="5511987654321")
    wait_until("somebody is told", lambda: supervisor.document()["breakers"]["held"] == 1)
    read_only = [supervisor.get(path).text for path in ("/health", "/readyz?verbose", "/livez", "/startupz")]
    read_only.append((supervisor.folder / "health.json").read_text())
    assert not any("55119" in text for text in read_only)
    hashed = next(one["name"] for one in supervisor.document()["sessions"] if one["condition"] == "fatal")
    assert supervisor.get(f"/health/sessions/{hashed}").status_code == 503
    assert "5511987654321" in supervisor.command("status").stdout
