"""A MatchCluster on a real API server, reconciled by hand: no pod ever starts, so a look takes a second."""

import json
from dataclasses import dataclass
from typing import Any

import world
from labcluster.cluster import Cluster
from match_operator.clients.kube import Kube
from match_operator.config import Config
from match_operator.reconcile import Reconciler

Json = dict[str, Any]

QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "no-pods"},
    "spec": {"hard": {"pods": "0"}},
}


@dataclass
class Bench:
    """One MatchCluster called photos in a namespace of its own, and a reconciler to call."""

    lab: Cluster
    namespace: str
    kube: Kube
    config: Config = world.CONFIG

    def kubectl(self, *arguments: str, **options: Any) -> str:
        """Output of kubectl in the namespace."""
        return self.lab.kubectl("-n", self.namespace, *arguments, **options)

    def create(self, item: Json) -> None:
        """Any object."""
        self.kubectl("apply", "-f", "-", input=json.dumps(item))

    def apply(self, spec: Json | None = None, name: str = "photos") -> None:
        """The MatchCluster with a spec."""
        body = {"apiVersion": "match.dev/v1alpha1", "kind": "MatchCluster", "metadata": {"name": name}}
        self.create(body | {"spec": spec or {}})

    def reconcile(self, config: Config | None = None) -> None:
        """One look."""
        Reconciler(config or self.config, self.kube)((self.namespace, "photos"))

    def get(self, kind: str, name: str) -> Json:
        """An object."""
        found: Json = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def status(self) -> Json:
        """The MatchCluster's status."""
        found: Json = self.get("matchcluster", "photos")["status"]
        return found

    def stalled(self) -> str:
        """What the condition Stalled says."""
        message: str = next(c for c in self.status()["conditions"] if c["type"] == "Stalled")["message"]
        return message
