"""Every object name, label, annotation and port, so that no other file spells one."""

from typing import Final

GROUP: Final = "match.dev"
VERSION: Final = "v1alpha1"
PLURAL: Final = "matchclusters"
KIND: Final = "MatchCluster"
API_VERSION: Final = f"{GROUP}/{VERSION}"
SNAPSHOT_KIND: Final = "MatchSnapshot"
RESTORE_KIND: Final = "MatchRestore"
REQUESTS: Final = {SNAPSHOT_KIND: "matchsnapshots", RESTORE_KIND: "matchrestores"}
"""What is asked of a MatchCluster once: plural by kind."""

MANAGER: Final = "match-operator"
"""Field manager of every server-side apply, and what ``managed-by`` says."""

CLUSTER_LABEL: Final = f"{GROUP}/cluster"
NODE_SET_LABEL: Final = f"{GROUP}/node-set"
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
REVISION_LABEL: Final = "controller-revision-hash"

RESTART_ELASTICSEARCH_ANNOTATION: Final = f"{GROUP}/restart-elasticsearch"
RESTART_API_ANNOTATION: Final = f"{GROUP}/restart-api"
RESTARTED_ANNOTATION: Final = f"{GROUP}/restarted"
OPERATOR_LABEL: Final = f"{GROUP}/operator"
"""On the operator's own pods, so that policies know them."""
NAMESPACE_LABEL: Final = "kubernetes.io/metadata.name"
ZONE_LABEL: Final = "topology.kubernetes.io/zone"
HOST_ATTRIBUTE: Final = "k8s_node_name"
"""Attribute of an Elasticsearch node that names its Kubernetes node, as ECK has it."""
HOST_VARIABLE: Final = "K8S_NODE_NAME"
AWARENESS_SETTING: Final = "cluster.routing.allocation.awareness.attributes"
ZONE_ATTRIBUTE: Final = "zone"
FOUNDERS_SETTING: Final = "cluster.initial_master_nodes"
RESOLVED_ANNOTATION: Final = f"{GROUP}/resolved"
KEYSTORE_ANNOTATION: Final = f"{GROUP}/keystore"
APPLIED_ANNOTATION: Final = f"{GROUP}/applied"
CONFIG_ANNOTATION: Final = f"{GROUP}/config"

HTTP_PORT: Final = 9200
TRANSPORT_PORT: Final = 9300
READINESS_PORT: Final = 8080
API_PORT: Final = 8080
API_HEALTH_PORT: Final = 8081
"""For the kubelet alone."""
API_SERVICE_PORT: Final = 80

DATA_VOLUME: Final = "data"
KEYS_FILE: Final = "keys"
CERTIFICATE_KEY: Final = "tls.crt"
PRIVATE_KEY: Final = "tls.key"
TRUSTED_KEY: Final = "ca.crt"
"""Keys of a Secret with a certificate, as in the type kubernetes.io/tls and as cert-manager has them."""
SNAPSHOTS_VOLUME: Final = "snapshots"
CONFIG_KEY: Final = "elasticsearch.yml"
ELASTICSEARCH: Final = "elasticsearch"
API: Final = "api"
MIGRATION: Final = "migration"
OPERATOR: Final = "operator"


def labels(cluster: str, component: str) -> dict[str, str]:
    """Labels of every child; the first two alone select it."""
    return {
        CLUSTER_LABEL: cluster,
        COMPONENT_LABEL: component,
        "app.kubernetes.io/name": "match",
        "app.kubernetes.io/instance": cluster,
        "app.kubernetes.io/managed-by": MANAGER,
    }


def selector(cluster: str, component: str) -> dict[str, str]:
    """Labels that select the pods of a component; immutable once in use."""
    return {CLUSTER_LABEL: cluster, COMPONENT_LABEL: component}


def children_selector(cluster: str) -> str:
    """Label selector, in the form of a query, for every child of a cluster."""
    return f"{CLUSTER_LABEL}={cluster}"


def node_set(cluster: str, name: str) -> str:
    """StatefulSet and ConfigMap of a node set."""
    return f"{cluster}-es-{name}"


def node(cluster: str, node_set_name: str, ordinal: int) -> str:
    """Pod of a node set, and the name of the node in Elasticsearch."""
    return f"{node_set(cluster, node_set_name)}-{ordinal}"


def ordinal(node_name: str) -> int:
    """Which pod of its StatefulSet a node is."""
    return int(node_name.rpartition("-")[2])


def volume(node_name: str) -> str:
    """PersistentVolumeClaim of a node."""
    return f"{DATA_VOLUME}-{node_name}"


def elasticsearch_http(cluster: str) -> str:
    """Service of Elasticsearch's HTTP API."""
    return f"{cluster}-es-http"


def elasticsearch_nodes(cluster: str) -> str:
    """Headless Service through which the nodes find one another, ready or not."""
    return f"{cluster}-es-nodes"


def elasticsearch_pdb(cluster: str) -> str:
    """PodDisruptionBudget over all nodes."""
    return f"{cluster}-es"


def elasticsearch_policy(cluster: str) -> str:
    """NetworkPolicy of all nodes."""
    return f"{cluster}-es"


def api(cluster: str) -> str:
    """Deployment, Service, PodDisruptionBudget and autoscaler of the API."""
    return f"{cluster}-api"


def api_key(cluster: str) -> str:
    """Secret with the API's keys, for people."""
    return f"{cluster}-api-key"


def api_keys(cluster: str) -> str:
    """Secret with the hashes of the API's keys, for its pods."""
    return f"{cluster}-api-keys"


def migration(cluster: str) -> str:
    """Job that moves the collection to another index."""
    return f"{cluster}-migration"


def elasticsearch_user(cluster: str, who: str) -> str:
    """Secret with name and password of a user of Elasticsearch: a component's, or ``elastic`` for people."""
    return f"{cluster}-es-{who}-user"


def elasticsearch_users(cluster: str) -> str:
    """Secret with the files in which Elasticsearch finds its users and roles."""
    return f"{cluster}-es-users"


def elasticsearch_keystore(cluster: str) -> str:
    """Secret with the secure settings of Elasticsearch's nodes."""
    return f"{cluster}-es-keystore"


def authority(cluster: str) -> str:
    """Secret with the authority that signs the nodes' certificate."""
    return f"{cluster}-es-authority"


def certificates(cluster: str) -> str:
    """Secret with the nodes' certificate, and with whom to trust."""
    return f"{cluster}-es-certificates"


def elasticsearch_url(cluster: str, namespace: str, scheme: str = "http") -> str:
    """Address of Elasticsearch inside the Kubernetes cluster."""
    return f"{scheme}://{elasticsearch_http(cluster)}.{namespace}.svc:{HTTP_PORT}"


def api_url(cluster: str, namespace: str) -> str:
    """Address of the API inside the Kubernetes cluster."""
    return f"http://{api(cluster)}.{namespace}.svc"
