"""An Elasticsearch server laid out from Maven artifacts: they can be had without Elastic's own sites.

Modules that are not published (scripts, ILM, language analysis ...) are absent: see docs/local-cluster.md.
"""

import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from labcluster import builds, host, paths, progress

SOURCES = paths.DEFINITIONS / "elasticsearch"
VERSION = re.findall(r"<elasticsearch.version>(.*)</", (SOURCES / "pom.xml").read_text())[0]
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


def path() -> Path:
    """The distribution's folder, built on the first call (45 s and 70 MB of downloads when cold)."""
    key = builds.key(*defined_by())
    return builds.built("elasticsearch", key, "about 1 min", _build)


def _build(out: Path) -> None:
    host.install(host.missing() & host.ELASTICSEARCH)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        _libraries(out, work)
        _own_parts(out, work)
        _security(out, work)
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


def _jars(profile: str, work: Path) -> list[Path]:
    into = work / profile
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={into}"]
    settings = {"JAVA_HOME": str(java().parent)}
    progress.run(
        ["mvn", "-B", "-q", "-f", SOURCES / "pom.xml", f"-P{profile}", *goal], "elasticsearch", env=settings
    )
    return sorted(into.glob("*.jar"))


def _libraries(out: Path, work: Path) -> None:
    (out / "lib/tools/ansi-console").mkdir(parents=True)
    for name in ("lib/entitlement-agent", "lib/entitlement-bridge", "lib/platform"):
        (out / name).mkdir()
    for jar in _jars("server", work):
        shutil.copy(jar, out / "lib")
    for jar in _jars("entitlement-bridge", work):
        if jar.name.startswith("elasticsearch-entitlement-bridge-"):
            shutil.copy(jar, out / "lib/entitlement-bridge")
    _module(out, work, "transport-netty4")


def _module(out: Path, work: Path, name: str, *parents: str) -> None:
    """modules/<name>: its jars but those a parent has; descriptor and policy travel inside its own jar."""
    folder = out / "modules" / name
    folder.mkdir(parents=True)
    above = [out / "lib", *(out / "modules" / parent for parent in parents)]
    for jar in _jars(name, work):
        if not any((parent / jar.name).exists() for parent in above):
            shutil.copy(jar, folder)
    with zipfile.ZipFile(folder / f"{name}-{VERSION}.jar") as jar_file:
        inside = f"META-INF/es-plugins/{name}/"
        for entry in jar_file.namelist():
            if entry.startswith(inside) and not entry.endswith("/"):
                (folder / entry.removeprefix(inside)).write_bytes(jar_file.read(entry))


def _compile(out: Path, part: str, work: Path) -> Path:
    into = work / f"classes-{part}"
    sources = sorted((SOURCES / "java" / part).rglob("*.java"))
    progress.run(
        [java() / "javac", "--release", "17", "-cp", f"{out}/lib/*", "-d", into, *sources], "elasticsearch"
    )
    return into


def _jar(target: Path, classes: Path, manifest: str = "", below: str = "") -> None:
    """Write a jar of the class files below a folder; its manifest first, as the format wants."""
    head = f"Manifest-Version: 1.0\n{manifest}\n"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as jar:
        jar.writestr("META-INF/MANIFEST.MF", head)
        for file in sorted((classes / below).rglob("*.class")):
            jar.write(file, str(file.relative_to(classes)))


def _own_parts(out: Path, work: Path) -> None:
    _jar(out / "lib/entitlement-agent/agent.jar", _compile(out, "agent", work), AGENT)
    _jar(out / "lib/tools/launcher.jar", _compile(out, "launcher", work))
    _jar(out / "lib/tools/ansi-console/console.jar", _compile(out, "console", work))
    module = out / "modules/match-lab"
    module.mkdir()
    _jar(module / "match-lab.jar", _compile(out, "module", work))
    descriptor = (SOURCES / "java/module/plugin-descriptor.properties").read_text()
    (module / "plugin-descriptor.properties").write_text(descriptor.replace("@VERSION@", VERSION))


def _security(out: Path, work: Path) -> None:
    _module(out, work, "x-pack-core")
    _module(out, work, "x-pack-security", "x-pack-core")
    classes = _compile(out, "saml", work)
    for name, below in ABSENT.items():
        target = out / f"modules/x-pack-security/absent-{name}.jar"
        _jar(target, classes if below else work / "nothing", f"Automatic-Module-Name: {name}\n", below)
