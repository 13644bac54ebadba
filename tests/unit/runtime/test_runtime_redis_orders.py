"""The verbs about Redis: what is answered, what is journaled, and what is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis_fixtures import RedisServer
from runtime_scenes import settings_in

from wasupervisor.host.moments import boottime
from wasupervisor.keyspace.watch import KeyspaceWatch
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.report.connection import Request, Response
from wasupervisor.runtime.control_redis import METHODS, answer_redis
from wasupervisor.runtime.redis_orders import NotDoneError, RedisOrders, RedisWish, without_daemon
from wasupervisor.runtime.wiring import open_keys

pytestmark = pytest.mark.anyio

EVOLUTION = "gateway: {kind: evolution, url: 'http://127.0.0.1:9', api_key: k, timeout: 2s}\n"
KEY = "evo:groups:1"
VALUE = b"s3cr3t"


class Scene:
    """Orders of root, and what was journaled."""

    def __init__(self, watch: KeyspaceWatch | None) -> None:
        self.journal: list[Entry] = []
        self.watch = watch
        self.orders = RedisOrders(watch, self.journal.append, "root")

    async def ask(self, verb: str, body: Any = None, method: str = "") -> Response:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        request = Request(method or METHODS.get(verb, "POST"), f"/redis/{verb}", {}, {}, content, None)
        return await answer_redis(request, self.orders)


def told(answer: Response) -> Any:
    return json.loads(answer.body)


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Any]:
    with redis_server.client() as it:
        yield it


@pytest.fixture
async def scene(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Scene]:
    settings = settings_in(tmp_path, f"redis: {{url: '{redis_server.url}', prefix: evo}}\n", EVOLUTION)
    watch = open_keys(settings, boottime)
    assert watch is not None
    watch.know("2.3.6", (("shop", "1"),), ())
    yield Scene(watch)
    await watch.aclose()


def mistype(client: Any, key: str = KEY) -> None:
    client.hset(key, "f", VALUE)


async def test_a_repair_is_journaled_with_who_and_each_key(scene: Scene, client: Any) -> None:
    mistype(client)
    answer = await scene.ask("repair", {"pattern": "evo:*"})
    assert answer.status == 200
    (one,) = told(answer)["keys"]
    assert (one["done"], one["key"], told(answer)["is_done"]) == ("done", KEY, True)
    assert [(entry.kind, entry.outcome) for entry in scene.journal] == [
        (EntryKind.ORDER, None),
        (EntryKind.REDIS, "set_aside"),
    ]
    assert scene.journal[0].text == "root orders keys in Redis to be set aside: mistyped keys that match 'evo:*'"
    assert one["id"] in scene.journal[1].text


async def test_to_look_is_not_journaled(scene: Scene, client: Any) -> None:
    mistype(client)
    assert told(await scene.ask("check"))["well"] is False
    assert told(await scene.ask("repair", {"dry_run": True}))["keys"][0]["done"] == "would"
    assert told(await scene.ask("quarantine")) == {"keys": []}
    assert scene.journal == []
    assert client.keys("wasupervisor:*") == []


async def test_undo_and_purge_are_journaled_as_what_they_are(scene: Scene, client: Any) -> None:
    mistype(client)
    mistype(client, "evo:groups:2")
    first, second = (one["id"] for one in told(await scene.ask("repair"))["keys"])
    scene.journal.clear()
    assert told(await scene.ask("undo", {"id": first}))["done"] == "done"
    assert told(await scene.ask("purge", {"id": second}))["done"] == "done"
    assert [entry.outcome for entry in scene.journal] == [None, "put_back", None, "deleted"]
    assert [entry.text for entry in scene.journal if entry.kind is EntryKind.ORDER] == [
        f"root orders keys in Redis to be put back from quarantine: {first}",
        f"root orders keys in Redis to be deleted from quarantine for good: {second}",
    ]
    assert client.keys("wasupervisor:quarantine:*") == []


async def test_what_was_not_done_is_not_journaled_as_done(scene: Scene, client: Any) -> None:
    mistype(client)
    (one,) = told(await scene.ask("repair"))["keys"]
    client.set(KEY, "good")
    scene.journal.clear()
    assert told(await scene.ask("undo", {"id": one["id"]}))["done"] == "left"
    assert [entry.kind for entry in scene.journal] == [EntryKind.ORDER]


@pytest.mark.parametrize("verb", ["undo", "purge"])
async def test_an_id_that_nobody_has_is_409(verb: str, scene: Scene) -> None:
    answer = await scene.ask(verb, {"id": "123456789abc"})
    assert (answer.status, "no key in quarantine has the id" in told(answer)["error"]) == (409, True)


@pytest.mark.parametrize("verb", METHODS)
async def test_where_none_is_configured_it_is_409(verb: str) -> None:
    answer = await Scene(None).ask(verb)
    assert answer.status == 409
    assert told(answer)["error"] == "no Redis is configured: set `redis.url` to where the gateway's keys are"


@pytest.mark.parametrize("verb", sorted(METHODS.keys() - {"held"}))  # which tells what the last look found
async def test_a_redis_that_is_away_is_503_and_an_order_says_so(verb: str, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, "redis: {url: 'redis://u:hunter2@127.0.0.1:1/0'}\n", EVOLUTION)
    scene = Scene(open_keys(settings, boottime))
    answer = await scene.ask(verb, {"id": "1"})
    assert answer.status == 503
    assert "127.0.0.1:1 cannot be reached" in told(answer)["error"]
    assert "hunter2" not in f"{answer} {scene.journal}"
    texts = [entry.text for entry in scene.journal]
    assert len(texts) == (2 if verb in ("repair", "undo", "purge") else 0)
    assert all(entry.warn for entry in scene.journal[1:])


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"\xff", {"patern": "x"}, {"pattern": 1}, {"dry_run": "yes"}, {"id": None}, b'{"pattern":"\\udcff"}'],
)
async def test_a_body_that_cannot_be_read_is_400_and_nothing_is_done(body: Any, scene: Scene, client: Any) -> None:
    mistype(client)
    answer = await scene.ask("repair", body)
    assert (answer.status, scene.journal, client.exists(KEY)) == (400, [], 1)
    assert told(answer)["error"].startswith("cannot read the request's body: ")


@pytest.mark.parametrize("verb", METHODS)
async def test_each_verb_has_one_method(verb: str, scene: Scene) -> None:
    other = "GET" if METHODS[verb] == "POST" else "POST"
    answer = await scene.ask(verb, {}, method=other)
    assert (answer.status, dict(answer.headers).get("Allow")) == (405, METHODS[verb])


@pytest.mark.parametrize("verb", ["", "flushall", "check/", "../gateway"])
async def test_another_verb_is_404(verb: str, scene: Scene) -> None:
    answer = await scene.ask(verb)
    assert (answer.status, "/redis/undo" in told(answer)["error"]) == (404, True)
    with pytest.raises(KeyError):
        await scene.orders.do(verb, RedisWish())


async def test_no_value_is_in_an_answer_or_in_the_journal(scene: Scene, client: Any) -> None:
    mistype(client)
    client.set("evo:instance:1", VALUE)
    bodies = [(await scene.ask(verb)).body for verb in ("check", "repair", "quarantine")]
    assert VALUE not in b"".join(bodies)
    assert VALUE.decode() not in str(scene.journal)


async def test_without_a_daemon_a_gateway_that_is_away_is_waited_for_and_told(
    redis_server: RedisServer, client: Any, tmp_path: Path
) -> None:
    mistype(client)
    settings = settings_in(tmp_path, f"redis: {{url: '{redis_server.url}', prefix: evo}}\n", EVOLUTION)
    async with without_daemon(settings, "root") as orders:
        found = await orders.do("check", RedisWish())
        assert (found["well"], found["wrong"]) == (False, ())
        assert "version is not known" in found["unknown"]
        with pytest.raises(NotDoneError, match="no key in quarantine"):
            await orders.do("undo", RedisWish(id="1"))
    assert not any(one["name"] == "wasupervisor" for one in client.client_list())


async def test_who_is_held_is_told_with_the_key_and_without_its_value(scene: Scene, client: Any) -> None:
    watch = scene.watch
    assert watch is not None
    key = "evo:instance:1"
    client.set(key, VALUE)
    await watch.look()
    answer = await scene.ask("held")
    (one,) = told(answer)["held"]
    assert (one["session"], one["key"], one["aside"]) == ("shop", key, [])
    assert VALUE.decode() not in answer.body.decode()
    assert scene.journal == []
    assert (await scene.ask("held", method="POST")).status == 405
