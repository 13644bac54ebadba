"""The script of the sweep for certain rules: sorted so that few of them are tried on a key.

SCAN leaves out most keys that are under no rule, by what they begin with. Of the others: WAHA's apps alone make 420
rules. To try each on each key would keep Redis busy for a tenth of a second per thousand keys. So the script looks up
what a key begins with, then what it ends with, and tries only the rules that are left. They stand in its text: Redis
then reads them once, not with each call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wasupervisor.keyspace.connection import Script
from wasupervisor.keyspace.globs import literal_prefix, literal_suffix, lua_pattern
from wasupervisor.keyspace.keys import OURS
from wasupervisor.keyspace.rules import Rule, Ttl
from wasupervisor.keyspace.scripts import SWEEP

SHORTEST_END = 4
"""A rule whose keys end alike in less than that is tried on keys of any end."""

FEW = 8
"""So many rules are sooner tried than looked up."""


def sweep_script(rules: Sequence[Rule]) -> Script:
    """The script that tells which keys are not as these rules say; the first that matches a key counts.

    Raises:
        ValueError: a glob has too many stars to be tried on many keys.
    """
    prefixes = [literal_prefix(rule.match) for rule in rules]
    short = min([len(OURS), *(len(prefix) for prefix in prefixes if prefix)])
    heads = list(dict.fromkeys(prefix[:short] for prefix in prefixes if prefix))
    under = [[at for at, prefix in enumerate(prefixes) if not prefix or prefix[:short] == head] for head in heads]
    anywhere = [at for at, prefix in enumerate(prefixes) if not prefix]
    lines = (
        f"local match = {_lua(_match([*heads, OURS[:short]]) if not anywhere else b'*')}",
        f"local short = {short}",
        f"local heads = {{{_joined(f'[{_lua(head)}] = {at + 1}' for at, head in enumerate(heads))}}}",
        f"local other = {len(heads) + 1 if anywhere else 'nil'}",
        "local function unpack_rules()",
        f"  return {{{_joined(_group(rules, numbers) for numbers in (*under, anywhere))}}},",
        f"    {{{_joined(_rule(rule, short) for rule in rules)}}}",
        "end",
    )
    return Script("sweep", "\n".join(lines) + SWEEP)


def _match(heads: Sequence[bytes]) -> bytes:
    """A glob for all keys that begin with one of these, which are equally long; it lets others pass too."""
    places = (sorted(set(place)) for place in zip(*heads, strict=True))
    return b"".join(b"[%b]" % b"".join(b"\\%c" % byte for byte in place) for place in places) + b"*"


def _group(rules: Sequence[Rule], numbers: Sequence[int]) -> str:
    """The rules on keys of one beginning: how many bytes of the end are looked up, rules by end, and of any other."""
    ends = {at: end for at in numbers if len(end := literal_suffix(rules[at].match)) >= SHORTEST_END}
    ends = ends if len(numbers) > FEW else {}
    long = min((len(end) for end in ends.values()), default=0)
    tails = {at: end[-long:] for at, end in ends.items()}
    by_tail = (
        f"[{_lua(tail)}] = {_numbers(at for at in numbers if tails.get(at, tail) == tail)}"
        for tail in dict.fromkeys(tails.values())
    )
    return f"{{{long}, {{{_joined(by_tail)}}}, {_numbers(at for at in numbers if at not in ends)}}}"


def _rule(rule: Rule, short: int) -> str:
    """How it is tried. No pattern, when the beginning that was looked up says it all."""
    prefix = literal_prefix(rule.match)
    says_it_all = len(prefix) <= short and rule.match == prefix + b"*"
    pattern = None if says_it_all else lua_pattern(rule.match)
    if pattern is None and not says_it_all:
        raise ValueError(f"the rule {rule.name!r} has too many stars to be tried on many keys")
    right = _joined(f"[{_lua(kind.encode())}] = true" for kind in rule.types)
    parts = [f"right = {{{right}}}"]
    parts += [] if pattern is None else [f"like = {_lua(pattern)}"]
    parts += [] if rule.ttl is Ttl.ANY else [f"ttl = '{rule.ttl.value}'"]
    parts += ["json = true"] if rule.json else []
    parts += ["plain = true"] if rule.ttl is Ttl.ANY and not rule.json else []
    return f"{{{_joined(parts)}}}"


def _numbers(numbers: Iterable[int]) -> str:
    return f"{{{_joined(str(at + 1) for at in numbers)}}}"


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _lua(text: bytes) -> str:
    """As Lua writes it; what is neither letter nor digit is escaped, so that no text can end it."""
    return (
        "'"
        + "".join(chr(byte) if chr(byte).isascii() and chr(byte).isalnum() else f"\\{byte:03}" for byte in text)
        + "'"
    )
