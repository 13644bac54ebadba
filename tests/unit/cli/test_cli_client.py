"""When the daemon cannot be reached, the command says why and exits 3."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path

import pytest
from cli_daemon import Daemon, document, run

from wasupervisor.cli import client as client_module
from wasupervisor.cli.client import find_socket
from wasupervisor.report.connection import Response


def config_for(path: Path, folder: Path) -> str:
    file = folder / "config.yaml"
    file.write_text(f"gateway: {{kind: waha, url: 'http://h:1'}}\ncontrol: {{socket: {path}}}\n")
    return str(file)


@pytest.mark.parametrize("words", [["status"], ["history"], ["explain", "s"], ["recover", "s"], ["pause"], ["reload"]])
def test_without_a_daemon_every_command_says_so(tmp_path: Path, words: list[str]) -> None:
    result = run("-c", config_for(tmp_path / "c.sock", tmp_path), *words)
    assert (result.exit_code, result.stdout) == (3, "")
    assert f"cannot be reached at {tmp_path}/c.sock: there is no socket. Is it running?" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_socket_that_nobody_listens_on_is_told(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    result = run("-c", config_for(path, tmp_path), "status")
    assert result.exit_code == 3
    assert "nobody listens. Is it running?" in result.stderr


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    path.write_text("")
    result = run("-c", config_for(path, tmp_path), "status")
    assert result.exit_code == 3
    assert "that is no socket" in result.stderr


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    result = run("-c", config_for(tmp_path / "run" / "c.sock", tmp_path), "status")
    assert result.exit_code == 3
    assert "Not a directory" in result.stderr


def test_without_permission_it_is_said_who_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbidden(socket.socket):
        def connect(self, address: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("wasupervisor.cli.client.socket.socket", Forbidden)
    result = run("-c", config_for(tmp_path / "c.sock", tmp_path), "status")
    assert result.exit_code == 3
    assert "permission denied; root and members of the group wasupervisor may connect" in result.stderr


WORDS = ["status"], ["history"], ["recover", "s"], ["qr", "s", "--raw"], ["reload"], ["redis", "quarantine"]


@pytest.mark.parametrize("words", WORDS)
def test_a_daemon_that_does_not_take_our_commands_says_who_may(tmp_path: Path, words: list[str]) -> None:
    daemon = Daemon(tmp_path)
    daemon.then = lambda _: Response.json(403, {"error": "permission denied; root may use it"})
    result = daemon.run(*words)
    daemon.close()
    assert (result.exit_code, result.stdout) == (3, "")
    told = f"the daemon cannot be reached at {daemon.socket}: permission denied; root may use it"
    assert result.stderr == f"wasupervisor: {told}\n"


@pytest.mark.parametrize("last_words", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"SSH-2.0-OpenSSH\r\n"])
def test_a_daemon_that_ends_in_the_middle_is_told(tmp_path: Path, last_words: bytes) -> None:
    path = tmp_path / "c.sock"

    def hang_up() -> None:
        client, _ = listener.accept()
        client.recv(10)
        client.sendall(last_words)
        client.close()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=hang_up)
        thread.start()
        result = run("-c", config_for(path, tmp_path), "status")
        thread.join()
    assert result.exit_code in (1, 3)
    assert "wasupervisor: the daemon c" in result.stderr


def test_a_daemon_that_does_not_answer_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.sock"
    monkeypatch.setattr(client_module, "ANSWER_WITHIN", 0.05)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        result = run("-c", config_for(path, tmp_path), "status")
    assert result.exit_code == 3
    assert "no answer within" in result.stderr


def test_a_bad_configuration_is_usage(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("gateway: {kind: wahaa}\n")
    result = run("status", "-c", str(file))
    assert result.exit_code == 2
    assert all(line.startswith("wasupervisor: ") for line in result.stderr.splitlines())


def test_a_secret_that_is_not_set_here_does_not_matter_to_an_operator(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    try:
        text = daemon.config.read_text().replace("url:", "api_key: '${NOWHERE}', url:")
        daemon.config.write_text(text)
        daemon.answer("/health", document())
        assert daemon.run("status").exit_code == 0
    finally:
        daemon.close()


def test_the_socket_is_looked_for_where_a_daemon_would_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "DEFAULT_FILE", tmp_path / "nowhere.yaml")
    monkeypatch.setattr(Path, "exists", lambda _self: False)
    environ = {"RUNTIME_DIRECTORY": str(tmp_path), "HOME": str(tmp_path)}
    system = Path("/run/wasupervisor/control.sock")
    if not os.path.lexists(system):
        assert find_socket(None, environ) == system
        (tmp_path / "control.sock").touch()
        assert find_socket(None, environ) == tmp_path / "control.sock"


def test_a_default_file_that_we_may_not_read_leaves_the_default_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("this is: [no configuration")
    monkeypatch.setattr(client_module, "DEFAULT_FILE", file)
    (tmp_path / "control.sock").touch()
    environ = {"RUNTIME_DIRECTORY": str(tmp_path)}
    found = find_socket(None, environ)
    assert found in (tmp_path / "control.sock", Path("/run/wasupervisor/control.sock"))
