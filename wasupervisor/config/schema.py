"""The whole configuration: each key once, with its rule, its default and its comment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from wasupervisor.config.fields import Complaint, Example, FilledIn, ListOf, Place, Section
from wasupervisor.config.globs import MOST_STARS, OURS, literal_beginning, stars_in
from wasupervisor.config.recovery import Recovery
from wasupervisor.config.redis_url import RedisUrl
from wasupervisor.config.rules import Choice, Count, Duration, Flag, OrNever, Ready, Share, Size, Word
from wasupervisor.config.secret import Secret
from wasupervisor.config.texts import (
    Address,
    HostPort,
    PathName,
    SecretText,
    SecretUrl,
    Text,
    Url,
    Verbatim,
    is_local,
    url_host_port,
)
from wasupervisor.config.units import parse_duration as span
from wasupervisor.config.units import parse_size as size
from wasupervisor.model.alerts import AlertKind
from wasupervisor.model.policy import ReadyWhen

# A name or an IPv4 address, or an IPv6 address, which has two colons at least.
_HOST = r"[A-Za-z0-9][A-Za-z0-9.-]*|[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*"


class Gateway(Section, frozen=True, kw_only=True):
    """The gateway that is watched."""

    kind: Annotated[str, Choice("waha", "evolution"), "which gateway it is", Example("waha", live=True)]
    url: Annotated[str, Url(), "where its API answers", Example("http://127.0.0.1:3000", live=True)]
    api_key: Annotated[
        Secret | None, SecretText(), "its key; or api_key_file; null: none", Example("${WAHA_API_KEY}", live=True)
    ] = None
    api_key_file: Annotated[
        Path | None,
        PathName(relative=True),
        "a file that holds it; a relative one lies in systemd's credentials, else beside this file",
        Example("/etc/wasupervisor/gateway.key"),
    ] = None
    poll_every: Annotated[float, Duration("100ms", "1h"), "how often it is looked at; from 100ms"] = span("5s")
    timeout: Annotated[
        float, Duration("100ms", "5m"), "of one whole look; what has not answered by then is unknown"
    ] = span("10s")
    action_timeout: Annotated[float, Duration("1s", "10m"), "of a remedy's call; each uses a fresh connection"] = span(
        "30s"
    )
    metrics_auth: Annotated[
        Secret | None,
        SecretText(r"[^:\x00-\x20]+:[^\x00-\x1f]+", "be used: write user:password"),
        "Evolution: user:password, where its /metrics asks for it",
        Example("${EVOLUTION_METRICS_AUTH}"),
    ] = None

    def complaints(self) -> Iterator[Complaint]:
        """One key, and nothing that the other gateway does not know."""
        if self.api_key is not None and self.api_key_file is not None:
            yield Complaint(("api_key_file", "api_key"), "cannot be set together with `api_key`: keep one of them")
        if self.metrics_auth is not None and self.kind != "evolution":
            yield Complaint(("metrics_auth", "kind"), "cannot be set for waha: only Evolution has it; delete it")


class Probe(Section, frozen=True, kw_only=True):
    """The active question that proves a session alive."""

    every: Annotated[float, Duration("10s", "7d"), "how often each session is asked"] = span("5m")
    timeout: Annotated[float, Duration("1s", "5m"), "no answer by then is a miss"] = span("15s")
    misses: Annotated[int, Count(1, 100), "so many in a row prove it dead"] = 3


class Sessions(Section, frozen=True, kw_only=True):
    """Which sessions are watched, and which should be up."""

    include: Annotated[tuple[str, ...], ListOf(Text(), least=1), "names to watch; * and ? as in file names"] = ("*",)
    exclude: Annotated[tuple[str, ...], ListOf(Text()), "names to leave alone, of those"] = ()
    expect: Annotated[
        str | tuple[str, ...],
        ListOf(Text(), words=("remembered", "all")),
        "which should be up: remembered (seen healthy once) | all | [names]",
    ] = "remembered"
    probe: Annotated[Probe | None, "asks WhatsApp itself, rarely; null: never"] = None


class Find(Section, frozen=True, kw_only=True):
    """How the gateway's process is found. Exactly one key."""

    port: Annotated[int | None, Count(1, 65535), "the port that it listens on", Example("3000", live=True)] = None
    systemd_unit: Annotated[str | None, Text("the name of a unit", r"[^\s/]+"), "its unit", Example("waha.service")] = (
        None
    )
    pid_file: Annotated[Path | None, PathName(), "the file with its pid", Example("/run/waha.pid")] = None
    docker: Annotated[
        str | None, Text("a container", r"[^\s]+"), "its container, or label=KEY=VALUE", Example("waha")
    ] = None
    command_line: Annotated[str | None, Verbatim(), "a part of its command line", Example("/opt/waha/dist/main")] = None

    def complaints(self) -> Iterator[Complaint]:
        """Exactly one way."""
        ways = {name: getattr(self, name) for name in self.__struct_fields__}
        given = tuple(name for name, value in ways.items() if value is not None)
        if not given:
            yield Complaint((), f"cannot be empty: set one of {', '.join(ways)}")
        if len(given) > 1:
            yield Complaint((given[1], given[0]), f"cannot be set together with `{given[0]}`: keep one of them")


class Memory(Section, frozen=True, kw_only=True):
    """Limits of the gateway's memory, all its processes together."""

    warn: Annotated[int | None, Size(), "say so from here on; null: never", Example("1.2GB", live=True)] = None
    restart: Annotated[int | None, OrNever(Size()), "restart the gateway from here on", Example("1.8GB", live=True)] = (
        None
    )
    for_: Annotated[float, Duration("0s", "1d"), "when it lasts so long"] = msgspec.field(
        default=span("60s"), name="for"
    )

    def complaints(self) -> Iterator[Complaint]:
        """A warning comes before the restart."""
        yield from _limits(self.warn, self.restart)


class Cpu(Section, frozen=True, kw_only=True):
    """Limits of the gateway's CPU, of all that it may use."""

    warn: Annotated[float | None, Share(), "say so from here on; null: never", Example("80%", live=True)] = None
    restart: Annotated[float | None, OrNever(Share()), "restart the gateway from here on"] = None
    for_: Annotated[float, Duration("0s", "1d"), "when it lasts so long"] = msgspec.field(
        default=span("5m"), name="for"
    )

    def complaints(self) -> Iterator[Complaint]:
        """A warning comes before the restart."""
        yield from _limits(self.warn, self.restart)


def _limits(warn: float | None, restart: float | None) -> Iterator[Complaint]:
    if warn is None and restart is None:
        yield Complaint((), "cannot be without a limit: set `warn` or `restart`")
    if warn is not None and restart is not None and restart < warn:
        yield Complaint(("restart", "warn"), "cannot be lower than `warn`: raise it, or lower `warn`")


class Process(Section, frozen=True, kw_only=True):
    """The gateway's process."""

    find: Annotated[
        Find | None, "how it is found, one key; null: by the port of gateway.url, if that is on this host"
    ] = None
    memory: Annotated[Memory | None, "limits of its memory, children included; null: none"] = None
    cpu: Annotated[Cpu | None, "limits of its CPU, of all that it may use; null: none"] = None


class Uplink(Section, frozen=True, kw_only=True):
    """Whether a gateway here would get through to WhatsApp."""

    host: Annotated[str, Text("a host name without a port", _HOST), "where a gateway connects to"] = "web.whatsapp.com"
    port: Annotated[int, Count(1, 65535), "its port"] = 443
    check: Annotated[str, Choice("upgrade", "tls", "tcp"), "upgrade opens WhatsApp's websocket without logging in"] = (
        "upgrade"
    )
    timeout: Annotated[float, Duration("100ms", "1m"), "no answer by then is no uplink"] = span("5s")


class RedisRule(Section, frozen=True, kw_only=True):
    """Of which type keys are."""

    match: Annotated[str, Text(), "a glob of keys, as Redis reads it", Example('"app:session:*"')]
    type: Annotated[
        tuple[str, ...],
        ListOf(Choice("string", "hash", "list", "set", "zset", "stream"), least=1, alone=True),
        "what they must be; or a [list]",
        Example("string"),
    ]
    ttl: Annotated[str, Choice("none", "required", "any"), "whether they expire; a wrong one is only reported"] = "any"
    json: Annotated[bool, Flag(), "whether a string must look like JSON; one that does not is only reported"] = False
    credentials: Annotated[bool, Flag(), "whether a session is logged in by it"] = False
    on_wrong: Annotated[str, Choice("quarantine", "report"), "what becomes of one of a wrong type"] = "quarantine"

    def complaints(self) -> Iterator[Complaint]:
        """Nobody knows the role of every key; and the server must be able to ask it of many keys."""
        beginning = literal_beginning(self.match)
        if beginning.startswith(OURS):
            yield Complaint(("match",), f"cannot begin with {OURS} for those keys are wasupervisor's own")
        elif OURS.startswith(beginning):
            wide = "cannot be so wide: it would touch keys whose role is unknown; name a prefix, such as app:*"
            yield Complaint(("match",), wide)
        if stars_in(self.match) > MOST_STARS:
            yield Complaint(
                ("match",), f"cannot hold more than {MOST_STARS} stars: they would hold Redis up; write a rule for each"
            )
        if self.json and "string" not in self.type:
            yield Complaint(("json", "type"), "cannot be true: only a string can be JSON; add string to `type`")


class RedisTls(Section, frozen=True, kw_only=True):
    """TLS to Redis."""

    ca_file: Annotated[
        Path | None, PathName(relative=True), "the authorities to trust; null: those that the system trusts"
    ] = None
    cert_file: Annotated[
        Path | None, PathName(relative=True), "our certificate, where Redis asks for one (tls-auth-clients)"
    ] = None
    key_file: Annotated[Path | None, PathName(relative=True), "its key; null: it stands in cert_file"] = None

    def complaints(self) -> Iterator[Complaint]:
        """No key without its certificate."""
        if self.key_file is not None and self.cert_file is None:
            yield Complaint(("key_file",), "cannot be set without `cert_file`: set that too")


class Redis(Section, frozen=True, kw_only=True):
    """The gateway's Redis."""

    url: Annotated[
        Secret,
        RedisUrl(),
        "where it is; may hold user and password, best as ${REDIS_URL}",
        Example("redis://127.0.0.1:6379/6"),
    ]
    tls: Annotated[RedisTls, "of rediss://; with ca_file, of sentinel:// and cluster:// too"] = RedisTls()
    prefix: Annotated[str, Text(), "Evolution's CACHE_REDIS_PREFIX_KEY"] = "evolution-cache"
    repair: Annotated[
        str, Choice("off", "report", "quarantine"), "what happens to a mistyped key; none is ever deleted"
    ] = "quarantine"
    sweep_every: Annotated[float, Duration("10s", "1d"), "how often all keys are looked at"] = span("10m")
    rules: Annotated[tuple[RedisRule, ...], ListOf(RedisRule), "added to the gateway's own"] = ()

    def complaints(self) -> Iterator[Complaint]:
        """No files for TLS where there is none."""
        scheme = self.url.reveal().partition("://")[0]
        if self.tls != RedisTls() and scheme in ("redis", "unix"):
            yield Complaint(("tls", "url"), f"cannot be set for {scheme}://: write rediss://, or delete it")


class Vault(Section, frozen=True, kw_only=True):
    """Encrypted copies of credentials, taken while they are healthy."""

    directory: Annotated[
        Path | None,
        PathName(),
        "where they rest; null: vault in state.directory",
    ] = None
    key_file: Annotated[Path, PathName(relative=True), "the key that they are encrypted with"] = Path(
        "/etc/wasupervisor/vault.key"
    )
    every: Annotated[float, Duration("1m", "7d"), "how often"] = span("15m")
    keep: Annotated[int, Count(1, 1000), "copies of each session"] = 10
    restore: Annotated[str, Choice("auto", "ask", "never"), "put a lost one back"] = "ask"


class QueueWarn(Section, frozen=True, kw_only=True):
    """From where on a queue is worth a word."""

    waiting: Annotated[int, Count(1, 1_000_000_000), "jobs that wait"] = 100
    failed: Annotated[int, Count(1, 1_000_000_000), "jobs that failed"] = 1
    oldest: Annotated[float, Duration("1s", "30d"), "how long the oldest waits"] = span("10m")


class Queue(Section, frozen=True, kw_only=True):
    """The job queue of the gateway or of the application behind it, in the same Redis."""

    names: Annotated[tuple[str, ...], ListOf(Text(), least=1), "the queues", Example("[messages]")]
    prefix: Annotated[str, Text(), "of their keys; WAHA's own is waha-<worker>"] = "bull"
    warn: Annotated[QueueWarn, "from where on it is worth a word"] = QueueWarn()


class Health(Section, frozen=True, kw_only=True):
    """What others read."""

    listen: Annotated[Address, HostPort(), "the read-only port that load balancers probe"] = Address("127.0.0.1", 8090)
    file: Annotated[
        Path, PathName(), "the health document as a file, rewritten after each look", Place("runtime", "health.json")
    ] = Path("/run/wasupervisor/health.json")
    ready_when: Annotated[ReadyWhen, Ready(), "how many of the expected sessions must be usable"] = ReadyWhen()
    rise: Annotated[int, Count(1, 1000), "polls that must say ready before it is"] = 2
    fall: Annotated[int, Count(1, 1000), "polls that must say not ready before it is"] = 3
    names: Annotated[
        str, Choice("plain", "hashed"), "session names on the read-only port; they are often phone numbers"
    ] = "plain"
    haproxy_agent: Annotated[
        Address | None, HostPort(), "where HAProxy's agent-check is answered; null: nowhere", Example("127.0.0.1:8091")
    ] = None

    def complaints(self) -> Iterator[Complaint]:
        """Two listeners have two addresses."""
        if self.haproxy_agent is not None and self.haproxy_agent.overlaps(self.listen):
            yield Complaint(("haproxy_agent", "listen"), "cannot be the address of `listen` too: take another port")


class Control(Section, frozen=True, kw_only=True):
    """The operator's side door."""

    socket: Annotated[Path, PathName(socket=True), "the socket for commands", Place("runtime", "control.sock")] = Path(
        "/run/wasupervisor/control.sock"
    )
    token_file: Annotated[
        Path | None,
        PathName(relative=True),
        "a file with a token, by which commands are taken on the health port too; null: only on the socket",
        Example("/etc/wasupervisor/control.token"),
    ] = None
    token: Annotated[Secret | None, FilledIn()] = None


class JournalLimits(Section, frozen=True, kw_only=True):
    """How much of the journal is kept."""

    keep: Annotated[float, Duration("1h", "3650d"), "older entries go"] = span("90d")
    max: Annotated[int, Size(), "and the oldest, beyond this size"] = size("200MB")


class State(Section, frozen=True, kw_only=True):
    """What must outlive the process."""

    directory: Annotated[Path, PathName(), "its folder", Place("state")] = Path("/var/lib/wasupervisor")
    journal: Annotated[JournalLimits, "how much of the journal is kept"] = JournalLimits()
    record: Annotated[
        float | None, Duration("1m", "30d"), "keep what was seen, for replay; null: no", Example("24h")
    ] = None


class Alert(Section, frozen=True, kw_only=True):
    """Who is told of what."""

    to: Annotated[
        Secret, SecretUrl("https://example.org/hook"), "where it is sent", Example("https://example.org/hook")
    ]
    on: Annotated[
        tuple[str, ...],
        ListOf(Word(*AlertKind)),
        "of what; empty: of everything that wants a person",
        Example("[needs_human, gateway_down]", live=True),
    ] = ()
    remind: Annotated[float | None, Duration("1m", "30d"), "again after so long; null: once"] = span("1h")


class Log(Section, frozen=True, kw_only=True):
    """What is logged, and how."""

    level: Annotated[str, Choice("debug", "info", "warning", "error"), "from which level on"] = "info"
    format: Annotated[
        str,
        Choice("auto", "text", "json", "journal"),
        "auto is journal fields under systemd, text on a terminal, else JSON",
    ] = "auto"


class Settings(Section, frozen=True, kw_only=True):
    """The configuration of wasupervisor."""

    gateway: Annotated[Gateway, "the gateway that is watched"]
    sessions: Annotated[Sessions, "which sessions are watched, and which should be up"] = Sessions()
    process: Annotated[Process, "the gateway's process"] = Process()
    recovery: Annotated[Recovery, "when to act, how, and how often at the most"] = Recovery()
    uplink: Annotated[Uplink | None, "whether WhatsApp can be reached from here; null: not watched, taken as up"] = (
        Uplink()
    )
    redis: Annotated[Redis | None, "the gateway's Redis; null: not watched"] = None
    vault: Annotated[Vault | None, "encrypted copies of credentials; null: none"] = None
    queue: Annotated[Queue | None, "job queues in that Redis; null: none"] = None
    health: Annotated[Health, "what others read: port and file"] = Health()
    control: Annotated[Control, "where the commands reach the daemon"] = Control()
    state: Annotated[State, "what must outlive the process"] = State()
    alerts: Annotated[tuple[Alert, ...], ListOf(Alert), "who is told of what"] = ()
    dead_man: Annotated[
        Secret | None,
        SecretUrl("https://hc-ping.com/UUID", ("http", "https")),
        "a URL that is pinged while all is turning; null: none",
        Example("${DEAD_MAN_URL}"),
    ] = None
    log: Annotated[Log, "what is logged, and how"] = Log()

    def complaints(self) -> Iterator[Complaint]:
        """Nobody takes another's port or path."""
        place = url_host_port(self.gateway.url)
        listen = self.health.listen
        if place and is_local(place[0]) and is_local(listen.host) and place[1] == listen.port:
            yield Complaint(
                ("health.listen", "gateway.url"), "cannot be the port of gateway.url: it belongs to the gateway"
            )
        if self.queue is not None and self.redis is None:
            yield Complaint(("queue",), "cannot be watched without `redis`: set redis.url to where the queues are")
        if self.health.file == self.control.socket:
            yield Complaint(("health.file", "control.socket"), "cannot be the path of control.socket too")
