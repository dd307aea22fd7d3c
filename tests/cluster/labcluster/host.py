"""What the machine must have before anything starts, installed for the user where that is possible."""

import os
import shutil
from pathlib import Path

from labcluster import progress

# A program (or file) to look for -> the Debian package that has it.
PACKAGES = {
    "buildah": "buildah",
    "cc": "gcc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "debootstrap": "debootstrap",
    "etcd": "etcd-server",
    "ip": "iproute2",
    "iptables": "iptables",
    "/usr/include/stdio.h": "libc6-dev",
    "mvn": "maven",
    "nft": "nftables",
    "openssl": "openssl",
    "runc": "runc",
    "setpriv": "util-linux",
    "/usr/lib/x86_64-linux-gnu/libzstd.so.1|/usr/lib/aarch64-linux-gnu/libzstd.so.1": "libzstd1",
    "/usr/lib/jvm/java-17-openjdk-amd64/bin/javac|/usr/lib/jvm/java-17-openjdk-arm64/bin/javac|javac": (
        "openjdk-17-jdk-headless"
    ),
}
ELASTICSEARCH = {"cc", "/usr/include/stdio.h", "mvn", "setpriv"}
SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def search_path() -> str:
    """PATH with the system's folders behind the caller's: `sbin` is often missing from a user's."""
    return f"{os.environ.get('PATH', '')}:{SYSTEM}"


def missing() -> list[str]:
    """Debian packages of which nothing was found, sorted."""
    absent = set()
    for places, package in PACKAGES.items():
        if not any(_found(place) for place in places.split("|")):
            absent.add(package)
    return sorted(absent)


def _found(place: str) -> bool:
    if place.startswith("/"):
        return Path(place).exists()
    return shutil.which(place, path=search_path()) is not None


def prepare() -> None:
    """Install what is missing when root on Debian, else raise one sentence that names it."""
    os.environ["PATH"] = search_path()
    if os.geteuid() != 0:
        raise progress.LabError("The local cluster mounts, routes and makes containers: run it as root.")
    packages = missing()
    if not packages:
        return
    if not shutil.which("apt-get"):
        raise progress.LabError(f"Install what Debian calls {' '.join(packages)}, then run this again.")
    with progress.stage(f"install {' '.join(packages)}", "about 1 min"):
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        progress.run(["apt-get", "update"], "apt", env=quiet)
        progress.run(["apt-get", "install", "-y", "--no-install-recommends", *packages], "apt", env=quiet)
