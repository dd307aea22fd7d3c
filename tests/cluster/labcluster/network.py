"""One bridge for the pods of every node, with addresses that Docker, podman and kind do not take."""

import contextlib
import subprocess
from pathlib import Path

from labcluster import progress

BRIDGE = "matchlab0"
GATEWAY = "10.213.0.1"
PODS = "10.213.0.0/16"
SERVICES = "10.214.0.0/16"
FIRST_SERVICE = "10.214.0.1"
API_SERVER = f"https://{GATEWAY}:6443"
TABLE = "match_lab"
CUT = "match_lab_cut"
"""Table of what is cut off on purpose, see `faults`."""
# Memory maps as Elasticsearch wants them; the others let packets of pods pass and services work on a bridge.
SYSCTL = {
    "vm/max_map_count": 262144,
    "net/ipv4/ip_forward": 1,
    "net/bridge/bridge-nf-call-iptables": 1,
    "fs/inotify/max_user_instances": 1024,
    "fs/inotify/max_user_watches": 524288,
}
NAT = f"""
table ip {TABLE} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr {PODS} oifname != "{BRIDGE}" masquerade
  }}
}}
"""


def ensure() -> None:
    """Make the bridge, the kernel's settings (never lowered) and the address translation of pods."""
    _quiet("modprobe", "br_netfilter")
    for name, least in SYSCTL.items():
        file = Path("/proc/sys") / name
        if file.exists() and int(file.read_text()) < least:
            file.write_text(str(least))
    if _quiet("ip", "link", "show", BRIDGE):
        progress.output(["ip", "link", "add", BRIDGE, "type", "bridge"])
        progress.output(["ip", "address", "add", f"{GATEWAY}/16", "dev", BRIDGE])
        progress.output(["ip", "link", "set", BRIDGE, "up"])
    if _quiet("nft", "list", "table", "ip", TABLE):
        progress.output(["nft", "-f", "-"], NAT.encode())
    for rule in _forward_rules():
        if _quiet("iptables", "-C", *rule) and _drops_forwarded():
            progress.output(["iptables", "-I", *rule])


def remove() -> None:
    """Take away the bridge and every table that was made here or by this kube-proxy."""
    _quiet("ip", "link", "delete", BRIDGE)
    for family, table in (("ip", TABLE), ("ip", CUT), ("ip", "kube-proxy"), ("ip6", "kube-proxy")):
        _quiet("nft", "delete", "table", family, table)
    for rule in _forward_rules():
        _quiet("iptables", "-D", *rule)


def _forward_rules() -> list[list[str]]:
    return [["FORWARD", way, BRIDGE, "-j", "ACCEPT"] for way in ("-i", "-o")]


def _drops_forwarded() -> bool:
    """Docker sets this policy on the machines where it runs."""
    with contextlib.suppress(progress.LabError):
        return "-P FORWARD DROP" in progress.output(["iptables", "-S", "FORWARD"])
    return False


def _quiet(*command: str) -> int:
    """Exit code of a command that may well fail."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode
    except FileNotFoundError:
        return 127
