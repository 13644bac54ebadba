"""Programs that stand between us, the gateway and what runs it, known by name."""

from __future__ import annotations

from collections.abc import Container
from pathlib import PurePath

from wasupervisor.host import proc
from wasupervisor.host.proc import Stat

# Compiled programs: the kernel's name of them is enough.

FORWARDERS = ("docker-proxy", "rootlesskit", "rootlessport", "slirp4netns", "pasta", "pasta.avx2", "passt", "conmon")
"""They hold a container's port on the host, and are not the gateway."""

CLIENTS = ("docker", "docker-compose", "podman")
"""They wait for a container that runs elsewhere, with its command among their arguments."""

# Some of these are scripts: `named` tells.

WRAPPERS = (
    *("npm", "npm-cli.js", "npx", "yarn", "yarn.js", "pnpm", "pnpm.cjs"),
    *("sh", "bash", "dash", "ash", "busybox", "env", "nice", "ionice", "chpst"),
    *("su", "sudo", "runuser", "setpriv", "gosu", "su-exec", "xvfb-run"),
    *("tini", "dumb-init", "docker-init", "catatonit"),
)
"""They start one program and end when it ends: who restarts them restarts it."""

OURSELVES = ("wasupervisor",)

_PM2_TITLE = "PM2 v"
_PM2_SCRIPTS = ("pm2-runtime", "pm2-docker")


def named(process: Stat, names: Container[str]) -> bool:
    """Whether it is one of these: by the kernel's name of it, its own title, or the script that it runs.

    `python3 -u /usr/bin/supervisord -n`, `npm run start:prod` (a title in one word) and `python -m wasupervisor`.
    May block on a frozen process.
    """
    words = [word for word in proc.command_line(process.pid) if word and not word.startswith("-")][:2]
    return process.comm in names or any(PurePath(word.split()[0]).name in names for word in words if word.split())


def wraps(process: Stat) -> bool:
    """Whether it is one of the wrappers by the kernel's name of it alone, which never blocks.

    npm and yarn write there what they run: `npm run start:p`.
    """
    return process.comm.partition(" ")[0] in WRAPPERS


def is_pm2(process: Stat) -> bool:
    """PM2's daemon: it calls itself 'PM2 v5.3.0: God Daemon (/home/op/.pm2)' (its lib/Daemon.js)."""
    return "".join(proc.command_line(process.pid)[:1]).startswith(_PM2_TITLE) or named(process, _PM2_SCRIPTS)
