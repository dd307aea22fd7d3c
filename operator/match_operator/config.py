"""Settings of the operator process, read once from the environment and passed on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

DEFAULT_ELASTICSEARCH_VERSION: Final = "8.19.21"
DEFAULT_ELASTICSEARCH_IMAGE: Final = "docker.elastic.co/elasticsearch/elasticsearch:{version}"
DEFAULT_API_IMAGE: Final = "ghcr.io/match-operator/match-service:0.1.0"


@dataclass(frozen=True)
class Config:
    """How this operator behaves; none of it changes a cluster that exists already."""

    elasticsearch_version: str = DEFAULT_ELASTICSEARCH_VERSION
    elasticsearch_image: str = DEFAULT_ELASTICSEARCH_IMAGE
    """May hold ``{version}``."""
    api_image: str = DEFAULT_API_IMAGE
    operator_namespace: str = ""
    """Where the operator itself runs; empty where it is not known."""
    watch_namespaces: tuple[str, ...] = ()
    """Empty: all namespaces."""
    resync_seconds: float = 60.0
    """Longest time between two looks at an object that no event speaks of."""
    workers: int = 8
    """Objects reconciled at once."""
    log_format: str = "text"
    lease: tuple[str, str] | None = None
    """Namespace and name of the Lease whose holder acts; None: this operator is the only one."""
    identity: str = ""
    """How it signs there; empty: a name that no other process has."""
    health_port: int = 8080
    metrics_port: int = 8081

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Config":
        """Read ``MATCH_*`` variables; raises ``ValueError`` with a sentence for a bad one."""
        return cls(
            elasticsearch_version=env.get("MATCH_DEFAULT_ELASTICSEARCH_VERSION") or cls.elasticsearch_version,
            elasticsearch_image=env.get("MATCH_DEFAULT_ELASTICSEARCH_IMAGE") or cls.elasticsearch_image,
            api_image=env.get("MATCH_DEFAULT_API_IMAGE") or cls.api_image,
            operator_namespace=env.get("MATCH_OPERATOR_NAMESPACE", ""),
            watch_namespaces=tuple(
                sorted({n.strip() for n in env.get("MATCH_WATCH_NAMESPACES", "").split(",") if n.strip()})
            ),
            resync_seconds=_positive(env, "MATCH_RESYNC_SECONDS", cls.resync_seconds),
            workers=int(_positive(env, "MATCH_WORKERS", cls.workers)),
            log_format=_choice(env, "MATCH_LOG_FORMAT", ("text", "json")),
            lease=_lease(env.get("MATCH_LEASE", "")),
            identity=env.get("MATCH_IDENTITY", ""),
            health_port=int(_positive(env, "MATCH_HEALTH_PORT", cls.health_port)),
            metrics_port=int(_positive(env, "MATCH_METRICS_PORT", cls.metrics_port)),
        )


def _positive(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be a number greater than 0, not {text!r}")
    return value


def _lease(text: str) -> tuple[str, str] | None:
    namespace, _, name = text.partition("/")
    if text and not (namespace and name and "/" not in name):
        raise ValueError(f"MATCH_LEASE must be a namespace and a name with / between them, not {text!r}")
    return (namespace, name) if text else None


def _choice(env: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = env.get(name) or choices[0]
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
    return value
