"""Tokens of an OpenID Connect issuer: who brings one, and what it is good for.

What is believed of a token before its signature is checked: which key it names, and one of a fixed list of
algorithms. PyJWT checks the rest; here is what it is told to insist on.
"""

from typing import Any, Final

import jwt

from match_service.errors import NotAuthenticatedError
from match_service.issuer import ALGORITHMS, Issuer
from match_service.model import SCOPES, Subject
from match_service.settings import Oidc

MAX_LENGTH: Final = 16 * 1024
MAX_SUBJECT: Final = 255
"""As OpenID Connect has it."""
LEEWAY_SECONDS: Final = 30
"""What clocks may differ."""
REQUIRED: Final = ("iss", "sub", "aud", "exp")
KINDS: Final = (None, "jwt", "at+jwt", "application/at+jwt", "application/jwt")
"""Values of ``typ``. Others are signed by the same keys to say something else, such as that somebody left."""

_SENTENCES: Final[dict[type[jwt.PyJWTError], str]] = {
    jwt.ExpiredSignatureError: "has expired",
    jwt.ImmatureSignatureError: "is not good yet",
    jwt.InvalidAudienceError: "is for another audience",
    jwt.InvalidIssuerError: "is of another issuer",
    jwt.InvalidSignatureError: "has a wrong signature",
}


class Tokens:
    """Tokens as the settings say; asks their issuer for its keys when the first comes."""

    def __init__(self, settings: Oidc, issuer: Issuer | None = None) -> None:
        self._settings = settings
        self._issuer = issuer or Issuer.at(settings.issuer, settings.authorities)

    def subject(self, token: str) -> Subject:
        """Whose token it is; raises ``NotAuthenticatedError`` and ``IssuerAwayError``."""
        if len(token) > MAX_LENGTH:
            raise _refusal(f"is longer than {MAX_LENGTH} characters")
        if not token.isascii():
            raise _refusal("is malformed")
        try:
            claims = self._claims(token)
        except jwt.MissingRequiredClaimError as error:
            raise _refusal(f"lacks the claim {error.claim}") from error
        except jwt.PyJWTError as error:
            raise _refusal(_SENTENCES.get(type(error), "is malformed")) from error
        name = claims["sub"]
        if not 0 < len(name) <= MAX_SUBJECT:
            raise _refusal(f"names no subject of 1 to {MAX_SUBJECT} characters")
        return Subject(name, self._scope(claims))

    def _claims(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        algorithm, kind = header.get("alg"), header.get("typ")
        if algorithm not in ALGORITHMS:
            raise _refusal(f"must be signed with one of {', '.join(ALGORITHMS)}")
        if (kind.lower() if isinstance(kind, str) else kind) not in KINDS:
            raise _refusal("is of a kind that is no access")
        key = self._issuer.key(header.get("kid"), algorithm)
        if key is None:
            raise _refusal("is signed with a key that its issuer does not have")
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self._settings.audiences,
            issuer=self._settings.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": list(REQUIRED), "enforce_minimum_key_length": True},
        )

    def _scope(self, claims: dict[str, Any]) -> str:
        """The most that the token's claim stands for, empty for nothing."""
        values = _values(claims, self._settings.scope_claim)
        good = [scope for scope, named in self._settings.scopes if values.intersection(named)]
        return max(good, key=SCOPES.index, default="")


def _refusal(reason: str) -> NotAuthenticatedError:
    return NotAuthenticatedError(f"The token {reason}.")


def _values(claims: dict[str, Any], name: str) -> set[str]:
    """Of a claim that is a list of texts, or a text: itself and its words. ``a.b`` is b of the object a."""
    value: Any = claims
    for part in [name] if name in claims else name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, str):
        return {value, *value.split()}
    return {each for each in value if isinstance(each, str)} if isinstance(value, list) else set()
