"""How the package bullmq is told to reach the Redis that the configuration names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from queue_fixtures import Bull
from redis_fixtures import RedisServer

from wasupervisor.config.redis_url import Place
from wasupervisor.config.schema import Gateway, Queue, Redis, RedisTls, Settings
from wasupervisor.config.secret import Secret
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.queue.retry import BULL, Retried
from wasupervisor.runtime.queues import _client_options, look, order_retry, put_back

pytestmark = pytest.mark.anyio

HERE = Place("h", 7)
TLS = RedisTls(ca_file=Path("/ca"), cert_file=Path("/cert"))
NOBODY = {"username": None, "password": None}


@pytest.mark.parametrize(
    ("url", "place", "tls", "options"),
    [
        ("redis://h:7/6", HERE, RedisTls(), {"host": "h", "port": 7, "db": 6, **NOBODY}),
        (
            "redis://u:p%40ss@h:7",
            HERE,
            RedisTls(),
            {"host": "h", "port": 7, "db": 0, "username": "u", "password": "p@ss"},
        ),
        (
            "unix:///run/r.sock?db=3",
            Place("", 0, "/run/r.sock"),
            RedisTls(),
            {"unix_socket_path": "/run/r.sock", "db": 3, **NOBODY},
        ),
        ("rediss://h:7/0", HERE, RedisTls(), {"host": "h", "port": 7, "db": 0, "ssl": True, **NOBODY}),
        (
            "rediss://h:7/0",
            HERE,
            TLS,
            {"host": "h", "port": 7, "db": 0, "ssl": True, "ssl_ca_certs": "/ca", "ssl_certfile": "/cert", **NOBODY},
        ),
        ("sentinel://s:1/mymaster/2", HERE, RedisTls(), {"host": "h", "port": 7, "db": 2, **NOBODY}),
        (
            "sentinel://s:1/mymaster/2",
            HERE,
            RedisTls(ca_file=Path("/ca")),
            {"host": "h", "port": 7, "db": 2, "ssl": True, "ssl_ca_certs": "/ca", **NOBODY},
        ),
    ],
)
def test_each_kind_of_url_becomes_options_of_one_server(
    url: str, place: Place, tls: RedisTls, options: dict[str, Any]
) -> None:
    assert _client_options(Redis(url=Secret(url), tls=tls), place) == options
    redis.asyncio.Redis(**options)  # which knows them all


def settings_for(url: str, *names: str) -> Settings:
    return Settings(
        gateway=Gateway(kind="waha", url="http://h:1"), redis=Redis(url=Secret(url)), queue=Queue(names=names)
    )


async def test_both_go_through_a_unix_socket_and_another_database(bull: Bull, redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.acl_setuser("tester", enabled=True, passwords=["+s3cret"], commands=["+@all"], keys=["*"])
    bull.add("bullmq", "q", 2)
    bull.work("bullmq", "q", "failed", 2)
    settings = settings_for(f"unix://tester:s3cret@{redis_server.socket}?db=0", "q")
    try:
        (done,) = await put_back(settings, None, 1)
        (one,) = await look(settings)
    finally:
        with redis_server.client() as client:
            client.acl_deluser("tester")
    assert (done.number, one.waiting, one.failed) == (1, 1, 1)


async def test_an_order_is_journaled_with_who_which_and_how_many(bull: Bull, redis_server: RedisServer) -> None:
    bull.add("bullmq", "a b", 3)
    bull.work("bullmq", "a b", "failed", 3)
    bull.add("bull", "old", 1)
    bull.work("bull", "old", "failed", 1)
    notes: list[Entry] = []
    ordered = await order_retry(settings_for(redis_server.url, "a b", "old"), None, 2, "root", notes.append)
    assert [(one.queue, one.number) for one in ordered.queues] == [("a b", 2), ("old", 0)]
    assert [(one.kind, one.text, one.warn) for one in notes] == [
        (EntryKind.ORDER, "root orders the failed jobs of all queues put back, at the most 2", False),
        (EntryKind.REDIS, "queue 'a b': 2 failed jobs wait again", False),
        (EntryKind.REDIS, f"queue 'old': nothing is put back: {BULL.format(failed=1)}", True),
    ]


async def test_an_order_that_cannot_be_carried_out_is_journaled_with_why() -> None:
    notes: list[Entry] = []
    ordered = await order_retry(settings_for("redis://u:hunter2@127.0.0.1:1/0", "q"), "q", None, "", notes.append)
    assert ordered.queues == ()
    assert notes[1].text == f"no failed job was put back: {ordered.error}"
    assert notes[0].text == "somebody orders the failed jobs of queue 'q' put back"
    assert notes[1].warn
    assert "hunter2" not in notes[1].text


async def test_the_user_of_the_documentation_can_put_jobs_back(bull: Bull, redis_server: RedisServer) -> None:
    text = (Path(__file__).parents[3] / "docs" / "redis.md").read_text(encoding="utf-8")
    users = re.findall(r"^ACL SETUSER wasupervisor (.*?)^```", text, re.MULTILINE | re.DOTALL)
    extra = re.search(r"^`(\+script\|load .*)`\.$", text, re.MULTILINE)
    assert extra is not None
    words = " ".join((*users, extra[1])).replace("\\\n", " ").replace("PASSWORD", "secret").split()
    bull.add("bullmq", "q", 2)
    bull.work("bullmq", "q", "failed", 2)
    with redis_server.client() as client:
        client.script_flush()
        client.execute_command("ACL", "SETUSER", "documented", "reset", *words)
        try:
            settings = settings_for(redis_server.url.replace("//", "//documented:secret@"), "q")
            done = await put_back(settings, None, None)
        finally:
            client.acl_deluser("documented")
    assert done == (Retried(queue="q", number=2, text="2 failed jobs wait again"),)
