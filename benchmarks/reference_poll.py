"""The reference: the least that a Python supervisor needs, a loop of anyio and httpx that asks for the list.

It decides nothing, keeps nothing and tells nobody: what wasupervisor costs beside it is what its work costs.

    reference_poll.py URL HEADER VALUE SECONDS
"""

from __future__ import annotations

import os
import signal
import socket
import sys

import anyio

# Where click and rich are installed httpx would load its own command line with them: 5 MB that no loop needs.
sys.modules["httpx._main"] = None  # type: ignore[assignment]
import httpx  # noqa: E402


async def main(url: str, name: str, value: str, every: float) -> None:
    """Poll until SIGTERM."""
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async with (
            httpx.AsyncClient(headers={name: value}, verify=False, trust_env=False) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(poll, client, url, every)
            notify("READY=1")
            async for _ in signals:
                break
            tasks.cancel_scope.cancel()


async def poll(client: httpx.AsyncClient, url: str, every: float) -> None:
    """Ask, read, and wait."""
    while True:
        len((await client.get(url)).json())
        await anyio.sleep(every)


def notify(text: str) -> None:
    """As sd_notify(3)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
