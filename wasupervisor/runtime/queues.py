"""The job queues, for a person who asks: how deep they are, and their failed jobs put back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from wasupervisor.config.redis_url import Place, redis_address
from wasupervisor.config.schema import Queue, Redis, Settings
from wasupervisor.keyspace.trouble import KeyspaceError
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.queue.depth import Depth, depths
from wasupervisor.queue.retry import Retried, RetryError, journal_text, plan, retry_failed
from wasupervisor.runtime.wiring import open_redis


class NoQueueError(Exception):
    """The configuration names no such queue; what to do about it."""


async def look(settings: Settings, wall: Callable[[], float] = time.time) -> tuple[Depth, ...]:
    """How deep the configured queues are.

    Raises:
        NoQueueError: none is configured.
        KeyspaceError: Redis does not answer.
    """
    queue, redis = configured(settings)
    async with await open_redis(redis) as servers:
        return await depths(queue.names, queue.prefix, servers.node_of, wall())


async def put_back(
    settings: Settings, name: str | None, limit: int | None, wall: Callable[[], float] = time.time
) -> tuple[Retried, ...]:
    """Put failed jobs back for another try: of all configured queues, or of one; at the most `limit`.

    Raises:
        NoQueueError: none is configured, or none of this name.
        RetryError: it cannot be done at all.
        KeyspaceError: Redis does not answer.
    """
    queue, redis = configured(settings, name)
    names = queue.names if name is None else (name,)
    async with await open_redis(redis) as servers:
        if servers.is_cluster:
            raise RetryError("failed jobs are not put back in a Redis Cluster: use the application's own tools")
        steps = plan(await depths(names, queue.prefix, servers.node_of, wall()), limit)
        return await retry_failed(steps, queue.prefix, _client_options(redis, servers.nodes[0].place))


class Ordered(NamedTuple):
    """What became of an order to put failed jobs back."""

    queues: tuple[Retried, ...] = ()
    error: str | None = None
    """Why nothing at all was done."""


async def order_retry(
    settings: Settings, name: str | None, limit: int | None, by: str, note: Callable[[Entry], None]
) -> Ordered:
    """`put_back` for somebody who asked the daemon; the journal has it before and after."""
    which = "all queues" if name is None else f"queue {name!r}"
    most = "" if limit is None else f", at the most {limit}"
    asked = f"{by or 'somebody'} orders the failed jobs of {which} put back{most}"
    note(Entry(kind=EntryKind.ORDER, text=asked))
    try:
        done = await put_back(settings, name, limit)
    except (NoQueueError, RetryError, KeyspaceError) as error:
        note(Entry(kind=EntryKind.REDIS, text=f"no failed job was put back: {error}", warn=True))
        return Ordered(error=str(error))
    for one in done:
        note(Entry(kind=EntryKind.REDIS, text=journal_text(one), warn=not one.done))
    return Ordered(done)


def configured(settings: Settings, name: str | None = None) -> tuple[Queue, Redis]:
    """The two sections that this needs.

    Raises:
        NoQueueError: one is missing, or the queue that is named is none of them.
    """
    if settings.queue is None:
        raise NoQueueError("no queue is configured: name those to watch in `queue.names`")
    if settings.redis is None:
        raise NoQueueError("no Redis is configured: set `redis.url` to where the queues are")
    if name is not None and name not in settings.queue.names:
        known = ", ".join(map(repr, settings.queue.names))
        raise NoQueueError(f"{name!r} is no queue of the configuration; `queue.names` has {known}")
    return settings.queue, settings.redis


def _client_options(redis: Redis, place: Place) -> dict[str, Any]:
    """One server as keyword arguments of redis-py's client: the primary, where sentinels named it."""
    address = redis_address(redis.url.reveal())
    options: dict[str, Any] = {
        "db": address.database,
        "username": address.login.user,
        "password": address.login.password,
    }
    if place.path:
        return {**options, "unix_socket_path": place.path}
    options |= {"host": place.host, "port": place.port}
    if address.tls or (address.scheme == "sentinel" and redis.tls.ca_file is not None):
        files = {"ssl_ca_certs": redis.tls.ca_file, "ssl_certfile": redis.tls.cert_file}
        files["ssl_keyfile"] = redis.tls.key_file
        options |= {"ssl": True, **{key: str(file) for key, file in files.items() if file is not None}}
    return options
