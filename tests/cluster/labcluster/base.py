"""A Debian root filesystem to build images on, since no registry is at hand to take one from."""

import configparser
import os
import re
import shutil
from pathlib import Path

from labcluster import builds, paths, progress

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-pip", "python3-venv")
# Documentation and package lists, which no container reads.
NOT_NEEDED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "var/lib/apt/lists",
    "var/cache/apt",
    "var/log",
)
IN_IMAGE = "/etc/ssl/certs/ca-certificates.crt"


def archive() -> Path:
    """`rootfs.tar` of a minimal Debian with Python and pip (2 min and 60 MB of downloads when cold)."""

    def build(out: Path) -> None:
        root = out / "rootfs"
        # The cache may lie on a disk where no devices are allowed; nothing in the image needs them.
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
        progress.run([*command, SUITE, root, *filter(None, [mirror()])], "base")
        for name in NOT_NEEDED:
            shutil.rmtree(root / name, ignore_errors=True)
            (root / name).mkdir(parents=True)
        progress.run(["tar", "-C", root, "--one-file-system", "-cf", out / "rootfs.tar", "."], "base")
        progress.run(["rm", "-rf", "--one-file-system", root], "base")

    key = builds.key([], paths.DEFINITIONS, SUITE, *PACKAGES, *NOT_NEEDED)
    return builds.built("base", key, "about 1 min", build) / "rootfs.tar"


def mirror() -> str | None:
    """The mirror that apt is set up with, where this host is of the same Debian; else debootstrap's own."""
    places = [*sorted(Path("/etc/apt").glob("sources.list*/*")), Path("/etc/apt/sources.list")]
    text = "\n".join(path.read_text(errors="replace") for path in places if path.is_file())
    return mirror_in(text)


def mirror_in(sources: str) -> str | None:
    """The first archive of the suite itself among apt's sources, in either of their two notations."""
    for line in re.findall(rf"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+{SUITE}\s", sources, re.MULTILINE):
        return str(line)
    for stanza in re.split(r"\n\s*\n", sources):
        fields = dict(re.findall(r"^(\w[\w-]*):\s*(.*)$", stanza, re.MULTILINE))
        if SUITE in fields.get("Suites", "").split() and fields.get("URIs"):
            return str(fields["URIs"].split()[0])
    return None


def build_mounts(into: Path) -> list[str]:
    """Options for buildah: the host's authorities and pip settings are seen while building, never kept."""
    options = []
    bundles = [os.environ.get("SSL_CERT_FILE", ""), IN_IMAGE, "/etc/pki/tls/certs/ca-bundle.crt"]
    bundle = next((Path(path) for path in bundles if path and Path(path).is_file()), None)
    if bundle:
        options += ["--volume", f"{bundle.resolve()}:{IN_IMAGE}:ro"]
    settings = pip_settings(dict(os.environ), _pip_files())
    if bundle:
        settings["cert"] = IN_IMAGE
    into.mkdir(parents=True, exist_ok=True)
    file = into / "pip.conf"
    file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in sorted(settings.items())))
    options += ["--volume", f"{file}:/etc/pip.conf:ro"]
    for word in settings.get("find-links", "").split():
        if word.startswith("/") and Path(word).is_dir():
            options += ["--volume", f"{word}:{word}:ro"]
    return options


def _pip_files() -> str:
    places = [Path("/etc/pip.conf"), Path.home() / ".pip/pip.conf", Path.home() / ".config/pip/pip.conf"]
    if os.environ.get("PIP_CONFIG_FILE"):
        places.append(Path(os.environ["PIP_CONFIG_FILE"]))
    return "\n".join(path.read_text() for path in places if path.is_file())


def pip_settings(environment: dict[str, str], files: str) -> dict[str, str]:
    """Where pip finds packages on this host, from its files' [global] section and its PIP_ variables."""
    wanted = ("index-url", "extra-index-url", "find-links", "trusted-host", "timeout", "proxy")
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(files)
    found = dict(parser["global"]) if parser.has_section("global") else {}
    for name in wanted:
        value = environment.get(f"PIP_{name.upper().replace('-', '_')}")
        if value:
            found[name] = value
    return {name: " ".join(value.split()) for name, value in found.items() if name in wanted}
