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
}
JDK = "openjdk-17-jdk-headless"
# What one Elasticsearch node needs, which runs without root and without Kubernetes.
ELASTICSEARCH = {"gcc", "libc6-dev", "libzstd1", "maven", "util-linux", JDK}
SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def search_path() -> str:
    """PATH with the system's folders behind the caller's: `sbin` is often missing from a user's."""
    return f"{os.environ.get('PATH', '')}:{SYSTEM}"


def jdk() -> Path | None:
    """The `bin` folder of a JDK 17, the Java that the Elasticsearch distribution was tried on."""
    on_path = shutil.which("javac")
    candidates = [Path(os.environ["JAVA_HOME"]) / "bin"] if os.environ.get("JAVA_HOME") else []
    candidates += [Path(on_path).resolve().parent] if on_path else []
    candidates += [path / "bin" for path in sorted(Path("/usr/lib/jvm").glob("*17*"))]
    for folder in candidates:
        release = folder.parent / "release"
        if (folder / "javac").exists() and release.exists() and 'JAVA_VERSION="17' in release.read_text():
            return folder
    return None


def missing() -> set[str]:
    """Debian packages of which nothing was found."""
    absent = {package for places, package in PACKAGES.items() if not any(map(_found, places.split("|")))}
    return absent if jdk() else absent | {JDK}


def _found(place: str) -> bool:
    if place.startswith("/"):
        return Path(place).exists()
    return shutil.which(place, path=search_path()) is not None


def prepare() -> None:
    """Install what the cluster lacks when root on Debian, else raise one sentence that names it."""
    if os.geteuid() != 0:
        raise progress.LabError("The local cluster mounts, routes and makes containers: run it as root.")
    install(missing())


def install(packages: set[str]) -> None:
    """Install the packages when root on Debian, else raise one sentence that names them."""
    os.environ["PATH"] = search_path()
    if not packages:
        return
    names = sorted(packages)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise progress.LabError(f"Install what Debian calls {' '.join(names)}, then run this again.")
    with progress.stage(f"install {' '.join(names)}", "about 1 min"):
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        progress.run(["apt-get", "update"], "apt", env=quiet)
        progress.run(["apt-get", "install", "-y", "--no-install-recommends", *names], "apt", env=quiet)
