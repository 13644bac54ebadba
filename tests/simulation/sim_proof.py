"""The figures as Markdown, and the page that keeps the latest ones: `docs/proof.md`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from sim_figures import FAULTS, NAMES, POLICIES, WINDOW, Fault, Outcome, Policy, play_some
from sim_healthy import Healthy, live
from sim_many import on_all_cores

HEALTHY_POLICIES: tuple[Policy, ...] = ("ours", "restart")
KINDS = ("waha", "evolution")
RUNS_OF_A_DAY = 4
"""So many runs of each fault go with one healthy day of each gateway."""


@dataclass(frozen=True)
class Proof:
    """What stands above the tables."""

    seed: int
    schedules: int
    calls: int
    healed: int
    seconds: float
    runs: int
    verdict: str = "**None was broken.**"
    """What became of the promises, as a sentence."""


def figures(runs: int, seed: int, processes: int, tell: Callable[[str], None]) -> list[str]:
    """All tables, as lines of Markdown; each is told when it is known."""
    seeds = range(seed, seed + runs)
    jobs = [(number, policy, seeds) for number in range(len(FAULTS)) for policy in POLICIES]
    outcomes = {(number, policy): some for (number, policy, _), some in on_all_cores(play_some, jobs, processes)}
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        tell(line)

    for policy in POLICIES:
        _say_policy(policy, {FAULTS[number]: some for (number, of), some in outcomes.items() if of == policy}, say)
    _say_healthy(runs, seed, processes, say)
    return lines


def _say_policy(policy: Policy, outcomes: dict[Fault, list[Outcome]], say: Callable[[str], None]) -> None:
    say(f"### {NAMES[policy][0].upper()}{NAMES[policy][1:]}\n".replace("Wasupervisor", "wasupervisor"))
    say(
        "| gateway | fault | healed | median s | p95 s | remedies | process restarts | logins per session | "
        "crashes | harm | credentials lost |"
    )
    say("|---|---|---|---|---|---|---|---|---|---|---|")
    for fault in FAULTS:
        say(f"| {fault.kind} | {fault.name} | {_row(fault, outcomes[fault])} |")
    say("")


def _row(fault: Fault, outcomes: Sequence[Outcome]) -> str:
    healed = sorted(one.healed_after for one in outcomes if one.healed_after is not None)
    share = f"{len(healed) / len(outcomes):.0%}" if fault.curable else "needs a person"
    cells = [share, *(_seconds(healed) if fault.curable else ("-", "-"))]
    cells += [_mean([getattr(one, what) for one in outcomes]) for what in ("calls", "restarts")]
    cells.append(_mean([one.logins / one.sessions for one in outcomes]))
    cells += [_mean([getattr(one, what) for one in outcomes]) for what in ("crashes", "harm")]
    return " | ".join([*cells, str(sum(one.lost for one in outcomes))])


def _seconds(healed: Sequence[float]) -> tuple[str, str]:
    if not healed:
        return "-", "-"
    return f"{median(healed):.1f}", f"{healed[min(len(healed) - 1, int(0.95 * len(healed)))]:.1f}"


def _mean(values: Sequence[float]) -> str:
    mean = sum(values) / len(values)
    return f"{mean:.2f}" if 0 < mean < 0.1 else f"{mean:.1f}" if mean else "0"


def _say_healthy(runs: int, seed: int, processes: int, say: Callable[[str], None]) -> None:
    days = max(1, runs // RUNS_OF_A_DAY)
    jobs = [(kind, policy, seed + day) for kind in KINDS for policy in HEALTHY_POLICIES for day in range(days)]
    lived: dict[tuple[str, Policy], list[Healthy]] = {}
    for (kind, policy, _), healthy in on_all_cores(live, jobs, processes):  # type: ignore[arg-type]
        lived.setdefault((kind, policy), []).append(healthy)
    say("### Healthy days\n")
    say(
        "Nothing happens but what heals alone: a lost connection each half-hour, silent peers, outages of up to 40 s.\n"
    )
    say("| gateway | policy | session-days | false remedies per 1,000 | deaths | harm | logins per session-day |")
    say("|---|---|---|---|---|---|---|")
    for (kind, policy), some in sorted(lived.items(), key=lambda item: (item[0][0] != "waha", item[0][1])):
        total = sum(one.session_days for one in some)
        false = sum(one.remedies for one in some) / total * 1000
        deaths, harm, logins = (sum(getattr(one, what) for one in some) for what in ("deaths", "harm", "logins"))
        say(f"| {kind} | {NAMES[policy]} | {total:.0f} | {false:.0f} | {deaths} | {harm} | {logins / total:.1f} |")
    say("")


def write_proof(path: Path, proof: Proof, lines: Sequence[str]) -> None:
    """The page, whole."""
    text = HEAD.format(
        date=datetime.now(tz=UTC).strftime("%d %B %Y").lstrip("0"),
        commit=_commit(),
        first=proof.seed,
        last=proof.seed + proof.schedules - 1,
        schedules=f"{proof.schedules:,}",
        minutes=f"{proof.seconds / 60:.0f}",
        calls=f"{proof.calls:,}",
        healed=f"{proof.healed:,}",
        runs=proof.runs,
        verdict=proof.verdict,
        window=f"{WINDOW / 60:.0f}",
    )
    tables = "\n".join(lines).strip()
    path.write_text(f"{text}\n{tables}\n", encoding="utf-8")


def _commit() -> str:
    here = Path(__file__).parent
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"


HEAD = """\
# The proof

Made by `make proof` on {date} from commit {commit}; not edited by hand.

The decider and the adapters live in a world without HTTP, disk or clock: a model of the gateway with the faults and
timings that were measured on the real ones ([gateways.md](gateways.md)), its store, its uplink, its process and what
restarts it, operators, a clock that jumps, and a supervisor that is killed and started between any two steps.
All of it follows from a seed.

**{schedules} random schedules** (seeds {first} to {last}), each half an hour with 2 to 25 faults that overlap, then
calm until all that can be healed is healthy and known as healthy. Every promise is an invariant that is checked in each
step, before each call and at the end. {verdict} {calls} remedies were performed; {healed} times a session
was seen to work for `stable_for` after one. It took {minutes} min.

## Figures

Each fault alone, {runs} runs with other phases (seeds from {first} on): what is healed within {window} minutes, the
seconds from the *end* of the fault until every session is healthy and stays so, and what it cost, as means of a run.

* A remedy is a call to start, restart or stop a session; a process restart one of the gateway, ordered by the policy.
* A crash is an end of the gateway process by a call for a session.
* Harm is anything that a supervisor must never do: a QR burned, a second client, a false open, a crash.
* wasupervisor has `recovery.restart_gateway`, `recovery.park: auto` and `sessions.probe` configured; without a
  restarter only the probe.

The two policies that people use today live in the same world, which does to them what was measured on the real
gateways (`tests/simulation/test_simulation_references.py`).
"""
