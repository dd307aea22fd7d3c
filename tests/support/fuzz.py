"""Requests made up from the description of the API, and damaged images: nothing may be a fault of ours.

``make fuzz`` starts the service over the embedded store and writes the tables of docs/fuzz.md;
tests/contract/test_fuzz.py does a little of the same.
"""

import argparse
import contextlib
import json
import re
import sys
import tempfile
import time
import warnings
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode

import fuzz_images
import machine
import written
from match_service.engine import scan
from match_service.engine.layout import HALF, from_half
from pictures import encode, flat, jpeg, picture
from serving import Server, server
from website import website

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/openapi.json"
SLOWEST = 30.0
"""Seconds within which every answer must come: the longest that fetching and decoding may take together."""
GROWTH = 100
"""MiB that all processes of the service together may take more in the end than after the first requests."""
ANSWERED = 0.3
"""Share of the requests to each operation that must be answered with 2xx."""
LOGGED = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ (INFO|WARNING) match_service")
"""What every line of the log looks like."""
MARGIN = 1.1
"""Requests asked for beyond those wanted: some operations run out of different ones."""
WARMING = 200
"""Damaged images before memory is looked at for the first time."""
WEIGHTS = {GenerationMode.POSITIVE: 0.8, GenerationMode.NEGATIVE: 0.2}


@dataclass
class Outcome:
    """What became of the requests to one operation."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0
    """Seconds that the slowest answer took."""

    @property
    def requests(self) -> int:
        return sum(self.statuses.values())

    def share(self, first_digit: int) -> float:
        wanted = sum(count for status, count in self.statuses.items() if status // 100 == first_digit)
        return wanted / max(1, self.requests)


def _teach(site: str, count: int) -> None:
    """Values that an API of images needs and no schema can describe."""
    good = [jpeg(1), jpeg(2), *(encode(picture(3), kind) for kind in ("PNG", "WEBP", "GIF", "TIFF"))]
    odd = [b"", flat(), good[0][:500], good[1][: len(good[1]) // 2], b"GIF89a", b"<svg/>", b"\x89PNG\r\n"]
    texts = st.text(max_size=8)
    plain = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | texts
    values = st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    )
    addresses = [*[f"{site}/1", f"{site}/2"] * 8, f"{site}/missing", "http://127.0.0.1:1/", "http://["]
    sound = st.sampled_from(good)
    schemathesis.openapi.format(
        "binary", sound | sound | st.sampled_from(odd + good) | st.binary(max_size=200)
    )
    schemathesis.openapi.format("uri", st.sampled_from(addresses))
    schemathesis.openapi.format("json", values.map(json.dumps))
    schemathesis.openapi.format("json-object", st.dictionaries(texts, plain, max_size=3).map(json.dumps))
    names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)
    stored = st.integers(0, count - 1).map(_name)
    schemathesis.openapi.format("filepath", stored | stored | stored | names)
    signature = st.just("A" * 136) | texts
    line = st.fixed_dictionaries(
        {"filepath": stored | texts, "signature": signature, "metadata": values}
    ).map(json.dumps)
    lines = st.lists(line | texts, max_size=4).map(lambda rows: "\n".join(rows).encode("utf-8", "replace"))
    schemathesis.openapi.media_type("application/x-ndjson", lines | st.binary(max_size=100))


def _name(number: int) -> str:
    return f"photos/{number}.jpg"


def _fill(service: Server, stored: int) -> None:
    """See to it that there are images to ask for, each unlike any other."""
    halves = np.random.default_rng(0).choice([-2, -1, 1, 2], (stored, len(HALF))).astype(np.int8)
    packed = scan.pack_halves(from_half(halves))
    rows = [
        {"filepath": _name(n), "metadata": {"n": n}, "signature": b64encode(packed[n].tobytes()).decode()}
        for n in range(stored)
    ]
    lines = "\n".join(json.dumps(row) for row in rows).encode()
    answer = service.send("POST", "/import", lines, Content_Type="application/x-ndjson")
    assert answer.result[0]["imported"] == stored


def _add(service: Server, stored: int) -> None:
    """The same names with whole images, of which thumbnails can be made."""
    image = jpeg(1)
    for number in range(stored):
        answer = service.form("POST", "/add", {"filepath": _name(number)}, {"image": image})
        assert answer.status == 200


def fuzz(service: Server, requests: int, stored: int) -> dict[str, Outcome]:
    """About ``requests`` requests to ``service``, spread over all operations; outcomes by operation."""
    schema = schemathesis.openapi.from_path(str(DOCUMENT))
    operations = [result.ok() for result in schema.get_all_operations()]
    varied = sum(_varies(operation) for operation in operations)
    table: dict[str, Outcome] = {}
    for operation in operations:
        outcome = table[f"{operation.method.upper()} {operation.path}"] = Outcome()
        (_add if operation.path == "/thumbnail" else _fill)(service, stored)
        for mode, weight in WEIGHTS.items():
            each = round(MARGIN * requests / varied * weight) + 1 if _varies(operation) else 1
            with contextlib.suppress(hypothesis.errors.Unsatisfiable):
                _try(service, operation.as_strategy(generation_mode=mode), each, outcome)
    return table


def _varies(operation: Any) -> bool:
    """Whether there is more than one request to make up."""
    raw = operation.definition.raw
    return bool(raw.get("parameters") or raw.get("requestBody"))


def _try(service: Server, cases: Any, examples: int, outcome: Outcome) -> None:
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(cases)
    def attempt(case: Any) -> None:
        began = time.monotonic()
        answer = case.call(base_url=service.url, timeout=60)
        outcome.slowest = max(outcome.slowest, time.monotonic() - began)
        outcome.statuses[answer.status_code] += 1
        if answer.status_code >= 500:
            outcome.faults.append(f"{answer.status_code} {case.as_curl_command()[:2000]}")

    attempt()


@dataclass
class Run:
    """What a service did under fuzzing, and what it took."""

    operations: dict[str, Outcome]
    images: dict[str, fuzz_images.Outcome]
    ready: bool
    before: float
    """MiB of all its processes, after the first requests."""
    after: float
    log: str

    @property
    def faults(self) -> list[str]:
        """Everything that should not have been."""
        outcomes = (*self.operations.values(), *self.images.values())
        found = [fault for outcome in outcomes for fault in outcome.faults]
        found += [
            f"{name}: an answer took {outcome.slowest:.1f} s"
            for name, outcome in (*self.operations.items(), *self.images.items())
            if outcome.slowest > SLOWEST
        ]
        found += [
            f"{name}: {outcome.share(2):.0%} answered with 2xx, less than {ANSWERED:.0%}"
            for name, outcome in self.operations.items()
            if outcome.share(2) < ANSWERED
        ]
        if self.after - self.before > GROWTH:
            found.append(f"memory grew from {self.before:.0f} to {self.after:.0f} MiB")
        strange = [line for line in self.log.splitlines() if not LOGGED.match(line)]
        if strange:
            found.append(f"the log has lines of others: {strange[:20]}")
        return found if self.ready else [*found, "not ready in the end"]


def run(requests: int, images: int) -> Run:
    """Start a service over the embedded store, and fuzz it with so many requests and damaged images."""
    with (
        website(lambda name: jpeg(int(name)) if name.isdigit() else {}[name]) as site,
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # the generators' own
        stored = max(20, requests // 10)  # more than are asked for: no request is made up twice
        _teach(site, stored)
        settings = {"MATCH_FETCH_PRIVATE_HOSTS": "localhost", "MATCH_ACCESS_LOG": "false"}
        settings["MATCH_THUMBNAILS"] = str(Path(folder, "thumbnails"))
        with server(Path(folder), **settings) as service:
            _fill(service, stored)
            fuzz_images.send_all(service, range(-WARMING, 0))
            before = machine.resident(service.process.pid)
            operations = fuzz(service, requests, stored)
            damaged = fuzz_images.send_all(service, range(images))
            ready = service.send("GET", "/readyz").status == 200
            after = machine.resident(service.process.pid)
            return Run(operations, damaged, ready, before, after, "".join(service.log))


def report(made: Run) -> str:
    """The tables of docs/fuzz.md."""
    lines = [
        "| operation | requests | 2xx | 4xx | 5xx | slowest |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, outcome in made.operations.items():
        shares = " | ".join(f"{outcome.share(digit):.0%}" for digit in (2, 4, 5))
        lines.append(f"| {name} | {outcome.requests:,} | {shares} | {outcome.slowest:.2f} s |")
    lines += [
        "",
        "| format | files | 200 | 400 | other | slowest |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, images in sorted(made.images.items()):
        read, refused = images.statuses[200], images.statuses[400]
        other = images.files - read - refused
        lines.append(f"| {name} | {images.files:,} | {read} | {refused} | {other} | {images.slowest:.2f} s |")
    requests = sum(outcome.requests for outcome in made.operations.values())
    files = sum(outcome.files for outcome in made.images.values())
    faults, memory = len(made.faults), f"{made.before:.0f} MiB before and {made.after:.0f} MiB after"
    return "\n".join(
        (
            *lines,
            "",
            f"{requests:,} requests and {files:,} files: {faults} faults. All processes of the service took",
            f"{memory}; the bound is {GROWTH} MiB more. On {machine.description()}.",
        )
    )


def main() -> int:
    """Fuzz and write the tables; 1 if anything was a fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--images", type=int, default=5000)
    asked = parser.parse_args()
    made = run(asked.requests, asked.images)
    written.put("fuzz.md", "measured", report(made))
    print("\n".join(made.faults[:20]), file=sys.stderr)
    return 1 if made.faults else 0


if __name__ == "__main__":
    sys.exit(main())
