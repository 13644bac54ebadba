"""The section `recovery`: when to act, how often at the most, and how to restart the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from wasupervisor.config.fields import Complaint, Example, ListOf, Section
from wasupervisor.config.rules import Choice, Count, DayHours, Duration, Flag, Hours, Number, Share
from wasupervisor.config.texts import PathName, Text, Verbatim
from wasupervisor.config.units import parse_duration as span

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class FailingAfter(Section, frozen=True, kw_only=True):
    """How long a session must look bad before it is failing."""

    samples: Annotated[int, Count(1, 1000), "so many polls in a row that see it unwell"] = 3
    duration: Annotated[float, Duration(most="1h"), "and for so long"] = span("15s")


class GatewayPatience(Section, frozen=True, kw_only=True):
    """How long the gateway itself may be unwell."""

    hung_after: Annotated[float, Duration("1s", "1h"), "its process is there, its API does not answer"] = span("60s")
    gone_after: Annotated[float, Duration("0s", "1h"), "its process is gone and nobody brings it back"] = span("10s")


class Backoff(Section, frozen=True, kw_only=True):
    """The wait between two attempts at one session."""

    first: Annotated[float, Duration("100ms", "1d"), "before the second attempt"] = span("5s")
    factor: Annotated[float, Number(1, 100), "each wait is so many times the one before"] = 2.0
    max: Annotated[float, Duration("100ms", "7d"), "and never longer than this"] = span("10m")

    def complaints(self) -> Iterator[Complaint]:
        """The longest wait is not shorter than the first."""
        if self.max < self.first:
            yield Complaint(("max", "first"), "cannot be shorter than `first`: raise it, or lower `first`")


class Breaker(Section, frozen=True, kw_only=True):
    """When attempts that do not help are stopped for a while."""

    failures: Annotated[int, Count(1, 1000), "attempts that did not heal and open it"] = 5
    within: Annotated[float, Duration("1s", "7d"), "the window that they are counted in"] = span("30m")
    open_for: Annotated[float, Duration("1s", "7d"), "how long it opens first; then twice as long"] = span("60s")
    open_max: Annotated[float, Duration("1s", "30d"), "and at the longest; at this pace it never gives up"] = span("1h")

    def complaints(self) -> Iterator[Complaint]:
        """The longest open time is not shorter than the first."""
        if self.open_max < self.open_for:
            yield Complaint(
                ("open_max", "open_for"), "cannot be shorter than `open_for`: raise it, or lower `open_for`"
            )


class Budget(Section, frozen=True, kw_only=True):
    """How many remedies at the most, counted in sliding windows."""

    per_session_per_hour: Annotated[int, Count(0, 1000), "remedies of one session in an hour"] = 6
    sessions_per_hour: Annotated[int, Count(0, 100_000), "remedies of all sessions together in an hour"] = 60
    gateway_per_hour: Annotated[int, Count(0, 60), "restarts of the gateway in an hour"] = 2
    gateway_per_day: Annotated[int, Count(0, 1000), "restarts of the gateway in a day"] = 6
    concurrent: Annotated[int, Count(1, 100), "remedies under way at once"] = 1
    spacing: Annotated[float, Duration("0s", "1h"), "from one remedy to the next"] = span("2s")


class Incident(Section, frozen=True, kw_only=True):
    """When many failing sessions are one incident: one canary, one alert."""

    share: Annotated[float, Share(), "share of the sessions that should be up"] = 0.5
    at_least: Annotated[int, Count(1, 10_000), "and at least so many sessions"] = 3
    within: Annotated[float, Duration("1s", "1h"), "that began to fail within this time"] = span("2m")


_NEEDED = {"systemd": "unit", "docker": "container", "command": "argv", "kubelet": "file"}


class RestartGateway(Section, frozen=True, kw_only=True):
    """What restarts the gateway when nothing else heals."""

    by: Annotated[str, Choice("none", *_NEEDED), "who restarts it"] = "none"
    unit: Annotated[str | None, Text("the name of a unit", r"[^\s/]+"), "by: systemd", Example("waha.service")] = None
    container: Annotated[
        str | None, Text("a container", r"[^\s]+"), "by: docker; or label=KEY=VALUE", Example("waha")
    ] = None
    argv: Annotated[
        tuple[str, ...], ListOf(Verbatim()), "by: command; no shell", Example('["pm2", "restart", "waha"]')
    ] = ()
    file: Annotated[Path | None, PathName(), "by: kubelet; exists while a restart is wanted"] = None
    drain: Annotated[float, Duration("0s", "10m"), "readiness says no for so long before"] = span("5s")
    force: Annotated[bool, Flag(), "may continue and kill a frozen process; only by: command"] = False

    def complaints(self) -> Iterator[Complaint]:
        """The one who restarts knows what, and nothing is told to the others."""
        given = {"unit": self.unit, "container": self.container, "argv": self.argv, "file": self.file}
        needed = _NEEDED.get(self.by)
        if needed and not given[needed]:
            yield Complaint(("by", needed), f"cannot be {self.by} without `{needed}`: set it beside")
        for by, key in _NEEDED.items():
            if given[key] and key != needed:
                yield Complaint((key, "by"), f"cannot be set with by: {self.by}: delete it, or write by: {by}")
        if self.force and self.by != "command":
            yield Complaint(("force", "by"), f"cannot be true with by: {self.by}: only a command may be forced")


_ZONE = r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*"


class Maintenance(Section, frozen=True, kw_only=True):
    """When a restart of the gateway that can wait is best done."""

    days: Annotated[
        tuple[str, ...], ListOf(Choice(*DAYS), least=1), "on these days", Example("[sat, sun]", live=True)
    ] = DAYS
    hours: Annotated[Hours, DayHours(), "from when to when; may go over midnight", Example('"03:00-05:00"')]
    zone: Annotated[str, Text("a time zone such as Europe/Madrid", _ZONE), "of these hours"] = "UTC"


class Recovery(Section, frozen=True, kw_only=True):
    """When to act, how, and how often at the most."""

    mode: Annotated[str, Choice("act", "observe"), "observe decides and tells, and does nothing"] = "act"
    failing_after: Annotated[FailingAfter, "a session is failing when both have passed"] = FailingAfter()
    starting_timeout: Annotated[
        float, Duration("1s", "1h"), "patience with starting; runs only while uplink and store are well"
    ] = span("60s")
    startup_grace: Annotated[float, Duration("0s", "1h"), "after our own start: look, do nothing yet"] = span("30s")
    stable_for: Annotated[float, Duration("0s", "1h"), "working so long is healthy; judges a remedy"] = span("30s")
    gateway: Annotated[GatewayPatience, "patience with the gateway itself"] = GatewayPatience()
    backoff: Annotated[Backoff, "the wait between two attempts at one session"] = Backoff()
    breaker: Annotated[Breaker, "stops attempts that do not help, for a while"] = Breaker()
    budget: Annotated[Budget, "how many remedies at the most"] = Budget()
    incident: Annotated[Incident, "many sessions that fail together are one incident: one canary"] = Incident()
    qr_interval: Annotated[float, Duration("1s", "1h"), "a QR is asked for no more often than this"] = span("60s")
    park: Annotated[
        str, Choice("auto", "ask", "never"), "stop a session that hammers in vain; its credentials are kept"
    ] = "ask"
    restart_gateway: Annotated[RestartGateway, "how the gateway is restarted, the last resort"] = RestartGateway()
    maintenance: Annotated[Maintenance | None, "when a restart that can wait is best done; null: no such window"] = None
