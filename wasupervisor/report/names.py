"""Session names as the read-only port tells them: they are often phone numbers."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable

# Shorter names are replaced only where they stand as a word: 'a' would otherwise change every sentence.
_ANYWHERE_FROM = 5


class Names:
    """Names as they are."""

    def name(self, name: str) -> str:
        """What stands in the document for this name."""
        return name

    def text(self, text: str) -> str:
        """A sentence, with the names in it as the document may show them."""
        return text

    def over(self, known: Iterable[str]) -> Names:
        """The same for a document with these names in it."""
        del known
        return self


class HashedNames(Names):
    """A short stable hash for each name, in sentences too.

    Without a `key` (16 to 64 bytes) whoever guesses a phone number can confirm the guess, and all numbers of a
    country are soon guessed; with one he cannot.
    """

    def __init__(self, key: bytes = b"", known: frozenset[str] = frozenset()) -> None:
        self._key = key
        self._known = known
        self._shown: dict[str, str] = {}
        for name in known:
            # Also as it stands in a URL, which a sentence of the gateway's may quote.
            for spelling in {name, urllib.parse.quote(name, safe=""), urllib.parse.quote(name)} - {""}:
                self._shown[spelling] = self.name(name)
        self._pattern = _pattern(self._shown) if self._shown else None

    def name(self, name: str) -> str:
        """Twelve hexadecimal digits: `printf %s NAME | b2sum -l 48` gives the same when there is no key."""
        from hashlib import blake2b  # noqa: PLC0415 - 0.8 MB, which plain names do not need

        return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=6, key=self._key).hexdigest()

    def text(self, text: str) -> str:
        """A sentence without the known names."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: self._shown[found[0]], text)

    def over(self, known: Iterable[str]) -> HashedNames:
        """For a document with these names in it; itself while they have not changed."""
        names = frozenset(known)
        return self if names == self._known else HashedNames(self._key, names)


def _pattern(spellings: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(_alternative(one) for one in sorted(spellings, key=len, reverse=True)))


def _alternative(spelling: str) -> str:
    literal = re.escape(spelling)
    return literal if len(spelling) >= _ANYWHERE_FROM else rf"(?<![^\W_]){literal}(?![^\W_])"
