"""What the decider gets of the settings, and what the operator is told that it does not get."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wasupervisor.config.loading import Loaded
from wasupervisor.config.policy import policy_of
from wasupervisor.config.schema import Gateway, Settings
from wasupervisor.model.alerts import AlertKind
from wasupervisor.model.policy import (
    Backoff,
    BreakerRule,
    Budget,
    IncidentRule,
    LimitRule,
    Policy,
    ProbeRule,
    ReadyWhen,
)

Load = Callable[..., Loaded]


def test_default_settings_are_the_default_policy() -> None:
    assert policy_of(Settings(gateway=Gateway(kind="waha", url="http://h"))) == Policy()


def test_every_setting_of_the_decider_reaches_it(load_text: Load) -> None:
    settings = load_text(
        """
gateway: {kind: evolution, url: 'http://h', poll_every: 1s, action_timeout: 2s}
sessions: {include: [a*], exclude: [ab], expect: [ac]}
recovery:
  mode: observe
  failing_after: {samples: 4, duration: 5s}
  starting_timeout: 6s
  startup_grace: 7s
  stable_for: 8s
  gateway: {hung_after: 9s, gone_after: 10s}
  backoff: {first: 11s, factor: 12, max: 13s}
  breaker: {failures: 14, within: 15s, open_for: 16s, open_max: 17s}
  budget: {per_session_per_hour: 18, sessions_per_hour: 19, gateway_per_hour: 20, gateway_per_day: 21,
           concurrent: 22, spacing: 23s}
  incident: {share: 24%, at_least: 25, within: 26s}
  restart_gateway: {by: systemd, unit: evolution.service}
uplink: null
health: {ready_when: all, rise: 27, fall: 28}
"""
    ).settings
    assert policy_of(settings, 60.0) == Policy(
        gateway_kind="evolution",
        act=False,
        include=("a*",),
        exclude=("ab",),
        expect=("ac",),
        poll_every=1,
        failing_samples=4,
        failing_after=5,
        starting_timeout=6,
        startup_grace=7,
        stable_for=8,
        hung_after=9,
        gone_after=10,
        action_timeout=2,
        backoff=Backoff(11, 12, 13),
        breaker=BreakerRule(14, 15, 16, 17),
        budget=Budget(18, 19, 20, 21, 22, 23),
        incident=IncidentRule(0.24, 25, 26),
        uplink_watched=False,
        restarter="systemd",
        ready_when=ReadyWhen(1.0),
        rise=27,
        fall=28,
        restart_spacing=60.0,
        notes=(
            "recovery.backoff.first is 11s, and evolution gets 60s between two restarts of one session all the same",
        ),
    )


def test_how_often_a_qr_may_be_asked_for_reaches_the_decider(load_section: Load) -> None:
    assert policy_of(load_section("").settings).qr_interval == 60.0
    policy = policy_of(load_section("recovery: {qr_interval: 5m}").settings)
    assert (policy.qr_interval, policy.notes) == (300.0, ())


def test_expect_all_is_a_flag(load_section: Load) -> None:
    policy = policy_of(load_section("sessions: {expect: all}").settings)
    assert (policy.expect, policy.expect_all) == (None, True)


def test_nobody_is_told_of_a_floor_above_a_default(load_section: Load) -> None:
    assert policy_of(load_section("").settings, 60.0).notes == ()
    assert policy_of(load_section("recovery: {backoff: {first: 60s}}").settings, 60.0).notes == ()
    assert policy_of(load_section("recovery: {backoff: {first: 20s}}").settings, 0.0).notes == ()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("vault: {}", "vault"),
    ],
)
def test_what_no_room_acts_on_yet_is_told(load_section: Load, text: str, path: str) -> None:
    notes = policy_of(load_section(text).settings).notes
    assert notes == (f"{path} is configured, and this version does not act on it yet",)


@pytest.mark.parametrize(
    ("listen", "told"),
    [
        ("127.0.0.1:8090", False),
        ("localhost:8090", False),
        ("'[::1]:8090'", False),
        ("0.0.0.0:8090", True),
        ("'[::]:8090'", True),
        ("10.0.0.11:8090", True),
    ],
)
def test_a_token_that_others_may_read_on_its_way_is_told(load_section: Load, listen: str, told: bool) -> None:
    health = f"health: {{listen: {listen}}}\n"
    notes = policy_of(load_section(f"{health}control: {{token_file: t}}").settings).notes
    assert [note for note in notes if "TLS" in note and f"({listen.strip(chr(39))})" in note] == list(notes)
    assert bool(notes) == told
    assert policy_of(load_section(health).settings).notes == ()


def test_limits_reach_the_decider_in_bytes_and_per_cent(load_section: Load) -> None:
    policy = policy_of(load_section("process: {memory: {warn: 1GB, restart: never}, cpu: {restart: 90%}}").settings)
    assert policy.memory == LimitRule(warn=1e9, restart=None, lasts=60.0)
    assert policy.cpu == LimitRule(warn=None, restart=90.0, lasts=300.0)
    assert policy.notes == ()
    assert (policy_of(load_section("").settings).memory, policy_of(load_section("").settings).cpu) == (None, None)


@pytest.mark.parametrize(
    ("window", "hours"),
    [
        ("{hours: '03:00-05:00'}", 26),
        ("{hours: '23:00-01:30'}", 26.5),
        ("{days: [sun], hours: '03:00-05:00'}", 7 * 24 + 2),
        ("{days: [sun, sat], hours: '03:00-05:00'}", 6 * 24 + 2),
        ("{days: [mon, thu, mon], hours: '03:00-04:00'}", 4 * 24 + 1),
    ],
)
def test_of_a_window_is_known_how_long_the_next_may_take(load_section: Load, window: str, hours: float) -> None:
    policy = policy_of(load_section(f"recovery: {{maintenance: {window}}}").settings)
    assert policy.maintenance == hours * 3600
    assert policy.notes == ()


def test_the_probe_reaches_the_decider_without_its_timeout(load_section: Load) -> None:
    assert policy_of(load_section("").settings).probe is None
    policy = policy_of(load_section("sessions: {probe: {every: 2m, timeout: 9s, misses: 4}}").settings)
    assert policy.probe == ProbeRule(every=120.0, misses=4)
    assert policy.notes == ()


@pytest.mark.parametrize(
    ("text", "tell", "remind"),
    [
        ("dead_man: https://h/x", (), None),
        ("alerts: [{to: 'https://h/x'}]", tuple(AlertKind), 3600.0),
        ("alerts: [{to: 'http://h/x', on: [deaf, incident], remind: null}]", ("incident", "deaf"), None),
        (
            "alerts: [{to: 'http://h/x', on: [deaf]}, {to: 'http://i/x', on: [incident], remind: 2h}]",
            ("incident", "deaf"),
            3600.0,
        ),
    ],
)
def test_of_what_somebody_is_told(load_section: Load, text: str, tell: tuple[str, ...], remind: float | None) -> None:
    policy = policy_of(load_section(text).settings)
    assert (policy.tell, policy.remind, policy.notes) == (tell, remind, ())


def test_what_is_no_webhook_is_told_and_keeps_its_token(load_section: Load) -> None:
    policy = policy_of(load_section("alerts: [{to: 'tgram://123:token/chat'}]").settings)
    assert policy.tell == ()
    (note,) = policy.notes
    assert note == "alerts names tgram://***, and this version tells only addresses of http and https"
