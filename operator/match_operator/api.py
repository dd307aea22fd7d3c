"""A MatchCluster as the pipeline sees it: frozen, typed, complete.

The API server has applied the schema's defaults and rules before an object arrives here, so there are
none in this file, save one that a schema cannot hold: the default node set. Others that it cannot hold are
resolved when an operator first sees the object, and kept with it: see ``resolved.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from match_operator import checks, names, parts, quantities
from match_operator.config import Config
from match_operator.errors import InvalidSpecError
from match_operator.resolved import GENERATED, Resolved, resolve

Json = dict[str, Any]

DEFAULT_NODE_SET: Final[Json] = {
    "name": "default",
    "count": 3,
    "roles": ["master", "data"],
    "resources": {"requests": {"cpu": "100m", "memory": "2Gi"}, "limits": {"memory": "2Gi"}},
    "storage": {"size": "20Gi", "className": ""},
    "zone": "",
    "config": {},
    "podTemplate": {},
}
"""What the schema makes of ``nodeSets: [{name: default}]``; tests/contract/test_crd.py holds them equal."""

RESERVED_SETTINGS: Final = (
    "cluster.name",
    names.FOUNDERS_SETTING,
    "node.name",
    "node.roles",
    "network",
    "discovery",
    "http.port",
    "transport.port",
    "readiness.port",
    "path",
    "xpack.security",
)
GIVEN: Final = "Given"
MAX_HEAP_BYTES: Final = 31 * 2**30
MIN_MEMORY_BYTES: Final = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Index:
    """spec.index"""

    name: str
    shards: int
    replicas: int
    refresh_interval: str


@dataclass(frozen=True, slots=True)
class NodeSet:
    """spec.elasticsearch.nodeSets[]"""

    name: str
    count: int
    roles: tuple[str, ...]
    resources: Json
    storage_size: str
    storage_class: str
    zone: str
    config: Json
    pod_template: Json

    @property
    def is_master(self) -> bool:
        """Whether its nodes vote."""
        return "master" in self.roles

    @property
    def is_data(self) -> bool:
        """Whether its nodes hold shards."""
        return "data" in self.roles

    @property
    def heap_bytes(self) -> int:
        """Half of the memory limit, and below the size where Java's pointers grow."""
        return min(int(quantities.parse(self.resources["limits"]["memory"])) // 2, MAX_HEAP_BYTES)


@dataclass(frozen=True, slots=True)
class Volumes:
    """spec.elasticsearch.volumes: Retain or Delete."""

    on_scale_down: str
    on_delete: str


@dataclass(frozen=True, slots=True)
class Autoscaling:
    """spec.api.autoscaling"""

    min: int
    max: int
    cpu_percent: int


@dataclass(frozen=True, slots=True)
class Auth:
    """spec.api.auth: who may use the API."""

    mode: str
    """GENERATED, GIVEN or OPEN."""
    secret: str = ""
    """The user's own Secret with a file of keys, for GIVEN."""
    key: str = ""
    """Under which key of it the file is."""
    oidc: parts.Oidc | None = None
    """Whose tokens are good as well; with it the mode is never OPEN."""


@dataclass(frozen=True, slots=True)
class Api:
    """spec.api"""

    replicas: int
    autoscaling: Autoscaling | None
    image: str
    resources: Json
    workers: int
    all_orientations: bool
    auth: Auth
    pod_template: Json


@dataclass(frozen=True, slots=True)
class MatchCluster:
    """A MatchCluster whose spec can be built."""

    name: str
    namespace: str
    uid: str
    generation: int
    paused: bool
    index: Index
    node_sets: tuple[NodeSet, ...]
    """Empty where Elasticsearch is external."""
    external: parts.External | None
    security: parts.Security
    network: parts.Network
    volumes: Volumes
    max_unavailable: int
    """Elasticsearch nodes that a rolling change may have away at once."""
    node_awareness: bool
    """Whether copies of a shard are kept on different Kubernetes nodes."""
    api: Api
    snapshots: parts.Snapshots | None
    resolved: Resolved
    annotation: str
    """The resolved defaults as they are kept now; empty before the first reconcile."""

    @property
    def full_name(self) -> str:
        """Namespace and name, as others are told whose something is."""
        return f"{self.namespace}/{self.name}"

    @property
    def zoned(self) -> bool:
        """Whether copies of a shard are kept in different zones."""
        return any(node_set.zone for node_set in self.node_sets)

    @property
    def nodes(self) -> int:
        """Elasticsearch nodes wanted."""
        return sum(node_set.count for node_set in self.node_sets)

    @property
    def data_nodes(self) -> int:
        """Elasticsearch nodes wanted that hold shards."""
        return sum(node_set.count for node_set in self.node_sets if node_set.is_data)

    @property
    def given_secrets(self) -> tuple[str, ...]:
        """Names of the user's own Secrets that the spec refers to."""
        external = (self.external.secret, self.external.ca_secret) if self.external else ()
        auth = self.api.auth
        issuer = auth.oidc.ca_secret if auth.oidc else ""
        store = self.snapshots.store.secret if self.snapshots and self.snapshots.store else ""
        named = (*external, self.security.secret, auth.secret, issuer, store)
        return tuple(dict.fromkeys(filter(None, named)))

    @property
    def index_replicas(self) -> int:
        """Copies of each shard that the data nodes have room for: two copies never share a node.

        Of an external Elasticsearch only a look can tell: see ``plan/index.py``.
        """
        if self.external:
            return self.index.replicas
        return min(self.index.replicas, self.data_nodes - 1)


def from_body(body: Mapping[str, Any], config: Config) -> MatchCluster:
    """Parse an object from the API server; raises ``InvalidSpecError`` saying what to change."""
    metadata, spec = body["metadata"], body.get("spec", {})
    index, elasticsearch, api = spec["index"], spec["elasticsearch"], spec["api"]
    images = (elasticsearch["version"], elasticsearch["image"], api["image"])
    annotations = metadata.get("annotations") or {}
    plain = parts.founded_without(body.get("status") or {})
    resolved = resolve(*images, annotations, config, plain=plain)
    return MatchCluster(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        paused=spec["paused"],
        index=Index(index["name"], index["shards"], index["replicas"], index["refreshInterval"]),
        node_sets=()
        if elasticsearch.get("external")
        else tuple(_node_set(n) for n in elasticsearch.get("nodeSets") or [DEFAULT_NODE_SET]),
        external=parts.external(elasticsearch.get("external")),
        network=parts.network(spec["networkPolicy"], resolved.network_policies, config.operator_namespace),
        security=parts.security(elasticsearch, resolved.security, body.get("status") or {}),
        volumes=Volumes(elasticsearch["volumes"]["onScaleDown"], elasticsearch["volumes"]["onDelete"]),
        max_unavailable=elasticsearch["update"]["maxUnavailable"],
        node_awareness=(elasticsearch["nodeAwareness"] or resolved.node_awareness) == parts.ENABLED,
        api=_api(api, resolved),
        snapshots=parts.snapshots(spec.get("snapshots"), metadata["name"], metadata["namespace"]),
        resolved=resolved,
        annotation=annotations.get(names.RESOLVED_ANNOTATION, ""),
    )


def _auth(auth: Json, resolved: Resolved) -> Auth:
    mode, given = auth["mode"] or resolved.api_auth, auth.get("secretRef")
    oidc = parts.oidc(auth.get("oidc"))
    if given:
        return Auth(GIVEN, given["name"], given["key"], oidc)
    return Auth(GENERATED if oidc else mode, oidc=oidc)


def _api(api: Json, resolved: Resolved) -> Api:
    scaling = api.get("autoscaling")
    checks.pod_template("api.podTemplate", api["podTemplate"])
    checks.resources("api.resources", api["resources"])
    return Api(
        replicas=api["replicas"],
        autoscaling=Autoscaling(scaling["min"], scaling["max"], scaling["cpuPercent"]) if scaling else None,
        image=api["image"],
        resources=api["resources"],
        workers=api["workers"],
        all_orientations=api["allOrientations"],
        auth=_auth(api["auth"], resolved),
        pod_template=api["podTemplate"],
    )


def _node_set(raw: Json) -> NodeSet:
    where = f"elasticsearch.nodeSets[{raw['name']}]"
    config = _flatten(raw["config"])
    checks.pod_template(f"{where}.podTemplate", raw["podTemplate"])
    checks.resources(f"{where}.resources", raw["resources"])
    for key in config:
        if any(key == reserved or key.startswith(reserved + ".") for reserved in RESERVED_SETTINGS):
            raise InvalidSpecError(f"{where}.config.{key} is set by the operator; remove it from the spec")
    if quantities.parse(raw["resources"]["limits"]["memory"]) < MIN_MEMORY_BYTES:
        raise InvalidSpecError(
            f"{where}.resources.limits.memory must be at least 512Mi for Elasticsearch to start"
        )
    return NodeSet(
        name=raw["name"],
        count=raw["count"],
        roles=tuple(raw["roles"]),
        resources=raw["resources"],
        storage_size=str(raw["storage"]["size"]),
        storage_class=raw["storage"]["className"],
        zone=raw["zone"],
        config=config,
        pod_template=raw["podTemplate"],
    )


def _flatten(config: Json, prefix: str = "") -> Json:
    """Settings by their full dotted name, in which form each can be told from a reserved one."""
    flat: Json = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
