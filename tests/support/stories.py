"""What the user stories do again and again: apply, wait, look, and search without pause."""

import base64
import contextlib
import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import numpy as np
import requests
from PIL import Image

from labcluster.cluster import Cluster

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
SYSTEM = "match-e2e-system"
NAMESPACES = ("match-e2e", "match-e2e-gone")
RELEASE = "match-e2e"
READY_SECONDS = 600 if "RELIABILITY" in os.environ else 300
"""Patience; what takes minutes is measured where it belongs."""
PHASES = ("Creating", "Ready", "Updating", "Degraded", "Stalled", "Invalid", "Paused")
"""Reasons of the events that tell a state and no deed."""


def install_operator(lab: Cluster) -> None:
    """The chart of this checkout, watching the stories' namespaces only."""
    for namespace in (SYSTEM, *NAMESPACES):
        lab.kubectl("apply", "-f", "-", input=json.dumps(namespace_object(namespace)))
    lab.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    repository, _, tag = lab.images["operator"].rpartition(":")
    settings = {
        "crds.install": "false",
        "image.repository": repository,
        "image.tag": tag,
        "watchNamespaces": "{" + ",".join(NAMESPACES) + "}",
        "defaults.apiImage": lab.images["service"],
    }
    if lab.images.get("elasticsearch"):
        settings["defaults.elasticsearchImage"] = lab.images["elasticsearch"]
    arguments = [f"--set={key}={value}" for key, value in settings.items()]
    chart = str(ROOT / "charts" / "match-operator")
    lab.helm("upgrade", "--install", RELEASE, chart, "-n", SYSTEM, "--wait", "--timeout=3m", *arguments)


def namespace_object(name: str) -> Json:
    """A namespace that admits only pods of the restricted standard."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def kill_operator(lab: Cluster) -> None:
    """End the operator without a warning; its Deployment starts another."""
    selector = ("-l", "app.kubernetes.io/name=match-operator")
    lab.kubectl("-n", SYSTEM, "delete", "pod", *selector, "--grace-period=0", "--force")


def cleanup(lab: Cluster, *, wait: bool) -> None:
    """Remove what a run made; the next one waits until an earlier one's is gone."""
    words = ("--ignore-not-found", f"--wait={str(wait).lower()}", "--timeout=180s")
    lab.kubectl("delete", "namespace", *NAMESPACES, SYSTEM, *words)


def small_nodes(count: int, **fields: Any) -> Json:
    """A spec for a machine that has other things to do as well."""
    resources = {"requests": {"cpu": "50m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    node_set = {"name": "default", "count": count, "resources": resources, "storage": {"size": "1Gi"}}
    return {"elasticsearch": {"nodeSets": [node_set | fields]}, "api": {"workers": 1}}


@dataclass
class Namespace:
    """kubectl in one namespace."""

    lab: Cluster
    name: str

    def kubectl(self, *arguments: str, **options: Any) -> str:
        """Output of a kubectl command."""
        return self.lab.kubectl("-n", self.name, *arguments, **options)

    def get(self, kind: str, name: str = "", *arguments: str) -> Json:
        """An object, or a list of them."""
        found: Json = json.loads(
            self.kubectl("get", kind, *([name] if name else []), *arguments, "-o", "json")
        )
        return found

    def apply(self, name: str, spec: Json) -> None:
        """Create or change a MatchCluster as `kubectl apply` does."""
        body = {
            "apiVersion": "match.dev/v1alpha1",
            "kind": "MatchCluster",
            "metadata": {"name": name},
            "spec": spec,
        }
        self.kubectl("apply", "-f", "-", input=json.dumps(body))

    def patch(self, name: str, spec: Json) -> None:
        """Merge into a MatchCluster's spec."""
        self.kubectl("patch", "matchcluster", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def status(self, name: str) -> Json:
        """A MatchCluster's status; empty before the operator has seen it."""
        found: Json = self.get("matchcluster", name).get("status", {})
        return found

    def condition(self, name: str, kind: str) -> Json:
        """One condition of a MatchCluster."""
        conditions = self.status(name).get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), {})

    def wait_ready(self, name: str, seconds: float = READY_SECONDS) -> float:
        """Wait until the newest spec is in place and serving; seconds that took."""
        start = time.monotonic()

        def settled() -> bool:
            item = self.get("matchcluster", name)
            status = item.get("status", {})
            return (
                status.get("phase") == "Ready"
                and status["observedGeneration"] == item["metadata"]["generation"]
            )

        wait(settled, seconds, lambda: json.dumps(self.status(name), indent=1))
        return time.monotonic() - start

    def kill(self, *pods: str) -> None:
        """End pods at once, without a warning to what runs in them."""
        self.kubectl("delete", "pod", *pods, "--grace-period=0", "--force", "--wait=false")

    def steps(self, name: str) -> set[tuple[str, int]]:
        """Events in which the operator told what it did to a MatchCluster, and how often by now."""
        events = self.get("events", "", f"--field-selector=involvedObject.name={name}")["items"]
        return {(e["metadata"]["name"], e["count"]) for e in events if e["reason"] not in PHASES}

    def node_sets(self, name: str) -> list[Json]:
        """The node sets of a MatchCluster, as they are asked for now."""
        found: list[Json] = self.get("matchcluster", name)["spec"]["elasticsearch"]["nodeSets"]
        return found

    def change_nodes(self, cluster: str, **fields: Any) -> None:
        """Set fields of every node set of a MatchCluster and leave the rest of it."""
        self.patch(cluster, {"elasticsearch": {"nodeSets": [n | fields for n in self.node_sets(cluster)]}})

    def pods(self, name: str, component: str) -> dict[str, Json]:
        """The pods of a MatchCluster's component by name."""
        selector = f"match.dev/cluster={name},app.kubernetes.io/component={component}"
        return {p["metadata"]["name"]: p for p in self.get("pods", "", "-l", selector)["items"]}

    def wait_condition(self, name: str, kind: str, text: str, seconds: float = 60) -> Json:
        """Wait until a condition's message holds ``text``."""
        wait(
            lambda: text in self.condition(name, kind).get("message", ""),
            seconds,
            lambda: json.dumps(self.status(name), indent=1),
        )
        return self.condition(name, kind)

    @contextlib.contextmanager
    def api(self, name: str) -> Iterator["Api"]:
        """The Match API of a MatchCluster."""
        with self.lab.reach(self.name, f"{name}-api", 80) as url:
            yield Api(url, self.key(name))

    def key(self, name: str, scope: str = "admin") -> str:
        """The key of a MatchCluster's API that the operator made; empty where it made none."""
        secret = self.status(name).get("api", {}).get("keys", "")
        return self.secret(secret)[scope] if secret else ""

    def secret(self, name: str) -> dict[str, str]:
        """What a Secret holds."""
        data = self.get("secret", name)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}


def wait(holds: Callable[[], bool], seconds: float, explain: Callable[[], str]) -> None:
    """Look twice a second until something holds; on time-out fail with what is there instead."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not so within {seconds:.0f} s; instead: {explain()}"
        time.sleep(0.5)


@dataclass
class Api:
    """The Match HTTP API."""

    url: str
    key: str = ""

    def add(self, path: str, image: bytes, **form: str) -> None:
        """POST /add; fails unless it is acknowledged."""
        self._ok("post", "/add", data={"filepath": path} | form, files={"image": image})

    def search(self, image: bytes, **form: str) -> list[Json]:
        """POST /search."""
        return self._ok("post", "/search", data=form, files={"image": image})

    def count(self) -> int:
        """GET /count."""
        return int(self._ok("get", "/count")[0])

    def paths(self) -> list[str]:
        """GET /list: every filepath, page by page."""
        found: list[str] = []
        page = self._ok("get", "/list?limit=10000")
        while page:
            found += map(str, page)
            page = self._ok("get", f"/list?limit=10000&after={quote(found[-1])}")
        return found

    def delete(self, path: str) -> None:
        """DELETE /delete."""
        self._ok("delete", "/delete", data={"filepath": path})

    def _ok(self, method: str, path: str, **arguments: Any) -> list[Any]:
        known = {"headers": {"X-Api-Key": self.key}} if self.key else {}
        answer = requests.request(method, self.url + path, timeout=30, **known, **arguments)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        result: list[Any] = answer.json()["result"]
        return result


@dataclass
class Searcher:
    """A client that searches without pause, on a new connection each time, and keeps count of failures."""

    api: Api
    image: bytes
    expected: str
    requests: int = 0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.requests += 1
            try:
                found = self.api.search(self.image, all_orientations="false")
                assert found[0]["filepath"] == self.expected, found
            except Exception as error:  # noqa: BLE001 - any failure at all is what is counted
                self.failures.append(f"{time.strftime('%X')} {error}")


def picture(seed: int, size: int = 256) -> bytes:
    """A JPEG of soft shapes, unlike those of other seeds."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()
