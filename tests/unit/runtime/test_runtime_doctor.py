"""The doctor's rows, each well and not, and how its looks are run."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from wasupervisor import __version__
from wasupervisor.config.loading import Loaded, from_arguments, read
from wasupervisor.config.problems import Problem
from wasupervisor.config.recovery import RestartGateway
from wasupervisor.config.schema import Alert, Settings, Vault
from wasupervisor.config.secret import Secret
from wasupervisor.gateways.evolution_memory import MISSING, WANTS_USER
from wasupervisor.host.rights import Person, ourselves
from wasupervisor.model.observation import Look as GatewayLook
from wasupervisor.model.observation import ProcessReading, Trouble
from wasupervisor.model.usage import Host, Usage
from wasupervisor.runtime import doctor_gateway, doctor_host, doctor_restarter
from wasupervisor.runtime.diagnosis import LOOKS, resolve
from wasupervisor.runtime.doctor import ROWS, Case, Daemon, Look, Said, Verdict, examine, told
from wasupervisor.runtime.doctor_gateway import judge_gateway, judge_process
from wasupervisor.runtime.doctor_service import Unit, judge_unit, who_runs

pytestmark = pytest.mark.anyio

OK, UNKNOWN, WARNING, WRONG = Verdict.OK, Verdict.UNKNOWN, Verdict.WARNING, Verdict.WRONG
STRANGER = Person("wasupervisor", 65533, frozenset({65533}))
CONFIG = Path("/etc/wasupervisor/config.yaml")
SETTINGS = from_arguments("waha", "http://127.0.0.1:9", None, {})
LOADED = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "UnitFileState": "enabled",
    "WatchdogUSec": "1min 30s",
    "MemoryMax": str(256 << 20),
    "User": "root",
}
ANSWERS = Daemon({"status": "healthy", "version": __version__})
ABSENT = Daemon(trouble="the daemon cannot be reached: there is no socket", is_absent=True)


def case(
    settings: Settings = SETTINGS,
    *,
    missing: frozenset[str] = frozenset(),
    person: Person | None = None,
    daemon: Daemon = ABSENT,
    **service: str,
) -> Case:
    """By default: nothing runs, and we are who would run it."""
    return Case(settings, missing, person or ourselves(), service, daemon)


def verdicts(said: Any) -> dict[str, Verdict]:
    """By code, the worst of each."""
    order = [OK, UNKNOWN, WARNING, WRONG]
    found: dict[str, Verdict] = {}
    for one in said:
        found[one.code] = max(one.verdict, found.get(one.code, OK), key=order.index)
    return found


def text_of(said: Any, code: str) -> str:
    return " | ".join(f"{one.text}; {one.todo}" for one in said if one.code == code)


class TestTheRun:
    async def test_a_look_that_fails_hangs_or_says_nothing_leaves_the_others_alone(self) -> None:
        async def fails(_case: Case) -> list[Said]:
            raise RuntimeError("s3cr3t")

        async def is_refused(_case: Case) -> list[Said]:
            Path("/").joinpath("proc/1/nowhere").read_text()
            return []

        async def hangs(_case: Case) -> list[Said]:
            await anyio.sleep_forever()
            return []

        async def tells(_case: Case) -> list[Said]:
            return [Said("alerts.told", OK, "well"), Said("gateway.key", WRONG, "bad", "mend it")]

        looks = [
            Look("redis.connection", fails),
            Look("places.state", is_refused),
            Look("uplink.reachable", hangs),
            Look("gateway.answers", tells),
        ]
        found = await examine(looks, case(), within=0.05)
        assert [(one.code, one.verdict) for one in found] == [
            ("gateway.key", WRONG),
            ("uplink.reachable", UNKNOWN),
            ("redis.connection", UNKNOWN),
            ("places.state", UNKNOWN),
            ("alerts.told", OK),
        ]
        texts = {one.code: one.text for one in found}
        assert texts["redis.connection"] == "it could not be looked at: RuntimeError"
        assert texts["places.state"] == "it could not be looked at: /proc/1/nowhere: No such file or directory"
        assert texts["uplink.reachable"] == "it could not be looked at within 0.05 s"
        assert found[0].why == "Without it no session can be seen."
        assert found[0].group == "gateway"

    def test_the_table_is_whole(self) -> None:
        codes = [row.code for row in ROWS]
        assert len(set(codes)) == len(codes)
        assert all(look.code in codes for look in LOOKS)
        assert all(row.why.endswith(".") and not row.title.endswith(".") for row in ROWS)
        assert told([]) == ()


class TestTheGateway:
    @pytest.mark.parametrize(
        ("kind", "look", "expected"),
        [
            ("waha", GatewayLook(reachable=False, detail="refused"), {"gateway.answers": WRONG}),
            ("waha", GatewayLook(reachable=True, sightings=(), version="2024.10.8"), {"gateway.version": OK}),
            ("waha", GatewayLook(reachable=True, sightings=(), version="2026.2.1"), {"gateway.version": OK}),
            ("waha", GatewayLook(reachable=True, sightings=(), version="2024.9.12"), {"gateway.version": UNKNOWN}),
            ("waha", GatewayLook(reachable=True, sightings=()), {"gateway.version": UNKNOWN, "gateway.key": OK}),
            ("waha", GatewayLook(reachable=True, trouble=Trouble.UNAUTHORIZED), {"gateway.key": WRONG}),
            ("waha", GatewayLook(reachable=True, trouble=Trouble.BAD_BODY), {"gateway.key": UNKNOWN}),
            ("evolution", GatewayLook(reachable=True, sightings=(), version="1.8.2"), {"gateway.version": UNKNOWN}),
            ("evolution", GatewayLook(reachable=True, store_ok=True), {"gateway.database": OK, "gateway.metrics": OK}),
            ("evolution", GatewayLook(reachable=True, store_ok=False), {"gateway.database": WRONG}),
            ("evolution", GatewayLook(reachable=True, notes=(MISSING,)), {"gateway.metrics": OK}),
            ("evolution", GatewayLook(reachable=True, notes=(WANTS_USER,)), {"gateway.metrics": WARNING}),
        ],
    )
    def test_each_row(self, kind: str, look: GatewayLook, expected: dict[str, Verdict]) -> None:
        found = verdicts(judge_gateway(kind, "http://g", look))
        assert found | expected == found

    def test_metrics_of_evolution_are_offered(self) -> None:
        said = judge_gateway("evolution", "http://g", GatewayLook(reachable=True, notes=(MISSING,)))
        assert "set PROMETHEUS_METRICS=true" in text_of(said, "gateway.metrics")

    @pytest.mark.parametrize(("reachable", "verdict"), [(True, OK), (False, WRONG), (None, UNKNOWN)])
    async def test_without_its_key_it_is_not_called_and_the_daemon_tells(
        self, reachable: bool | None, verdict: Verdict
    ) -> None:
        document = {"gateway": {"kind": "waha", "reachable": reachable, "version": "2024.10.8"}}
        it = case(missing=frozenset({"gateway"}), daemon=Daemon(document))
        found = await doctor_gateway.gateway(it)
        assert verdicts(found) == {"gateway.answers": verdict, "gateway.version": OK}

    async def test_without_its_key_and_a_daemon_it_is_unknown(self) -> None:
        found = await doctor_gateway.gateway(case(missing=frozenset({"gateway"})))
        assert verdicts(found) == {"gateway.answers": UNKNOWN}

    async def test_nobody_listens(self) -> None:
        assert verdicts(await doctor_gateway.gateway(case())) == {"gateway.answers": WRONG}


class TestTheUplink:
    async def test_unwatched_reached_and_not(self) -> None:
        assert verdicts(await doctor_gateway.uplink(case(replace(SETTINGS, uplink=None)))) == {"uplink.reachable": OK}
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            assert SETTINGS.uplink is not None
            way = replace(SETTINGS.uplink, host="127.0.0.1", port=port, check="tcp")
            assert verdicts(await doctor_gateway.uplink(case(replace(SETTINGS, uplink=way)))) == {
                "uplink.reachable": OK
            }
        found = await doctor_gateway.uplink(case(replace(SETTINGS, uplink=way)))
        assert verdicts(found) == {"uplink.reachable": WRONG}


SEEN = Usage(pss_bytes=1, open_files=1, host=Host(gateway_disk_free_bytes=1))
THERE = ProcessReading(exists=True, pid=1, keeper="systemd waha.service")
DOCUMENT: dict[str, Any] = {
    "gateway": {"pid": 7},
    "resources": {"memory": {"pss_bytes": 1}, "fds": {"open": 1}, "host": {"gateway_disk_free_bytes": 1}},
}
BLIND: dict[str, Any] = {
    "gateway": {"pid": 7},
    "resources": {"memory": {"pss_bytes": None}, "fds": None, "host": {"gateway_disk_free_bytes": 1}},
}


class TestTheProcess:
    @pytest.mark.parametrize(
        ("reading", "usage", "expected"),
        [
            (THERE, SEEN, {"process.found": OK, "process.seen": OK, "process.keeper": OK}),
            (replace(THERE, keeper=None), SEEN, {"process.keeper": WARNING}),
            (THERE, Usage(), {"process.seen": UNKNOWN}),
            (ProcessReading(exists=False, detail="gone"), SEEN, {"process.found": WRONG}),
            (ProcessReading(detail="user root's, may not look into"), SEEN, {"process.found": UNKNOWN}),
        ],
    )
    def test_each_row(self, reading: ProcessReading, usage: Usage, expected: dict[str, Verdict]) -> None:
        found = verdicts(judge_process(case(), reading, usage))
        assert found | expected == found

    def test_a_restarter_keeps_it_as_well(self) -> None:
        restarter = RestartGateway(by="command", argv=("pm2",))
        settings = replace(SETTINGS, recovery=replace(SETTINGS.recovery, restart_gateway=restarter))
        found = verdicts(judge_process(case(settings), replace(THERE, keeper=None), SEEN))
        assert found["process.keeper"] == OK

    @pytest.mark.parametrize(
        ("document", "reading", "expected"),
        [
            (DOCUMENT, ProcessReading(), {"process.found": OK}),
            (BLIND, THERE, {"process.found": OK, "process.seen": UNKNOWN}),
            ({"gateway": {"pid": None}}, THERE, {"process.found": WARNING}),
            ({"gateway": {"pid": None}}, ProcessReading(), {"process.found": UNKNOWN}),
            ({"gateway": {"pid": None}, "status": "starting"}, THERE, {"process.found": OK}),
        ],
    )
    def test_a_daemon_is_believed_before_our_own_eyes(
        self, document: dict[str, Any], reading: ProcessReading, expected: dict[str, Verdict]
    ) -> None:
        said = judge_process(case(daemon=Daemon(document)), reading, SEEN)
        assert verdicts(said) | expected == verdicts(said)
        if document["gateway"]["pid"] is None:
            assert "process.seen" not in verdicts(said), "our own eyes are not the daemon's"
        if document is DOCUMENT:
            assert "the daemon says pid 7" in text_of(said, "process.found")
        if document is BLIND:
            assert "how much of its memory is shared, its open files" in text_of(said, "process.seen")
            assert "--allow-ptrace" in text_of(said, "process.seen")

    def test_what_root_finds_by_its_port_another_user_may_not(self) -> None:
        it = case(person=STRANGER)
        said = judge_process(it, THERE, SEEN)
        assert verdicts(said)["process.found"] == WARNING
        assert "cannot find it by its port" in text_of(said, "process.found")
        allowed = it._replace(service={"AmbientCapabilities": "cap_sys_ptrace"})
        assert verdicts(judge_process(allowed, THERE, SEEN))["process.found"] == OK


class TestTheUnit:
    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({}, {"service.installed": OK, "service.active": OK, "service.boot": OK, "service.daemon": OK}),
            ({}, {"service.watchdog": OK, "service.memory": OK}),
            ({"LoadState": "not-found"}, {"service.installed": WARNING}),
            ({"NeedDaemonReload": "yes"}, {"service.installed": WARNING}),
            ({"ActiveState": "failed", "ExecMainStatus": "2"}, {"service.active": WRONG}),
            ({"ActiveState": "inactive"}, {"service.active": WRONG}),
            ({"ActiveState": "activating"}, {"service.active": WARNING}),
            ({"UnitFileState": "disabled"}, {"service.boot": WARNING}),
            ({"UnitFileState": "masked"}, {"service.boot": WRONG}),
            ({"WatchdogUSec": "0"}, {"service.watchdog": WARNING}),
            ({"WatchdogUSec": "5ms"}, {"service.watchdog": WARNING}),
            ({"MemoryMax": "infinity"}, {"service.memory": OK}),
            ({"MemoryMax": str(32 << 20)}, {"service.memory": WARNING}),
        ],
    )
    def test_each_row(self, change: dict[str, str], expected: dict[str, Verdict]) -> None:
        found = verdicts(judge_unit(Unit("wasupervisor.service", LOADED | change, {}), CONFIG, ANSWERS))
        assert found | expected == found

    @pytest.mark.parametrize(
        ("socket_unit", "expected"),
        [
            ({"LoadState": "not-found"}, None),
            ({"LoadState": "loaded", "ActiveState": "active"}, OK),
            ({"LoadState": "loaded", "ActiveState": "failed", "Result": "trigger-limit-hit"}, WRONG),
        ],
    )
    def test_its_socket(self, socket_unit: dict[str, str], expected: Verdict | None) -> None:
        said = judge_unit(Unit("wasupervisor.service", LOADED, socket_unit), CONFIG, ANSWERS)
        assert verdicts(said).get("service.socket") == expected

    def test_a_unit_that_its_socket_starts_need_not_be_enabled(self) -> None:
        unit = Unit("u", LOADED | {"UnitFileState": "disabled"}, {"LoadState": "loaded", "ActiveState": "active"})
        assert verdicts(judge_unit(unit, CONFIG, ANSWERS))["service.boot"] == OK

    @pytest.mark.parametrize(
        ("daemon", "expected"),
        [
            (ANSWERS, OK),
            (Daemon({"status": "healthy", "version": "0.0.1"}), WARNING),
            (ABSENT, WRONG),
            (Daemon(trouble="permission denied"), UNKNOWN),
        ],
    )
    def test_the_daemon_in_it(self, daemon: Daemon, expected: Verdict) -> None:
        said = judge_unit(Unit("wasupervisor.service", LOADED, {}), CONFIG, daemon)
        assert verdicts(said)["service.daemon"] == expected

    @pytest.mark.parametrize("unit", [Unit(None, {}, {}), Unit("wasupervisor.service", {}, {})])
    def test_without_a_unit_nothing_is_wrong(self, unit: Unit) -> None:
        said = judge_unit(unit, Path("/x.yaml"), ABSENT)
        assert verdicts(said) == {"service.installed": UNKNOWN, "service.daemon": UNKNOWN}

    def test_who_runs_it(self) -> None:
        assert who_runs(Unit("u", LOADED, {})).name == "root"
        assert who_runs(Unit("u", {}, {})) == ourselves()
        with pytest.raises(KeyError):
            who_runs(Unit("u", LOADED | {"User": "nobody-of-that-name"}, {}))


class TestTheRestarter:
    async def test_none_is_an_offer(self) -> None:
        (said,) = await doctor_restarter.restarter(case())
        assert (said.code, said.verdict) == ("restarter.configured", OK)
        assert said.todo

    @pytest.mark.parametrize(
        ("told", "verdict"),
        [
            ({"LoadState": "loaded", "TimeoutStopUSec": "40s"}, OK),
            ({"LoadState": "loaded", "TimeoutStopUSec": "10s"}, WARNING),
            ({"LoadState": "not-found"}, WRONG),
            ({"LoadState": "masked"}, WRONG),
            (None, WRONG),
        ],
    )
    def test_the_gateways_unit(self, told: dict[str, str] | None, verdict: Verdict) -> None:
        assert doctor_restarter.judge_target("waha.service", told).verdict == verdict

    def test_the_rule_of_polkit(self, tmp_path: Path) -> None:
        rule = tmp_path / "50.rules"
        assert doctor_restarter.judge_rule(rule, "waha.service", "u").verdict == WARNING
        rule.write_text('["waha.service"].indexOf(')
        assert doctor_restarter.judge_rule(rule, "waha.service", "u").verdict == OK
        said = doctor_restarter.judge_rule(rule, "other.service", "u")
        assert said.verdict == WARNING
        assert "--allow-restart other.service" in said.todo
        assert doctor_restarter.judge_rule(tmp_path, "waha.service", "u").verdict == UNKNOWN

    def test_the_engines_socket(self, tmp_path: Path) -> None:
        path, it = tmp_path / "d.sock", case(person=STRANGER)
        assert doctor_restarter.judge_socket(it, path).verdict == WRONG
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            path.chmod(0o600)
            said = doctor_restarter.judge_socket(it, path)
            assert said.verdict == WRONG
            assert "usermod -aG docker wasupervisor" in said.todo
            assert doctor_restarter.judge_socket(case(), path).verdict == OK

    def test_the_command(self, tmp_path: Path) -> None:
        program = tmp_path / "again"
        found = verdicts(doctor_restarter.judge_command(case(), str(program)))
        assert found == {"restarter.target": WRONG}
        program.write_text("#!/bin/sh\n")
        program.chmod(0o644)
        found = verdicts(doctor_restarter.judge_command(case(person=STRANGER), str(program)))
        assert found == {"restarter.target": OK, "restarter.allowed": WRONG}
        program.chmod(0o755)
        found = verdicts(doctor_restarter.judge_command(case(), str(program)))
        assert found == {"restarter.target": OK, "restarter.allowed": OK}

    def test_sudo_does_not_work_in_the_unit(self, tmp_path: Path) -> None:
        sudo = tmp_path / "sudo"
        sudo.write_text("#!/bin/sh\n")
        sudo.chmod(0o755)
        it = case()._replace(service={"NoNewPrivileges": "yes"})
        assert verdicts(doctor_restarter.judge_command(it, str(sudo)))["restarter.allowed"] == WRONG

    def test_the_kubelets_folder(self, tmp_path: Path) -> None:
        assert doctor_restarter.judge_folder(case(), tmp_path).verdict == OK
        assert doctor_restarter.judge_folder(case(), tmp_path / "nowhere").verdict == WRONG
        tmp_path.chmod(0o700)
        assert doctor_restarter.judge_folder(case(person=STRANGER), tmp_path).verdict == WRONG

    @pytest.mark.parametrize(("status", "verdict"), [(0, OK), (1, WRONG), (2, WRONG)])
    async def test_polkit_is_asked_what_it_would_answer_the_daemon(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, verdict: Verdict
    ) -> None:
        said = tmp_path / "asked"
        pkcheck = tmp_path / "pkcheck"
        pkcheck.write_text(f'#!/bin/sh\necho "$@" >{said}\nexit {status}\n')
        pkcheck.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.setattr("os.geteuid", lambda: 0)
        it = case(person=STRANGER)._replace(service={"MainPID": "1"})
        allowed = await doctor_restarter._may_restart(it, "waha.service")
        assert allowed.verdict == verdict
        assert "--detail unit waha.service --detail verb restart" in said.read_text()
        assert "--process 1," in said.read_text()


class TestTheFiles:
    def test_who_reads_a_literal_secret(self, tmp_path: Path) -> None:
        file = tmp_path / "config.yaml"
        file.write_text("gateway: {api_key: s3cr3t}")
        tmp_path.chmod(0o700)
        file.chmod(0o644)
        assert doctor_host.judge_file(file, ["gateway.api_key"]).verdict == OK, "the folder above is closed"
        for folder in tmp_path.parents[:-1]:
            if not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o001)
        tmp_path.chmod(0o755)
        assert doctor_host.judge_file(file, []).verdict == OK
        said = doctor_host.judge_file(file, ["gateway.api_key"])
        assert said.verdict == WARNING
        assert "which holds gateway.api_key" in said.text
        assert [one.verdict for one in doctor_host.judge_secret_file(file)] == [WARNING]
        file.chmod(0o640)
        assert doctor_host.judge_file(file, ["gateway.api_key"]).verdict == OK
        assert list(doctor_host.judge_secret_file(file)) == []
        file.chmod(0o642)
        assert doctor_host.judge_file(file, []).verdict == WRONG
        assert list(doctor_host.judge_secret_file(tmp_path / "nowhere")) == []

    @pytest.mark.parametrize(
        ("absent", "known", "verdict"), [(True, False, UNKNOWN), (True, True, WRONG), (False, False, WRONG)]
    )
    def test_secrets_that_are_not_there(self, absent: bool, known: bool, verdict: Verdict) -> None:
        problem = Problem("f", 1, 1, "gateway.api_key", "cannot be used: K is not set", absent)
        (said,) = doctor_host.judge_secrets([problem], is_all_known=known)
        assert said.verdict == verdict
        (well,) = doctor_host.judge_secrets([], is_all_known=known)
        assert well.verdict == OK

    def test_what_is_not_acted_on(self) -> None:
        assert verdicts(doctor_host.judge_sections(SETTINGS)) == {"configuration.sections": OK}
        asked = replace(SETTINGS, vault=Vault())
        assert verdicts(doctor_host.judge_sections(asked)) == {"configuration.sections": WARNING}

    def test_who_is_told(self) -> None:
        said = tuple(doctor_host.judge_alerts(SETTINGS))
        assert all(one.verdict == OK and one.todo for one in said)
        alerts = (Alert(to=Secret("https://example.org/hook")),)
        said = tuple(doctor_host.judge_alerts(replace(SETTINGS, alerts=alerts, dead_man=Secret("https://h/x"))))
        assert all(one.verdict == OK and not one.todo for one in said)

    def test_a_secret_that_is_missing_leaves_the_rest_usable(self, tmp_path: Path) -> None:
        file = tmp_path / "c.yaml"
        file.write_text(
            "gateway: {kind: waha, url: 'http://h:1', api_key: '${NOT_SET_ANYWHERE}'}\n"
            "redis: {url: 'rediss://h/0', tls: {ca_file: ca.pem}}\n"
        )
        loaded: Loaded = read(file, {})
        found = resolve(loaded, {})
        assert found.missing == {"gateway"}
        assert [one.path for one in found.problems] == ["gateway.api_key"]
        assert found.settings.redis is not None
        assert found.settings.redis.tls.ca_file == tmp_path / "ca.pem"


class TestThePlaces:
    def test_ours_not_ours_and_not_there_yet(self, tmp_path: Path) -> None:
        it, folder = case(), tmp_path / "state"
        assert doctor_host.judge_place(it, "places.state", folder, "k").text.endswith(f"may make {folder}")
        folder.mkdir(mode=0o700)
        assert doctor_host.judge_place(it, "places.state", folder, "k").verdict == OK
        other = case(person=STRANGER)
        assert doctor_host.judge_place(other, "places.state", folder, "k").verdict == WRONG

    def test_behind_the_walls_of_the_unit(self) -> None:
        walls = {"ProtectSystem": "strict", "StateDirectory": "wasupervisor-x", "ReadWritePaths": "-/usr/local"}
        it = case(person=Person("root", 0, frozenset()))._replace(service=walls)
        said = doctor_host.judge_place(it, "places.state", Path("/usr"), "state.directory")
        assert said.verdict == WRONG
        assert "ReadWritePaths=/usr" in said.todo
        assert doctor_host.judge_place(it, "places.state", Path("/usr/local"), "k").verdict == OK
        made = doctor_host.judge_place(it, "places.state", Path("/var/lib/wasupervisor-x"), "k")
        assert (made.verdict, made.text.split()[:2]) == (OK, ["systemd", "makes"])

    async def test_all_of_them(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = replace(SETTINGS, state=replace(SETTINGS.state, directory=tmp_path))
        settings = replace(settings, health=replace(settings.health, file=tmp_path / "health.json"))
        settings = replace(settings, control=replace(settings.control, socket=tmp_path / "control.sock"))
        found = verdicts(await doctor_host.places(case(settings)))
        codes = [row.code for row in ROWS if row.code.startswith("places.")]
        assert found == dict.fromkeys(codes, OK)
        monkeypatch.setattr(doctor_host, "is_low", lambda _folder: True)
        assert verdicts(await doctor_host.places(case(settings)))["places.disk"] == WARNING

    @pytest.mark.parametrize(("kept", "verdict"), [(True, OK), (False, WARNING)])
    async def test_the_clock(self, monkeypatch: pytest.MonkeyPatch, kept: bool, verdict: Verdict) -> None:
        monkeypatch.setattr(doctor_host, "is_synchronised", lambda: kept)
        assert verdicts(await doctor_host.clock(case())) == {"clock.synchronised": verdict}
