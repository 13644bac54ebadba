"""What the decider may know of the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from wasupervisor.config.fields import Section
from wasupervisor.config.recovery import DAYS, Maintenance
from wasupervisor.config.schema import Alert, Cpu, Gateway, Memory, Settings
from wasupervisor.config.units import format_duration
from wasupervisor.model.alerts import AlertKind
from wasupervisor.model.policy import Backoff, BreakerRule, Budget, IncidentRule, LimitRule, Policy, ProbeRule

_NOT_YET = ("vault",)
"""What no room of this version acts on. Each row goes when its room comes."""


def policy_of(settings: Settings, restart_spacing: float = 0.0) -> Policy:
    """The rules that the decider follows.

    Args:
        settings: the configuration.
        restart_spacing: the gateway's own floor between two restarts of one session, in seconds.
    """
    recovery, sessions = settings.recovery, settings.sessions
    return Policy(
        gateway_kind=settings.gateway.kind,
        act=recovery.mode == "act",
        include=sessions.include,
        exclude=sessions.exclude,
        expect=None if isinstance(sessions.expect, str) else sessions.expect,
        expect_all=sessions.expect == "all",
        poll_every=settings.gateway.poll_every,
        failing_samples=recovery.failing_after.samples,
        failing_after=recovery.failing_after.duration,
        starting_timeout=recovery.starting_timeout,
        startup_grace=recovery.startup_grace,
        stable_for=recovery.stable_for,
        hung_after=recovery.gateway.hung_after,
        gone_after=recovery.gateway.gone_after,
        action_timeout=settings.gateway.action_timeout,
        backoff=Backoff(**_values(recovery.backoff)),
        breaker=BreakerRule(**_values(recovery.breaker)),
        budget=Budget(**_values(recovery.budget)),
        incident=IncidentRule(**_values(recovery.incident)),
        uplink_watched=settings.uplink is not None,
        restarter=recovery.restart_gateway.by,
        drain=recovery.restart_gateway.drain,
        park=recovery.park,
        qr_interval=recovery.qr_interval,
        probe=None if sessions.probe is None else ProbeRule(every=sessions.probe.every, misses=sessions.probe.misses),
        memory=_limits(settings.process.memory),
        cpu=_limits(settings.process.cpu, 100.0),
        maintenance=None if recovery.maintenance is None else longest_round(recovery.maintenance),
        ready_when=settings.health.ready_when,
        rise=settings.health.rise,
        fall=settings.health.fall,
        tell=_told_of(settings),
        remind=min((one.remind for one in webhooks(settings) if one.remind is not None), default=None),
        restart_spacing=restart_spacing,
        notes=notes_of(settings, restart_spacing),
    )


def _limits(section: Memory | Cpu | None, unit: float = 1.0) -> LimitRule | None:
    if section is None:
        return None
    warn, restart = (None if one is None else one * unit for one in (section.warn, section.restart))
    return LimitRule(warn=warn, restart=restart, lasts=section.for_)


def longest_round(window: Maintenance) -> float:
    """Seconds from the begin of one window to the end of the next, where they are farthest apart."""
    days = sorted(DAYS.index(one) for one in set(window.days))
    apart = max((later - earlier - 1) % 7 + 1 for earlier, later in zip(days, [*days[1:], days[0]], strict=True))
    return apart * 86400.0 + (window.hours.end - window.hours.start) % 1440 * 60.0


def webhooks(settings: Settings) -> tuple[Alert, ...]:
    """The entries of `alerts` that this version sends to."""
    return tuple(one for one in settings.alerts if _scheme(one) in ("http", "https"))


def _scheme(alert: Alert) -> str:
    return alert.to.reveal().partition("://")[0]


def _told_of(settings: Settings) -> tuple[AlertKind, ...]:
    """The kinds that anybody wants to be told of."""
    return tuple(kind for kind in AlertKind if any(kind in (one.on or AlertKind) for one in webhooks(settings)))


def notes_of(settings: Settings, restart_spacing: float = 0.0) -> tuple[str, ...]:
    """What the configuration asks for and does not get, or perhaps does not mean; a sentence each."""
    return (*_not_acted_on(settings), *_floors(settings, restart_spacing), *_readable_on_the_way(settings))


def _not_acted_on(settings: Settings) -> Iterator[str]:
    untouched = Settings(gateway=Gateway(kind=settings.gateway.kind, url=settings.gateway.url))
    for path in _NOT_YET:
        if _at(settings, path) != _at(untouched, path):
            yield f"{path} is configured, and this version does not act on it yet"
    for one in settings.alerts:
        if "://" in one.to.reveal() and one not in webhooks(settings):
            yield f"alerts names {one.to}, and this version tells only addresses of http and https"


def _floors(settings: Settings, restart_spacing: float) -> Iterator[str]:
    first = settings.recovery.backoff.first
    # Of the default nobody has to hear that the gateway's floor is above it.
    if first < restart_spacing and first != type(settings.recovery.backoff)().first:
        yield (
            f"recovery.backoff.first is {format_duration(first)}, and {settings.gateway.kind} gets "
            f"{format_duration(restart_spacing)} between two restarts of one session all the same"
        )


def _readable_on_the_way(settings: Settings) -> Iterator[str]:
    listen = settings.health.listen
    if settings.control.token_file is not None and listen.is_open_to_others():
        yield (
            f"control.token_file is set and other hosts reach health.listen ({listen}): without a proxy with TLS "
            f"before it the token is readable on its way"
        )


def _values(section: Section) -> dict[str, Any]:
    return msgspec.structs.asdict(section)


def _at(settings: Settings, path: str) -> object:
    value: object = settings
    for name in path.split("."):
        value = getattr(value, name)
    return value
