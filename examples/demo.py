"""What `make demo` shows: the chart installed, a MatchCluster made, and image search done through its API.

Every line that claims a result checks it, so the demo doubles as the shortest end-to-end test: it ends with
a non-zero exit code at the first answer that is wrong. It can be run again and again on what it left.
"""

import base64
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import skimage.data
import urllib3
import yaml
from PIL import Image

from labcluster.cluster import Cluster

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = "examples/01-minimal.yaml"
RELEASE, SYSTEM, NAMESPACE = "match-operator", "match-system", "match-demo"
OURS = "match.dev/demo"
READY_SECONDS = 900
# Photographs that scikit-image's wheel carries: nothing is downloaded.
PHOTOS = (
    "astronaut.png",
    "camera.png",
    "coffee.png",
    "coins.png",
    "hubble_deep_field.jpg",
    "moon.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)
STRANGER = "chelsea.png"


class DemoError(Exception):
    """Something the demo promised did not happen; the message says what."""


def expect(holds: bool, message: str) -> None:
    """Raise ``DemoError(message)`` unless it holds."""
    if not holds:
        raise DemoError(message)


def heading(text: str) -> None:
    print(f"\n{text}", flush=True)


def photo(name: str) -> bytes:
    """The file of a photograph."""
    return Path(skimage.data.__file__).with_name(name).read_bytes()


def jpeg(image: Image.Image, quality: int) -> bytes:
    """The image as a JPEG file."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


# The cluster


def make_namespace(cluster: Cluster, name: str) -> None:
    """Make a namespace in which only restricted pods may run; refuse one that somebody else made."""
    found = cluster.kubectl("get", "namespace", name, "--ignore-not-found", "-o", "json")
    if found.strip() and OURS not in json.loads(found)["metadata"].get("labels", {}):
        raise DemoError(
            f"The namespace {name} exists and was not made by this demo: rename or delete it first."
        )
    labels = {OURS: "true", "pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(body))


def image_values(reference: str) -> dict[str, str]:
    """The chart's image values for an image reference with a tag or a digest."""
    if "@" in reference:
        repository, _, digest = reference.partition("@")
        return {"repository": repository, "digest": digest}
    repository, _, tag = reference.rpartition(":")
    return {"repository": repository, "tag": tag}


def install(cluster: Cluster) -> None:
    """Install or upgrade the operator with Helm and wait until it runs."""
    values = {
        "image": image_values(cluster.images["operator"]),
        "watchNamespaces": [NAMESPACE],
        "defaults": {
            "apiImage": cluster.images["service"],
            "elasticsearchImage": cluster.images.get("elasticsearch", ""),
        },
        "log": {"format": "text"},
    }
    settings = [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]
    chart = str(ROOT / "charts/match-operator")
    common = ("--namespace", SYSTEM, "--take-ownership", "--wait", "--timeout", "5m")
    cluster.helm("upgrade", "--install", RELEASE, chart, *common, *settings)


@dataclass(frozen=True)
class State:
    """What the status of a MatchCluster says to a reader."""

    ready: bool
    phase: str
    sentence: str
    parts: str

    @classmethod
    def of(cls, body: dict[str, Any]) -> "State":
        status = body.get("status", {})
        conditions = {c["type"]: c for c in status.get("conditions", [])}
        ready = conditions.get("Ready", {})
        current = status.get("observedGeneration") == body["metadata"]["generation"]
        operation = status.get("operation", {})
        said = operation.get("waitingFor") or operation.get("what") or ready.get("message", "")
        parts = ", ".join(
            f"{kind.removesuffix('Ready')} {'ready' if conditions[kind]['status'] == 'True' else 'not yet'}"
            for kind in ("ElasticsearchReady", "IndexReady", "ApiReady")
            if kind in conditions
        )
        return cls(
            current and ready.get("status") == "True",
            status.get("phase", "-"),
            said or "not seen by the operator yet",
            parts,
        )


def wait_ready(cluster: Cluster, name: str) -> None:
    """Wait until the MatchCluster is Ready, with a line for each change of what its status says."""
    started, shown = time.monotonic(), None
    while True:
        body = json.loads(cluster.kubectl("-n", NAMESPACE, "get", "matchcluster", name, "-o", "json"))
        state, elapsed = State.of(body), time.monotonic() - started
        if state != shown:
            suffix = f" ({state.parts})" if state.parts else ""
            print(f"  {elapsed:5.0f} s  {state.phase:<9} {state.sentence}{suffix}", flush=True)
            shown = state
        if state.ready:
            return
        expect(
            elapsed < READY_SECONDS,
            f"{name} is not Ready after {READY_SECONDS} s: see the pods and events above.",
        )
        time.sleep(0.5)


def explain(cluster: Cluster) -> None:
    """Print what helps to see why a MatchCluster does not become Ready."""
    for what in (
        ("-n", SYSTEM, "get", "pods", "-o", "wide"),
        ("-n", SYSTEM, "logs", f"deployment/{RELEASE}", "--tail=30"),
        ("-n", NAMESPACE, "get", "matchclusters,pods,persistentvolumeclaims", "-o", "wide"),
        ("-n", NAMESPACE, "get", "events", "--sort-by=.lastTimestamp"),
    ):
        print(f"\n$ kubectl {' '.join(what)}")
        try:
            print(cluster.kubectl(*what))
        except Exception as error:  # noqa: BLE001  # the failure being explained is the one to report
            print(f"  {error}")


def kubectl_command(cluster: Cluster) -> str:
    """How a user calls kubectl on this cluster."""
    context = os.environ.get("CLUSTER")
    return f"kubectl --context {context}" if context else f"kubectl --kubeconfig {cluster.kubeconfig}"


@contextmanager
def reached(cluster: Cluster, service: str) -> Iterator[str]:
    """The URL of a Service from this machine: its cluster address here, a forwarded port elsewhere."""
    if not os.environ.get("CLUSTER"):
        address = cluster.kubectl(
            "-n", NAMESPACE, "get", "service", service, "-o", "jsonpath={.spec.clusterIP}"
        )
        yield f"http://{address.strip()}"
        return
    command = [
        *kubectl_command(cluster).split(),
        "-n",
        NAMESPACE,
        "port-forward",
        f"service/{service}",
        ":80",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        try:
            line = forward.stdout.readline() if forward.stdout else ""
            port = re.search(r"127\.0\.0\.1:(\d+)", line)
            if port is None:
                raise DemoError(f"kubectl port-forward did not start: {line!r}")
            yield f"http://127.0.0.1:{port[1]}"
        finally:
            forward.terminate()


# The API


@dataclass(frozen=True)
class Answer:
    """The result of a call and how long it took."""

    result: list[Any]
    ms: float

    def line(self, what: str, found: str) -> None:
        print(f"  {what:<44} {found:<34} {self.ms:6.0f} ms", flush=True)


class Api:
    """The Match HTTP API at a URL, with one of its keys."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key
        self.http = urllib3.PoolManager(retries=False, timeout=30, headers={"X-Api-Key": key})

    def call(self, method: str, path: str, **fields: str | bytes) -> Answer:
        """One call; bytes are sent as an uploaded file, the rest as form fields or, for GET, in the URL."""
        parts = {k: ("photo", v) if isinstance(v, bytes) else v for k, v in fields.items()}
        started = time.monotonic()
        if method == "GET":
            reply = self.http.request("GET", self.url + path, fields=parts)
        else:
            reply = self.http.request_encode_body(method, self.url + path, fields=parts)
        body = reply.json()
        expect(
            reply.status == 200 and body["status"] == "ok" and isinstance(body["result"], list),
            f"{method} {path} answered {reply.status}: {body}",
        )
        return Answer(body["result"], (time.monotonic() - started) * 1000)

    def count(self) -> int:
        return int(self.call("GET", "/count").result[0])


def key_of(cluster: Cluster, name: str) -> str:
    """The key for whoever may do everything; empty for a MatchCluster from before there were keys."""
    body = json.loads(cluster.kubectl("-n", NAMESPACE, "get", "matchcluster", name, "-o", "json"))
    secret = body["status"]["api"].get("keys", "")
    if not secret:
        return ""
    path = "jsonpath={.data.admin}"
    key = cluster.kubectl("-n", NAMESPACE, "get", "secret", secret, "-o", path)
    return base64.b64decode(key).decode()


def refused(api: Api) -> None:
    """See that nobody without a key is let in, where there are keys."""
    if not api.key:
        return
    reply = api.http.request("GET", f"{api.url}/count", headers={})
    Answer([], 0).line("count, without a key", f"refused with {reply.status}")
    expect(reply.status == 401, f"/count answered {reply.status} without a key")


def add(api: Api) -> None:
    """Add the photographs; adding one again replaces it."""
    known = set(api.call("GET", "/list", limit="1000").result)
    before, total = api.count(), 0.0
    for name in PHOTOS:
        total += api.call("POST", "/add", filepath=name, image=photo(name), metadata='{"from": "demo"}').ms
    Answer([], total).line("add", f"{len(PHOTOS)} photographs")
    counted = api.call("GET", "/count")
    counted.line("count", f"{counted.result[0]} images")
    wanted = before + len(set(PHOTOS) - known)
    expect(counted.result == [wanted], f"/count answers {counted.result}, but {wanted} images were added")
    listed = api.call("GET", "/list", limit="1000")
    listed.line("list", ", ".join(listed.result[:2]) + ", ...")
    expect(set(PHOTOS) <= set(listed.result), f"/list lacks {set(PHOTOS) - set(listed.result)}")


def hit(api: Api, what: str, image: bytes, wanted: str, least: float) -> None:
    """Search, show and check the best hit; scores go from 0 to 100."""
    answer = api.call("POST", "/search", image=image)
    best: dict[str, Any] = answer.result[0] if answer.result else {"filepath": "nothing", "score": 0}
    answer.line(f"search {what}", f"{best['filepath']}, score {best['score']:.1f}")
    expect(
        best["filepath"] == wanted and best["score"] >= least,
        f"searching {what} should have found {wanted} with a score of at least {least}: {answer.result}",
    )


def search(api: Api) -> None:
    """The four searches that say what this is good for."""
    astronaut, coffee, rocket = (
        Image.open(io.BytesIO(photo(n))) for n in ("astronaut.png", "coffee.png", "rocket.jpg")
    )
    hit(api, "the very file of astronaut.png", photo("astronaut.png"), "astronaut.png", 99.9)
    small = coffee.resize((coffee.width * 2 // 5, coffee.height * 2 // 5))
    hit(api, "coffee at 40 % size, JPEG quality 40", jpeg(small, 40), "coffee.png", 70)
    turned = rocket.transpose(Image.Transpose.ROTATE_90).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    hit(api, "rocket at 90 degrees and mirrored", jpeg(turned, 90), "rocket.jpg", 70)
    stranger = api.call("POST", "/search", image=photo(STRANGER))
    stranger.line(
        f"search {STRANGER}, never added", "no match" if not stranger.result else str(stranger.result)
    )
    expect(stranger.result == [], f"a stranger was found: {stranger.result}")
    same = api.call("POST", "/compare", image1=photo("astronaut.png"), image2=jpeg(astronaut, 30))
    same.line("compare astronaut with its JPEG", f"score {same.result[0]['score']:.1f}")
    expect(same.result[0]["score"] >= 70, f"a copy should score at least 70: {same.result}")
    other = api.call("POST", "/compare", image1=photo("astronaut.png"), image2=photo(STRANGER))
    other.line(f"compare astronaut with {STRANGER}", f"score {other.result[0]['score']:.1f}")
    expect(other.result[0]["score"] < 55, f"two different photographs should score below 55: {other.result}")


def delete(api: Api) -> None:
    """Delete a photograph and see it gone."""
    before = api.count()
    api.call("DELETE", "/delete", filepath="moon.png").line("delete moon.png", "done")
    after = api.call("POST", "/search", image=photo("moon.png"))
    after.line("search moon.png, just deleted", "no match" if not after.result else str(after.result))
    expect(after.result == [], f"a deleted image was found: {after.result}")
    expect(api.count() == before - 1, f"/count answers {api.count()} after deleting one of {before}")


def next_steps(cluster: Cluster, service: str, url: str) -> None:
    """Say how to go on."""
    kubectl = kubectl_command(cluster)
    cat = Path(skimage.data.__file__).with_name(STRANGER)
    if os.environ.get("CLUSTER"):
        url = "http://localhost:8080"
        print(f"\nReach the API:   {kubectl} -n {NAMESPACE} port-forward service/{service} 8080:80")
    else:
        print(f"\nThe API is at    {url}")
    key = f"$({kubectl} -n {NAMESPACE} get secret {service}-key -o 'jsonpath={{.data.read}}' | base64 -d)"
    print(f'Try it:          curl -H "X-Api-Key: {key}" -F image=@{cat} {url}/search')
    print(f"Look at it:      {kubectl} -n {NAMESPACE} get matchclusters,pods")
    if os.environ.get("CLUSTER"):
        print(f"Remove it:       {kubectl} delete namespace {NAMESPACE} {SYSTEM}")
    else:
        print("The cluster:     `make status` shows it, `make down` stops it, `make demo` starts it again")


def main() -> int:
    """Run the demo; the exit code is 0 only if every answer was right."""
    started = time.monotonic()
    name = str(yaml.safe_load((ROOT / EXAMPLE).read_text("utf-8"))["metadata"]["name"])
    cluster = Cluster.up()
    try:
        heading(f"helm upgrade --install {RELEASE} charts/match-operator --namespace {SYSTEM}")
        for namespace in (SYSTEM, NAMESPACE):
            make_namespace(cluster, namespace)
        install(cluster)
        print(f"  {time.monotonic() - started:5.0f} s  the operator runs and cares for {NAMESPACE}")
        heading(f"kubectl -n {NAMESPACE} apply -f {EXAMPLE}")
        print("  " + cluster.kubectl("-n", NAMESPACE, "apply", "-f", str(ROOT / EXAMPLE)).strip())
        wait_ready(cluster, name)
    except Exception as error:  # noqa: BLE001  # whatever it is, the state of the cluster explains it
        explain(cluster)
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    service = f"{name}-api"
    try:
        with reached(cluster, service) as url:
            heading(f"The API of {name}")
            api = Api(url, key_of(cluster, name))
            print(f"  its keys are in Secret {service}-key" if api.key else "  it asks for no key")
            for show in (refused, add, search, delete):
                show(api)
    except (DemoError, urllib3.exceptions.HTTPError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    print(f"\nAll answers were right, after {time.monotonic() - started:.0f} s.")
    next_steps(cluster, service, url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
