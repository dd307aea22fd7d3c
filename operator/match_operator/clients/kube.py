"""The Kubernetes API, as far as the operator needs it: list children, apply, delete, say what was done.

Paths are built here rather than discovered, so that starting up costs no request and a call needs no right
that the role does not name. The transport, its TLS and its renewal of tokens are the official client's.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import urllib3
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient

from match_operator import names
from match_operator.errors import (
    ConflictError,
    ForbiddenError,
    InvalidSpecError,
    KubernetesError,
    PermissionMissingError,
)
from match_operator.observed import Json, Ref, controller_uid

_PREFIXES: Final = {
    names.KIND: (f"/apis/{names.API_VERSION}", names.PLURAL),
    "ConfigMap": ("/api/v1", "configmaps"),
    "Secret": ("/api/v1", "secrets"),
    "Service": ("/api/v1", "services"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "StatefulSet": ("/apis/apps/v1", "statefulsets"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "Job": ("/apis/batch/v1", "jobs"),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "HorizontalPodAutoscaler": ("/apis/autoscaling/v2", "horizontalpodautoscalers"),
    "Pod": ("/api/v1", "pods"),
    "Event": ("/api/v1", "events"),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases"),
    **{kind: (f"/apis/{names.API_VERSION}", plural) for kind, plural in names.REQUESTS.items()},
}
CHILD_KINDS: Final = tuple(
    kind for kind in _PREFIXES if kind not in (names.KIND, "Event", "Lease", *names.REQUESTS)
)
TIMEOUT: Final = (5.0, 30.0)
"""Seconds to connect, and to answer."""
LEASE_TIMEOUT: Final = (2.0, 3.0)
"""The same for a Lease: what comes later is of no use."""


class Kube:
    """Reads and writes of one operator; safe to share between threads."""

    def __init__(self, client: ApiClient) -> None:
        self._dynamic: Any = DynamicClient(client, discoverer=lambda *_: None)  # type: ignore[no-untyped-call]

    def clusters(self, namespace: str) -> list[Json]:
        """The MatchClusters of a namespace; of all for an empty one."""
        items: list[Json] = self._request("get", _path(names.KIND, namespace))["items"]
        return items

    def cluster(self, namespace: str, name: str) -> Json | None:
        """One MatchCluster, or None when it is gone."""
        return self._get(_path(names.KIND, namespace, name))

    def secret(self, namespace: str, name: str) -> Json | None:
        """A Secret of the user's, or None when there is none of that name."""
        return self._get(_path("Secret", namespace, name))

    def children(self, namespace: str, cluster: str) -> dict[Ref, Json]:
        """All that carries the label of a cluster, by kind and name."""
        found: dict[Ref, Json] = {}
        for kind in CHILD_KINDS:
            listed = self._request(
                "get", _path(kind, namespace), label_selector=names.children_selector(cluster)
            )
            for item in listed["items"]:
                # Items of a list come without the two fields that the list has.
                item |= {"apiVersion": listed["apiVersion"], "kind": kind}
                found[kind, item["metadata"]["name"]] = item
        return found

    def requests(self, namespace: str, cluster: str) -> tuple[Json, ...]:
        """MatchSnapshots and MatchRestores that name a cluster, oldest first; none without their schemas."""
        found = [
            item | {"apiVersion": names.API_VERSION, "kind": kind}
            for kind in names.REQUESTS
            for item in (self._get(_path(kind, namespace)) or {"items": []})["items"]
            if item["spec"]["cluster"] == cluster and not item["metadata"].get("deletionTimestamp")
        ]
        return tuple(
            sorted(found, key=lambda item: (item["metadata"]["creationTimestamp"], item["metadata"]["name"]))
        )

    def apply(self, item: Json, *, missing: bool) -> Json:
        """Server-side apply; the object as it then is. One believed ``missing`` is taken from nobody else."""
        metadata = item["metadata"]
        path = _path(item["kind"], metadata["namespace"], metadata["name"])
        if missing and (there := self._get(path)):
            owners = metadata["ownerReferences"]
            if controller_uid(there) != owners[0]["uid"]:
                raise InvalidSpecError(
                    f"{item['kind']} {metadata['name']} exists already and does not belong to this "
                    "MatchCluster; delete it or give the MatchCluster another name"
                )
        return self._apply(path, item)

    def annotate(self, cluster: Json, annotations: Mapping[str, str]) -> None:
        """Set annotations of a MatchCluster, and no other field."""
        body = _identity(cluster) | {"metadata": {"annotations": dict(annotations)}}
        metadata = cluster["metadata"]
        self._apply(_path(names.KIND, metadata["namespace"], metadata["name"]), body)

    def write_status(self, cluster: Json, status: Json) -> None:
        """Replace the status of an object of ours; raises ``ConflictError`` if it was made anew meanwhile."""
        metadata = cluster["metadata"]
        path = _path(cluster["kind"], metadata["namespace"], metadata["name"]) + "/status"
        body = [
            {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
            {"op": "add", "path": "/status", "value": status},
        ]
        self._request("patch", path, body=body, content_type="application/json-patch+json")

    def change(self, item: Json, spec: Json) -> None:
        """Merge into the spec of exactly the object that was seen; ``ConflictError`` if it changed since."""
        metadata = item["metadata"]
        seen = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        self._request(
            "patch",
            _path(item["kind"], metadata["namespace"], metadata["name"]),
            body={"metadata": seen, "spec": spec},
            content_type="application/merge-patch+json",
            field_manager=names.MANAGER,
        )

    def delete(self, item: Json, *, orphan: bool = False) -> None:
        """Delete exactly the object that was seen, not one that took its name or changed since.

        ``orphan`` leaves its dependents without an owner instead of deleting them too.
        """
        metadata = item["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Orphan" if orphan else "Background",
            "preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
        }
        path = _path(item["kind"], metadata["namespace"], metadata["name"])
        try:
            self._request("delete", path, body=body)
        except _NotFoundError:
            return

    def record(self, event: Json) -> None:
        """Write an Event; one of the same name is counted and gets the new time instead."""
        namespace, name = event["metadata"]["namespace"], event["metadata"]["name"]
        try:
            self._request("post", _path("Event", namespace), body=event)
        except ConflictError:
            path = _path("Event", namespace, name)
            again = {
                "count": self._request("get", path).get("count", 1) + 1,
                "lastTimestamp": event["lastTimestamp"],
            }
            self._request("patch", path, body=again, content_type="application/merge-patch+json")

    def lease(self, namespace: str, name: str) -> Json | None:
        """A Lease, or None where there is none."""
        return self._get(_path("Lease", namespace, name), timeout=LEASE_TIMEOUT)

    def create_lease(self, lease: Json) -> Json:
        """The Lease as it is then; raises ``ConflictError`` where one is there."""
        path = _path("Lease", lease["metadata"]["namespace"])
        return self._request("post", path, body=lease, timeout=LEASE_TIMEOUT)

    def replace_lease(self, lease: Json) -> Json:
        """The Lease as it is then; raises ``ConflictError`` unless it was as its resource version says."""
        metadata = lease["metadata"]
        path = _path("Lease", metadata["namespace"], metadata["name"])
        return self._request("put", path, body=lease, timeout=LEASE_TIMEOUT)

    def _apply(self, path: str, item: Json) -> Json:
        return self._request(
            "patch",
            path,
            body=item,
            content_type="application/apply-patch+yaml",
            field_manager=names.MANAGER,
            force_conflicts=True,
        )

    def _get(self, path: str, **arguments: Any) -> Json | None:
        try:
            return self._request("get", path, **arguments)
        except _NotFoundError:
            return None

    def _request(
        self, method: str, path: str, *, timeout: tuple[float, float] = TIMEOUT, **arguments: Any
    ) -> Json:
        try:
            response = self._dynamic.request(
                method, path, serialize=False, _request_timeout=timeout, **_fresh(arguments)
            )
            answer: Json = json.loads(response.data)
        except ApiException as error:
            raise _translate(error, path) from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise KubernetesError(f"the API server did not answer {method} {path}: {error}") from error
        return answer


class _NotFoundError(KubernetesError):
    """404."""


def _fresh(arguments: dict[str, Any]) -> dict[str, Any]:
    """New containers for each call: the client appends to the ones it is given."""
    return {"query_params": [], "header_params": {}, **arguments}


def _translate(error: ApiException, path: str) -> Exception:
    try:
        message = json.loads(error.body or "")["message"]
    except (TypeError, ValueError, KeyError):
        message = str(error.reason)
    if error.status == 404:
        return _NotFoundError(f"{path}: {message}")
    if error.status == 409:
        return ConflictError(f"{path}: {message}")
    if error.status == 403 and "must support resize" not in message:
        return _forbidden(message)
    # Of a field of the wrong type the API server says 500 in a server-side apply, though it is the caller's.
    mistyped = error.status == 500 and "typed patch object" in message
    if error.status in (400, 403, 422) or mistyped:
        return InvalidSpecError(f"the API server refuses what the spec leads to: {message}")
    return KubernetesError(f"{path}: {error.status} {message}")


def _forbidden(message: str) -> ForbiddenError:
    # Of admission, quotas among it, the API server names no user.
    if re.search(r'User ".*" cannot ', message):
        return PermissionMissingError(
            f"the operator may not do what it has to: {message}; give it the role that its chart has"
        )
    return ForbiddenError(f"the API server forbids what the spec leads to: {message}")


def _path(kind: str, namespace: str, name: str = "") -> str:
    prefix, plural = _PREFIXES[kind]
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{prefix}{scope}/{plural}" + (f"/{name}" if name else "")


def _identity(item: Json) -> Json:
    return {"apiVersion": item["apiVersion"], "kind": item["kind"]}
