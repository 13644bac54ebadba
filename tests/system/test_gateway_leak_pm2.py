"""A leaking gateway under a real PM2, with the ecosystem file and the configuration of docs/process.md."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from gateway_runners import RunGateway
from leak_story import Lapse, configure, hook, leak_and_heal, of_restarts
from queue_fixtures import LIBRARIES
from skipping import cannot
from stage import PATIENCE, Gateway, wait_until

pytestmark = pytest.mark.timeout(180)

PROGRAMS = LIBRARIES / "node_modules" / ".bin"
PAGE = (Path(__file__).parents[2] / "docs" / "process.md").read_text(encoding="utf-8")
# The page's file, but that it runs the simulator, and that nobody waits 30 s for a frozen one.
ECOSYSTEM = """
const app = require("./page.config.js").apps[0];
module.exports = {{ apps: [{{ ...app, ...{instead} }}] }};
"""


class Pm2Gateway(RunGateway):
    """An app of a PM2 of its own."""

    def __init__(self, home: Path, uplink_port: int) -> None:
        super().__init__(uplink_port)
        self._home, pm2_home = home, home / ".pm2"
        self.environ = {"HOME": str(home), "PM2_HOME": str(pm2_home), "PATH": f"{PROGRAMS}:{os.environ['PATH']}"}
        self._pid_file = pm2_home / "pids" / "waha-0.pid"
        instead = {"cwd": str(home), "script": sys.executable, "args": self.argv[1:], "interpreter": "none"}
        (page,) = re.findall(r"^```js\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
        (home / "page.config.js").write_text(page)
        (home / "ecosystem.config.js").write_text(
            ECOSYSTEM.format(instead=json.dumps({**instead, "kill_timeout": 1000}))
        )
        try:
            self._pm2("start", "ecosystem.config.js")
        except BaseException:
            self.close()
            raise

    def _pm2(self, *arguments: str) -> None:
        subprocess.run(
            ["pm2", *arguments],
            cwd=self._home,
            env={**os.environ, **self.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )

    @property
    def pid(self) -> int:
        # PM2 writes it anew, and not at once.
        return int(wait_until("a pid file", lambda: self._pid_file.exists() and self._pid_file.read_text().strip()))

    def replace(self) -> None:
        self._pm2("restart", "waha")

    def close(self) -> None:
        """Its PM2 too."""
        self._pm2("kill")


@pytest.fixture
def gateway(gateways: Callable[..., Gateway]) -> Iterator[Pm2Gateway]:
    if shutil.which("node") is None or not (PROGRAMS / "pm2").exists():
        cannot("needs PM2 for node: `make test` installs it where there is npm")
    # Not in `tmp_path`: the path of a socket has 107 characters at the most.
    with TemporaryDirectory() as home, closing(Pm2Gateway(Path(home), gateways().uplink_port)) as made:
        yield made


def test_a_gateway_under_pm2_that_leaks_and_one_that_freezes_are_restarted_once_each(
    gateway: Pm2Gateway, tmp_path: Path
) -> None:
    by = "by: command, argv: [pm2, restart, waha]"
    assert by in PAGE
    with ExitStack() as stack:
        alerts = stack.enter_context(hook())
        it = stack.enter_context(closing(Lapse(tmp_path, gateway, environ=gateway.environ)))
        configure(it, gateway, by, alerts)
        patience = "recovery:\n  gateway: {hung_after: 1s, gone_after: 1s}\n"
        text = it.config.read_text().replace("recovery:\n", patience)
        it.config.write_text(text.replace("timeout: 10s", "timeout: 2s"))
        told = leak_and_heal(it, gateway, alerts)
        assert "pm2 ended well" in told

        os.kill(gateway.pid, signal.SIGSTOP)
        wait_until("verified", lambda: [one["outcome"] for one in of_restarts(it)].count("healed") == 2)
        assert [one["kind"] for one in of_restarts(it)].count("remedy") == 2
        assert [one["reason"] for one in of_restarts(it) if one["kind"] == "remedy"][1] == "gateway_hung"
