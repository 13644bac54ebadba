"""One pass over all keys, for those that are not as the rules say. The server looks; only what is wrong is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from wasupervisor.keyspace.connection import Node, Servers
from wasupervisor.keyspace.info import read_info
from wasupervisor.keyspace.keys import OURS, QUARANTINE, UNDONE, beside
from wasupervisor.keyspace.rules import Rule
from wasupervisor.keyspace.sieve import sweep_script
from wasupervisor.keyspace.trouble import KeyspaceError
from wasupervisor.model.value import Value

COUNT = 1000
"""Keys of one call at most. 10,000 would hold others up for 8 to 13 ms (measured, 1,000,000 keys, Redis 7.0.15)."""

FEWEST = 100

LONG = 0.0015
"""Seconds of the server's time. A call that takes longer is followed by a rest as long as itself, and by one over half
as many keys. After shorter ones no rest is taken: Redis serves others between any two calls anyway, and what they wait
at p99 was the same with rests as without, which took twice as long (docs/benchmarks.md)."""

MOST = 10_000
"""Wrong keys, and keys in quarantine, of which one pass keeps the names. The others are counted."""

_START = b"0"
_NO_TTL = -1

Clock = Callable[[], float]
Rest = Callable[[float], Awaitable[None]]


class Wrong(NamedTuple):
    """A key that is not as its rule says."""

    key: bytes
    rule: Rule
    type: str
    fault: str
    """`type`, `ttl` or `json`. Only a wrong type is ever set aside."""
    ttl_ms: int | None
    """None: it does not expire."""
    undone: bool = False
    """A person put it back when it was of this very type, or it could not be asked whether: not to be set aside."""


class Swept(Value, frozen=True):
    """What one pass has seen."""

    keys: int = 0
    """All there are, ours too."""
    matched: dict[str, int] = {}  # noqa: RUF012 - msgspec copies it
    """Keys by the name of the rule that they are under. While a server resizes its tables it may show a key twice."""
    wrong: tuple[Wrong, ...] = ()
    """Each once; at most `MOST`."""
    more_wrong: int = 0
    """Wrong keys beyond those: they are found again when these are whole."""
    quarantined: tuple[bytes, ...] = ()
    """The names of keys in quarantine; at most `MOST`."""
    more_quarantined: int = 0
    unread: int = 0
    """Keys under a rule whose type we may not read."""
    unread_why: str = ""
    seconds: float = 0.0
    complete: bool = False
    """Whether it came to the end of all servers."""


OnWrong = Callable[[Sequence[Wrong]], Awaitable[None]]


class Sweep:
    """Goes over all keys again and again, in small steps; goes on where it was interrupted."""

    def __init__(self, servers: Servers, rules: Sequence[Rule], *, clock: Clock, rest: Rest) -> None:
        """Nothing is asked yet.

        Args:
            servers: where the keys are.
            rules: the first that matches a key counts.
            clock: gives seconds that never go back.
            rest: waits for so many seconds, after a call that took long.

        Raises:
            ValueError: the glob of a rule has too many stars to be tried on many keys.
        """
        self._servers = servers
        self._rules = tuple(rules)
        self._script = sweep_script(rules)
        self._clock = clock
        self._rest = rest
        self._count = COUNT
        self._pass = _Pass(self._rules)

    def use(self, servers: Servers, rules: Sequence[Rule]) -> None:
        """From now on. Other rules begin a new pass; a new connection to the same servers does not."""
        self._servers = servers
        if tuple(rules) != self._rules:
            self._rules = tuple(rules)
            self._script = sweep_script(rules)
            self._pass = _Pass(self._rules)

    @property
    def so_far(self) -> Swept:
        """What a pass that was interrupted has seen; empty when none is under way."""
        return self._pass.told(complete=False)

    async def run(self, on_wrong: OnWrong) -> Swept:
        """Go on to the end of the pass.

        What is wrong is handed over as soon as it is found. A step counts as done when `on_wrong` has returned: after
        an interruption, of whatever kind, the next run goes on with the step that was not finished.

        Raises:
            KeyspaceError: a server cannot be asked.
        """
        began = self._clock()
        try:
            for node in await self._begin():
                while (cursor := self._pass.cursors[node.name]) is not None:
                    await self._step(node, cursor, on_wrong)
        finally:
            self._pass.seconds += self._clock() - began
        swept, self._pass = self._pass.told(complete=True), _Pass(self._rules)
        return swept

    async def _begin(self) -> tuple[Node, ...]:
        """The servers of this run. A cursor means nothing to another one, nor to the same when it was started anew."""
        nodes = self._servers.nodes
        runs = {node.name: (await read_info(node, "server")).text("run_id") for node in nodes}
        known = None not in runs.values()
        if not known or runs != self._pass.runs:
            self._pass = _Pass(self._rules, runs)
        return nodes

    async def _step(self, node: Node, cursor: bytes, on_wrong: OnWrong) -> None:
        began = self._clock()
        reply, busy = await node.timed(self._script, [], [cursor, self._count, OURS, QUARANTINE])
        took = self._clock() - began if busy is None else busy
        self._pace(took)
        await self._take(node, reply, on_wrong)
        if took > LONG and self._pass.cursors[node.name] is not None:
            await self._rest(took)

    def _pace(self, took: float) -> None:
        """Others wait as long as a call takes: fewer keys where each takes longer, for its rules or its server."""
        if took > LONG:
            self._count = max(FEWEST, self._count // 2)
        elif took < LONG / 3:
            self._count = min(COUNT, self._count * 2)

    async def _take(self, node: Node, reply: Sequence[Any], on_wrong: OnWrong) -> None:
        cursor, keys, matched, found, aside, unread, why = reply
        wrong = list({one[0]: self._wrong(*one) for one in found if one[0] not in self._pass.wrong}.values())
        room = max(0, MOST - len(self._pass.wrong))
        fresh = await with_marks(node, wrong[:room], cluster=self._servers.is_cluster)
        if fresh:
            await on_wrong(fresh)
        # From here on nothing waits: the step is taken as a whole or not at all.
        self._pass.keys[node.name] = keys
        self._pass.take(matched, aside, unread, why)
        self._pass.wrong |= {one.key: one for one in fresh}
        self._pass.more_wrong += len(wrong) - len(fresh)
        self._pass.cursors[node.name] = None if cursor == _START else cursor

    def _wrong(self, key: bytes, kind: bytes, rule: int, fault: bytes, left: int) -> Wrong:
        return Wrong(key, self._rules[rule - 1], kind.decode(), fault.decode(), None if left == _NO_TTL else left)


class _Pass:
    """How far one pass has come."""

    def __init__(self, rules: Sequence[Rule], runs: dict[str, str | None] | None = None) -> None:
        self.runs = runs or {}
        self.cursors: dict[str, bytes | None] = dict.fromkeys(self.runs, _START)
        """By the name of the server; None: it is done."""
        self.rules = rules
        self.keys: dict[str, int] = {}
        """By the name of the server: how many there were at the last step."""
        self.matched = [0] * len(rules)
        self.wrong: dict[bytes, Wrong] = {}
        self.more_wrong = 0
        self.quarantined: dict[bytes, None] = {}
        self.more_quarantined = 0
        self.unread = 0
        self.unread_why = ""
        self.seconds = 0.0

    def take(self, matched: Sequence[int], aside: Sequence[bytes], unread: int, why: bytes) -> None:
        for rule, count in enumerate(matched):
            self.matched[rule] += count
        names = [name for name in aside if name not in self.quarantined]
        room = max(0, MOST - len(self.quarantined))
        self.quarantined |= dict.fromkeys(names[:room])
        self.more_quarantined += len(names[room:])
        self.unread += unread
        self.unread_why = why.decode("utf-8", "replace") or self.unread_why

    def told(self, *, complete: bool) -> Swept:
        matched = dict.fromkeys((rule.name for rule in self.rules), 0)
        for rule, count in zip(self.rules, self.matched, strict=True):
            matched[rule.name] += count
        return Swept(
            keys=sum(self.keys.values()),
            matched=matched,
            wrong=tuple(self.wrong.values()),
            more_wrong=self.more_wrong,
            quarantined=tuple(self.quarantined),
            more_quarantined=self.more_quarantined,
            unread=self.unread,
            unread_why=self.unread_why,
            seconds=self.seconds,
            complete=complete,
        )


async def with_marks(node: Node, wrong: Sequence[Wrong], *, cluster: bool) -> list[Wrong]:
    """Which of them a person put back as they are. One that cannot be asked is left alone as well."""
    marks = [beside(UNDONE, one.key, cluster=cluster) for one in wrong]
    asked = [("GET", mark) for mark in marks if mark is not None]
    replies = iter(await node.calls(asked) if asked else ())
    told = [None if mark is None else next(replies) for mark in marks]
    return [
        one._replace(undone=isinstance(reply, KeyspaceError) or reply == one.type.encode())
        for one, reply in zip(wrong, told, strict=True)
    ]
