"""The gateway's process in a container, as the engine tells it; and what the engine knows beside."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from wasupervisor.host import proc
from wasupervisor.host.engine import Engine, Inspected, Trouble
from wasupervisor.host.found import Absence, Found, Limits, Missing
from wasupervisor.host.moments import Clock, wall_time_of
from wasupervisor.host.proc import Stat
from wasupervisor.model.usage import Container

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two questions while the process lives."""

IN_A_LOOK = 1.0
"""Seconds that a look waits for the engine, and only when no process is known: 2 ms is what it takes."""

BESIDE = 5.0
"""Seconds that are waited for it beside the looks."""

_AFTER_SILENCE = 30.0
# Between the start that the engine writes down and the process's own, by the wall clock.
_SLACK = 10.0

# Docker Engine API, HostConfig.RestartPolicy. WAHA that a session's restart kills ends with code 7 (2024.10.8).
_KEEPS = ("always", "unless-stopped", "on-failure")


class ContainerSearch:
    """Remembers what the engine said last."""

    def __init__(self, container: str, *, clock: Clock, engine: Engine | None = None) -> None:
        self._container = container
        self._clock = clock
        self._engine = engine or Engine()
        self._said: Inspected | Trouble | None = None
        self._rules: Inspected | None = None
        """The last answer of use: limits and policy hold on while the engine is silent."""
        self._asked = float("-inf")
        self._silent_until = float("-inf")

    @property
    def container(self) -> Container | None:
        """What a person may want to know; None while the engine does not tell."""
        said = self._said
        if not isinstance(said, Inspected):
            return None
        health = said.state.health.status if said.state.health is not None else ""
        return Container(
            name=self._name(said),
            status=said.state.status,
            restarts=said.restart_count,
            oom_killed=said.state.oom_killed,
            health=None if health in ("", "none") else health,
        )

    @property
    def limits(self) -> Limits:
        """What it may use."""
        if self._rules is None:
            return Limits()
        of = self._rules.host_config
        cpus = of.nano_cpus / 1e9 if of.nano_cpus else None
        if cpus is None and of.cpu_quota and of.cpu_quota > 0:
            cpus = of.cpu_quota / (of.cpu_period or 100_000)
        return Limits(memory=of.memory or None, cpus=cpus)

    @property
    def keeper(self) -> str | None:
        """Docker itself, when its policy brings the container back."""
        if self._rules is None or (policy := self._rules.host_config.restart_policy) is None:
            return None
        most = policy.maximum_retry_count or 0
        used_up = policy.name == "on-failure" and 0 < most <= (self._rules.restart_count or 0)
        return f"docker {self._name(self._rules)}" if policy.name in _KEEPS and not used_up else None

    @property
    def trouble(self) -> str:
        """Why the engine does not tell; empty when it does."""
        return self._said.text if isinstance(self._said, Trouble) else ""

    async def refresh(self) -> None:
        """Ask again when the last answer is a minute old. For beside the looks."""
        if self._clock() - self._asked >= EVERY:
            was = self.trouble
            await self._ask(BESIDE)
            if self.trouble != was:
                log.info("%s", self.trouble or "the container engine answers again")

    async def find(self, *, seen_before: bool) -> Found | Missing:
        """Ask now, for no process is known. `seen_before`: it was found earlier."""
        if self._clock() < self._silent_until:
            return Missing(self.trouble)
        before = self._clock()
        await self._ask(IN_A_LOOK)
        if isinstance(self._said, Trouble) and self._clock() - before >= IN_A_LOOK:
            self._silent_until = self._clock() + _AFTER_SILENCE
        return self._concluded(seen_before=seen_before)

    async def _ask(self, seconds: float) -> None:
        self._asked = self._clock()
        self._said = await self._engine.inspect(self._container, seconds=seconds)
        if isinstance(self._said, Inspected):
            self._rules = self._said

    def _concluded(self, *, seen_before: bool) -> Found | Missing:
        said = self._said
        if not isinstance(said, Inspected):
            gone = said is not None and said.nothing_there and seen_before
            return Missing(self.trouble, Absence.CERTAIN if gone else Absence.UNKNOWN)
        name, state = self._name(said), said.state
        if not state.running or state.pid <= 0:
            code = "" if state.exit_code is None or state.status != "exited" else f" with code {state.exit_code}"
            memory = ", killed for want of memory" if state.oom_killed else ""
            return Missing(f"the container {name} is {state.status or 'not running'}{code}{memory}", Absence.CERTAIN)
        process = proc.stat(state.pid)
        if process is not None and not process.dead and _is_of(process, said):
            return Found(process, f"container {name}")
        if process is None and proc.hidden(state.pid):
            return Missing(
                f"process {state.pid} of the container {name} is hidden from our user (hidepid, ProtectProc)"
            )
        return Missing(
            f"process {state.pid} of the container {name} is not to be seen here: it has just ended, or wasupervisor "
            "runs in a container too, which then needs the host's processes (pid: host)"
        )

    def _name(self, said: Inspected) -> str:
        return said.name.removeprefix("/") or self._container


def _is_of(process: Stat, said: Inspected) -> bool:
    """Whether it is the container's: elsewhere (another PID namespace) the number belongs to somebody else."""
    with suppress(OSError):
        if said.id and said.id in Path(f"/proc/{process.pid}/cgroup").read_text(encoding="utf-8", errors="replace"):
            return True
    try:
        started = datetime.fromisoformat(said.state.started_at).timestamp()
    except (ValueError, OverflowError, OSError):
        return False
    return abs(wall_time_of(process.born) - started) <= _SLACK
