"""`doctor` as an operator types it: with and without a daemon, beside a simulated gateway and a real Redis."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import anyio.from_thread
import pytest
from cli_daemon import Daemon, document, run
from redis_fixtures import RedisServer

from wasupervisor import __version__
from wasupervisor.runtime import diagnosis
from wasupervisor.runtime.doctor import ROWS
from wasupervisor.simulator.evolution_world import EvolutionWorld
from wasupervisor.simulator.faults import AnyFault, Http, Store
from wasupervisor.simulator.kinds import make_world
from wasupervisor.simulator.server import serve
from wasupervisor.simulator.waha_world import WahaWorld

SECRET = "s3cr3t-noise-key"


@contextmanager
def gateway(*faults: AnyFault, kind: Literal["waha", "evolution"] = "waha") -> Iterator[str]:
    """A gateway with two sessions; gives its address, and sees to it that nothing was changed."""

    async def make() -> WahaWorld | EvolutionWorld:
        return make_world(kind, ["a", "b"])

    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve(portal.call(make))) as it,
    ):
        for fault in faults:
            portal.call(it.apply, fault)
        yield it.url
        # Evolution's way to tell whether it answers at all.
        assert portal.call(it.count, "POST *") == portal.call(it.count, "POST /verify-creds")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    it = Daemon(tmp_path)
    yield it
    it.close()


def configure(file: Path, url: str, more: str = "", kind: str = "waha") -> None:
    folder = file.parent
    file.write_text(
        f"gateway: {{kind: {kind}, url: '{url}', timeout: 2s}}\nuplink: null\n"
        f"control: {{socket: {folder}/control.sock}}\nstate: {{directory: {folder}/state}}\n"
        f"health: {{file: {folder}/health.json}}\n{more}"
    )
    file.chmod(0o600)


def checks(stdout: str) -> dict[str, dict[str, Any]]:
    """By code; of several the first."""
    found: dict[str, dict[str, Any]] = {}
    for one in json.loads(stdout)["checks"]:
        found.setdefault(one["code"], one)
    return found


def test_without_a_daemon_gateway_and_redis_are_asked_and_told_in_json(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    config = tmp_path / "config.yaml"
    with gateway() as url, redis_server.client() as client:
        configure(config, url, f"redis: {{url: '{redis_server.url}'}}\n")
        client.config_set("save", "60 1")
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            result = run("doctor", "--json", "-c", str(config))
        finally:
            client.config_set("save", "")
            client.config_set("maxmemory-policy", "noeviction")
        assert client.keys("*") == []
    found = checks(result.stdout)
    assert result.exit_code == 1
    assert found["gateway.answers"]["verdict"] == "ok"
    assert found["gateway.version"]["text"] == "2024.10.8 with NOWEB"
    assert found["redis.connection"]["verdict"] == "ok"
    assert found["redis.preflight"]["verdict"] == "warning"
    assert found["redis.preflight"]["text"].startswith("maxmemory-policy is allkeys-lru")
    assert found["service.daemon"]["verdict"] == "unknown"
    facts = json.loads(result.stdout)
    assert (facts["well"], facts["asked_daemon"], facts["version"]) == (False, False, __version__)
    assert sum(facts["counts"].values()) == len(facts["checks"])
    assert list(facts["checks"][0]) == ["group", "code", "title", "verdict", "text", "why", "todo"]
    order = [row.code for row in ROWS]
    codes = [one["code"] for one in facts["checks"]]
    assert codes == sorted(codes, key=order.index)


def test_a_redis_that_is_well_and_one_that_is_away(tmp_path: Path, redis_server: RedisServer) -> None:
    config = tmp_path / "config.yaml"
    with gateway() as url, redis_server.client() as client:
        configure(config, url, f"redis: {{url: '{redis_server.url}'}}\n")
        client.config_set("save", "60 1")
        try:
            found = checks(run("doctor", "--json", "-c", str(config)).stdout)
        finally:
            client.config_set("save", "")
        assert found["redis.preflight"]["verdict"] == "ok"
        configure(config, url, f"redis: {{url: 'redis://u:{SECRET}@127.0.0.1:1/0'}}\n")
        result = run("doctor", "--json", "-c", str(config))
    assert checks(result.stdout)["redis.connection"]["verdict"] == "wrong"
    assert SECRET not in result.stdout + result.stderr


def test_an_acl_that_forbids_info_is_unknown_and_no_error(tmp_path: Path, redis_server: RedisServer) -> None:
    config = tmp_path / "config.yaml"
    with gateway() as url, redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "doc", "on", f">{SECRET}", "~*", "+@all", "-info", "-config")
        try:
            where = redis_server.url.replace("redis://", f"redis://doc:{SECRET}@")
            configure(config, url, f"redis: {{url: '{where}'}}\n")
            result = run("doctor", "--json", "-c", str(config))
        finally:
            client.execute_command("ACL", "DELUSER", "doc")
    found = [one for one in json.loads(result.stdout)["checks"] if one["code"] == "redis.preflight"]
    assert {one["verdict"] for one in found} == {"unknown"}
    assert "INFO is not available" in found[0]["text"]
    assert SECRET not in result.stdout


def test_a_daemon_is_asked_first_and_that_is_said(daemon: Daemon) -> None:
    part = {"status": "warn", "wrongtype_errors": 0, "mistyped_keys": 0, "why": "maxmemory-policy is allkeys-lru"}
    notes = ["Redis: maxmemory-policy is allkeys-lru. Why. Todo.", "Redis: 1 key in quarantine: `...` lists them"]
    daemon.answer("/health", document(version=__version__, redis=part, notes=notes))
    configure(daemon.config, "http://127.0.0.1:1", "redis: {url: 'redis://127.0.0.1:1/0'}\n")
    found = checks(daemon.run("doctor", "--json").stdout)
    assert found["service.daemon"]["verdict"] == "ok"
    assert found["process.found"]["text"] == "the daemon says pid 4711"
    assert found["redis.connection"]["text"] == "the daemon says that it answers"
    assert found["redis.preflight"]["verdict"] == "warning"
    text = daemon.run("doctor").stdout
    assert "process and Redis as the daemon sees them" in text
    assert {one.method for one in daemon.asked} == {"GET"}


@pytest.mark.parametrize(("status", "connection", "preflight"), [("fail", "wrong", None), ("pass", "ok", "ok")])
def test_the_daemons_word_on_redis(daemon: Daemon, status: str, connection: str, preflight: str | None) -> None:
    part = {"status": status, "wrongtype_errors": 0, "mistyped_keys": 0, "why": "it hangs"}
    daemon.answer("/health", document(version="0.0.1", redis=part))
    configure(daemon.config, "http://127.0.0.1:1", "redis: {url: 'redis://127.0.0.1:1/0'}\n")
    found = checks(daemon.run("doctor", "--json").stdout)
    assert found["redis.connection"]["verdict"] == connection
    assert found.get("redis.preflight", {}).get("verdict") == preflight
    assert found["service.daemon"]["verdict"] == "warning", "another version"


def test_on_a_terminal_what_is_wrong_stands_first_with_what_to_do(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    configure(config, "http://127.0.0.1:1")
    result = run("doctor", "-c", str(config), env={"COLUMNS": "300"})
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines[0].startswith("wrong  2 wrong, ")
    assert lines[1].startswith("looked at as ")
    assert lines[2].startswith("wrong    the gateway's API: http://127.0.0.1:1 does not answer: ")
    assert lines[3] == "  why       Sessions are seen and healed through it alone."
    assert lines[4].startswith("  to do     look whether it runs")
    assert any(line.startswith("could be better: who is told: ") for line in lines)
    assert lines[-1].startswith("well: the configuration file, ")
    verbose = run("doctor", "-v", "-c", str(config), env={"COLUMNS": "300"}).stdout
    assert "ok       the configuration file: " in verbose
    assert "\nwell: " not in verbose


@pytest.mark.parametrize(
    ("kind", "fault", "code"),
    [
        ("waha", Http(answer="status", status=401), "gateway.key"),
        ("evolution", Store(database="down"), "gateway.database"),
    ],
)
def test_what_the_gateway_itself_has_to_say(
    tmp_path: Path, kind: Literal["waha", "evolution"], fault: AnyFault, code: str
) -> None:
    config = tmp_path / "config.yaml"
    with gateway(fault, kind=kind) as url:
        configure(config, url, kind=kind)
        found = checks(run("doctor", "--json", "-c", str(config)).stdout)
    assert found[code]["verdict"] == "wrong"


def test_a_key_that_is_not_set_here_is_not_sent_and_not_invented(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    configure(config, "http://127.0.0.1:1")
    config.write_text(config.read_text().replace("timeout: 2s", "api_key: '${NOWHERE_TO_BE_FOUND}'"))
    result = run("doctor", "--json", "-c", str(config))
    found = checks(result.stdout)
    assert found["configuration.secrets"]["verdict"] == "unknown"
    assert "NOWHERE_TO_BE_FOUND" in found["configuration.secrets"]["text"]
    assert found["gateway.answers"]["verdict"] == "unknown"


def test_others_who_read_a_literal_secret_are_told_and_the_secret_is_not(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    configure(config, "http://127.0.0.1:1")
    config.write_text(config.read_text().replace("timeout: 2s", f"api_key: {SECRET}"))
    for folder in (config.parent, *config.parent.parents[:-1]):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)
    config.chmod(0o644)
    result = run("doctor", "--json", "-c", str(config))
    assert checks(result.stdout)["configuration.file"]["verdict"] == "warning"
    assert SECRET not in result.stdout


def test_a_daemon_that_hangs_is_wrong_and_waited_for_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "ANSWERS_WITHIN", 0.1)
    config = tmp_path / "config.yaml"
    configure(config, "http://127.0.0.1:1")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "control.sock"))
        listener.listen()
        result = run("doctor", "--json", "-c", str(config))
    assert checks(result.stdout)["service.daemon"]["verdict"] == "wrong"
    assert json.loads(result.stdout)["asked_daemon"] is False


@pytest.mark.parametrize("text", ["gateway: {kind: waha}", "gateway: [", "nonsense: 1"])
def test_a_wrong_configuration_exits_2_without_a_traceback(tmp_path: Path, text: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(text)
    result = run("doctor", "-c", str(config))
    assert (result.exit_code, result.stdout) == (2, "")
    assert all(line.startswith("wasupervisor: ") for line in result.stderr.splitlines())
    assert run("doctor", "-c", str(tmp_path / "nowhere.yaml")).exit_code == 2
