"""What the hardened unit still can, under a real systemd: each door that docs/install.md and docs/process.md name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest
from skipping import cannot
from systemd_container import Container, until
from systemd_fixtures import CHECKOUT, CONFIG, INSTALL, PYTHON, SIMULATOR, UNIT, Service, simulate

pytestmark = [pytest.mark.root, pytest.mark.timeout(420)]

UNITS = (UNIT, "wasupervisor@.service", "wasupervisor.socket")
DROP_INS = f"/etc/systemd/system/{UNIT}.d"


def pid_of(box: Container, unit: str) -> int:
    return int(box.run("systemctl", "show", "--value", "-p", "MainPID", unit).stdout)


def test_systemd_finds_no_fault_with_the_units(container: Container) -> None:
    for unit in UNITS:
        done = container.run("systemd-analyze", "verify", "--recursive-errors=yes", unit, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), unit
        if unit.endswith(".service"):
            done = container.run("systemd-analyze", "security", "--threshold=15", "--no-pager", unit, check=False)
            assert done.returncode == 0, done.stdout


def test_the_kernel_holds_it_to_that(service: Service) -> None:
    service.start()
    it = f"/proc/{service.show('MainPID')}"
    lines = service.container.run("cat", f"{it}/status").stdout.splitlines()
    status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert [int(status[name], 16) for name in ("CapEff", "CapBnd", "CapAmb")] == [0, 0, 0]
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    limits = service.container.run("cat", f"{it}/limits").stdout
    assert ["Max", "core", "file", "size", "0", "0", "bytes"] in [line.split() for line in limits.splitlines()]
    assert (service.show("MemoryMax"), service.show("OOMScoreAdjust")) == (str(256 << 20), "-500")
    mounts = service.container.run("cat", f"{it}/mounts").stdout
    assert any(line.split()[1] == "/" and "ro" in line.split()[3].split(",") for line in mounts.splitlines())


def test_a_gateway_of_another_user_is_found_as_documented(service: Service) -> None:
    box = service.container
    service.configure(f"{CONFIG}process: {{find: {{systemd_unit: simulator.service}}}}\n")
    service.start()
    service.wait("its process", lambda: service.health().get("gateway", {}).get("pid") == pid_of(box, "simulator"))
    resources = service.health()["resources"]
    assert resources["memory"]["rss_bytes"] > 1 << 20
    assert resources["memory"]["pss_bytes"] is None
    assert resources["host"]["memory_available_bytes"] > 1 << 20

    # By its port only with a privilege.
    service.configure(CONFIG)
    service.systemctl("restart")
    service.forget_health()
    service.wait_until_well()
    assert service.health()["gateway"]["pid"] is None
    assert "allow-ptrace.conf" in box.run(INSTALL, "--allow-ptrace").stdout
    try:
        service.systemctl("restart")
        service.wait("its process", lambda: service.health().get("gateway", {}).get("pid") == pid_of(box, "simulator"))
        service.wait("its shared memory", lambda: service.health()["resources"]["memory"]["pss_bytes"] is not None)
    finally:
        forget_drop_in(box, "allow-ptrace.conf")


def forget_drop_in(box: Container, name: str) -> None:
    for unit in (UNIT, "wasupervisor@.service"):
        box.path(f"/etc/systemd/system/{unit}.d/{name}").unlink()
    box.run("systemctl", "daemon-reload")


@pytest.fixture
def redis(service: Service) -> Iterator[str]:
    """A Redis with the door that distributions give it, and TCP; its Unix socket."""
    if (binary := shutil.which("redis-server")) is None:
        cannot("this machine has no redis-server")
    box, socket = service.container, "/run/redis.sock"
    doors = ("--port", "6399", "--unixsocket", socket, "--unixsocketperm", "777", "--save", "")
    box.run("systemd-run", "--unit=a-redis", "-q", str(binary), *doors)
    assert until(box.path(socket).exists)
    yield socket
    box.run("systemctl", "stop", "a-redis")


def test_redis_is_reached_by_its_socket_and_by_tcp(service: Service, redis: str) -> None:
    def is_swept() -> bool:
        found = service.health().get("redis") or {}
        return found.get("status") in {"pass", "warn"} and found["last_sweep"] is not None

    for url in (f"unix://{redis}?db=6", "redis://localhost:6399/6"):
        service.configure(f"{CONFIG}redis: {{url: '{url}'}}\n")
        service.forget_health()
        service.systemctl("restart")
        service.wait(f"a sweep of {url}", is_swept)


ENGINE = """
import http.server, json, os, socketserver, sys

class Call(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        state = {"Status": "running", "Running": True, "Pid": 1, "StartedAt": "2026-01-01T00:00:00Z"}
        body = json.dumps({"Id": "ab" * 32, "Name": "/waha", "State": state}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def address_string(self):
        return "-"

with socketserver.ThreadingUnixStreamServer("/run/docker.sock", Call) as server:
    os.chown("/run/docker.sock", 0, int(sys.argv[1]))
    os.chmod("/run/docker.sock", 0o660)
    server.serve_forever()
"""


def test_the_engines_socket_is_reached_through_its_group(service: Service) -> None:
    box = service.container

    def status() -> str | None:
        told = service.health().get("resources", {}).get("container") or {}
        return told.get("status")

    box.run("groupadd", "--system", "engine")
    number = box.run("getent", "group", "engine").stdout.split(":")[2]
    box.run("systemd-run", "--unit=engine", "-q", PYTHON, "-c", ENGINE, number)
    service.configure(f"{CONFIG}process: {{find: {{docker: waha}}}}\n")
    try:
        service.start()
        service.wait_until_well()
        assert status() is None
        box.run("usermod", "-aG", "engine", "wasupervisor")
        service.systemctl("restart")
        service.wait("what the engine says", lambda: status() == "running")
    finally:
        box.run("systemctl", "stop", "engine")
        box.run("groupdel", "engine")


SECRET = "a-secret-of-the-credential"
KEYED = """
gateway: {kind: waha, url: "http://127.0.0.1:3002", api_key_file: wasupervisor.api_key, poll_every: 200ms}
uplink: null
"""


@pytest.fixture
def keyed(service: Service) -> Iterator[Container]:
    """A gateway that asks for a key, and where an administrator puts it."""
    box = service.container
    simulate(box, "keyed", "--port", "3002", "--api-key", SECRET)
    yield box
    box.run("systemctl", "stop", "keyed")
    for file in box.path("/etc/credstore").iterdir():
        file.unlink()


def put_secret(box: Container, name: str) -> None:
    file = box.path(f"/etc/credstore/{name}")
    file.write_text(f"{SECRET}\n")
    file.chmod(0o600)


def test_a_secret_comes_by_systemds_credentials(service: Service, keyed: Container) -> None:
    service.configure(KEYED)
    assert keyed.run("systemctl", "start", UNIT, check=False).returncode != 0
    assert service.show("ExecMainStatus") == "2"
    put_secret(keyed, "wasupervisor.api_key")
    service.start()
    service.wait_until_well()
    # By hand, root finds it too.
    assert keyed.run("wasupervisor", "check", check=False).returncode == 0
    service.configure(KEYED.replace("3002", "3002/").replace("wasupervisor.api_key", "/run/credentials/nobody"))
    assert "/run/credentials/nobody" in keyed.run("wasupervisor", "reload", check=False).stderr
    assert SECRET not in service.journal()


def test_an_instance_has_its_own_configuration_folders_and_secret(service: Service, keyed: Container) -> None:
    second = Service(keyed, "second")
    second.configure(f"{KEYED.replace('.api_key', '.second.api_key')}health: {{listen: '127.0.0.1:8092'}}\n")
    put_secret(keyed, "wasupervisor.second.api_key")
    service.start()
    try:
        second.start()
        second.wait_until_well()
        service.wait_until_well()
        # Whoever asks: root, and a member of the group, speak to the one that the file names.
        keyed.run("useradd", "--groups", "wasupervisor", "ana")
        asked = ("wasupervisor", "-c", second.config, "pause", "--reason", "only this one")
        keyed.run("runuser", "-u", "ana", "--", *asked)
        second.wait("a pause of the second", lambda: second.health()["paused"] is not None)
        assert service.health()["paused"] is None
        second.systemctl("stop")
        assert (second.show("Result"), second.health()["status"]) == ("success", "stopped")
        assert service.show("ActiveState") == "active"
        assert json.loads(service.wasupervisor("status", "--json"))["status"] == "healthy"
        folders = keyed.run("stat", "-c", "%a %U", "/var/lib/wasupervisor/second", "/run/wasupervisor/second").stdout
        assert folders.splitlines() == ["700 wasupervisor", "755 wasupervisor"]
    finally:
        second.systemctl("stop", check=False)
        keyed.path(second.config).unlink()


# What docs/process.md says to write for PM2, whose user is the gateway's.
PM2 = (CHECKOUT / "docs/process.md").read_text().partition("wasupervisor.service.d/pm2.conf\n")[2].partition("```")[0]
WRITE = "fs.writeFileSync('/home/waha/.pm2/restarted', ''); console.log('node ' + process.arch)"
COMMAND = f"""
gateway: {{kind: waha, url: "http://127.0.0.1:3003", poll_every: 200ms}}
uplink: null
recovery: {{restart_gateway: {{by: command, argv: [node, -e, "{WRITE}"], drain: 0s}}}}
"""


@pytest.fixture
def of_pm2(service: Service) -> Iterator[Service]:
    """The daemon as the gateway's user, loosened for commands."""
    box, drop_in = service.container, f"{DROP_INS}/pm2.conf"
    if shutil.which("node") is None:
        cannot("this machine has no node")
    box.run("sh", "-c", "id waha || useradd --user-group waha")
    box.run("install", "-d", "-o", "waha", "/home/waha/.pm2")
    box.run("systemd-run", "-q", "--unit=pm2-waha", "--uid=waha", *SIMULATOR, "--port", "3003")
    assert "allow-command.conf" in box.run(INSTALL, "--allow-command").stdout
    box.path(drop_in).write_text(PM2)
    box.run("systemctl", "daemon-reload")
    service.configure(COMMAND)
    yield service
    service.systemctl("stop")
    box.run("systemctl", "stop", "pm2-waha")
    box.run("userdel", "waha")
    box.path(drop_in).unlink()
    forget_drop_in(box, "allow-command.conf")


def test_a_command_gets_what_its_drop_in_gives(of_pm2: Service) -> None:
    box = of_pm2.container
    of_pm2.start()
    of_pm2.wait_until_well()
    of_pm2.wait("the process on the port", lambda: of_pm2.health()["gateway"]["pid"] == pid_of(box, "pm2-waha"))
    assert box.run("stat", "-c", "%U %G %a", "/run/wasupervisor/control.sock").stdout == "waha wasupervisor 660\n"
    of_pm2.container.run("wasupervisor", "restart", "--gateway", "--force", check=False)
    of_pm2.wait("what the command said", lambda: "node ended well: node " in of_pm2.wasupervisor("history"))
    assert box.path("/home/waha/.pm2/restarted").exists()


def test_the_script_leaves_a_debian_package_alone(container: Container) -> None:
    if not container.path("/usr/bin/dpkg-deb").exists():
        cannot("this machine has no dpkg-deb")
    folder = container.path("/root/package")
    (folder / "DEBIAN").mkdir(parents=True)
    fields = ("Package: wasupervisor", "Version: 1", "Architecture: all", "Maintainer: nobody", "Description: none")
    (folder / "DEBIAN/control").write_text("\n".join((*fields, "")))
    container.run("dpkg-deb", "--build", "/root/package", "/root/package.deb")
    container.run("dpkg", "-i", "/root/package.deb")
    try:
        for words in ((), ("--uninstall",)):
            done = container.run(INSTALL, *words, check=False)
            assert done.returncode == 1
            assert "the Debian package wasupervisor is installed" in done.stderr
            assert "sudo apt install ./wasupervisor_VERSION_ARCH.deb" in done.stderr
        # Only the package may stand in the way.
        assert container.run("systemctl", "cat", UNIT).returncode == 0
    finally:
        container.run("dpkg", "--purge", "wasupervisor")
