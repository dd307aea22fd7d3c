"""Story: what the documents show is what kubectl shows."""

import os
import re

from stories import ROOT, Namespace

PAGE = ROOT / "docs" / "status.md"
HEAD = """# What kubectl shows

Printed by `WRITE_DOCS=1 make e2e ARGS="-k documents"` from a real run,
which `make test` compares with this page; times, ages and identities are replaced.
"""
STABLE = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "2026-01-01T00:00:00Z"),
    (r"(clusterUUID: |Cluster UUID: +)\S+", r"\1Vd2Kv0N6QmWzZ5cQ8mO1yA"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "a12eb46a-5572-4a50-ab4c-c7ab289878e2"),
    (r"(documents: |Documents: +)\d+", r"\g<1>1"),
    (r"(Resource Version: +)\d+", r"\g<1>1000"),
    (r"(?i)(generation: +)\d+", r"\g<1>1"),
    (r" +$", ""),
)


def test_the_documents_show_a_real_run(photos: Namespace):
    photos.wait_ready("photos")
    page = "\n".join([HEAD, *sections(photos)])
    if os.environ.get("WRITE_DOCS"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, 'run: WRITE_DOCS=1 make e2e ARGS="-k documents"'


def sections(photos: Namespace):
    """Each command with what it printed."""
    yield from section("kubectl get matchcluster", table(photos.kubectl("get", "matchcluster", "photos")))
    yield from section("kubectl get mtc -o wide", table(photos.kubectl("get", "mtc", "photos", "-o", "wide")))
    # Events differ from run to run, and so does an annotation that names this checkout's images.
    described = photos.kubectl("describe", "matchcluster", "photos").partition("\nEvents:")[0]
    described = re.sub(r"(?s)Annotations:.*?API Version:", "API Version:", described)
    yield from section("kubectl describe matchcluster photos", described)
    status = photos.kubectl("get", "matchcluster", "photos", "-o", "yaml").partition("\nstatus:")[2]
    yield from section("kubectl get matchcluster photos -o yaml, its status", "status:" + status)


def table(output: str) -> str:
    """Columns as wide as a cluster of one image and five minutes makes them."""
    rows = [re.split(r" {2,}", line) for line in output.strip().splitlines()]
    for name, text in (("IMAGES", "1"), ("AGE", "5m")):
        rows[1][rows[0].index(name)] = text
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    cells = (" ".join(f"{c:<{w + 2}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(cells)


def section(command: str, output: str):
    """A heading and a block."""
    for pattern, text in STABLE:
        output = re.sub(pattern, text, output, flags=re.MULTILINE)
    yield f"## {command}\n\n```\n{output.strip()}\n```\n"
