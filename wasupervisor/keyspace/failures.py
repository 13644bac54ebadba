"""What redis-py raises and Redis replies, in our words. Redis-py is not imported: its errors are known by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble


class Failure(NamedTuple):
    """One kind of failure."""

    sign: str
    """A regular expression, found in `<class of the error>: <its text>`."""
    trouble: RedisTrouble
    sentence: str
    """`{it}` is the server, `{command}` what was asked, `{told}` what the error says."""


# Redis 7 replies with the error of a command in a script as such; 6.2 puts it, after a dash, into a text of its own.
# The first that fits counts.
FAILURES = (
    Failure(
        r"^SSLCertVerificationError: .*expired",
        RedisTrouble.UNREACHABLE,
        "the certificate of {it} has expired: give Redis a new one",
    ),
    Failure(
        r"^SSLCertVerificationError: .*(mismatch|not valid for)",
        RedisTrouble.UNREACHABLE,
        "the certificate of {it} is for another name: it must hold the name or address by which we reach it",
    ),
    Failure(
        r"^SSLCertVerificationError",
        RedisTrouble.UNREACHABLE,
        "the certificate of {it} is not trusted ({told}): set redis.tls.ca_file to the authority that signed it",
    ),
    Failure(
        r"^SSLError: .*(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE)",
        RedisTrouble.UNREACHABLE,
        "{it} does not take our certificate: set redis.tls.cert_file and redis.tls.key_file to one that it trusts",
    ),
    Failure(
        r"^SSL\w*Error",
        RedisTrouble.UNREACHABLE,
        "{it} does not speak TLS as we do ({told}): is redis.url its TLS port?",
    ),
    Failure(r"^gaierror", RedisTrouble.UNREACHABLE, "the host name of {it} cannot be resolved ({told})"),
    Failure(
        r"^(ConnectionRefused|FileNotFound|NotADirectory)Error|^OSError: Multiple exceptions: (\[Errno 111\] [^\[]*)+$",
        RedisTrouble.UNREACHABLE,
        "{it} cannot be reached: nobody listens there",
    ),
    Failure(
        r"^PermissionError",
        RedisTrouble.UNREACHABLE,
        "{it} cannot be reached: our user may not; is it in the group that the socket belongs to?",
    ),
    Failure(
        r"^NoPermissionError: .* keys|script can't access at least one of the keys",
        RedisTrouble.FORBIDDEN,
        "{it} forbids our user a key that {command} names: allow the keys by ACL SETUSER",
    ),
    Failure(
        r"^NoPermissionError|The user executing the script can't",
        RedisTrouble.FORBIDDEN,
        "{it} forbids our user {command} ({told}): allow it by ACL SETUSER",
    ),
    Failure(
        r"^AuthenticationError: .*(required|already authenticated)",
        RedisTrouble.LOGIN,
        "{it} asks for a password: put it into redis.url",
    ),
    Failure(
        r"^AuthenticationError: .*(without any password|no password is set)",
        RedisTrouble.LOGIN,
        "{it} knows no password, but redis.url has one: take it out, or name a user",
    ),
    Failure(
        r"^Authentication\w*Error",
        RedisTrouble.LOGIN,
        "{it} does not accept the user and password of redis.url",
    ),
    Failure(
        r"^ResponseError: DENIED ",
        RedisTrouble.LOGIN,
        "{it} is in protected mode and serves only its own host: give its default user a password, or bind it",
    ),
    Failure(
        r"^ConnectionError: .*max number of clients",
        RedisTrouble.OTHER,
        "{it} has its maximum of clients: raise its maxclients, or find who keeps so many connections",
    ),
    Failure(r"^BusyLoadingError|-LOADING ", RedisTrouble.LOADING, "{it} is still loading its data"),
    Failure(
        r"^MasterDownError|-MASTERDOWN ",
        RedisTrouble.READ_ONLY,
        "{it} is a replica that has lost its primary, and answers nothing",
    ),
    Failure(r"^ReadOnlyError|-READONLY ", RedisTrouble.READ_ONLY, "{it} is a replica, which takes no writes"),
    Failure(
        r"^ResponseError: (MISCONF |.*-MISCONF )",
        RedisTrouble.READ_ONLY,
        "{it} takes no writes, since it could not save its data: see its log and its disk",
    ),
    Failure(
        r"^ResponseError: (NOREPLICAS |.*-NOREPLICAS )",
        RedisTrouble.READ_ONLY,
        "{it} takes no writes, since it has too few replicas",
    ),
    Failure(
        r"^OutOfMemoryError|-OOM ",
        RedisTrouble.FULL,
        "{it} has reached its maxmemory: no {command} until there is room",
    ),
    Failure(
        r"^(Moved|Ask|TryAgain)Error",
        RedisTrouble.MOVED,
        "the key has moved from {it} to another node of the cluster",
    ),
    Failure(r"^ClusterDownError|-CLUSTERDOWN ", RedisTrouble.MOVED, "the cluster of {it} is down"),
    Failure(
        r"^ResponseError: .*cluster support disabled",
        RedisTrouble.OTHER,
        "{it} is no cluster: write redis:// in redis.url, not cluster://",
    ),
    Failure(
        r"^ResponseError: unknown command .SENTINEL",
        RedisTrouble.OTHER,
        "{it} is no sentinel: sentinel:// takes the sentinels, which mostly listen on port 26379",
    ),
    Failure(
        r"^ResponseError: DB index is out of range",
        RedisTrouble.OTHER,
        "{it} has no database of the number in redis.url: see 'databases' in its configuration",
    ),
    Failure(
        r"^ResponseError: BUSY ", RedisTrouble.OTHER, "{it} is busy with somebody's script and answers nothing else"
    ),
    Failure(r"^TimeoutError", RedisTrouble.TIMED_OUT, "{it} did not answer in time"),
    Failure(
        r"^(IncompleteRead|ConnectionReset|BrokenPipe)Error|^ConnectionError: .*(closed|while (reading|writing))",
        RedisTrouble.CUT,
        "the connection to {it} broke during {command}",
    ),
    Failure(r"^InvalidResponse", RedisTrouble.CUT, "{it} does not speak the protocol of Redis"),
    Failure(r"^(OSError|Connection\w*Error)", RedisTrouble.UNREACHABLE, "{it} cannot be reached: {told}"),
)

OTHER = Failure("", RedisTrouble.OTHER, "{it} refused {command}: {told}")


# The arguments of a command that Redis does not know may be a password; the rest is where a script failed.
_NOISE = re.compile(
    r", with args beginning with.*| script: [0-9a-f]{40}, on .*"
    r"|Error running script \(call to \w+\): |@user_script: ?\d+: ",
    re.DOTALL,
)


def explained(error: BaseException, it: str, command: str, secret: str | None = None) -> KeyspaceError:
    """What went wrong, as the first row that fits it or one of its causes says.

    Args:
        error: of redis-py or of the system, or what Redis replied.
        it: the server.
        command: the name of what was asked.
        secret: a text that is taken out wherever it appears.
    """
    row, cause = _first_fit(error)
    told = _told(cause)
    if secret:
        told = told.replace(secret, "***")
    return KeyspaceError(row.trouble, row.sentence.format(it=it, command=command, told=told), _code(error))


def _first_fit(error: BaseException) -> tuple[Failure, BaseException]:
    causes = list(_causes(error))
    for row in FAILURES:
        for cause in causes:
            if re.search(row.sign, f"{type(cause).__name__}: {cause}", re.DOTALL):
                return row, cause
    return OTHER, causes[0]


def _code(error: BaseException) -> str:
    """Redis-py takes the first word off where it has a class of its own for it, and keeps it since 7.0."""
    if (known := getattr(error, "status_code", None)) is not None:
        return str(known)
    if type(error).__name__ == "NoScriptError":
        return "NOSCRIPT"
    word = str(error).partition(" ")[0]
    return word if type(error).__name__ == "ResponseError" and word.isupper() else ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it comes from, the origin first: it says most."""
    under = error.__cause__ or error.__context__
    if under is not None:
        yield from _causes(under)
    yield error


def _told(error: BaseException) -> str:
    """What it says, in one line."""
    if (verify := getattr(error, "verify_message", None)) is not None:
        return str(verify)
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(_NOISE.sub("", text).split())
