"""Questions to systemd, never orders."""

from __future__ import annotations

import subprocess

import anyio

SECONDS = 2.0
"""How long systemd may take to answer; a busy D-Bus is no reason to stand still."""


async def show(unit: str, *properties: str, command: str = "systemctl") -> dict[str, str] | None:
    """Properties of a system unit (systemctl(1), `show`); None when systemd does not answer or does not run here."""
    argv = [command, "show", f"--property={','.join(properties)}", "--", unit]
    with anyio.move_on_after(SECONDS):
        try:
            done = await anyio.run_process(argv, check=False, stderr=subprocess.DEVNULL)
        except OSError:
            return None
        if done.returncode == 0:
            lines = done.stdout.decode(errors="replace").splitlines()
            return dict(line.split("=", 1) for line in lines if "=" in line)
    return None
