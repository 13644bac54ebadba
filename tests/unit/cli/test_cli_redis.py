"""redis check, repair, quarantine, undo: with and without a daemon, on a real Redis."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_daemon import Daemon
from click.testing import Result
from redis_fixtures import RedisServer

VALUE = "s3cr3t-noise-key"
KEY = "waha-apps:1"
"""Of a rule of the operator: WAHA itself has no keys that a test could write in one line."""
SECTION = """
redis:
  url: '{url}'
  rules:
    - {{match: "app:*", type: string}}
    - {{match: "waha-apps:*", type: string, ttl: required}}
    - {{match: "app-creds:*", type: hash, on_wrong: report}}
"""
NOT_JOURNALED = "nothing was journaled: no daemon was there to do it\n"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A configuration without Redis."""
    it = Daemon(tmp_path)
    yield it
    it.close()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    with redis_server.client() as it:
        yield it


@pytest.fixture
def alone(daemon: Daemon, redis_server: RedisServer) -> Daemon:
    """Nobody listens at the control socket."""
    configure(daemon, redis_server.url)
    daemon.socket.unlink()
    return daemon


@pytest.fixture
def watching(daemon: Daemon, redis_server: RedisServer) -> Daemon:
    configure(daemon, redis_server.url)
    return daemon


def configure(daemon: Daemon, url: str) -> None:
    text = daemon.config.read_text(encoding="utf-8").replace("http://h:1", "http://127.0.0.1:1")
    daemon.config.write_text(text + SECTION.format(url=url), encoding="utf-8")


def mistype(client: Any, *keys: str) -> None:
    for key in keys:
        client.hset(key, "f", VALUE)
        client.expire(key, 500)


def ids(daemon: Daemon) -> dict[str, str]:
    """Of what is in quarantine, by key."""
    keys = json.loads(daemon.run("redis", "quarantine", "--json").stdout)
    return {one["key"]: one["id"] for one in keys}


def outcome(result: Result) -> tuple[int, str, str]:
    return result.exit_code, result.stdout, result.stderr


def test_a_check_of_a_redis_that_is_well_exits_0(alone: Daemon, client: Any) -> None:
    client.config_set("save", "60 1")
    client.set("app:1", "x")
    try:
        result = alone.run("redis", "check")
    finally:
        client.config_set("save", "")
    lines = result.stdout.splitlines()
    assert (result.exit_code, result.stderr) == (0, "")
    assert lines[0].startswith("1 key looked at in ")
    assert lines[0].endswith(" s; 0 in quarantine")
    assert lines[1].split() == ["rule", "keys", "that", "match", "must", "be", "found"]
    assert lines[2].split() == ["keys", "of", "your", "rule", "app:*", "app:*", "string", "1"]
    assert len(lines) == 3, "a rule without any key is not shown"


def test_a_check_exits_1_and_says_what_is_wrong_and_what_becomes_of_it(alone: Daemon, client: Any) -> None:
    mistype(client, "app:1")
    client.set("app-creds:1", VALUE)
    client.set(KEY, VALUE)
    result = alone.run("redis", "check")
    assert result.exit_code == 1
    assert "app:1 (keys of your rule app:*) is a hash and must be a string. The daemon sets it aside" in result.stdout
    assert "is a string and must be a hash. It is left as it is: its rule says to report it only" in result.stdout
    assert "never expires and must. It is left as it is: only a wrong type is set aside" in result.stdout
    assert VALUE not in result.stdout
    assert client.keys("wasupervisor:*") == []


def test_a_check_says_when_no_rule_matches_any_key(alone: Daemon, client: Any) -> None:
    client.set("other", "x")
    result = alone.run("redis", "check")
    assert "no rule matches any key: is redis.prefix, and the database in redis.url, the gateway's?" in result.stdout


def test_a_check_in_full_shows_every_rule_and_what_it_is_for(alone: Daemon) -> None:
    result = alone.run("redis", "check", "-v")
    assert "when it is wrong" in result.stdout
    assert "app-creds:*" in result.stdout
    assert "a rule of the configuration says what it must be" in " ".join(result.stdout.split())


def test_a_check_as_json(alone: Daemon, client: Any) -> None:
    mistype(client, "app:1")
    result = alone.run("redis", "check", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["well"], found["keys"], found["quarantined"]) == (1, False, 1, 0)
    assert [(one["key"], one["type"], one["expected"]) for one in found["wrong"]] == [("app:1", "hash", "string")]


def test_a_repair_sets_aside_and_says_what_it_left(alone: Daemon, client: Any) -> None:
    mistype(client, "app:1")
    client.set("app-creds:1", VALUE)
    result = alone.run("redis", "repair")
    (wanted,) = ids(alone).values()
    assert (result.exit_code, result.stderr) == (0, NOT_JOURNALED)
    assert result.stdout.splitlines() == [
        f"app:1 (keys of your rule app:*) is a hash and must be a string: it was set aside as {wanted}",
        "1 key left as found: --verbose tells why",
    ]
    assert "its rule says to report it only" in alone.run("redis", "repair", "--verbose").stdout


def test_a_repair_may_only_say_what_it_would_do(alone: Daemon, client: Any) -> None:
    mistype(client, "app:1")
    result = alone.run("redis", "repair", "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "app:1 (keys of your rule app:*) is a hash and must be a string: it would be set aside",
        "nothing was done: --dry-run",
    ]
    assert client.keys("wasupervisor:*") == []


def test_a_repair_keeps_to_the_pattern(alone: Daemon, client: Any) -> None:
    mistype(client, "app:1", "app:2")
    assert alone.run("redis", "repair", "--pattern", "app:[2-9]").exit_code == 0
    assert client.exists("app:1") == 1
    assert client.exists("app:2") == 0
    assert alone.run("redis", "repair", "--pattern", "nothing").stdout == "no key is of the wrong type\n"


def test_a_repair_may_convert(alone: Daemon, client: Any) -> None:
    client.set("app-creds:1", '{"a":"b"}')
    result = alone.run("redis", "repair", "--convert")
    assert (result.exit_code, client.hgetall("app-creds:1")) == (0, {b"a": b"b"})
    assert "it was made a hash, and the original was set aside as " in result.stdout


def test_a_repair_that_could_not_look_at_all_exits_1_and_says_so(
    alone: Daemon, client: Any, redis_server: RedisServer
) -> None:
    mistype(client, "app:1")
    client.acl_setuser("some", enabled=True, reset=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-type"])
    text = alone.config.read_text(encoding="utf-8").replace("redis://", "redis://some:pw@")
    alone.config.write_text(text, encoding="utf-8")
    try:
        result = alone.run("redis", "repair")
    finally:
        client.acl_deluser("some")
    assert result.exit_code == 1
    assert "- could not be looked at: 1 key: " in result.stdout


def test_the_quarantine_as_a_table_and_as_json(alone: Daemon, client: Any) -> None:
    assert alone.run("redis", "quarantine").stdout == "nothing is in quarantine\n"
    assert alone.run("redis", "quarantine", "--json").stdout == "[]\n"
    mistype(client, "app:1")
    alone.run("redis", "repair")
    result = alone.run("redis", "quarantine", "--json")
    (one,) = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (0, "")
    assert list(one)[:8] == ["id", "key", "type", "expected", "ttl_seconds", "size", "at", "reason"]
    assert (one["key"], one["type"], one["expected"]) == ("app:1", "hash", "string")
    assert VALUE not in result.stdout
    table = alone.run("redis", "quarantine").stdout.splitlines()
    assert table[0].split() == ["id", "key", "was", "must", "be", "TTL", "bytes", "set", "aside"]
    assert table[1].split()[:4] == [one["id"], "app:1", "hash", "string"]


def test_undo_puts_back_what_was(alone: Daemon, client: Any) -> None:
    mistype(client, "app:1")
    dump = client.dump("app:1")
    alone.run("redis", "repair")
    result = alone.run("redis", "undo", ids(alone)["app:1"][:6])
    assert outcome(result) == (0, "app:1: it was put back as it was\n", NOT_JOURNALED)
    assert client.dump("app:1") == dump
    assert 400 < client.ttl("app:1") <= 500


def test_undo_where_another_came_exits_1_until_it_is_to_be_replaced(alone: Daemon, client: Any) -> None:
    mistype(client, "app:1")
    alone.run("redis", "repair")
    client.set("app:1", "good")
    wanted = ids(alone)["app:1"]
    result = alone.run("redis", "undo", wanted)
    assert (result.exit_code, client.get("app:1")) == (1, b"good")
    assert "another key has taken its place; --replace sets that one aside first" in result.stdout
    assert alone.run("redis", "undo", "--replace", wanted).exit_code == 0
    assert client.type("app:1") == b"hash"


def test_purge_deletes_that_one(alone: Daemon, client: Any) -> None:
    mistype(client, "app:1", "app:2")
    alone.run("redis", "repair")
    first, second = ids(alone)["app:1"], ids(alone)["app:2"]
    result = alone.run("redis", "quarantine", "--purge", first[:4])
    assert (result.exit_code, len(ids(alone))) == (2, 2)
    assert f"is the beginning of {first}: to delete it for good, write all of it" in result.stderr
    result = alone.run("redis", "quarantine", "--purge", first)
    assert outcome(result) == (0, "app:1: it was deleted from quarantine for good\n", NOT_JOURNALED)
    assert ids(alone) == {"app:2": second}


@pytest.mark.parametrize("words", [("undo", "123456789abc"), ("quarantine", "--purge", "123456789abc")])
def test_an_id_that_nobody_has_exits_2(words: tuple[str, ...], alone: Daemon) -> None:
    result = alone.run("redis", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no key in quarantine has the id '123456789abc': `redis quarantine` lists them" in result.stderr


EACH = [("check",), ("repair",), ("quarantine",), ("undo", "1"), ("quarantine", "--purge", "1")]


@pytest.mark.parametrize("words", EACH)
def test_where_no_redis_is_configured_it_exits_2_and_says_what_to_set(words: tuple[str, ...], daemon: Daemon) -> None:
    daemon.socket.unlink()
    result = daemon.run("redis", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no Redis is configured: set `redis.url` to where the gateway's keys are" in result.stderr


@pytest.mark.parametrize("words", EACH)
def test_a_redis_that_is_away_exits_1_without_the_password(words: tuple[str, ...], daemon: Daemon) -> None:
    configure(daemon, "redis://u:hunter2@127.0.0.1:1/0")
    daemon.socket.unlink()
    result = daemon.run("redis", *words)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert result.stderr.startswith("wasupervisor: cannot ")
    assert "127.0.0.1:1 cannot be reached: nobody listens there" in result.stderr
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("words", EACH)
def test_a_secret_that_is_not_there_exits_2(words: tuple[str, ...], daemon: Daemon) -> None:
    configure(daemon, "redis://${NO_SUCH_VARIABLE}@h")
    daemon.socket.unlink()
    result = daemon.run("redis", *words)
    assert (result.exit_code, "NO_SUCH_VARIABLE" in result.stderr) == (2, True)


# Through the daemon


@pytest.mark.parametrize(
    ("words", "path", "body"),
    [
        (("check",), "/redis/check", {}),
        (("repair", "--dry-run", "--pattern", "a*"), "/redis/repair", {"dry_run": True, "pattern": "a*"}),
        (("repair", "--convert"), "/redis/repair", {"convert": True}),
        (("undo", "--replace", "12"), "/redis/undo", {"id": "12", "replace": True}),
        (("quarantine", "--purge", "12"), "/redis/purge", {"id": "12"}),
    ],
)
def test_the_daemon_is_asked_and_what_it_refuses_is_not_tried_here(
    words: tuple[str, ...], path: str, body: dict[str, Any], watching: Daemon, client: Any
) -> None:
    mistype(client, "app:1")
    nothing: dict[str, Any] = {"pattern": None, "dry_run": False, "convert": False, "id": "", "replace": False}
    for status, exit_code in ((409, 2), (503, 1), (500, 1)):
        watching.answer(path, {"error": "it cannot"}, status)
        result = watching.run("redis", *words)
        assert (result.exit_code, result.stdout) == (exit_code, "")
        assert result.stderr.endswith(": it cannot\n")
    assert [one.path for one in watching.asked] == [path] * 3
    assert watching.bodies() == [{**nothing, **body}] * 3
    assert client.keys("wasupervisor:*") == []


def test_what_the_daemon_did_is_journaled(watching: Daemon) -> None:
    watching.answer("/redis/undo", {"key": "app:1", "done": "done", "text": "app:1: it was put back", "id": "12"})
    result = watching.run("redis", "undo", "12")
    assert outcome(result) == (0, "app:1: it was put back\n", "")


def test_a_daemon_that_does_not_know_the_verb_leaves_it_to_the_command(watching: Daemon, client: Any) -> None:
    mistype(client, "app:1")
    watching.answer("/redis/repair", {"error": "not found"}, 404)
    assert watching.run("redis", "repair").exit_code == 0
    assert client.exists("app:1") == 0


def test_a_socket_that_we_may_not_use_is_no_daemon_that_is_not_there(
    watching: Daemon, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistype(client, "app:1")

    def refuse(*_arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("wasupervisor.cli.client._Connection.connect", refuse)
    result = watching.run("redis", "repair")
    assert (result.exit_code, client.exists("app:1")) == (3, 1)
    assert "root and members of the group wasupervisor may connect" in result.stderr


def test_a_user_without_a_name_is_told_by_number(alone: Daemon, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1000810000")

    monkeypatch.setattr(getpass, "getuser", nameless)
    mistype(client, "app:1")
    assert alone.run("redis", "repair").exit_code == 0
    (note,) = client.keys("wasupervisor:note:*")
    assert client.hget(note, "by") == f"uid {os.getuid()}".encode()
