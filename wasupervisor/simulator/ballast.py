"""Memory that the simulator really takes, for whoever measures its process from outside."""

from __future__ import annotations

from wasupervisor.simulator.happen import AnyWorld

MEGABYTE = 1_000_000


class Ballast:
    """Pieces of memory that are never used; the end of the gateway's process gives them back."""

    def __init__(self, world: AnyWorld) -> None:
        self._world = world
        self._run = world.run
        self._pieces: list[bytes] = []
        world.on_change(self._follow)

    def take(self, megabytes: int, lasts: float | None = None) -> None:
        """Take so much more, for so many seconds of the world; None: until the process ends."""
        if not self._world.alive:
            return
        piece = b"x" * (megabytes * MEGABYTE)  # zeros would be no pages of this process until they are written
        self._pieces.append(piece)
        if lasts is not None:
            self._world.after(lasts, lambda: self._pieces.remove(piece))

    def _follow(self) -> None:
        if not self._world.alive or self._world.run != self._run:
            self._run = self._world.run
            self._pieces.clear()
