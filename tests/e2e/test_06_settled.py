"""Story: a settled cluster costs the API server next to nothing."""

import time

import pytest

import audit
from stories import SYSTEM, Namespace, wait

MINUTE = 60
OTHERS = "match.dev/cluster,match.dev/cluster!=photos"


def test_a_settled_cluster_costs_no_writes_and_few_reads(photos: Namespace):
    if photos.lab.audit_log is None:
        pytest.skip("a cluster of one's own shows no audit log")
    photos.wait_ready("photos")
    # The same operator cares for what earlier stories leave behind, until the last of it is gone.
    wait(
        lambda: not photos.get("pods", "", "-l", OTHERS)["items"], 180, lambda: photos.kubectl("get", "pods")
    )
    start = audit.now(photos.lab.audit_log)
    time.sleep(MINUTE)  # the quantity is per minute
    calls = list(audit.events(photos.lab.audit_log, start))
    user = f"system:serviceaccount:{SYSTEM}:"
    ours = [c for c in calls if c["user"]["username"].startswith(user) and c["stage"] == "ResponseComplete"]
    # The holder of the Lease renews it every two seconds.
    ours = [c for c in ours if c.get("objectRef", {}).get("resource") != "leases"]
    writes = [c for c in ours if c["verb"] in audit.WRITES]
    reads = [c for c in ours if c["verb"] in ("get", "list")]
    watches = [c for c in ours if c["verb"] == "watch"]
    numbers = f"{len(writes)} writes, {len(reads)} reads, {len(watches)} watches renewed"
    print(f"\nper minute: {numbers}; {memory(photos)}")
    assert [f"{c['verb']} {c['requestURI']}" for c in writes] == []
    assert len(reads) < 40


def memory(photos: Namespace) -> str:
    """Resident memory of the operator, as its own process metrics say."""
    selector = "app.kubernetes.io/name=match-operator"
    pod = photos.lab.kubectl(
        "-n",
        SYSTEM,
        "get",
        "pod",
        "-l",
        selector,
        "-o",
        "jsonpath={.items[0].metadata.name}",
    )
    script = "import re; print(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/1/status').read())[1])"
    resident = photos.lab.kubectl("-n", SYSTEM, "exec", pod, "--", "/opt/match/bin/python", "-c", script)
    return f"operator memory {int(resident) // 1024} MiB"
