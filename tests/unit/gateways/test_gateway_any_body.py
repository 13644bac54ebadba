"""Any bytes, any JSON, any status: a Look, never an exception, and never 'all sessions gone' from nonsense."""

from __future__ import annotations

import json
from typing import Any

import anyio
import httpx
import pytest
import respx
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from wasupervisor.gateways.base import Answer, fits, open_gateway
from wasupervisor.gateways.evolution_answers import (
    is_no_route,
    read_connection_state,
    read_metrics,
    read_rows,
    says_error,
)
from wasupervisor.gateways.http import Failure, Reply
from wasupervisor.gateways.waha import read_list, read_run, read_version
from wasupervisor.model.observation import CloseLook, Look

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
words = st.sampled_from(["WORKING", "FAILED", "open", "close", "connecting", "WHATSAPP-BAILEYS", "401", "error"])
keys = st.sampled_from(
    ["name", "status", "me", "id", "connectionStatus", "disconnectionReasonCode", "integration", "ownerJid", "instance",
     "instanceName", "state", "error", "startTimestamp", "version", "engine", "message", "response"]
)  # fmt: skip
anything = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | st.text(max_size=5), inner, max_size=6),
    max_leaves=25,
)
entries = st.lists(st.dictionaries(keys, scalars | words | anything, max_size=8) | anything, max_size=6)
lines_of_metrics = st.sampled_from(
    [
        "evolution_instances_total 1",
        'evolution_instance_state{instance="a",state="open"} 1',
        "# HELP x",
        "\\",
        '"',
        "}",
    ]
)
series = st.lists(lines_of_metrics | st.text(max_size=30), max_size=6).map(
    lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass")
)
bodies = (
    st.binary(max_size=200)
    | (anything | entries).map(lambda value: json.dumps(value).encode())
    | entries.map(lambda value: json.dumps(value).encode()[:-3])
    | series
)

DEEP = b'[{"name":' + b"[" * 100_000


@given(bodies)
@settings(deadline=None)
@example(DEEP)
@example(b"[" * 100_000)
@example(b'[{"name":"\\ud800"}]')
@example(b'[{"name":"\xff"}]')
@example(b'{"instance":' * 50_000)
def test_no_reader_raises(body: bytes) -> None:
    read = read_list(body)
    if not isinstance(read, Failure):
        assert json.loads(body) == [] or read.sightings
        assert all(fits(one.name) for one in read.sightings)
    rows = read_rows(body)
    if rows is not None:
        assert rows.by_name or json.loads(body) == []
        assert all(fits(name) for name in rows.by_name)
    page = read_metrics(body)
    assert page is None or all(fits(name) for name in page.states)
    read_connection_state(body)
    says_error(body)
    for status in (200, 404):
        is_no_route(Reply(status, body))
        read_run(Reply(status, body))
        read_version(Reply(status, body))


statuses = st.sampled_from([200, 200, 200, 201, 204, 301, 400, 401, 403, 404, 422, 500, 503]) | st.integers(200, 599)
field_names = ["content-type", "content-length-x", "location", "set-cookie", "content-encoding", "retry-after"]
field_values = ["", "gzip", "identity", "text/html", "x", "application/json; charset=latin-1", "http://[", "=;;,"]
headers = st.dictionaries(st.sampled_from(field_names), st.sampled_from(field_values))
answers = st.tuples(statuses, headers, bodies)


async def use(kind: str, given_answers: list[tuple[int, dict[str, str], bytes]]) -> list[Any]:
    turn = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal turn
        status, fields, body = given_answers[turn % len(given_answers)]
        turn += 1
        # The headers are put on afterwards: httpx would unpack the body at once.
        response = httpx.Response(status, content=body)
        response.headers.update(fields)
        return response

    gateway = open_gateway(
        kind, "http://gateway.test", "key", timeout=5.0, action_timeout=5.0, clock=lambda: float(turn)
    )
    with respx.mock as api:
        api.route().mock(side_effect=answer)
        seen = [await gateway.look(), await gateway.look(), await gateway.look_closely("a")]
        acted = [await gateway.start_session("a"), await gateway.restart_session("a")]
    await gateway.aclose()
    return [*seen, *acted]


@pytest.mark.parametrize("kind", ["waha", "evolution"])
@given(given_answers=st.lists(answers, min_size=1, max_size=5))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_answered_each_verb_gives_its_value(
    kind: str, given_answers: list[tuple[int, dict[str, str], bytes]]
) -> None:
    first, second, close, started, restarted = anyio.run(use, kind, given_answers)
    for look in (first, second):
        assert isinstance(look, Look)
        assert look.sightings is not None or look.trouble is not None
    assert isinstance(close, CloseLook)
    assert isinstance(started, Answer)
    assert isinstance(restarted, Answer)
