"""A simulated gateway as a process.

    python -m wasupervisor.simulator --kind waha --sessions 5 --port 0 --api-key secret

When ready it prints one JSON line: {"kind", "pid", "url", "port", "control_url", "control_port", "uplink_port"}.
It ends with exit code 0 on SIGTERM, SIGINT or `POST /_simulator/exit`. What can go wrong: `faults`. How to ask for it:
`control`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys

import anyio

from wasupervisor.simulator.control import Control
from wasupervisor.simulator.kinds import make_world
from wasupervisor.simulator.server import SimulatedGateway, serve


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
    parser.add_argument("--no-keeper", action="store_true", help="a process that ended stays away")
    parser.add_argument("--core", action="store_true", help="WAHA: the old core with one session named default")
    parser.add_argument("--mode", choices=("A", "B"), default="A", help="Evolution: credentials in Redis or PostgreSQL")
    parser.add_argument("--no-metrics", action="store_true", help="Evolution: PROMETHEUS_METRICS=false")
    return parser.parse_args()


async def main(options: argparse.Namespace) -> None:
    """Serve until told to end."""
    sessions = int(options.sessions) if options.sessions.isdigit() else options.sessions.split(",")
    world = make_world(
        options.kind,
        sessions,
        speed=options.speed,
        keeper=not options.no_keeper,
        core=options.core,
        mode=options.mode,
    )
    gateway_options = {"api_key": options.api_key, "port": options.port, "uplink_port": options.uplink_port}
    # The receiver first: who has read the line may send a signal at once.
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with (
            serve(world, metrics=not options.no_metrics, **gateway_options) as gateway,
            anyio.create_task_group() as tasks,
        ):
            control = Control(gateway, options.control_port)
            await tasks.start(control.run)
            _say_ready(gateway, control)
            tasks.start_soon(_wait_for_exit, control, tasks.cancel_scope)
            async for _ in signals:
                break
            tasks.cancel_scope.cancel()


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


async def _wait_for_exit(control: Control, scope: anyio.CancelScope) -> None:
    await control.exit.wait()
    scope.cancel()


if __name__ == "__main__":
    anyio.run(main, arguments())
