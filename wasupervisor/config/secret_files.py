"""Files that hold a secret: the gateway's key, and the token of the changing verbs."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from wasupervisor.config.rules import RefusedError, Scalar
from wasupervisor.config.secret import Secret
from wasupervisor.config.texts import SecretText

SHORTEST_TOKEN = 32
"""Characters: 128 bits, written as hexadecimal digits."""
_FEWEST_DIFFERENT = 8
_LARGEST = 16 * 1024
_MAKE = "`openssl rand -hex 32` makes one"
# b64token of RFC 6750, 2.1: what an Authorization header can carry.
_TOKEN = SecretText(
    r"[A-Za-z0-9._~+/-]+=*", f"be used as a token: it holds other characters than a header takes; {_MAKE}"
)


class AbsentError(RefusedError):
    """The file is not there, or not for us to read: what the configuration says may be right all the same."""


def read_key(path: Path) -> Secret:
    """The key in a file, without the line break at its end.

    Raises:
        RefusedError: it cannot be read, or holds none.
    """
    text, _about = _content(path)
    if not text:
        raise RefusedError(f"be used: {path} is empty; write the key into it")
    return SecretText().read(Scalar(text, "str"))


def read_token(path: Path) -> Secret:
    """The token in a file that others can neither read nor write, without the line break at its end.

    PostgreSQL's rule for its own key: a file of root's may be read by its group, any other by its owner alone.

    Raises:
        RefusedError: it cannot be read, is open to others, or holds no token that is hard to guess.
    """
    text, about = _content(path)
    allowed = 0o740 if about.st_uid == 0 else 0o700
    mode = stat.S_IMODE(about.st_mode)
    if mode & 0o777 & ~allowed:
        mend = f"chmod {allowed & 0o660:o} {shlex.quote(os.fspath(path))}"
        raise RefusedError(
            f"be used: {path} is open to others (mode {mode:04o}), who may know the token by now; "
            f"write a new one into it and run `{mend}`"
        )
    if not text:
        raise RefusedError(f"be used: {path} is empty; write a token into it: {_MAKE}")
    if len(text) < SHORTEST_TOKEN or len(set(text)) < _FEWEST_DIFFERENT:
        raise RefusedError(
            f"be used: the token in {path} is too easily guessed; "
            f"write a random one of at least {SHORTEST_TOKEN} characters into it: {_MAKE}"
        )
    return _TOKEN.read(Scalar(text, "str"))


def _content(path: Path) -> tuple[str, os.stat_result]:
    """Its text, and whose it is."""
    try:
        # O_NONBLOCK: a FIFO would be waited for. What is looked at is what was opened, whatever the name means by now.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode):  # a device might never end
                raise RefusedError(f"be read: {path} is no regular file")
            return os.read(descriptor, _LARGEST).decode().strip(), about
        finally:
            os.close(descriptor)
    except UnicodeDecodeError:
        raise RefusedError(f"be read: {path} holds no text") from None
    except OSError as error:
        raise AbsentError(f"be read: {path}: {error.strerror or error}") from None
    except ValueError:
        raise RefusedError(f"be read: {path}: malformed name") from None
