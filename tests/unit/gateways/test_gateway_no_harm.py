"""No adapter of the loop can log a session out, remove it, make one, or ask for a QR: neither its source nor its calls.

The operator's adapters are the one exception, for one call each, and nothing that the loop imports knows them.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_wire import Asked, http, wired

import wasupervisor.gateways
from wasupervisor.gateways.base import Gateway, open_gateway
from wasupervisor.gateways.codes import TABLE
from wasupervisor.gateways.evolution import UNAVAILABLE

FOLDER = Path(wasupervisor.gateways.__file__).parent
SOURCES = sorted(FOLDER.glob("*.py"))
OPERATORS = {"operator_waha.py": "/api/{}/auth/qr?format=raw", "operator_evolution.py": "/instance/connect/"}
"""The only sources that may name a forbidden call, and the only one that each may name."""

FORBIDDEN = (
    "logout", "log-out", "delete", "remove", "create", "/connect/", "/qr", "/stop", "/auth/", "pair", "/environment",
)  # fmt: skip
EVENTS = {name for cause in TABLE for name in cause.names}
"""What engines call their events and states: nothing that is called."""
METHODS = {"GET", "POST", "PUT"}
PATHS = {
    "/api/sessions?all=true",
    "/api/sessions/",
    "/api/server/status",
    "/api/server/version",
    "/ping",
    "/metrics",
    "/verify-creds",
    "/instance/fetchInstances",
    "/instance/connectionState/",
    "/instance/restart/",
    "/api/contacts/check-exists",
    "/instance/setPresence/",
}
ALLOWED = re.compile(
    r"GET (/api/sessions\?all=true|/api/server/(status|version)|/ping|/metrics"
    r"|/instance/fetchInstances(\?instanceName=[^&]*)?|/instance/connectionState/[^/]+"
    r"|/api/contacts/check-exists\?phone=[0-9]+&session=[^&]+)"
    r"|POST (/api/sessions/[^/]+/(start|restart|stop)|/instance/(restart|setPresence)/[^/]+|/verify-creds)"
    r"|PUT /instance/restart/[^/]+"
)


def texts(source: Path) -> Iterator[str]:
    """Every text in a source that is not documentation."""
    tree = ast.parse(source.read_text())
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in prose:
            if isinstance(node.value, bytes):
                yield node.value.decode("latin-1")
            elif isinstance(node.value, str):
                yield node.value


def test_there_are_sources_to_read() -> None:
    assert {"waha.py", "evolution.py", "http.py"} <= {source.name for source in SOURCES}
    assert "GET" in set(texts(FOLDER / "waha.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_no_source_names_a_call_that_destroys(source: Path) -> None:
    for text in texts(source):
        if text == OPERATORS.get(source.name):
            continue
        # Sentences for people are no calls; what is called has no blank in it.
        if " " not in text and not (source.name == "codes.py" and text in EVENTS):
            assert [word for word in FORBIDDEN if word in text.lower()] == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_every_path_and_method_in_the_sources_is_known(source: Path) -> None:
    for text in texts(source):
        if re.fullmatch(r"/[A-Za-z].*", text):
            assert text in PATHS or text == OPERATORS.get(source.name)
        if re.fullmatch(r"GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS", text):
            assert text in METHODS


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_no_source_calls_a_method_of_the_library_by_its_verb(source: Path) -> None:
    called = {node.attr for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Attribute)}
    assert called & {"delete", "patch", "put", "post", "options"} == set()


@pytest.mark.parametrize("name", OPERATORS)
def test_the_operators_adapters_name_their_one_call_once_and_are_looked_at(name: str) -> None:
    assert list(texts(FOLDER / name)).count(OPERATORS[name]) == 1
    assert any(word in OPERATORS[name] for word in FORBIDDEN)


def test_nobody_in_the_room_knows_the_operators_adapters_but_themselves() -> None:
    knowing = {source.name for source in SOURCES if "gateways.operator" in source.read_text()}
    assert knowing == {"operator.py", *OPERATORS}


LOOP = "runtime.cycle runtime.performing runtime.probing runtime.watch runtime.wiring decide.step"


def test_what_the_loop_imports_does_not_bring_the_operators_adapters_along() -> None:
    code = "import sys\n" + "".join(f"import wasupervisor.{one}\n" for one in LOOP.split())
    code += "from wasupervisor.gateways import evolution, waha\n"
    code += "print(*(name for name in sys.modules if 'gateways.operator' in name))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)
    assert ran.stdout.strip() == ""


@pytest.mark.parametrize("kind", ["waha", "evolution"])
def test_the_adapters_of_the_loop_have_no_verb_for_it(kind: str) -> None:
    gateway = open_gateway(kind, "http://h:1", None, timeout=1.0, action_timeout=1.0, clock=lambda: 0.0)
    assert [name for name in dir(gateway) if "qr" in name.lower()] == []


def test_the_loop_sees_the_harmless_verbs_only() -> None:
    public = {name for name in vars(Gateway) if not name.startswith("_")}
    assert public == {
        "look",
        "read_anew",
        "look_closely",
        "probe",
        "start_session",
        "restart_session",
        "park_session",
        "aclose",
    }


async def exercise(kind: str, answers: dict[str, bytes], fallback: bytes) -> list[Asked]:
    """Use every verb of an adapter, for sessions in every state, and give what it called."""

    async def script(asked: Asked, _: Any) -> bytes | None:
        return next((answer for start, answer in answers.items() if asked.path.startswith(start)), fallback)

    now = 0.0
    async with wired(script) as wire:
        gateway = open_gateway(
            kind, wire.url, "key", timeout=5.0, action_timeout=5.0, metrics_auth="a:b", clock=lambda: now
        )
        for _ in range(3):
            await gateway.look()
            now += 700.0
        for session in (
            "s0",
            "open-open",
            "alpha",
            "beta",
            "../create",
            "delete",
            "a/../../b",
            "..",
            "x?y=1&z",
            "connect",
        ):
            await gateway.look_closely(session)
            await gateway.start_session(session)
            await gateway.restart_session(session)
            await gateway.park_session(session)
            await gateway.probe(session, 5.0)
        await gateway.aclose()
        return wire.asked


STATES = ["WORKING", "STARTING", "SCAN_QR_CODE", "PASSKEY_REQUIRED", "FAILED", "STOPPED", "NEW", None]
ME = {"id": "12025550100@c.us"}
WAHA_LIST = http(200, [{"name": f"s{at}", "status": state, "me": ME} for at, state in enumerate(STATES)])
WORDS = ["open", "connecting", "close", "new", None]
ROWS = http(200, [{"name": f"{a}-{b}", "connectionStatus": b, "Setting": None} for a in WORDS for b in WORDS])
PAGE = "evolution_instances_total 5\n" + "".join(
    f'evolution_instance_state{{instance="{a}-open",integration="",state="{a}"}} 1\n' for a in WORDS
)
NO_ROUTE = http(404, {"response": {"message": ["Cannot POST /instance/restart/alpha"]}})


@pytest.mark.anyio
@pytest.mark.parametrize("fallback", [http(200), http(404), http(422), http(500), None, NO_ROUTE], ids=range(6))
@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        ("waha", {}),
        ("waha", {"/api/sessions?": WAHA_LIST}),
        ("evolution", {}),
        ("evolution", {"/instance/fetchInstances": ROWS}),
        ("evolution", {"/instance/fetchInstances": ROWS, "/metrics": http(200, PAGE.encode())}),
        ("evolution", {"/instance/fetchInstances": http(500), "/metrics": http(200, PAGE.encode())}),
    ],
)
async def test_no_use_of_an_adapter_makes_another_call(
    kind: str, answers: dict[str, bytes], fallback: bytes | None
) -> None:
    asked = await exercise(kind, answers, fallback)  # type: ignore[arg-type]
    assert len(asked) > 5
    for one in asked:
        assert ALLOWED.fullmatch(str(one)), str(one)
        probes = "/instance/setPresence/" in one.path
        assert one.headers.get("content-length", "0") == (str(len(UNAVAILABLE)) if probes else "0")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "answers", "call"),
    [
        ("waha", {"/api/sessions?": WAHA_LIST}, "GET /api/contacts/check-exists?phone=12025550100&session=s0"),
        ("waha", {"/api/sessions?": WAHA_LIST}, "POST /api/sessions/s0/stop"),
        ("evolution", {"/instance/fetchInstances": ROWS}, "POST /instance/setPresence/open-open"),
    ],
)
async def test_the_calls_of_a_probe_and_of_parking_are_among_those_that_were_looked_at(
    kind: str, answers: dict[str, bytes], call: str
) -> None:
    assert call in {str(one) for one in await exercise(kind, answers, http(200))}
