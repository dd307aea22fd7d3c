"""API keys: a file of names, scopes and hashes, which may change while the service runs.

Keys are 256 random bits, so one round of SHA-256 hides them as well as a slow hash would, at no cost to each
request. The file is looked at before each use; one that has become unreadable leaves the keys as they were,
so that a mistake in a rotation locks nobody out and lets nobody in.
"""

import hashlib
import hmac
import logging
import re
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from match_service.model import SCOPES, includes

PREFIX: Final = "match_"
"""So that a key that has leaked can be found by what it looks like."""

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_ENTRY: Final = "name:scope:sha256 or name:scope:sha256:rate"

log = logging.getLogger("match_service")


class KeysError(Exception):
    """The keys cannot be used; its text is one sentence without anything secret."""


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of the file."""

    name: str
    scope: str
    digest: bytes
    rate: str = ""
    """As in ``100/minute``; empty for what the service is set to."""

    def may(self, scope: str) -> bool:
        """Whether it is good for what needs ``scope``."""
        return includes(self.scope, scope)


class KeyFile:
    """The keys of the file at ``path``, as it is now. Raises ``KeysError`` if it cannot be used at first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._keys = self._read()

    def find(self, token: str) -> Key | None:
        """The key that ``token`` is; takes as long whichever it is, and if it is none."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        found = None
        for key in self._current():
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def _current(self) -> tuple[Key, ...]:
        try:
            stamp = self._look()
            if stamp != self._stamp:
                with self._lock:
                    if stamp != self._stamp:
                        self._stamp = stamp  # a file that is wrong is told once
                        self._keys = self._read()
                        log.info("The API keys were read anew: %d.", len(self._keys))
        except KeysError as error:
            log.error("%s The keys stay as they were.", error)  # noqa: TRY400 - a trace would say no more
        return self._keys

    def _look(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _read(self) -> tuple[Key, ...]:
        try:
            text = self._path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise KeysError(f"The file of API keys {self._path} cannot be read.") from error
        return parse(text.splitlines(), str(self._path))


def parse(lines: Iterable[str], where: str) -> tuple[Key, ...]:
    """Entries, one a line; empty lines and those that begin with # are skipped."""
    keys: dict[str, Key] = {}
    for number, line in enumerate(lines, start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        key = _entry(entry)
        if key is None:
            raise KeysError(f"Line {number} of {where} is not {_ENTRY}.")
        if key.name in keys:
            raise KeysError(f"Line {number} of {where} repeats the name {key.name}.")
        keys[key.name] = key
    if not keys:
        raise KeysError(f"{where} holds no API key.")
    return tuple(keys.values())


def _entry(text: str) -> Key | None:
    name, scope, digest, *rest = [*text.split(":", 3), "", ""][: max(3, text.count(":") + 1)]
    rate = rest[0] if rest else ""
    if not _NAME.fullmatch(name) or scope not in SCOPES or not _DIGEST.fullmatch(digest):
        return None
    if rate:
        from limits import parse as parse_rate  # noqa: PLC0415 - slow, and few keys have rates

        try:
            parse_rate(rate)
        except ValueError:
            return None
    return Key(name, scope, bytes.fromhex(digest), rate)


def new(name: str, scope: str) -> tuple[str, str]:
    """A new key, and its entry in the file; ``KeysError`` for a name that cannot be one."""
    if not _NAME.fullmatch(name):
        raise KeysError("The name of a key has 1 to 64 letters, digits, dots, dashes and underscores.")
    token = PREFIX + secrets.token_urlsafe(32)
    return token, f"{name}:{scope}:{hashlib.sha256(token.encode()).hexdigest()}"
