"""The keys by which an issuer of tokens is known: found by OpenID Connect Discovery, kept, and read anew.

A key that is not known may be a new one, so the issuer is asked; but anybody can make up names of keys, and
an issuer that is away answers nobody. So it is asked by one request at a time, with bounds of time and size,
and not again within seconds, whatever came of it. Keys that are known stay good for a while when it is away.
"""

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt

from match_service.errors import FetchError, IssuerAwayError
from match_service.fetch import Fetcher
from match_service.settings import FetchLimits, is_trustworthy

FRESH_SECONDS: Final = 600.0
"""After so long keys are read anew, so that one the issuer has withdrawn ends."""
GOOD_SECONDS: Final = 3600.0
"""So long keys stay good while the issuer is away."""
PAUSE_SECONDS: Final = 10.0
"""Between two times of asking."""
WAIT_SECONDS: Final = 2.0
"""Longest wait for another request that is asking."""
FETCH_SECONDS: Final = 3.0
"""For each of the two documents."""
MAX_BYTES: Final = 1024 * 1024
DISCOVERY: Final = "/.well-known/openid-configuration"

_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ALGORITHMS: Final = (*_RSA, *_CURVES.values(), "EdDSA")
"""Those whose keys only the issuer has: a public key must never be taken for a shared secret."""

log = logging.getLogger("match_service")


class _StrangeAnswerError(Exception):
    """The issuer does not answer as one should."""


@dataclass(frozen=True, slots=True)
class _Keys:
    by_name: Mapping[tuple[str | None, str], jwt.PyJWK]
    """By name and algorithm: what a key is for is not left to the token."""
    read: float

    def has(self, name: str | None) -> bool:
        return name is None or any(known == name for known, _ in self.by_name)

    def find(self, name: str | None, algorithm: str) -> jwt.PyJWK | None:
        """A token that names no key can mean one only."""
        if name is not None:
            return self.by_name.get((name, algorithm))
        fitting = [key for (_, fit), key in self.by_name.items() if fit == algorithm]
        return fitting[0] if len(fitting) == 1 else None


class Issuer:
    """The issuer at ``url``; ``get`` gives what is at an address, and raises ``FetchError``."""

    def __init__(
        self,
        url: str,
        get: Callable[[str], bytes],
        clock: Callable[[], float] = time.monotonic,
        wait: float = WAIT_SECONDS,
    ) -> None:
        self._url = url
        self._get = get
        self._clock = clock
        self._wait = wait
        self._asking = threading.Lock()
        self._keys: _Keys | None = None
        self._asked = -math.inf
        self._away = False

    @classmethod
    def at(cls, url: str, authorities: Path | None) -> "Issuer":
        """The issuer at ``url``, wherever that is, through the environment's proxy if there is one."""
        limits = FetchLimits(
            timeout=FETCH_SECONDS,
            max_bytes=MAX_BYTES,
            max_redirects=0,
            allow_private=True,
            types=("*",),
            proxy="name",
        )
        return cls(url, Fetcher(limits, authorities).fetch)

    def key(self, name: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Its key of that name (None: its only one) for one of ``ALGORITHMS``; None if it has none.

        Raises ``IssuerAwayError`` where that cannot be known.
        """
        keys = self._keys
        useful = keys is not None and keys.has(name)
        if keys is None or not useful or self._clock() - keys.read > FRESH_SECONDS:
            keys = self._renewed(keys, 0 if useful else self._wait)
        if keys is None or self._clock() - keys.read > GOOD_SECONDS or (self._away and not keys.has(name)):
            raise IssuerAwayError("Tokens cannot be checked now: their issuer does not give its keys.")
        return keys.find(name, algorithm)

    def _renewed(self, before: _Keys | None, wait: float) -> _Keys | None:
        """The keys after asking, unless that was done just now or another request is at it for too long."""
        if not self._asking.acquire(timeout=wait):
            if wait:
                raise IssuerAwayError("Tokens cannot be checked now: their issuer is slow to give its keys.")
            return before
        try:
            if self._keys is before and self._clock() - self._asked >= PAUSE_SECONDS:
                self._ask()
            return self._keys
        finally:
            self._asking.release()

    def _ask(self) -> None:
        try:
            found = self._read()
        except (FetchError, _StrangeAnswerError) as error:
            self._away = True
            log.warning("The keys of the issuer %s were not read: %s", self._url, error)
        else:
            self._keys, self._away = _Keys(found, self._clock()), False
            log.info("The keys of the issuer %s were read: %d.", self._url, len({name for name, _ in found}))
        self._asked = self._clock()

    def _read(self) -> dict[tuple[str | None, str], jwt.PyJWK]:
        about = self._document(self._url.rstrip("/") + DISCOVERY)
        if about.get("issuer") != self._url:
            raise _StrangeAnswerError(f"it calls itself {str(about.get('issuer'))[:200]!r}.")
        place = about.get("jwks_uri")
        if not isinstance(place, str) or not is_trustworthy(place):
            raise _StrangeAnswerError("its jwks_uri is no https:// address.")
        listed = self._document(place).get("keys")
        found = {}
        for entry in listed if isinstance(listed, list) else ():
            found.update(_usable(entry) if isinstance(entry, dict) else {})
        if not found:
            raise _StrangeAnswerError("it has no key that could be used.")
        return found

    def _document(self, url: str) -> dict[str, Any]:
        try:
            document = json.loads(self._get(url))
        except (ValueError, RecursionError) as error:
            raise _StrangeAnswerError("an answer of it is no JSON.") from error
        if not isinstance(document, dict):
            raise _StrangeAnswerError("an answer of it is no JSON object.")
        return document


def _usable(entry: dict[str, Any]) -> dict[tuple[str | None, str], jwt.PyJWK]:
    """A key of a JWK Set by its name and the algorithms it may be used with; empty for one of no use."""
    name = entry.get("kid")
    if entry.get("use", "sig") != "sig" or not isinstance(name, str | None):
        return {}
    kind, curve = entry.get("kty"), entry.get("crv")
    fitting: tuple[str, ...] = ()
    if kind == "RSA":
        fitting = _RSA
    elif kind == "EC" and isinstance(curve, str) and curve in _CURVES:
        fitting = (_CURVES[curve],)
    elif kind == "OKP" and curve == "Ed25519":
        fitting = ("EdDSA",)
    only = entry.get("alg")
    try:
        return {(name, one): jwt.PyJWK(entry, one) for one in fitting if only in (None, one)}
    except (jwt.PyJWTError, ValueError, TypeError):  # older PyJWT passes on what cryptography raises
        return {}
