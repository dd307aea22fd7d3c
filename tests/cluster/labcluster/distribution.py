"""An Elasticsearch server laid out from Maven artifacts: they can be had without Elastic's own sites.

Modules that are not published (scripts, ILM, language analysis ...) are absent: see docs/local-cluster.md.
"""

import re
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from labcluster import builds, host, paths, progress

SOURCES = paths.DEFINITIONS / "elasticsearch"
VERSION = re.findall(r"<elasticsearch.version>(.*)</", (SOURCES / "pom.xml").read_text())[0]
OLDER = "8.19.20"
"""What a story upgrades from. Maven Central holds its server, but not its modules: those are `VERSION`'s."""
SERVER = ("server", "entitlement-bridge")
# What the security module's descriptor requires by name and nobody publishes on Maven Central.
ABSENT = {
    "org.opensaml.core": "org/opensaml/core",
    "org.opensaml.saml": "org/opensaml/saml",
    "org.opensaml.saml.impl": "",
    "org.opensaml.security.impl": "",
    "org.opensaml.xmlsec": "",
    "org.opensaml.xmlsec.impl": "",
    "net.shibboleth.utilities.java.support": "",
}
COMMANDS = ("elasticsearch-keystore", "elasticsearch-users", "elasticsearch-reset-password")
AGENT = "Agent-Class: match.lab.EntitlementAgent\nCan-Redefine-Classes: true\nCan-Retransform-Classes: true\n"


def java() -> Path:
    """The `bin` folder of the JDK that builds and runs it."""
    found = host.jdk()
    if not found:
        host.install({host.JDK})
        found = host.jdk()
    if not found:
        raise progress.LabError(f"Elasticsearch needs a JDK 17: install {host.JDK} or set JAVA_HOME to one.")
    return found


def defined_by() -> tuple[list[Path], Path]:
    """Every file that decides what is built, and the folder they are below."""
    return builds.files_under(SOURCES, Path(__file__)), paths.DEFINITIONS.parent


def path(version: str = VERSION) -> Path:
    """The distribution's folder, built on the first call (45 s and 70 MB of downloads when cold)."""
    key = builds.key(*defined_by(), version)
    thing = "elasticsearch" if version == VERSION else f"elasticsearch-{version}"
    return builds.built(thing, key, "about 1 min", lambda out: _build(out, version))


@dataclass(frozen=True)
class Assembly:
    """A distribution in the making: where it goes, a folder for what is left over, and its version."""

    out: Path
    work: Path
    version: str


def _build(out: Path, version: str) -> None:
    host.install(host.missing() & host.ELASTICSEARCH)
    with tempfile.TemporaryDirectory() as folder:
        making = Assembly(out, Path(folder), version)
        _libraries(making)
        _own_parts(making)
        _security(making)
    for name in ("config/jvm.options.d", "data", "logs", "plugins", "bin"):
        (out / name).mkdir(parents=True)
    for file in (SOURCES / "config").iterdir():
        shutil.copy(file, out / "config")
    for program in ("elasticsearch", "docker-entrypoint.sh", "elasticsearch-command"):
        shutil.copy(SOURCES / program, out / "bin")
    for name in COMMANDS:
        (out / "bin" / name).symlink_to("elasticsearch-command")
    shim = out / "lib/nofile_shim.so"
    progress.run(
        ["cc", "-shared", "-fPIC", "-O2", "-o", shim, SOURCES / "nofile_shim.c", "-ldl"], "elasticsearch"
    )


def _jars(profile: str, making: Assembly) -> list[Path]:
    into = making.work / profile
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={into}"]
    goal += [f"-Delasticsearch.version={making.version if profile in SERVER else VERSION}"]
    settings = {"JAVA_HOME": str(java().parent)}
    progress.run(
        ["mvn", "-B", "-q", "-f", SOURCES / "pom.xml", f"-P{profile}", *goal], "elasticsearch", env=settings
    )
    return sorted(into.glob("*.jar"))


def _libraries(making: Assembly) -> None:
    out = making.out
    (out / "lib/tools/ansi-console").mkdir(parents=True)
    for name in ("lib/entitlement-agent", "lib/entitlement-bridge", "lib/platform"):
        (out / name).mkdir()
    for jar in _jars("server", making):
        shutil.copy(jar, out / "lib")
    for jar in _jars("entitlement-bridge", making):
        if jar.name.startswith("elasticsearch-entitlement-bridge-"):
            shutil.copy(jar, out / "lib/entitlement-bridge")
    _module(making, "transport-netty4")


def _module(making: Assembly, name: str, *parents: str) -> None:
    """modules/<name>: its jars but those a parent has; descriptor and policy travel inside its own jar.

    A server loads only modules whose descriptor names its own version.
    """
    out = making.out
    folder = out / "modules" / name
    folder.mkdir(parents=True)
    above = [out / "lib", *(out / "modules" / parent for parent in parents)]
    for jar in _jars(name, making):
        same = jar.name.replace(VERSION, making.version)
        if not any((parent / each).exists() for parent in above for each in (jar.name, same)):
            shutil.copy(jar, folder)
    with zipfile.ZipFile(folder / f"{name}-{VERSION}.jar") as jar_file:
        inside = f"META-INF/es-plugins/{name}/"
        for entry in jar_file.namelist():
            if entry.startswith(inside) and not entry.endswith("/"):
                (folder / entry.removeprefix(inside)).write_bytes(jar_file.read(entry))
    descriptor = folder / "plugin-descriptor.properties"
    descriptor.write_text(descriptor.read_text().replace(VERSION, making.version))


def _compile(making: Assembly, part: str) -> Path:
    into = making.work / f"classes-{part}"
    sources = sorted((SOURCES / "java" / part).rglob("*.java"))
    progress.run(
        [java() / "javac", "--release", "17", "-cp", f"{making.out}/lib/*", "-d", into, *sources],
        "elasticsearch",
    )
    return into


def _jar(target: Path, classes: Path, manifest: str = "", below: str = "") -> None:
    """Write a jar of the class files below a folder; its manifest first, as the format wants."""
    head = f"Manifest-Version: 1.0\n{manifest}\n"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as jar:
        jar.writestr("META-INF/MANIFEST.MF", head)
        for file in sorted((classes / below).rglob("*.class")):
            jar.write(file, str(file.relative_to(classes)))


def _own_parts(making: Assembly) -> None:
    out = making.out
    _jar(out / "lib/entitlement-agent/agent.jar", _compile(making, "agent"), AGENT)
    _jar(out / "lib/tools/launcher.jar", _compile(making, "launcher"))
    _jar(out / "lib/tools/ansi-console/console.jar", _compile(making, "console"))
    module = out / "modules/match-lab"
    module.mkdir()
    _jar(module / "match-lab.jar", _compile(making, "module"))
    descriptor = (SOURCES / "java/module/plugin-descriptor.properties").read_text()
    (module / "plugin-descriptor.properties").write_text(descriptor.replace("@VERSION@", making.version))


def _security(making: Assembly) -> None:
    _module(making, "x-pack-core")
    _module(making, "x-pack-security", "x-pack-core")
    classes = _compile(making, "saml")
    for name, below in ABSENT.items():
        target = making.out / f"modules/x-pack-security/absent-{name}.jar"
        _jar(target, classes if below else making.work / "nothing", f"Automatic-Module-Name: {name}\n", below)
