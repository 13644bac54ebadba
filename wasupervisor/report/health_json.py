"""The health document as `application/health+json`: draft-inadarei-api-health-check-06, for tools that read that."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from wasupervisor.model.health import Status
from wasupervisor.model.sessions import Condition
from wasupervisor.report.document import Document, SessionPart

MEDIA_TYPE = "application/health+json"

# The draft, 3.1: pass and warn go with 2xx and 3xx, fail with 4xx and 5xx.
_STATUS = {Status.HEALTHY: "pass", Status.DEGRADED: "warn"}
_COMPONENT = "component"


class _Check(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One measurement of one component; the draft has no word for unknown, so what is unknown has no check."""

    status: str
    time: str
    component_type: str
    component_id: str | None = None
    observed_value: str | float | bool | None = None
    observed_unit: str | None = None
    output: str | None = None


def encode_health_json(document: Document) -> bytes:
    """The same facts, in the draft's words."""
    status = _STATUS.get(document.status, "fail")
    checks: dict[str, list[_Check]] = {}
    for key, check in _checks(document):
        checks.setdefault(key, []).append(check)
    form = {
        "status": status,
        "releaseId": document.version,
        "description": f"health of the {document.gateway.kind} gateway and its sessions",
        "notes": list(document.notes),
        **({} if status == "pass" else {"output": document.why}),
        "checks": checks,
    }
    return msgspec.json.encode(form) + b"\n"


def _checks(document: Document) -> Iterator[tuple[str, _Check]]:
    time, gateway, resources = document.written_at, document.gateway, document.resources
    if gateway.reachable is not None:
        word = "pass" if gateway.reachable else "fail"
        yield (
            "gateway:reachable",
            _Check(status=word, time=time, component_type=_COMPONENT, observed_value=gateway.reachable),
        )
    measured = (
        ("gateway:responseTime", _COMPONENT, gateway.latency_seconds, "s"),
        ("cpu:utilization", "system", resources.cpu, "percent"),
        ("memory:utilization", "system", resources.memory.percentage, "percent"),
        ("memory:rss", "system", resources.memory.rss_bytes, "bytes"),
        ("uptime", "system", document.uptime, "s"),
    )
    for key, kind, value, unit in measured:
        if value is not None:
            yield key, _Check(status="pass", time=time, component_type=kind, observed_value=value, observed_unit=unit)
    for session in document.sessions:
        yield "session:condition", _session(session, time)


def _session(session: SessionPart, time: str) -> _Check:
    if session.usable or (session.condition is Condition.STOPPED and not session.expected):
        return _Check("pass", time, _COMPONENT, session.name, session.condition)
    told = (session.reason, session.next, session.advice)
    return _Check(
        status="fail" if session.expected else "warn",
        time=time,
        component_type=_COMPONENT,
        component_id=session.name,
        observed_value=session.condition,
        output="; ".join(one for one in told if one),
    )
