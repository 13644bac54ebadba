"""Sessions that work and fall, over and over: a fight for the account, or an unstable network.

Measured on Evolution 2.3.6: two clients of one process log in 1 to 11 times a second for ever, a quarter of a core,
3 to 6 MB a second; `open` and `setPresence` 201 are seen in the middle of it. So falls are counted over a time.
"""

from __future__ import annotations

from wasupervisor.decide.memory import SessionMemory
from wasupervisor.decide.scene import Scene
from wasupervisor.model.policy import Policy
from wasupervisor.model.sessions import Condition, Reason, Sighting, State

FALLS = 4
"""So many within the window are no chance: what heals alone falls once."""

LASTS = 30.0
"""Seconds from the first of them to the last."""

WINDOW = 60.0
"""Seconds; more where the gateway is looked at so rarely that fewer falls could be seen."""

LOOKS = 12
"""Looks that a window has at the least."""

SLOW_FALLS, SLOW_WINDOW = 8, 600.0
"""Or so many within so many seconds: slower, and just as useless to who waits for it."""

SLOW_PAUSE = 120.0
"""Seconds without a fall after which it does not fall over and over any more."""

APART = 2.0
"""Seconds between two falls that count as two, so that a few of them always tell of half a minute."""

FIGHT_CPU = 5.0
"""Per cent of the CPUs that the gateway may use. Idle it uses 1 to 2, in a fight a quarter of a core."""

FOUGHT_WITHIN = 1800.0
"""Seconds after a restart of the gateway that ended a fight within which another one is not the gateway's own."""


def fallen_since(memory: SessionMemory, sighting: Sighting, scene: Scene) -> tuple[float, ...]:
    """When it fell within the window, this sighting included. What we or a restart of the gateway made counts not."""
    if not memory.fallen and memory.state is not State.WORKING:
        return memory.fallen
    if memory.attempt is not None or memory.run != scene.run or scene.gap:
        return ()
    if memory.state is not State.WORKING or sighting.state not in (State.STARTING, State.FAILED) or not sighting.fresh:
        return memory.fallen
    if memory.fallen and scene.now - memory.fallen[-1] < APART:
        return memory.fallen
    return (*(at for at in memory.fallen if scene.now - at <= SLOW_WINDOW), scene.now)[-2 * SLOW_FALLS :]


def is_flapping(memory: SessionMemory, scene: Scene) -> bool:
    """Whether it falls over and over, though WhatsApp can be reached. Once it does, one more fall goes on with it."""
    if not memory.fallen or not scene.calm:
        return False
    goes_on = memory.condition is Condition.FAILING and memory.cause in (Reason.FLAPPING, Reason.FIGHT)
    quiet_for = scene.now - memory.fallen[-1]
    if goes_on and quiet_for <= _window(scene.policy):
        return True
    return _falls_quickly(memory, scene) or (
        len(_within(memory, scene, SLOW_WINDOW)) >= SLOW_FALLS and quiet_for <= SLOW_PAUSE
    )


def _falls_quickly(memory: SessionMemory, scene: Scene) -> bool:
    inside = _within(memory, scene, _window(scene.policy))
    return len(inside) >= FALLS and inside[-1] - inside[0] >= LASTS


def _within(memory: SessionMemory, scene: Scene, seconds: float) -> list[float]:
    return [at for at in memory.fallen if scene.now - at <= seconds]


def fights(memory: SessionMemory, scene: Scene) -> Reason:
    """What its flapping means.

    | gateway | CPU | fought before | |
    |---|---|---|---|
    | Evolution | busy | no | a fight of the gateway with itself |
    | Evolution | busy | yes | it goes on after a restart of the process: the other client is elsewhere |
    | any | | | flapping: nothing that a restart is known to heal |
    """
    known = memory.cause is Reason.FIGHT and memory.condition is Condition.FAILING
    burns = scene.cpu_percent is not None and scene.cpu_percent >= FIGHT_CPU and _falls_quickly(memory, scene)
    busy = known or burns
    if scene.policy.gateway_kind != "evolution" or not busy:
        return Reason.FLAPPING
    if memory.fought is not None and scene.now - memory.fought < FOUGHT_WITHIN:
        return Reason.REPLACED
    return Reason.FIGHT


def _window(policy: Policy) -> float:
    return max(WINDOW, LOOKS * policy.poll_every)
