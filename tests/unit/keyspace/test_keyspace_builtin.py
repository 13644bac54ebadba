"""The tables of keys: each row of what is known of the gateways, with keys as they really look."""

from __future__ import annotations

import pytest
from redis_fixtures import RedisServer

from wasupervisor.keyspace.builtin import credential_key, rules_for
from wasupervisor.keyspace.bull import PARTS, WAHA_QUEUES, Flavour, QueueKeys
from wasupervisor.keyspace.globs import escape, lua_pattern
from wasupervisor.keyspace.keys import LEASE, NOTE, OURS, QUARANTINE, UNDONE, beside
from wasupervisor.keyspace.rules import OnWrong, Rule, Ttl, matching, own_rule

ID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
E = "evolution-cache"

EVOLUTION_KEYS = [
    # version, key, type, ttl, credentials, what becomes of a wrong one
    ("2.3.6", f"{E}:instance:{ID}", "hash", "none", True, "quarantine"),
    ("2.0.0", f"{E}:instance:{ID}", "hash", "none", True, "quarantine"),
    ("2.3.6", f"{E}:baileys:{ID}_3EB0C767D71D5D9A4E", "string", "required", False, "quarantine"),
    ("2.3.6", f"{E}:baileys:{ID}_3EB0C767D71D5D9A4E_READ", "string", "required", False, "quarantine"),
    ("2.3.6", f"{E}:baileys:4915112345678@s.whatsapp.net_1700000000_true", "string", "required", False, "quarantine"),
    ("2.2.3", f"{E}:baileys:3EB0C767D71D5D9A4E", "string", "required", False, "quarantine"),
    ("2.3.6", f"{E}:groups:120363025246125486@g.us", "string", "required", False, "quarantine"),
    ("2.3.6", f"{E}:ChatwootService:sales:getProvider", "string", "required", False, "quarantine"),
    ("2.3.6", f"{E}:A:sales team | 1:getInbox", "string", "required", False, "quarantine"),
    ("2.3.6", f"{E}:At:sales:createConversation-4915112345678@s.whatsapp.net", "string", "required", False,
     "quarantine"),
    ("2.3.6", f"{E}:At:sales:lock:createConversation-4915112345678@s.whatsapp.net", "string", "required", False,
     "quarantine"),
    ("2.3.6", f"{E}:At:chatwoot:syncLostMessages", "hash", "none", False, "quarantine"),
    ("2.3.6", f"{E}:something:else", "string", "any", False, "quarantine"),
    ("2", f"{E}:something:else", "string", "any", False, "report"),
    ("2.4.0", f"{E}:something:else", "string", "any", False, "report"),
    ("2.3.6", f"{E}:two:instance:{ID}", "hash or string", "any", False, "report"),
    ("2.4.0", f"{E}:instance:{ID}", "hash", "none", True, "quarantine"),
    ("1.8.2", f"{E}:instance:sales", "hash", "none", True, "quarantine"),
    ("1.8.1", f"{E}:groups:120363025246125486@g.us", "string", "required", False, "quarantine"),
    ("1.7.3", f"{E}:instance:sales", "hash", "none", True, "quarantine"),
    ("1.7.2", f"{E}:sales", "hash", "none", True, "quarantine"),
    ("1.7.0", f"{E}:ChatwootService:sales:getProvider", "string", "required", False, "quarantine"),
    ("1.5.4", f"{E}:sales", "hash", "none", True, "quarantine"),
    ("v1.0.7", f"{E}:sales team [1]", "hash", "none", True, "quarantine"),
    (None, f"{E}:instance:{ID}", "hash", "none", True, "quarantine"),
    (None, f"{E}:At:chatwoot:syncLostMessages", "hash", "none", False, "quarantine"),
    ("3.0.0", f"{E}:instance:{ID}", "hash", "none", True, "quarantine"),
    ("nightly", f"{E}:instance:{ID}", "hash", "none", True, "quarantine"),
]  # fmt: skip


@pytest.mark.parametrize(("version", "key", "kind", "ttl", "credentials", "on_wrong"), EVOLUTION_KEYS)
def test_each_key_of_evolution(
    version: str | None, key: str, kind: str, ttl: str, credentials: bool, on_wrong: str
) -> None:
    rule = _rule(_evolution(version), key)
    assert (rule.expected, rule.ttl, rule.credentials, rule.on_wrong) == (kind, ttl, credentials, on_wrong)
    assert rule.name
    assert rule.why


@pytest.mark.parametrize(
    ("version", "key"),
    [
        ("2.3.6", "evolution-cache2:instance:x"),
        ("2.3.6", "evolution:instance:x"),
        ("2.3.6", "evolution-cacheXinstance:x"),
        ("2.3.6", "x:evolution-cache:instance:x"),
        # Left over from before 1.7.3: credentials still, and no business of a later version.
        ("2.3.6", f"{E}:sales"),
        ("1.8.2", f"{E}:sales"),
        # A string here is right in one version and a lost session in another.
        (None, f"{E}:sales"),
        (None, f"{E}:groups:120363025246125486@g.us"),
        ("1.7", f"{E}:sales"),
        ("1", f"{E}:sales"),
        ("3.0.0", f"{E}:something:else"),
    ],
)
def test_keys_of_which_nobody_knows_the_role(version: str | None, key: str) -> None:
    assert matching(_evolution(version), key.encode()) is None


@pytest.mark.parametrize("prefix", ["a*b", "a?b", "a[x]b", "a\\b", "a b|c", "[", "\\", "*", "wéb", "{tag}"])
def test_the_prefix_is_no_glob(prefix: str) -> None:
    rules = rules_for("evolution", "2.3.6", prefix=prefix, queues=(), own=())
    assert _rule(rules, f"{prefix}:instance:{ID}").credentials
    for other in ("axb", "aab", "ab", "x", "", "a b", "web"):
        assert matching(rules, f"{other}:instance:{ID}".encode()) is None


@pytest.mark.parametrize("name", ["sales", "sales team | 1", "[a]", "*", "a?b", "a\\b", "a:b", "\n", "ütf"])
def test_names_of_instances_may_be_anything(name: str) -> None:
    for version in ("1.5.4", "1.8.2"):
        key = credential_key("evolution", version, E, name, None)
        assert key is not None
        rule = matching(_evolution(version), key)
        assert rule is not None
        assert rule.credentials


@pytest.mark.parametrize(
    ("kind", "version", "identity", "expected"),
    [
        ("evolution", "2.3.6", ID, f"{E}:instance:{ID}"),
        ("evolution", "2.3.6", None, None),
        ("evolution", None, ID, f"{E}:instance:{ID}"),
        ("evolution", None, None, None),
        ("evolution", "2", ID, f"{E}:instance:{ID}"),
        ("evolution", "1.8.2", ID, f"{E}:instance:sales"),
        ("evolution", "1.8.2", None, f"{E}:instance:sales"),
        ("evolution", "1.7.3", None, f"{E}:instance:sales"),
        ("evolution", "1.7.2", None, f"{E}:sales"),
        ("evolution", "1.0.9", None, f"{E}:sales"),
        ("evolution", "1", None, None),
        ("waha", "2025.7.1", ID, None),
    ],
)
def test_which_key_holds_the_credentials(
    kind: str, version: str | None, identity: str | None, expected: str | None
) -> None:
    key = credential_key(kind, version, E, "sales", identity)
    assert key == (expected.encode() if expected is not None else None)


WAHA_KEYS = [
    ("chatwoot.waha | session.status:wait", "list"),
    ("chatwoot.waha | message.any:active", "list"),
    ("chatwoot.waha | message.ack:paused", "list"),
    ("chatwoot.waha | message.reaction:delayed", "zset"),
    ("chatwoot.waha | message.edited:prioritized", "zset"),
    ("chatwoot.waha | message.revoked:completed", "zset"),
    ("chatwoot.waha | call.received:failed", "zset"),
    ("chatwoot.waha | call.accepted:waiting-children", "zset"),
    ("chatwoot.waha | call.rejected:repeat", "zset"),
    ("chatwoot.inbox | message_created:marker", "zset"),
    ("chatwoot.inbox | message_updated:stalled", "set"),
    ("chatwoot.inbox | message_deleted:stalled-check", "string"),
    ("chatwoot.inbox | conversation_created:id", "string"),
    ("chatwoot.inbox | conversation_status_changed:pc", "string"),
    ("chatwoot.inbox | commands:meta", "hash"),
    ("chatwoot.task | contacts.pull:events", "stream"),
    ("chatwoot.task | messages.pull:metrics:completed", "hash"),
    ("chatwoot.scheduled | message.cleanup:metrics:failed", "hash"),
    ("chatwoot.scheduled | check.version:metrics:completed:data", "list"),
    ("chatwoot.scheduled | check.tier:metrics:failed:data", "list"),
    ("chatwoot.scheduled | check.tier:limiter", "string"),
]


@pytest.mark.parametrize("worker", ["waha", "7", "a b:c"])
@pytest.mark.parametrize(("rest", "kind"), WAHA_KEYS)
def test_each_key_of_a_queue_of_waha(worker: str, rest: str, kind: str) -> None:
    rule = _rule(rules_for("waha", None, prefix=E, queues=(), own=()), f"waha-{worker}:{rest}")
    reported = rest.endswith((":id", ":meta"))
    assert rule.types == (kind,)
    assert rule.on_wrong is (OnWrong.REPORT if reported else OnWrong.QUARANTINE)


QUEUE = "waha-waha:chatwoot.waha | session.status"


@pytest.mark.parametrize(
    "key",
    [
        f"{QUEUE}:7",
        f"{QUEUE}:7:logs",
        f"{QUEUE}:7:lock",
        f"{QUEUE}:7:dependencies",
        f"{QUEUE}:7:failed",
        f"{QUEUE}:wait:7",
        f"{QUEUE}:de:wait",
        f"{QUEUE}:repeat:daily",
        f"{QUEUE}:repeat:daily:1700000000000",
        f"{QUEUE}:",
        QUEUE,
        "waha-waha:chatwoot.waha | session.status2:wait",
        "waha-waha:chatwootXwaha | session.status:wait",
        "waha-waha:somebody's own:wait",
        "bull:chatwoot.waha | session.status:wait",
        f"{E}:instance:{ID}",
    ],
)
def test_ids_and_queues_that_nobody_knows_have_no_rule(key: str) -> None:
    assert matching(rules_for("waha", None, prefix=E, queues=(), own=()), key.encode()) is None


BULL_KEYS = [
    # part, type in BullMQ, in Bull, where the flavour is not known
    ("wait", "list", "list", "list"),
    ("paused", "list", "list", "list"),
    ("active", "list", "list", "list"),
    ("delayed", "zset", "zset", "zset"),
    ("completed", "zset", "zset", "zset"),
    ("failed", "zset", "zset", "zset"),
    ("repeat", "zset", "zset", "zset"),
    ("stalled", "set", "set", "set"),
    ("stalled-check", "string", "string", "string"),
    ("limiter", "string", "string", "string"),
    ("id", "string", "string", "string"),
    ("meta", "hash", "hash", "hash"),
    ("metrics:completed", "hash", "hash", "hash"),
    ("metrics:failed", "hash", "hash", "hash"),
    ("metrics:completed:data", "list", "list", "list"),
    ("metrics:failed:data", "list", "list", "list"),
    ("prioritized", "zset", None, None),
    ("waiting-children", "zset", None, None),
    ("marker", "zset", None, None),
    ("pc", "string", None, None),
    ("events", "stream", None, None),
    ("priority", None, "zset", None),
    ("meta-paused", None, "string", None),
    ("17", None, None, None),
]


@pytest.mark.parametrize("name", ["messages", "a | b c", "q[1]", "q*", "q?", "q\\"])
@pytest.mark.parametrize(("part", "bullmq", "bull", "either"), BULL_KEYS)
def test_each_key_of_a_queue_that_the_operator_named(
    name: str, part: str, bullmq: str | None, bull: str | None, either: str | None
) -> None:
    flavours: list[tuple[Flavour | None, str | None]] = [("bullmq", bullmq), ("bull", bull), (None, either)]
    for flavour, kind in flavours:
        queues = (QueueKeys(escape(b"{my*}"), name, flavour),)
        rule = matching(
            rules_for("evolution", None, prefix=E, queues=queues, own=()), f"{{my*}}:{name}:{part}".encode()
        )
        assert (rule.types if rule else None) == ((kind,) if kind else None)


def test_a_name_with_a_star_is_that_queue_alone() -> None:
    rules = rules_for("waha", None, prefix=E, queues=(QueueKeys(b"bull", "q*", "bull"),), own=())
    assert matching(rules, b"bull:q*:wait") is not None
    assert matching(rules, b"bull:qx:wait") is None


def test_sessions_of_an_application_are_known_beside_each_gateway() -> None:
    for kind in ("waha", "evolution"):
        rule = _rule(rules_for(kind, None, prefix=E, queues=(), own=()), "wh:session:4711")
        assert (rule.types, rule.ttl, rule.json, rule.credentials) == (("string",), Ttl.REQUIRED, True, False)


def test_the_operators_own_rules_count_first() -> None:
    own = own_rule(f"{E}:instance:*", ["string", "list"], ttl="none", json=True, credentials=True, on_wrong="report")
    rules = rules_for("evolution", "2.3.6", prefix=E, queues=(), own=(own,))
    assert _rule(rules, f"{E}:instance:{ID}") is own
    assert (own.expected, own.ttl, own.json, own.credentials) == ("string or list", Ttl.NONE, True, True)
    assert own.on_wrong is OnWrong.REPORT
    assert own_rule("a:*", ["string"]).on_wrong is OnWrong.QUARANTINE


def test_no_rule_matches_a_key_of_ours() -> None:
    everything = (own_rule("*", ["hash"]), own_rule("wasupervisor:*", ["hash"]))
    key = f"{E}:instance:{ID}".encode()
    for beginning in (OURS, QUARANTINE + b"1700000000:", NOTE, UNDONE, LEASE):
        assert matching(everything, beginning + key) is None
    assert matching(everything, b"wasupervisor") is not None
    in_cluster = beside(QUARANTINE, key)
    assert in_cluster is not None
    assert matching(everything, in_cluster) is None


def test_every_rule_can_be_asked_of_the_server_and_speaks_for_itself() -> None:
    both = [rules_for("waha", None, prefix=E, queues=(), own=()), _evolution("2.3.6"), _evolution("1.5.4")]
    for rule in (rule for rules in both for rule in rules):
        assert lua_pattern(rule.match) is not None, rule.match
        assert rule.name
        assert rule.why
        assert rule.types
        assert not rule.credentials or rule.ttl is Ttl.NONE


def test_rules_of_the_same_part_share_their_name() -> None:
    """So that `redis check` tells of parts, and not of 20 queues times 21 parts."""
    rules = rules_for("waha", None, prefix=E, queues=(), own=())
    assert len({rule.name for rule in rules}) <= len(PARTS) + 1
    assert len(WAHA_QUEUES) == 20


def test_a_name_with_spaces_and_a_pipe_is_found_by_redis_too(redis_server: RedisServer) -> None:
    rules = rules_for("waha", None, prefix=E, queues=(), own=())
    with redis_server.client() as client:
        keys = {f"waha-waha:{rest}".encode() for rest, _kind in WAHA_KEYS}
        client.mset(dict.fromkeys([*keys, b"waha-waha:other:wait"], "v"))
        listed = {key for rule in rules for key in client.keys(rule.match)}
    assert listed == keys


def _evolution(version: str | None) -> tuple[Rule, ...]:
    return rules_for("evolution", version, prefix=E, queues=(), own=())


def _rule(rules: tuple[Rule, ...], key: str) -> Rule:
    rule = matching(rules, key.encode())
    assert rule is not None
    return rule
