"""A simulated gateway as a process.

    python -m wasupervisor.simulator --kind waha --sessions 5 --port 0 --api-key secret

When ready it prints one JSON line: {"kind", "pid", "url", "port", "control_url", "control_port", "uplink_port"}.
It ends with exit code 0 on SIGTERM, SIGINT or `POST /_simulator/exit`. With `--mortal` a signal is one to the gateway,
and the simulator dies with it: WAHA 3 s later with 0, at a crash with 7, Evolution at once with 143, killed with 137.
What can go wrong: `faults`. How to ask for it: `control`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable

import anyio

from wasupervisor.simulator.control import Control
from wasupervisor.simulator.faults import Memory
from wasupervisor.simulator.kinds import make_world
from wasupervisor.simulator.server import SimulatedGateway


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m wasupervisor.simulator", description="A simulated gateway.")
    parser.add_argument("--kind", choices=("waha", "evolution"), required=True)
    parser.add_argument("--sessions", default="5", help="how many (s1, s2, ...), or names with commas")
    parser.add_argument("--port", type=int, default=0, help="of the gateway; 0: any")
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--uplink-port", type=int, default=0, help="of the stand-in for WhatsApp's websocket")
    parser.add_argument("--api-key", default=None, help="what the gateway asks for; default: no key")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times as fast as the real one")
    parser.add_argument("--memory", type=int, default=0, help="megabytes that it takes at its start")
    parser.add_argument("--no-keeper", action="store_true", help="a process that ended stays away")
    parser.add_argument("--core", action="store_true", help="WAHA: the old core with one session named default")
    parser.add_argument("--mode", choices=("A", "B"), default="A", help="Evolution: credentials in Redis or PostgreSQL")
    parser.add_argument("--no-metrics", action="store_true", help="Evolution: PROMETHEUS_METRICS=false")
    parser.add_argument(
        "--mortal",
        action="store_true",
        help="when the gateway's process ends, end as it did: after its SIGTERM, by its crash, with its exit code",
    )
    return parser.parse_args()


async def main(options: argparse.Namespace) -> int:
    """Serve until told to end; gives the exit code. Raises OSError when a port is taken."""
    sessions = int(options.sessions) if options.sessions.isdigit() else options.sessions.split(",")
    world = make_world(
        options.kind,
        sessions,
        speed=options.speed,
        keeper=not options.no_keeper,
        core=options.core,
        mode=options.mode,
    )
    gateway = SimulatedGateway(
        world,
        api_key=options.api_key,
        metrics=not options.no_metrics,
        port=options.port,
        uplink_port=options.uplink_port,
    )
    if options.memory:
        gateway.apply(Memory(megabytes=options.memory))
    control = Control(gateway, options.control_port)
    if options.mortal:
        world.on_change(lambda: control.exit.set() if world.deaths else None)
    # The receiver first: who has read the line may send a signal at once.
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with anyio.create_task_group() as tasks:
            await tasks.start(gateway.run)
            await tasks.start(control.run)
            _say_ready(gateway, control)
            tasks.start_soon(_obey, signals, world.terminate if options.mortal else control.exit.set)
            await control.exit.wait()
            tasks.cancel_scope.cancel()
    return world.deaths[0].exit_code if options.mortal and world.deaths else 0


def _say_ready(gateway: SimulatedGateway, control: Control) -> None:
    ready = {
        "kind": gateway.world.kind,
        "pid": os.getpid(),
        "url": gateway.url,
        "port": gateway.port,
        "control_url": f"http://127.0.0.1:{control.door.port}",
        "control_port": control.door.port,
        "uplink_port": gateway.uplink.door.port,
    }
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()


async def _obey(signals: AsyncIterator[signal.Signals], end: Callable[[], None]) -> None:
    async for _ in signals:
        end()


if __name__ == "__main__":
    try:
        sys.exit(anyio.run(main, arguments()))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"the simulator cannot start: {error}\n")
        sys.exit(2)
