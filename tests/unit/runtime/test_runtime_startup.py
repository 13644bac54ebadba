"""What stands against a start is one clear line, and nothing is deleted that is not ours."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from wasupervisor.runtime.startup import StartError, listen_tcp, listen_unix


def why_not(open_it: Callable[[], socket.socket]) -> str:
    """The one line that a person sees."""
    with pytest.raises(StartError) as caught:
        open_it().close()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def unix(path: Path) -> socket.socket:
    return listen_unix(path, "control.socket")


def tcp(host: str, port: int) -> socket.socket:
    return listen_tcp(host, port, "health.listen")


def test_a_free_port_is_taken() -> None:
    with tcp("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        pass


def test_a_port_that_is_taken_is_named_with_its_key_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        text = why_not(lambda: tcp("127.0.0.1", port))
    assert text.startswith(f"cannot listen on 127.0.0.1:{port} (health.listen): Address already in use")
    assert "stop it" in text


def test_an_address_of_another_host_is_told() -> None:
    text = why_not(lambda: tcp("192.0.2.1", 0))
    assert "192.0.2.1:0 (health.listen)" in text
    assert "no such address" in text


def test_a_host_name_that_nobody_knows_is_told() -> None:
    assert "nowhere.invalid:0 (health.listen)" in why_not(lambda: tcp("nowhere.invalid", 0))


def test_the_control_socket_is_for_the_owner_and_the_group(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with unix(tmp_path / "new" / "control.sock"):
            mode = (tmp_path / "new" / "control.sock").stat().st_mode
        assert stat.S_IMODE(mode) == 0o660
        assert os.umask(0) == 0
    finally:
        os.umask(before)


def test_the_socket_of_a_daemon_that_was_killed_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    unix(path).close()
    assert path.is_socket()
    with unix(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_daemon_that_answers_keeps_its_socket(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with unix(path):
        assert "another daemon answers there; stop it" in why_not(lambda: unix(path))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


@pytest.mark.parametrize("kind", ["file", "folder", "link", "link to a socket"])
def test_what_is_no_socket_is_never_taken_away(tmp_path: Path, kind: str) -> None:
    path, precious = tmp_path / "control.sock", tmp_path / "precious"
    precious.write_text("precious")
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(precious)
    else:
        unix(tmp_path / "other.sock").close()
        path.symlink_to(tmp_path / "other.sock")
    assert "something that is no socket lies there" in why_not(lambda: unix(path))
    assert os.path.lexists(path)
    assert precious.read_text() == "precious"


def test_a_path_that_is_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    text = why_not(lambda: unix(tmp_path / ("x" * 120)))
    assert "(control.socket): AF_UNIX path too long; change the key" in text


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    text = why_not(lambda: unix(tmp_path / "run" / "control.sock"))
    assert f"({tmp_path}/run)" in text
