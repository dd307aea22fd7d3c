"""Everything that can be configured, read once from the environment into frozen values.

The names are the original Match service's where it had them; docs/http-api.md lists all.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from match_service.addresses import HostList, is_local
from match_service.model import SCOPES

MIB: Final = 1024 * 1024
TRUE: Final = frozenset({"1", "true", "yes", "on"})
FALSE: Final = frozenset({"0", "false", "no", "off"})
DECODERS: Final = min(8, os.cpu_count() or 1)
SCOPE_CLAIM: Final = "scope"
SCOPE_VALUES: Final = tuple((scope, (scope,)) for scope in SCOPES)
IMAGE_TYPES: Final = ("image/*", "application/octet-stream", "binary/octet-stream")


class SettingsError(ValueError):
    """An environment variable holds something that cannot be meant; its text is one sentence."""


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What fetching a caller's URL may cost and reach."""

    timeout: float = 10.0
    """Seconds for everything: resolving, connecting, redirects and the last byte."""
    max_bytes: int = 64 * MIB
    max_redirects: int = 5
    allow_private: bool = False
    """Whether loopback, private and link-local addresses may be reached."""
    private_hosts: frozenset[str] = frozenset()
    """Hosts (as written in the URL, lower case) that may be at such addresses all the same."""
    allow: HostList = field(default_factory=HostList)
    """If it has any, the only hosts that may be reached, beside ``private_hosts``."""
    deny: HostList = field(default_factory=HostList)
    """Hosts that may never be reached."""
    types: tuple[str, ...] = IMAGE_TYPES
    """Content types that may be an image, with ``*`` for any; an answer without one is taken."""
    proxy: str = "address"
    """What the environment's proxy is told: the checked "address" or the "name"; "off" goes around it."""


@dataclass(frozen=True, slots=True)
class Oidc:
    """Whose tokens are good, and for what."""

    issuer: str
    """As tokens name it in ``iss``."""
    audiences: tuple[str, ...]
    """One of which a token must name in ``aud``."""
    scope_claim: str = SCOPE_CLAIM
    scopes: tuple[tuple[str, tuple[str, ...]], ...] = SCOPE_VALUES
    """For each scope the values of the claim that stand for it."""
    authorities: Path | None = None
    """File of those that may sign the issuer's certificate; None for the usual ones."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Configuration of one service process."""

    elasticsearch_url: str = field(default="", repr=False)
    """Nodes of the cluster, comma separated; none selects the embedded store. Never logged: it may hold
    credentials."""
    elasticsearch_index: str = "images"
    elasticsearch_doc_type: str = ""
    elasticsearch_ca_certs: str = ""
    elasticsearch_credentials: str = ""
    """Folder with the files ``username`` and ``password``, or ``apiKey``."""
    manage_index: bool = True
    mirror_max_bytes: int | None = None
    """Memory for the signatures of the whole index, shared by all workers; 0 for none, None for half of
    what the container has."""
    data: Path = Path("match.db")
    engine: str = "native"
    all_orientations: bool = True
    host: str = "127.0.0.1"
    port: int = 8888
    workers: int = 1
    threads: int = 16
    queue: int = 64
    """Requests of each process that may wait while all its threads are busy; others are told to come back."""
    health_port: int | None = None
    """A port beside, for probes alone; 0 picks a free one."""
    drain_seconds: float = 1.0
    """Between SIGTERM and the last accepted connection; readiness says 503 meanwhile."""
    auth: str = ""
    """``open`` lets whoever reaches the service use it; otherwise that needs keys, or loopback."""
    keys_file: Path | None = None
    oidc: Oidc | None = None
    rate_limit: str = ""
    """Requests of one key or subject (without: of one address) to one process, as in ``100/minute``."""
    access_log: bool = True
    tineye_rest: bool = False
    """Whether TinEye MatchEngine's API is offered as well, below /rest/."""
    max_body_bytes: int = 64 * MIB
    page: bool = True
    """Whether ``/`` is a page for people."""
    thumbnails: str = ""
    """Folder, or address such as ``s3://bucket/prefix``, in which small pictures of what is added
    are kept; none by default."""
    decode_processes: int = DECODERS
    """Processes that decode images for all workers; 0 decodes in the workers, with no bound on time."""
    decode_seconds: float = 20.0
    fetch: FetchLimits = FetchLimits()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the environment; an empty variable counts as unset. Raises ``SettingsError``."""
        env = _Environment(environ)
        url = env.text("ELASTICSEARCH_URL", "")
        return cls(
            elasticsearch_url=url,
            elasticsearch_index=env.text("ELASTICSEARCH_INDEX", "images"),
            elasticsearch_doc_type=env.text("ELASTICSEARCH_DOC_TYPE", ""),
            elasticsearch_ca_certs=env.text("ELASTICSEARCH_CA_CERTS", ""),
            elasticsearch_credentials=env.text("ELASTICSEARCH_CREDENTIALS", ""),
            manage_index=env.flag("MATCH_MANAGE_INDEX", default=True),
            mirror_max_bytes=env.number("MATCH_MIRROR_MAX_BYTES", 0, 0, 2**40)
            if env.text("MATCH_MIRROR_MAX_BYTES", "")
            else None,
            data=Path(env.text("MATCH_DATA", "match.db")),
            engine=env.text("MATCH_ENGINE", "native"),
            all_orientations=env.flag("ALL_ORIENTATIONS", default=True),
            host=env.text("MATCH_HOST", "127.0.0.1"),
            port=env.number("PORT", 8888, 0, 65535),
            workers=env.number("WORKER_COUNT", 4 if url else 1, 1, 1024),
            threads=env.number("MATCH_THREADS", 16, 1, 1024),
            queue=env.number("MATCH_QUEUE", 64, 0, 1024),
            health_port=env.number("MATCH_HEALTH_PORT", 0, 0, 65535)
            if env.text("MATCH_HEALTH_PORT", "")
            else None,
            drain_seconds=float(env.number("MATCH_DRAIN_SECONDS", 1, 0, 3600)),
            auth=env.choice("MATCH_AUTH", ("", "open")),
            keys_file=Path(keys) if (keys := env.text("MATCH_API_KEYS_FILE", "")) else None,
            oidc=_oidc(env),
            rate_limit=env.rate("MATCH_RATE_LIMIT"),
            access_log=env.flag("MATCH_ACCESS_LOG", default=True),
            tineye_rest=env.flag("MATCH_TINEYE_REST", default=False),
            max_body_bytes=env.number("MATCH_MAX_BODY_BYTES", 64 * MIB, 1024, 1024 * MIB),
            page=env.flag("MATCH_PAGE", default=True),
            thumbnails=env.text("MATCH_THUMBNAILS", ""),
            decode_processes=env.number("MATCH_DECODE_PROCESSES", DECODERS, 0, 1024),
            decode_seconds=float(env.number("MATCH_DECODE_TIMEOUT_SECONDS", 20, 1, 3600)),
            fetch=FetchLimits(
                timeout=float(env.number("MATCH_FETCH_TIMEOUT_SECONDS", 10, 1, 300)),
                max_bytes=env.number("MATCH_FETCH_MAX_BYTES", 64 * MIB, 1024, 1024 * MIB),
                allow_private=env.flag("MATCH_FETCH_ALLOW_PRIVATE", default=False),
                private_hosts=frozenset(h.lower() for h in env.items("MATCH_FETCH_PRIVATE_HOSTS")),
                allow=env.hosts("MATCH_FETCH_ALLOW_HOSTS"),
                deny=env.hosts("MATCH_FETCH_DENY_HOSTS"),
                types=tuple(t.lower() for t in env.items("MATCH_FETCH_TYPES")) or IMAGE_TYPES,
                proxy=env.choice("MATCH_FETCH_PROXY", ("address", "name", "off")),
            ),
        )


def _oidc(env: "_Environment") -> Oidc | None:
    issuer = env.text("MATCH_OIDC_ISSUER", "")
    audiences = tuple(env.items("MATCH_OIDC_AUDIENCE"))
    if not issuer:
        if audiences:
            raise SettingsError("MATCH_OIDC_AUDIENCE is of no use without MATCH_OIDC_ISSUER.")
        return None
    if not is_trustworthy(issuer):
        raise SettingsError(
            "MATCH_OIDC_ISSUER must be an https:// address, or one of this machine, without query or user:"
            f" whoever could change its answers could sign tokens; not {issuer!r}."
        )
    if not audiences:
        raise SettingsError(
            "MATCH_OIDC_AUDIENCE is required with MATCH_OIDC_ISSUER: a token for others is no good here."
        )
    authorities = env.text("MATCH_OIDC_CA", "")
    return Oidc(
        issuer=issuer,
        audiences=audiences,
        scope_claim=env.text("MATCH_OIDC_SCOPE_CLAIM", SCOPE_CLAIM),
        scopes=env.scopes("MATCH_OIDC_SCOPES"),
        authorities=Path(authorities) if authorities else None,
    )


def is_trustworthy(url: str) -> bool:
    """Whether nobody on the way can change what is fetched from ``url``."""
    try:
        parts = urlsplit(url)
        plain = parts.username is None and not parts.query and not parts.fragment and parts.port != 0
    except ValueError:
        return False
    secure = parts.scheme == "https" or (parts.scheme == "http" and is_local(url))
    return plain and secure and bool(parts.hostname)


def parse_flag(text: str) -> bool | None:
    """True or false for the words people write for them in any case, None for anything else."""
    word = text.strip().lower()
    return True if word in TRUE else False if word in FALSE else None


class _Environment:
    """Typed look-ups that name the variable when its value is wrong."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str) -> str:
        return self._environ.get(name, "").strip() or default

    def items(self, name: str) -> list[str]:
        return [item.strip() for item in self.text(name, "").split(",") if item.strip()]

    def flag(self, name: str, *, default: bool) -> bool:
        value = parse_flag(text) if (text := self.text(name, "")) else default
        if value is None:
            raise SettingsError(f"{name} must be true or false, not {text!r}.")
        return value

    def hosts(self, name: str) -> HostList:
        try:
            return HostList.parse(self.items(name))
        except ValueError as error:
            raise SettingsError(
                f"{name} must be hosts, *.domains and networks, comma separated, not {str(error)!r}."
            ) from error

    def scopes(self, name: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """From JSON such as ``{"read": ["staff"], "admin": ["ops"]}``."""
        text = self.text(name, "")
        if not text:
            return SCOPE_VALUES
        try:
            named = json.loads(text)
            scopes = tuple(
                (scope, tuple(values)) for scope, values in named.items() if isinstance(values, list)
            )
        except (ValueError, AttributeError, RecursionError):
            named, scopes = None, ()
        values = [value for _, several in scopes for value in several]
        if (
            not isinstance(named, dict)
            or len(scopes) < len(named)
            or not values
            or not all(isinstance(value, str) and value for value in values)
            or not set(named) <= set(SCOPES)
        ):
            raise SettingsError(
                f'{name} must be JSON like {{"read": ["staff"], "admin": ["ops"]}} with {", ".join(SCOPES)},'
                f" not {text!r}."
            )
        return scopes

    def rate(self, name: str) -> str:
        text = self.text(name, "")
        if not text:
            return text
        import limits  # noqa: PLC0415 - as slow as all the rest of a command

        try:
            limits.parse(text)
        except ValueError as error:
            raise SettingsError(f"{name} must be like 100/minute or 5/second, not {text!r}.") from error
        return text

    def choice(self, name: str, words: tuple[str, ...]) -> str:
        """One of ``words``, the first of which is the default."""
        text = self.text(name, words[0]).lower()
        if text not in words:
            named = " or ".join(filter(None, [", ".join(filter(None, words[:-1])), words[-1]]))
            raise SettingsError(f"{name} must be {named}, not {text!r}.")
        return text

    def number(self, name: str, default: int, low: int, high: int) -> int:
        text = self.text(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) < 19 and low <= int(text) <= high):
            raise SettingsError(f"{name} must be a whole number from {low} to {high}, not {text!r}.")
        return int(text)
