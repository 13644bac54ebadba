"""Lines of the log as systemd's journal takes them, over a real datagram socket, and what each MESSAGE_ID means."""

from __future__ import annotations

import itertools
import logging
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from skipping import cannot

from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.sessions import Reason
from wasupervisor.runtime import logs as logs_module
from wasupervisor.runtime.journald import datagram
from wasupervisor.runtime.logs import Logs, log_entry
from wasupervisor.runtime.message_ids import ROWS, message_id

log = logging.getLogger("wasupervisor.test")

CATALOG = Path(__file__).parents[3] / "packaging/systemd/wasupervisor.catalog"


class Journald:
    """The receiving end, as systemd binds it, and the stream that it gives to a service as standard error."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "socket")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address)
        self.socket.settimeout(30)
        self.text = folder / "stderr"
        self.stream: TextIO = self.text.open("w")
        status = os.fstat(self.stream.fileno())
        self.environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}

    def read(self) -> dict[str, str]:
        """The next line, parsed as https://systemd.io/JOURNAL_NATIVE_PROTOCOL/ says."""
        rest, fields = self.socket.recv(1 << 20), {}
        while rest:
            head, _, rest = rest.partition(b"\n")
            name, plain, value = head.partition(b"=")
            if not plain:
                size = int.from_bytes(rest[:8], "little")
                value, rest = rest[8 : 8 + size], rest[9 + size :]
            fields[name.decode()] = value.decode()
        return fields

    def close(self) -> None:
        self.socket.close()
        self.stream.close()


@pytest.fixture
def journald(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journald]:
    it = Journald(tmp_path)
    monkeypatch.setattr(logs_module, "SOCKET", it.address)
    yield it
    it.close()


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


@pytest.fixture
def logs(journald: Journald) -> Iterator[Logs]:
    it = Logs("info", "auto", journald.environ, journald.stream)
    yield it
    it.close()


def test_an_entry_goes_out_with_its_fields(journald: Journald, logs: Logs) -> None:
    entry = Entry(
        kind=EntryKind.RESULT,
        text="the gateway refused restart_session",
        session="s1",
        reason=Reason.STUCK_STARTING,
        remedy="restart_session",
        outcome="refused",
        warn=True,
    )
    log_entry(log, entry)
    assert journald.read() == {
        "MESSAGE": "s1: the gateway refused restart_session",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "wasupervisor",
        "LOGGER": "wasupervisor.test",
        "MESSAGE_ID": message_id(entry),
        "SESSION": "s1",
        "KIND": "result",
        "REASON": "stuck_starting",
        "REMEDY": "restart_session",
        "OUTCOME": "refused",
    }


def test_what_an_entry_does_not_tell_is_no_field(journald: Journald, logs: Logs) -> None:
    log_entry(log, Entry(kind=EntryKind.SUPERVISOR, text="stopped"))
    assert set(journald.read()) == {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "LOGGER", "MESSAGE_ID", "KIND"}


def test_a_session_that_is_called_none_is_a_field_all_the_same(journald: Journald, logs: Logs) -> None:
    log_entry(log, Entry(kind=EntryKind.SEEN, text="the gateway says WORKING", session="none"))
    assert journald.read()["SESSION"] == "none"


def test_a_line_of_the_log_that_is_no_entry_has_no_message_id(journald: Journald, logs: Logs) -> None:
    log.warning("a %s", "warning")
    fields = journald.read()
    assert (fields["MESSAGE"], fields["PRIORITY"]) == ("a warning", "4")
    assert "MESSAGE_ID" not in fields


def test_a_traceback_is_one_entry(journald: Journald, logs: Logs) -> None:
    try:
        int("broken")
    except ValueError:
        log.exception("it failed")
    lines = journald.read()["MESSAGE"].splitlines()
    assert lines[0] == "it failed"
    assert lines[-1].startswith("ValueError: ")


def test_a_value_cannot_add_a_field() -> None:
    sent = datagram({"MESSAGE": "one\nMESSAGE_ID=x", "SESSION": "s1"})
    assert sent == b"MESSAGE\n" + (16).to_bytes(8, "little") + b"one\nMESSAGE_ID=x\nSESSION=s1\n"


def test_what_journald_cannot_take_goes_to_the_stream(journald: Journald, logs: Logs) -> None:
    log.warning("x" * 2_000_000)  # more than a datagram holds
    log.info("short")
    assert journald.read()["MESSAGE"] == "short"
    assert journald.text.read_text() == f"<4>{'x' * 2_000_000}\n"
    Path(journald.address).unlink()
    log.info("it is\naway")
    logs.close()
    assert journald.text.read_text().endswith("<6>it is\n<6>away\n")


def test_a_journald_that_does_not_read_stops_nobody(journald: Journald, logs: Logs) -> None:
    """With systemd-python this test would never end: the thread of the log would hold the interpreter's lock."""
    logs._waiting.maxsize = 10
    for number in itertools.count():
        log.info("line %d", number)
        if logs.lost:
            break
    assert not journald.text.read_text()
    told = [journald.read()["MESSAGE"] for _ in range(number)]
    assert told == [f"line {one}" for one in range(number)]
    log.info("it reads again")
    assert journald.read()["MESSAGE"] == "1 lines of the log were lost, for nobody read the ones before"
    assert journald.read()["MESSAGE"] == "it reads again"


def test_where_no_sockets_are_allowed_lines_go_to_the_stream(
    journald: Journald, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(97, "Address family not supported by protocol")  # RestrictAddressFamilies without AF_UNIX

    monkeypatch.setattr(socket, "socket", refuse)
    log.info("told all the same")
    logs.close()
    assert journald.text.read_text() == "<6>told all the same\n"


@pytest.mark.parametrize("form", ["text", "json", "journal"])
def test_a_stream_that_is_not_journalds_gets_text(form: str, journald: Journald) -> None:
    other = {"JOURNAL_STREAM": "1:2"}
    logs = Logs("info", form, other, journald.stream)
    log_entry(log, Entry(kind=EntryKind.SUPERVISOR, text="stopped"))
    logs.close()
    assert "stopped" in journald.text.read_text()


class Told:
    """One entry of the catalog."""

    def __init__(self, block: str) -> None:
        self.id, _, rest = block.partition("\n")
        head, _, self.text = rest.partition("\n\n")
        self.head = dict(line.split(": ", 1) for line in head.splitlines())


def catalog() -> list[Told]:
    return [Told(block) for block in re.split(r"^-- ", CATALOG.read_text(), flags=re.MULTILINE)[1:]]


def test_each_kind_of_entry_has_an_id() -> None:
    for kind, warn, session in itertools.product(EntryKind, (False, True), (None, "s1")):
        assert re.fullmatch("[0-9a-f]{32}", message_id(Entry(kind=kind, text="x", warn=warn, session=session)))


@pytest.mark.parametrize(
    ("entry", "subject"),
    [
        (Entry(EntryKind.CONCLUDED, "x", "s1", Reason.LOGGED_OUT, warn=True), "A session needs a person"),
        (Entry(EntryKind.CONCLUDED, "x", "s1", Reason.CONNECTION_LOST, warn=True), "A session is not well"),
        (Entry(EntryKind.CONCLUDED, "x", "s1"), "The condition of a session changed"),
        (Entry(EntryKind.REMEDY, "x", remedy="restart_gateway"), "The gateway is restarted"),
        (Entry(EntryKind.REMEDY, "x", "s1", remedy="start_session"), "A remedy is performed on a session"),
        (Entry(EntryKind.VERIFIED, "x", "s1", outcome="healed"), "A remedy has healed"),
        (Entry(EntryKind.VERIFIED, "x", "s1", outcome="not_healed", warn=True), "A remedy has not helped"),
        (Entry(EntryKind.VERIFIED, "x", "s1", outcome="missing"), "What a remedy came to"),
        (Entry(EntryKind.ALERT, "x", warn=True), "Somebody could not be told"),
    ],
)
def test_an_entry_has_the_id_of_its_meaning(entry: Entry, subject: str) -> None:
    assert {row.id: row.subject for row in ROWS}[message_id(entry)] == subject


def test_the_catalog_explains_exactly_the_ids_of_the_table() -> None:
    assert {one.id: one.head["Subject"] for one in catalog()} == {row.id: row.subject for row in ROWS}
    assert len({row.id for row in ROWS}) == len(ROWS)
    assert {row.subject for row in ROWS} == {one.head["Subject"] for one in catalog()}


def test_each_explanation_says_what_it_means_and_what_to_do() -> None:
    for one in catalog():
        assert one.head["Defined-By"] == "wasupervisor", one.id
        assert len(one.text.strip().split("\n\n")) >= 2, one.id
        assert max(map(len, one.text.splitlines())) <= 80, one.id


def test_journalctl_takes_the_catalog(tmp_path: Path) -> None:
    journalctl = shutil.which("journalctl")
    if journalctl is None:
        cannot("journalctl is not there (Debian: systemd)")
    place = tmp_path / "usr/lib/systemd/catalog"
    place.mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(CATALOG, place)
    root = f"--root={tmp_path}"
    made = subprocess.run([journalctl, root, "--update-catalog"], capture_output=True, text=True, check=True)
    assert made.stderr == ""
    listed = subprocess.run([journalctl, root, "--list-catalog"], capture_output=True, text=True, check=True).stdout
    assert set(listed.splitlines()) == {f"{row.id} wasupervisor: {row.subject}" for row in ROWS}


def test_the_page_names_every_field(journald: Journald, logs: Logs) -> None:
    entry = Entry(EntryKind.RESULT, "x", "s1", Reason.BANNED, remedy="restart_session", outcome="refused")
    log_entry(log, entry)
    page = (CATALOG.parents[2] / "docs/journal.md").read_text()
    assert re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE) == [
        "MESSAGE",
        "MESSAGE_ID",
        "KIND",
        "SESSION",
        "REASON",
        "REMEDY",
        "OUTCOME",
        "PRIORITY",
        "LOGGER",
        "SYSLOG_IDENTIFIER",
    ]
    assert set(journald.read()) == set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))
