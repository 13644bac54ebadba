"""The simulator's answers beside the recorded ones of the real gateways, field by field.

For each recording the world is brought into the recorded situation (in virtual time), the recorded request is made over
HTTP, and status, headers, keys, types and all values that do not change from run to run must be the recorded ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from wasupervisor.simulator import faults
from wasupervisor.simulator.evolution_world import EvolutionWorld
from wasupervisor.simulator.faults import WorldFault
from wasupervisor.simulator.happen import AnyWorld, apply
from wasupervisor.simulator.kinds import make_world
from wasupervisor.simulator.server import serve
from wasupervisor.simulator.waha_world import WahaWorld
from wasupervisor.simulator.world import UplinkState

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).parent / "recordings"
KEY = "the-global-key"
SPEED = 100.0
UNANSWERED = 0.1
"""Real seconds without an answer that stand for a recorded time-out: 10 s of the gateway."""

VOLATILE = {
    *("id", "instanceId", "token", "hash", "createdAt", "updatedAt", "disconnectionAt", "disconnectionObject"),
    *("startTimestamp", "uptime", "timestamp", "stack", "code", "base64", "count", "value", "exists"),
}
"""Fields whose value differs from run to run: only their type counts."""

# Deliberately not spoken by the simulator.
NOT_COVERED = {
    "webhook-session-status": "sent by WAHA; the simulator sends no webhooks",
    "websocket-session-status": "the simulator has no websocket of its own",
    "webhook-connection.update-close": "sent by Evolution",
    "webhook-connection.update-connecting": "sent by Evolution",
    "webhook-connection.update-open": "sent by Evolution",
    "webhook-connection.update-refused": "sent by Evolution",
    "webhook-instance.create": "sent by Evolution",
    "webhook-instance.delete": "sent by Evolution",
    "webhook-qrcode.updated": "sent by Evolution",
    "wrongtype-groups-sendText": "a mistyped key of the group cache: nothing that a session shows",
}


@dataclass(frozen=True)
class Situation:
    """A world as it was when the recordings were made."""

    make: Callable[[], AnyWorld]
    happened: tuple[WorldFault, ...] = ()
    then: Callable[[Any], None] = lambda world: None
    later: float = 5.0
    """Seconds of the world until the request is made."""
    metrics: bool = True

    def world(self) -> AnyWorld:
        """Live through it, at the real speed and without waiting; then the gateway gets faster."""
        world = self.make()
        for fault in self.happened:
            apply(world, fault)
        self.then(world)
        world.advance(self.later)
        return world


# WAHA


def waha(*names: str, core: bool = False) -> Callable[[], AnyWorld]:
    return lambda: make_world("waha", names or ("default", "second"), speed=SPEED, core=core, keeper=False, epoch=1.8e9)


def waha_without_sessions() -> AnyWorld:
    return make_world("waha", [], speed=SPEED, core=True)


def core(status: str) -> Situation:
    """The single-session core with a session that never had an account, as the `core-*` recordings have it."""

    def then(world: WahaWorld) -> None:
        session = world.sessions["default"]
        session.paired = session.has_me = False
        if status == "STOPPED":
            world.stop("default")
        else:
            world.connect(session)

    happened = (faults.Uplink(state=UplinkState.REFUSED),)
    return Situation(waha("default", core=True), happened, then, later=0.05)


def forget_me(world: WahaWorld) -> None:
    world.sessions["default"].has_me = False


def unpaired(world: WahaWorld) -> None:
    world.sessions["second"].paired = False
    apply(world, faults.QrWanted(session="second"))


WORKING = Situation(waha())
FAILED = Situation(waha(), (faults.LoggedOut(session="default"),))
SCAN_QR = Situation(waha(), (faults.QrWanted(session="default"),), later=1.0)
STUCK = Situation(waha(), (faults.Stuck(session="default"),))
STOPPED = Situation(waha(), (faults.Stopped(session="default"),))
BLACK_HOLE = Situation(waha(), (faults.Uplink(state=UplinkState.BLACK_HOLE),), later=0.03)
UPGRADE_503 = Situation(waha(), (faults.Uplink(state=UplinkState.UPGRADE_503),))
REFUSED = Situation(waha(), (faults.Uplink(state=UplinkState.REFUSED),))
FROZEN = Situation(waha(), (faults.Process(action="freeze"),))
WOKEN = Situation(waha(), (faults.Process(action="freeze"), faults.Process(action="thaw")))
NO_ME = Situation(waha(), (faults.Stopped(session="default"),), forget_me)
CORE_STARTING = core("STARTING")
CORE_STOPPED = core("STOPPED")
CORE_REMOVED = Situation(waha_without_sessions)


WAHA: dict[Situation, str] = {
    WORKING: """check-exists-noparam-500 check-exists-working delete-unknown logout-unknown logout-when-working
        me-unknown me-working presence-working qr-unknown qr-working restart-after-restore
        restart-after-restore2 restart-for-ws restart-unknown restart-when-working
        restart-with-empty-creds restart-with-half-creds sendText-working server-stop server-stop-force
        session-unknown session-working sessions sessions-all start-unknown start-when-working stop-a
        stop-b stop-unknown stop-when-working""",
    FAILED: """check-exists-failed logout-when-failed me-failed qr-failed restart-when-failed session-failed
        start-when-failed stop-when-failed""",
    SCAN_QR: "check-exists-scanqr me-scanqr qr-image qr-raw restart-when-scanqr session-scanqr",
    STUCK: "me-starting restart-when-stuck-starting start-when-starting",
    STOPPED: "session-stopped start-after-creds-restored start-after-failed-stop start-when-stopped stop-when-stopped",
    NO_ME: "start-with-empty-creds-file",
    BLACK_HOLE: "restart-when-starting",
    UPGRADE_503: "restart-while-connecting",
    REFUSED: "session-starting-nonet",
    FROZEN: "sigstop-ping sigstop-sessions",
    WOKEN: "sigcont-ping",
    Situation(waha(), (faults.FalseWorking(session="default"),)): "check-exists-noanswer session-noanswer",
    Situation(waha(), then=unpaired): "second-logout second-restart",
    CORE_STARTING: """core-bad-json core-check-exists-starting core-create-existing core-delete core-health
        core-health-nokey core-logout-deprecated core-logout-when-starting core-me-starting core-ping core-ping-nokey
        core-put core-qr-starting core-restart-unknown core-restart-when-starting core-root-nokey
        core-screenshot-starting core-sendText-starting core-server-environment core-server-status core-server-version
        core-session-default-starting core-session-unknown core-sessions-all-bad core-sessions-nokey
        core-sessions-wrongkey core-start-deprecated-nobody core-start-deprecated-when-started core-start-unknown
        core-start-when-started core-stop-deprecated core-stop-unknown core-stop-when-starting core-unknown-route
        core-version-old""",
    CORE_STOPPED: """core-me-stopped core-qr-stopped core-restart-when-stopped core-session-default-stopped
        core-sessions core-sessions-all core-sessions-all-slash core-start-deprecated core-start-when-stopped
        core-stop-when-stopped""",
    CORE_REMOVED: "core-create core-create2 core-session-default-removed core-sessions-all-removed core-start-removed",
}

# Evolution


def evolution(*names: str, mode: str = "A") -> Callable[[], AnyWorld]:
    sessions = names or ("alpha", "beta", "gamma")
    return lambda: make_world("evolution", sessions, speed=SPEED, mode=mode, keeper=False, epoch=1.8e9)


def evolution_without_instances(mode: str = "A") -> Callable[[], AnyWorld]:
    return lambda: make_world("evolution", [], speed=SPEED, mode=mode)


def never_paired(name: str, *, qr: bool) -> Callable[[EvolutionWorld], None]:
    """An instance as `create` leaves it, with its first QR or without."""

    def then(world: EvolutionWorld) -> None:
        session = world.sessions[name]
        session.paired = session.known = False
        session.memory = session.database = "close"
        session.qr_count = 0
        session.life += 1
        if qr:
            world.connect(session)

    return then


def had_reason(code: int, *names: str) -> Callable[[EvolutionWorld], None]:
    """A close of long ago, whose reason is never taken out of the row."""

    def then(world: EvolutionWorld) -> None:
        for name in names:
            session = world.sessions[name]
            session.reason_code, session.reason_object, session.reason_at = code, "{}", 0.0
        if "ghost" in world.sessions:
            ghost = world.sessions["ghost"]  # a row that the lab wrote by hand
            ghost.known = ghost.has_setting = False

    return then


def mistyped(world: EvolutionWorld) -> None:
    """The credentials of alpha cannot be read at its next login."""
    world.sessions["alpha"].creds_readable = False
    apply(world, faults.Drop(session="alpha"))


def redis_back(world: EvolutionWorld) -> None:
    world.later(5.2, lambda: world.set_redis(up=True))


HEALTHY = Situation(evolution(), then=had_reason(401, "alpha", "beta", "gamma"))
PLAIN = Situation(evolution())
ALPHA = Situation(evolution("alpha"))
ALPHA_NEW = Situation(evolution("alpha"), (faults.Uplink(state=UplinkState.REFUSED),), never_paired("alpha", qr=False))
ALPHA_QR = Situation(evolution("alpha"), then=never_paired("alpha", qr=True), later=0.1)
EMPTY = Situation(evolution_without_instances())
HOLE = Situation(evolution("bh"), (faults.Uplink(state=UplinkState.BLACK_HOLE),), never_paired("bh", qr=False))
HOLE_EMPTY = Situation(evolution_without_instances(), (faults.Uplink(state=UplinkState.BLACK_HOLE),))
STUCK_BETA = Situation(evolution(), (faults.Stuck(session="beta"),))
DELTA = ("alpha", "beta", "gamma", "delta")
DELTA_OPEN = Situation(evolution(*DELTA))
DELTA_QR = Situation(evolution(*DELTA), then=never_paired("delta", qr=True), later=0.1)
DELTA_OUT = Situation(evolution(*DELTA), (faults.LoggedOut(session="delta"),))
GHOST = Situation(
    evolution("alpha", "beta", "gamma", "ghost"), (faults.NotLoaded(session="ghost"),), had_reason(406, "beta")
)
GHOST_B = Situation(evolution("alpha", "ghost", mode="B"), (faults.NotLoaded(session="ghost"),))
REDIS_DOWN_B = Situation(
    evolution("rb", mode="B"), (faults.Store(redis="down"),), never_paired("rb", qr=True), 0.1, metrics=False
)
FALSE_OPEN = Situation(evolution(), (faults.FalseWorking(session="gamma"),))
PG_DOWN = Situation(evolution(), (faults.Store(database="down"), faults.Drop(session="gamma")))
REDIS_DOWN = Situation(evolution(), (faults.Store(redis="down"),), had_reason(406, "beta"))
MISTYPED = Situation(evolution(), then=mistyped, later=0.1)

EVOLUTION: dict[Situation, str] = {
    HOLE: "blackhole-connect-timeout blackhole-connectionState blackhole-delete blackhole-root-timeout",
    HOLE_EMPTY: "blackhole-create-qr-timeout blackhole-fetchInstances blackhole-metrics",
    ALPHA_NEW: """connect-404-unknown connect-close-offline connectionState-401-wrong-key
        connectionState-404-unknown-wrong-key connectionState-404-unknown connectionState-after-connect-offline
        connectionState-close connectionState-instance-token create-400-no-integration create-alpha-403-duplicate
        delete-404-unknown fetchInstances-401-no-key fetchInstances-401-wrong-key fetchInstances-by-instance-token
        fetchInstances-by-name-404 fetchInstances-by-name fetchInstances-one logout-404-unknown logout-close-400
        metrics-one no-such-route-404 restart-404-unknown restart-PUT-404-v1-method restart-close root verify-creds
        verify-creds-401""",
    ALPHA_QR: "connect-connecting-qr connectionState-connecting fetchInstances-connecting metrics-connecting",
    ALPHA: """connect-open connectionState-open fetchInstances-open metrics-open probe-true-open-fetchAllGroups
        probe-true-open-fetchPrivacySettings probe-true-open-fetchProfilePictureUrl probe-true-open-setPresence
        probe-true-open-whatsappNumbers restart-open webhook-find webhook-set webhook-set-off""",
    EMPTY: "create-alpha-noqr create-beta-qr create-delta-qr create-gamma-qr fetchInstances-empty metrics-empty",
    STUCK_BETA: """connect-stuck-connecting connectionState-stuck-connecting fetchInstances-false-open-db-says-open
        metrics-stuck-connecting restart-stuck-connecting""",
    GHOST: """dbonly-connect dbonly-connectionState dbonly-create dbonly-delete dbonly-fetchInstances-all
        dbonly-fetchInstances-by-name dbonly-restart""",
    GHOST_B: "modeB-dbonly-connect modeB-dbonly-connectionState modeB-dbonly-create-403 modeB-dbonly-delete "
    "modeB-dbonly-logout modeB-dbonly-restart",
    REDIS_DOWN_B: "metrics-disabled modeB-redisdown-connectionState-unknown modeB-redisdown-connectionState "
    "modeB-redisdown-delete modeB-redisdown-restart",
    Situation(
        evolution_without_instances(mode="B"), (faults.Store(redis="down"),), metrics=False
    ): "modeB-redisdown-create",
    Situation(evolution("alpha", mode="B")): "modeB-wrongtype-restart",
    FALSE_OPEN: """false-open-after-pg-outage-connectionState false-open-after-pg-outage-fetchInstances
        false-open-after-pg-outage-metrics false-open-findSettings false-open-restart false-open-sendText
        probe-false-open-fetchAllGroups probe-false-open-fetchPrivacySettings probe-false-open-fetchProfilePictureUrl
        probe-false-open-setPresence probe-false-open-whatsappNumbers""",
    PLAIN: """fetchInstances-by-instanceId-404 fetchInstances-by-number-404 metrics-wrong-key-ignored
        redis-error-on-hget-restart wrongtype-connectionState wrongtype-fetchInstances
        wrongtype-repaired-connectionState wrongtype-restart""",
    HEALTHY: "healthy-connectionState healthy-fetchInstances healthy-metrics healthy-root",
    DELTA_OPEN: "logout-open",
    DELTA_QR: "delete-connecting qrlimit-connect-again qrlimit-connectionState qrlimit-fetchInstances qrlimit-restart",
    DELTA_OUT: "logout-after-connect logout-after-connectionState logout-after-restart logout-twice",
    Situation(
        evolution(*DELTA), then=lambda world: world.delete(world.sessions["delta"])
    ): "delete-after-connectionState",
    PG_DOWN: """pgdown-connectionState-global-key pgdown-connectionState-instance-key pgdown-connectionState-unknown
        pgdown-false-open-connectionState pgdown-fetchInstances-wrong-key pgdown-fetchInstances pgdown-metrics
        pgdown-restart-of-healthy-instance pgdown-restart pgdown-root pgdown-verify-creds""",
    REDIS_DOWN: """redisdown-connectionState-unknown redisdown-connectionState redisdown-fetchInstances
        redisdown-metrics redisdown-restart redisdown-root redisdown-verify-creds""",
    Situation(
        evolution(), (faults.Store(redis="down"),), redis_back
    ): "redisdown-connectionState-answers-when-redis-returns",
    Situation(
        evolution(), (faults.Process(action="freeze"),)
    ): "sigstop-connectionState-timeout sigstop-metrics-timeout sigstop-root-timeout",
    Situation(evolution(), (faults.Process(action="freeze", lasts=5.2),)): "sigstop-answer-after-sigcont",
    MISTYPED: "wrongtype-connect wrongtype-repaired-restart",
}

FOLDERS = {"waha-2024.10.8": WAHA, "evolution-2.3.6": EVOLUTION}
CASES = [
    pytest.param(folder, name, situation, id=f"{folder}/{name}")
    for folder, table in FOLDERS.items()
    for situation, names in table.items()
    for name in names.split()
]


def test_every_recording_is_covered_once_or_left_out_with_a_reason() -> None:
    there = sorted(f"{folder}/{path.stem}" for folder in FOLDERS for path in (FOLDER / folder).glob("*.json"))
    told = sorted(str(case.id) for case in CASES)
    left_out = {path for path in there if path.partition("/")[2] in NOT_COVERED}
    assert sorted({*told, *left_out}) == there
    assert len(told) == len(set(told))


@pytest.mark.parametrize(("folder", "name", "situation"), CASES)
async def test_answers_as_recorded(folder: str, name: str, situation: Situation) -> None:
    recording = json.loads((FOLDER / folder / f"{name}.json").read_text())
    world = situation.world()
    async with (
        serve(world, api_key=KEY, metrics=situation.metrics) as gateway,
        httpx.AsyncClient(base_url=gateway.url, trust_env=False, verify=False, timeout=20) as client,
    ):
        request = _request(client, recording["request"], world)
        if recording["status"] is None:
            await _expect_no_answer(client, request, recording["error"])
            return
        answer = await client.send(request)
    assert answer.status_code == recording["status"], answer.text
    assert _headers(dict(answer.headers)) == _headers(recording["headers"])
    _compare_bodies(recording, answer)


def _request(client: httpx.AsyncClient, recorded: dict[str, Any], world: AnyWorld) -> httpx.Request:
    tokens = {name: session.token for name, session in world.sessions.items()} if world.kind == "evolution" else {}  # type: ignore[union-attr]

    def key(text: str) -> str:
        token = re.fullmatch(r"<token of instance (\w+)>", text)
        if token:
            return tokens[token[1]]
        return KEY if text in ("<key>", "<global api key>") else text

    headers = {name: key(value) for name, value in recorded["headers"].items()}
    body = recorded.get("body")
    content = body if isinstance(body, str) else None if body is None else json.dumps(body)
    return client.build_request(recorded["method"], recorded["path"], headers=headers, content=content)


async def _expect_no_answer(client: httpx.AsyncClient, request: httpx.Request, error: str) -> None:
    if error.startswith("RemoteDisconnected"):
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            await client.send(request)
    else:
        request.extensions["timeout"] = {"connect": 5.0, "read": UNANSWERED, "write": 5.0, "pool": 5.0}
        with pytest.raises(httpx.ReadTimeout):
            await client.send(request)


def _headers(headers: dict[str, str]) -> dict[str, str]:
    """Names in lower case; what depends on the body or the time only has to be there."""
    lower = {name.lower(): value for name, value in headers.items()}
    return {name: "..." if name in ("content-length", "etag", "date") else value for name, value in lower.items()}


def _compare_bodies(recording: dict[str, Any], answer: httpx.Response) -> None:
    recorded = recording["body"]
    kind = recording["headers"].get("content-type", "")
    if "json" in kind:
        _compare(recorded, answer.json(), recording["request"]["path"])
    elif "version=0.0.4" in kind:
        assert _metrics(answer.text) == _metrics(recorded)
    elif "html" in kind or "png" in kind:
        assert answer.content
    else:
        assert answer.text == recorded == ""


def _metrics(text: str) -> list[str]:
    """The lines, with the order of instances and the settings of the lab taken out."""
    text = re.sub(r'clientName="\w+"', 'clientName="..."', text)
    return sorted(text.splitlines())


def _compare(recorded: Any, answered: Any, where: str) -> None:
    assert type(answered) is type(recorded), f"{where}: {answered!r} instead of {recorded!r}"
    if isinstance(recorded, dict):
        assert set(answered) == set(recorded), where
        for key, value in recorded.items():
            if _is_volatile(key) and not isinstance(value, dict | list):
                assert type(answered[key]) is type(value), f"{where}.{key}: {answered[key]!r} instead of {value!r}"
            else:
                _compare(value, answered[key], f"{where}.{key}")
    elif isinstance(recorded, list):
        assert len(answered) == len(recorded), where
        if recorded and isinstance(recorded[0], dict):
            recorded, answered = (sorted(rows, key=lambda row: str(row.get("name"))) for rows in (recorded, answered))
        for position, (old, new) in enumerate(zip(recorded, answered, strict=True)):
            _compare(old, new, f"{where}[{position}]")
    else:
        assert _plain(answered) == _plain(recorded), where


def _is_volatile(key: str) -> bool:
    return key in VOLATILE or key.startswith(("WAHA_", "WHATSAPP_"))


def _plain(value: object) -> object:
    """Texts that carry line numbers of the gateway's build, told by their first words."""
    if isinstance(value, str) and "invocation in\n" in value:
        return value.partition("invocation in\n")[0] + value.rpartition("\n")[2]
    return value
