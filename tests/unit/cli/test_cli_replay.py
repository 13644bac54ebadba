"""`replay` as an operator types it."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from cli_daemon import run
from msgspec.structs import replace

from wasupervisor.cli import replay as replay_module
from wasupervisor.config.loading import load
from wasupervisor.config.policy import policy_of
from wasupervisor.decide.memory import Memory
from wasupervisor.decide.step import step
from wasupervisor.model.observation import Look, Observation, Uplink, UplinkState
from wasupervisor.model.sessions import Reason, Sighting, State
from wasupervisor.runtime.recording import Recording, Taken

RULES = "recovery: {startup_grace: 0s, stable_for: 0s, failing_after: {samples: 1, duration: %s}}\n"


class Site:
    """A folder with a configuration and the recording of a daemon that ran with it."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        self.config = self.write("config.yaml", RULES % "5s")

    def write(self, name: str, more: str = "", kind: str = "waha", record: str = "24h") -> Path:
        path = self.state.parent / name
        state = f"state: {{directory: {self.state}, record: {record}}}\n"
        path.write_text(f"gateway: {{kind: {kind}, url: 'http://h:1'}}\n{state}{more}")
        return path

    def record(self, ago: float = 600.0, *, lie: bool = False, spacing: float = 0.0) -> None:
        """Session a fails after a while; a restart does not heal it."""
        now = 1000.0
        began = time.time() - ago - now
        recording = Recording(self.state, 86400.0, wall=lambda: began + now)
        memory, policy = Memory(), policy_of(load(self.config, {}), spacing)
        for number in range(30):
            state, reason = (State.WORKING, Reason.NONE) if number < 5 else (State.FAILED, Reason.UNEXPLAINED)
            sightings = (
                Sighting("a", state, reason, claim=state.upper(), paired=True),
                Sighting("b", State.WORKING, claim="WORKING", paired=True),
            )
            seen = Observation(look=Look(reachable=True, sightings=sightings), uplink=Uplink(UplinkState.UP))
            decision = step(memory, seen, now, 0.5, policy)
            told = replace(decision, ask_uplink=not decision.ask_uplink) if lie and number == 29 else decision
            recording.take(Taken(memory, seen, now, 0.5, policy, told))
            memory = decision.memory
            now += 5.0
        asyncio.run(recording.close())
        assert recording.trouble == ""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(replay_module, "DEFAULT_FILE", tmp_path / "nowhere.yaml")
    return Site(tmp_path)


def test_the_recorded_rules_change_nothing(site: Site) -> None:
    site.record()
    for words in (("replay", "-c", str(site.config)), ("-c", str(site.config), "replay")):
        result = run(*words)
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert lines[0].endswith("(2 min), 30 steps, by the recorded rules.")
        assert "Each decision is the recorded one, byte by byte." in lines
        assert ["restart_session", "2", "2"] in [line.split() for line in lines]
        assert lines[-1] == "Nothing would have been different."


def test_other_rules_are_told_as_sentences_with_their_limit(site: Site) -> None:
    site.record()
    patient = site.write("new.yaml", RULES % "30s")
    result = run("replay", "-c", str(site.config), "--config", str(patient))
    assert result.exit_code == 1
    assert f"by the rules of {patient}." in result.stdout
    assert " a: would have been made 25 s later, at " in result.stdout
    assert ": restart_session (attempt 1)" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("After the first other remedy")


def test_rules_that_only_watch_withhold(site: Site) -> None:
    site.record()
    watching = site.write("new.yaml", (RULES % "5s").replace("{startup", "{mode: observe, startup"))
    result = run("replay", "--config", str(watching))
    assert result.exit_code == 1
    assert " a: would not have been made: restart_session (attempt 1)" in result.stdout
    assert " a: would have been withheld: " in result.stdout


def test_the_gateways_own_floor_stays(site: Site) -> None:
    site.record(spacing=60.0)
    same = site.write("new.yaml", RULES % "5s")
    result = run("replay", "--config", str(same), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["identical"] == 30


def test_as_json(site: Site) -> None:
    site.record()
    patient = site.write("new.yaml", RULES % "30s")
    result = run("replay", "-c", str(site.config), "--config", str(patient), "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["steps"] == 30
    assert found["rules"] == f"the rules of {patient}"
    assert found["then"] == found["now"]
    moved, _second = [one for one in found["differences"] if one["what"] == "restart_session"]
    assert moved["session"] == "a"
    assert moved["now"] - moved["then"] == pytest.approx(25.0)
    assert found["fault"] == ""


def test_only_as_far_back_as_is_wanted(site: Site) -> None:
    site.record(ago=150.0)
    result = run("replay", "-c", str(site.config), "--since", "60s", "--json")
    assert 0 < json.loads(result.stdout)["steps"] <= 14
    assert run("replay", "-c", str(site.config), "--since", "60").exit_code == 2
    assert "--since: write the unit too" in run("replay", "-c", str(site.config), "--since", "60").stderr


def test_the_same_rules_and_other_bytes_are_a_fault_of_ours_but_not_after_an_update(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.record(lie=True)
    result = run("replay", "-c", str(site.config))
    assert result.exit_code == 1
    assert "1 decision differs in its bytes, and should not: a fault of wasupervisor" in result.stdout
    monkeypatch.setattr(replay_module, "__version__", "a later one")
    result = run("replay", "-c", str(site.config))
    assert result.exit_code == 0
    assert "Of 30 decisions 29 are the recorded ones, byte by byte." in result.stdout


def test_where_nothing_is_recorded_it_says_which_key_to_set(site: Site) -> None:
    off = site.write("off.yaml", record="null")
    result = run("replay", "-c", str(off))
    assert result.exit_code == 2
    assert "nothing that can be read was recorded" in result.stderr
    assert "set state.record, for instance to 24h" in result.stderr
    assert "is the daemon running" in run("replay", "-c", str(site.config)).stderr


def test_a_recording_of_another_gateway_is_refused(site: Site) -> None:
    site.record()
    other = site.write("other.yaml", kind="evolution")
    result = run("replay", "-c", str(site.config), "--config", str(other))
    assert result.exit_code == 2
    assert "the recording is of waha, and" in result.stderr
    assert "is for evolution" in result.stderr


def test_a_configuration_that_cannot_be_used_is_refused(site: Site) -> None:
    site.record()
    wrong = site.write("wrong.yaml", "surprise: 1\n")
    assert run("replay", "-c", str(wrong)).exit_code == 2
    result = run("replay", "-c", str(site.config), "--config", str(wrong))
    assert result.exit_code == 2
    assert "surprise" in result.stderr


def test_a_damaged_file_is_told_and_the_rest_is_replayed(site: Site) -> None:
    site.record()
    (only,) = (site.state / "recording").iterdir()
    (only.parent / "00000002.steps").write_bytes(b"rubbish")
    result = run("replay", "-c", str(site.config))
    assert result.exit_code == 0
    assert "wasupervisor: " in result.stderr
    assert "00000002.steps is left out from here on: it is no recording" in result.stderr


def test_a_folder_that_cannot_be_read_is_told(site: Site) -> None:
    (site.state / "recording").write_text("a file")
    result = run("replay", "-c", str(site.config))
    assert result.exit_code == 2
    assert "cannot be read: Not a directory" in result.stderr
