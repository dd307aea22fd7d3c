"""A toy API server and a toy Elasticsearch for whole looks of a ``Reconciler``: they keep what they are told.

What the API server refuses, and with what words, is for the test to say: ``tests/integration`` asks a real
one.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import world
from match_operator.api import MatchCluster
from match_operator.errors import ElasticsearchError
from match_operator.observed import Elastic, Glance
from match_operator.reconcile import Reconciler

Json = dict[str, Any]
KEY = ("lab", "photos")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class ToyElastic:
    """Answers as it is told to, and remembers what was asked of it."""

    there: Elastic | None
    told: list[str] = field(default_factory=list)

    def observe(self, _: str) -> Elastic:
        if self.there is None:
            raise ElasticsearchError("does not answer")
        return self.there

    def glance(self, alias: str) -> Glance:
        return self.observe(alias).glance

    def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **_: self.told.append(f"{name}{arguments}")


@dataclass
class ToyKube:
    """Holds one MatchCluster and its children; ``refusals`` by kind and name, or by kind alone."""

    body: Json
    children_: dict[tuple[str, str], Json]
    refusals: dict[tuple[str, str] | str, Exception] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    def cluster(self, *_: str) -> Json:
        return copy.deepcopy(self.body)

    def children(self, *_: str) -> dict[tuple[str, str], Json]:
        if "list" in self.refusals:
            raise self.refusals["list"]
        return copy.deepcopy(self.children_)

    def secret(self, *_: str) -> None:
        return None

    def requests(self, *_: str) -> tuple[Json, ...]:
        return ()

    def apply(self, item: Json, *, missing: bool) -> Json:  # noqa: ARG002
        self._refuse(item)
        ref = (item["kind"], item["metadata"]["name"])
        before = self.children_.get(ref, {})
        status = {key: before[key] for key in ("status",) if key in before}
        kept = {
            key: value for key, value in before.get("metadata", {}).items() if key not in item["metadata"]
        }
        made = copy.deepcopy(item) | status
        made["metadata"] |= {"generation": 1, "uid": f"uid-{ref[1]}", "resourceVersion": "1"} | kept
        self.children_[ref] = made
        return copy.deepcopy(made)

    def annotate(self, cluster: Json, annotations: dict[str, str]) -> None:
        self._refuse(cluster)
        self.body["metadata"].setdefault("annotations", {}).update(annotations)

    def change(self, item: Json, spec: Json) -> None:
        self._refuse(item)
        self.children_[item["kind"], item["metadata"]["name"]]["spec"].update(spec)

    def delete(self, item: Json, *, orphan: bool = False) -> None:  # noqa: ARG002
        self._refuse(item)
        self.children_.pop((item["kind"], item["metadata"]["name"]), None)

    def write_status(self, _: Json, status: Json) -> None:
        self.body["status"] = status

    def record(self, event: Json) -> None:
        self.events.append(f"{event['reason']}: {event['message']}")

    def _refuse(self, item: Json) -> None:
        for key in (item["kind"], (item["kind"], item["metadata"]["name"])):
            if key in self.refusals:
                raise self.refusals[key]


class Looks:
    """A settled MatchCluster, and looks at it."""

    def __init__(self, spec: Json | None = None, elastic: Elastic | None = None) -> None:
        self.cluster: MatchCluster = world.kept(spec)
        self.elastic = ToyElastic(elastic or world.elastic(self.cluster))
        self.kube = ToyKube(world.body(spec), {})
        self.reconcile = Reconciler(
            world.CONFIG,
            self.kube,  # type: ignore[arg-type]
            connect=lambda _: self.elastic,  # type: ignore[arg-type,return-value]
            now=lambda: NOW,
        )
        self.look()
        self.kube.children_ |= _running(self.cluster, self.kube.children_)
        self.look()
        self.look()
        self.elastic.told.clear()

    def ask(self, spec: Json) -> None:
        """Change the spec."""
        self.kube.body["spec"] = world.body(spec)["spec"]
        self.kube.body["metadata"]["generation"] += 1

    def look(self) -> float | None:
        """One look."""
        return self.reconcile(KEY)

    def condition(self, kind: str) -> Json:
        """A condition as last written."""
        return next(c for c in self.status["conditions"] if c["type"] == kind)

    @property
    def status(self) -> Json:
        """As last written."""
        status: Json = self.kube.body["status"]
        return status


def _running(cluster: MatchCluster, made: dict[tuple[str, str], Json]) -> dict[tuple[str, str], Json]:
    """What was made, with its pods."""
    return world.settled(cluster, list(made.values()))
