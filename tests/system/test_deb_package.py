"""The Debian package as `make deb` builds it: installed, upgraded and removed in a fresh Debian 12 under systemd."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from skipping import cannot
from systemd_container import Container, UnavailableError, why_unavailable
from systemd_fixtures import CHECKOUT, ETC, PYTHON, UNIT, Service

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]

TOOLS = ("mmdebstrap", "lintian", "dpkg-deb")
SITE = "opt/wasupervisor/lib/python3.11/site-packages"
# Python is only fetched: as on a fresh machine it is installed because the package asks for it.
BOOTSTRAP = (
    "--variant=minbase",
    "--include=systemd-sysv,dbus",
    "--aptopt=Acquire::Languages none",
    "--skip=cleanup/apt",
)
FETCH = '--customize-hook=chroot "$1" apt-get install --download-only -y --no-install-recommends python3'
SECRET = "a-key-of-the-test"
CONFIG = """
gateway: {kind: waha, url: "http://127.0.0.1:3000", api_key: "${WAHA_API_KEY}", poll_every: 200ms, timeout: 2s}
uplink: null
"""
# As a load balancer asks, ten times as often: each answer, or what came instead.
PROBES = """
import http.client
import time
while True:
    connection = http.client.HTTPConnection("127.0.0.1", 8090, timeout=30)
    try:
        connection.request("GET", "/readyz")
        print(connection.getresponse().status, flush=True)
    except (OSError, http.client.HTTPException) as error:
        print(repr(error), flush=True)
    connection.close()
    time.sleep(0.02)
"""
FAULT = """
import sys
import urllib.request
urllib.request.urlopen("http://127.0.0.1:3999/_simulator/fault", sys.argv[1].encode(), timeout=10).read()
"""


class Made(NamedTuple):
    package: Path
    tree: Path
    """A fresh Debian 12, minbase with systemd, and without a Python."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Both at the same time: each waits for the network a while."""
    if reason := why_unavailable() or why_not_here():
        cannot(reason)
    folder = tmp_path_factory.mktemp("deb")
    tree = folder / "tree"
    command = ["mmdebstrap", *BOOTSTRAP, FETCH, "bookworm", str(tree), *mirror()]
    debian = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        package = build(folder)
        _, said = debian.communicate(timeout=300)
        if debian.returncode != 0:
            cannot(f"no fresh Debian 12 can be made here: {said[-2000:]}")
        yield Made(package, tree)
    finally:
        debian.terminate()
        debian.wait()
        shutil.rmtree(tree, ignore_errors=True)


def why_not_here() -> str | None:
    if not re.search(r'^VERSION_ID="?12"?$', Path("/etc/os-release").read_text(), re.MULTILINE):
        return "the Debian package is built on Debian 12"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"the Debian package's tests need {' and '.join(missing)} (Debian packages)" if missing else None


def mirror() -> list[str]:
    """Where this machine takes Debian 12 from, as far as its apt has lists; mmdebstrap knows a place itself."""
    form = ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"]
    for line in subprocess.run(form, capture_output=True, text=True, check=True).stdout.splitlines():
        release, _, address = line.partition(" ")
        if release == "bookworm":
            return [address]
    return []


def build(folder: Path) -> Path:
    script = [str(CHECKOUT / "packaging/deb/build.sh"), "", str(folder)]
    done = subprocess.run(script, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=500)
    assert done.returncode == 0, done.stdout
    (package,) = folder.glob("*.deb")
    return package


def as_version(package: Path, version: str, folder: Path) -> Path:
    """The same package with another version, of the program too."""
    root, made = folder / version, folder / f"wasupervisor_{version}_all.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", package, root], check=True)
    control, module = root / "DEBIAN/control", root / SITE / "wasupervisor/__init__.py"
    control.write_text(re.sub("(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    module.write_text(re.sub('__version__ = ".*"', f'__version__ = "{version}"', module.read_text()))
    compiled = [
        "/usr/bin/python3",
        "-m",
        "compileall",
        "-q",
        "-f",
        "--invalidation-mode",
        "unchecked-hash",
        str(module),
    ]
    subprocess.run(compiled, check=True)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", root, made],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    shutil.rmtree(root)
    return made


def runs(daemon: Service, version: str) -> bool:
    return daemon.health().get("version") == version


class Machine(Service):
    """The fresh Debian 12, booted, with the package's files in /var/tmp."""

    def bring(self, package: Path) -> str:
        shutil.copy(package, self.container.path("/var/tmp"))
        return f"/var/tmp/{package.name}"

    def apt(self, *words: str, check: bool = True) -> str:
        """What it said.

        Raises:
            AssertionError: it failed, with what it said.
        """
        command = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "--no-install-recommends", *words)
        done = self.container.run(*command, check=False, seconds=180)
        assert (done.returncode == 0) is check, done.stdout + done.stderr
        return done.stdout + done.stderr

    def status(self) -> str:
        return self.systemctl("status", "--no-pager", check=False)

    def happens(self, fault: str, session: str) -> None:
        text = json.dumps({"fault": fault, "session": session})
        self.container.run("/usr/bin/python3", "-c", FAULT, text)

    def exists(self, path: str) -> bool:
        return self.container.run("test", "-e", path, check=False).returncode == 0

    def modes(self, *paths: str) -> list[str]:
        return self.container.run("stat", "-c", "%a %U:%G", *paths).stdout.splitlines()


@pytest.fixture(scope="module")
def machine(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    box: Container | None = None
    try:
        box = Container(tmp_path_factory.mktemp("container"), made.tree)
        box.boot()
        yield Machine(box)
    except UnavailableError as error:
        cannot(str(error))
    finally:
        if box is not None:
            box.close()


def test_lintian_finds_no_error(made: Made) -> None:
    command = ["lintian", "--allow-root", "--fail-on=error", str(made.package)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_holds_what_runs_and_nothing_else(made: Made, tmp_path: Path) -> None:
    root = tmp_path / "root"
    subprocess.run(["dpkg-deb", "--extract", made.package, root], check=True)
    site = root / SITE
    assert not [*site.glob("pip*"), *site.glob("setuptools*"), *site.glob("wheel*"), *site.glob("*.egg-info")]
    assert (root / "opt/wasupervisor/bin/python3").readlink() == Path("/usr/bin/python3")
    flags = {one.read_bytes()[4:8] for one in site.rglob("*.pyc")}
    # PEP 552: a hash instead of a time, and it is not compared.
    assert flags == {b"\x01\x00\x00\x00"}
    assert len(list(site.rglob("*.pyc"))) == len(list(site.rglob("*.py")))
    folders = (f"{CHECKOUT}/wasupervisor/".encode(), b"/tmp/tmp.")
    named = [one for one in root.rglob("*") if one.is_file() and not one.is_symlink()]
    assert not [one for one in named if any(folder in one.read_bytes() for folder in folders)]


def test_it_installs_without_a_network_and_says_what_to_edit(machine: Machine, made: Made) -> None:
    assert not machine.exists("/usr/bin/python3")
    said = machine.apt("install", machine.bring(made.package))
    assert f"sudoedit {ETC}/config.yaml" in said
    assert "wasupervisor" in machine.container.run("journalctl", "--list-catalog").stdout
    assert "systemctl enable --now wasupervisor" in said
    assert machine.show("ActiveState") == "inactive"
    assert machine.show("UnitFileState") == "disabled"
    assert machine.modes(ETC, f"{ETC}/config.yaml", f"{ETC}/environment", "/var/lib/wasupervisor") == [
        "750 root:wasupervisor",
        "640 root:wasupervisor",
        "600 root:root",
        "700 wasupervisor:wasupervisor",
    ]


def test_with_an_unedited_configuration_it_does_not_start_and_tells_why(machine: Machine) -> None:
    assert machine.container.run("systemctl", "start", UNIT, check=False).returncode != 0
    assert machine.show("ExecMainStatus") == "2"
    assert machine.show("NRestarts") == "0"
    assert f"{ETC}/config.yaml" in machine.journal()
    assert "the environment variable WAHA_API_KEY is not set" in machine.journal()


def test_systemctl_status_tells_the_truth_about_the_sessions(machine: Machine) -> None:
    simulator = (PYTHON, "-m", "wasupervisor.simulator", "--kind", "waha", "--sessions", "3", "--port", "3000")
    options = ("--control-port", "3999", "--api-key", SECRET)
    machine.container.run("systemd-run", "--unit=simulator", "-q", *simulator, *options)
    machine.configure(CONFIG)
    machine.container.path(f"{ETC}/environment").write_text(f"WAHA_API_KEY={SECRET}\n")
    machine.systemctl("enable", "--now")
    machine.wait("three active sessions", lambda: 'Status: "healthy: ' in machine.status())
    assert "; 3 of 3 active, 0 failed, 0 recovering, 0 need a person" in machine.status()
    machine.happens("qr_wanted", "s2")
    machine.wait("one that needs a person", lambda: "2 of 3 active, 0 failed, 0 recovering, 1 need" in machine.status())
    machine.happens("scanned", "s2")
    machine.wait("three again", lambda: "3 of 3 active" in machine.status())
    assert SECRET not in machine.status() + machine.journal()


def test_a_restart_keeps_what_it_knows(machine: Machine) -> None:
    machine.wasupervisor("pause", "--reason", "the test says so")
    machine.forget_health()
    machine.systemctl("restart")
    machine.wait_until_well()
    assert machine.health()["paused"]["reason"] == "the test says so"
    machine.wasupervisor("resume")


@pytest.fixture
def second(machine: Machine) -> Iterator[Service]:
    """A daemon for a second gateway of this host."""
    instance = Service(machine.container, "second")
    machine.container.path(f"{ETC}/second.environment").write_text(f"WAHA_API_KEY={SECRET}\n")
    instance.configure(CONFIG + 'health: {listen: "127.0.0.1:8092"}\n')
    instance.start()
    instance.wait_until_well()
    yield instance
    instance.systemctl("stop")


def test_an_upgrade_loses_no_probe_and_nothing_that_is_kept(
    machine: Machine, second: Service, made: Made, tmp_path: Path
) -> None:
    box, socket = machine.container, "wasupervisor.socket"
    machine.systemctl("stop")
    box.run("systemctl", "enable", "--now", socket)
    machine.forget_health()
    machine.start()
    machine.wait_until_well()
    machine.wait("it is ready", lambda: machine.health()["ready"])
    state = box.run("stat", "-c", "%i", "/var/lib/wasupervisor").stdout
    box.run("systemd-run", "--unit=probes", "-q", "-p", "StandardOutput=file:/run/probes", "python3", "-c", PROBES)
    probes = box.path("/run/probes")
    machine.wait("probes", lambda: probes.exists() and probes.read_text().count("\n") > 5)

    said = machine.apt("install", machine.bring(as_version(made.package, "99.1", tmp_path)))

    for daemon in (machine, second):
        daemon.wait("the new version", partial(runs, daemon, "99.1"))
        daemon.wait_until_well()
    before = probes.read_text().count("\n")
    machine.wait("more probes", lambda: probes.read_text().count("\n") > before + 20)
    box.run("systemctl", "stop", "probes")
    assert set(probes.read_text().split("\n")[:-1]) == {"200"}
    assert "sudoedit" not in said
    assert machine.wasupervisor("version").strip().endswith("99.1")
    assert box.path(machine.config).read_text() == CONFIG
    assert box.run("stat", "-c", "%i", "/var/lib/wasupervisor").stdout == state
    assert machine.modes(f"{ETC}/config.yaml", f"{ETC}/environment") == ["640 root:wasupervisor", "600 root:root"]
    history = json.loads(machine.wasupervisor("history", "--json"))
    assert any("the test says so" in entry["text"] for entry in history)


def test_a_daemon_whose_configuration_the_new_version_refuses_runs_on(
    machine: Machine, made: Made, tmp_path: Path
) -> None:
    first = machine.show("MainPID")
    machine.configure(CONFIG + "nonsense: 1\n")
    said = machine.apt("install", machine.bring(as_version(made.package, "99.2", tmp_path)))
    assert machine.show("MainPID") == first
    assert f"{UNIT} is not restarted: it runs as the old version, for the new one refuses {ETC}/config.yaml" in said
    assert "nonsense" in said
    machine.configure(CONFIG)


def test_an_upgrade_does_not_start_what_was_stopped(machine: Machine, made: Made) -> None:
    machine.container.run("systemctl", "stop", "wasupervisor.socket", UNIT)
    machine.apt("install", "--allow-downgrades", machine.bring(made.package))
    assert machine.show("ActiveState") == "inactive"


def test_a_removal_stops_it_and_keeps_what_a_person_may_miss(machine: Machine) -> None:
    machine.container.run("systemctl", "start", "wasupervisor.socket", UNIT)
    machine.wait_until_well()
    machine.apt("remove", "wasupervisor")
    listed = machine.container.run("systemctl", "list-units", "--all", "--no-legend", "wasupervisor*").stdout
    assert [line for line in listed.splitlines() if " active " in line] == []
    assert not machine.exists("/opt/wasupervisor")
    assert not machine.exists("/run/wasupervisor")
    assert machine.container.path(machine.config).read_text() == CONFIG
    assert any(machine.container.path("/var/lib/wasupervisor").iterdir())


def test_what_is_installed_again_is_as_it_was(machine: Machine, made: Made) -> None:
    machine.apt("install", machine.bring(made.package))
    assert machine.show("UnitFileState") == "enabled"
    machine.start()
    machine.wait_until_well()
    assert machine.container.path(machine.config).read_text() == CONFIG


def test_a_purge_leaves_nothing_but_the_user(machine: Machine) -> None:
    machine.apt("purge", "wasupervisor")
    gone = [ETC, "/opt/wasupervisor", "/var/lib/wasupervisor", "/run/wasupervisor", "/usr/bin/wasupervisor"]
    assert [path for path in gone if machine.exists(path)] == []
    left = machine.container.run(
        "find", "/etc", "/usr", "/lib/systemd", "/var/lib", "/run/systemd", "-iname", "*wasupervisor*"
    )
    assert left.stdout == ""
    assert "wasupervisor" in machine.container.run("getent", "passwd", "wasupervisor").stdout


# The last one: afterwards dpkg has a package that it could not unpack.
def test_it_does_not_install_over_what_the_script_installed(machine: Machine, made: Made) -> None:
    venv = machine.container.path("/opt/wasupervisor")
    venv.mkdir(parents=True)
    (venv / "pyvenv.cfg").touch()
    said = machine.apt("install", machine.bring(made.package), check=False)
    assert "sudo packaging/systemd/install.sh --uninstall" in said
    assert [one.name for one in venv.iterdir()] == ["pyvenv.cfg"]
