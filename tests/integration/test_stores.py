"""The keystore of Elasticsearch's nodes, made by what the pods run and read by a real server.

The server that the tests have lacks the modules for S3, GCS and Azure, so what they make of their settings is
not seen here. The keystore command is ours (see docs/local-cluster.md), the keystore itself Elastic's own.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from elasticsearch import ApiError, AuthenticationException, Elasticsearch, TransportError

from labcluster import distribution, elasticsearch, progress
from match_operator.desired import stores
from match_operator.stores import ObjectStore

pytestmark = pytest.mark.elastic
S3 = ObjectStore("s3", "kept", "lab/photos", "default", "store", ())
PASSWORD = "a-password-from-the-keystore"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return with_module(tmp_path / "home", distribution.path())


def with_module(home: Path, commands: Path) -> Path:
    """The distribution, with a folder where the official image has the module for S3."""
    (home / "modules/repository-s3").mkdir(parents=True)
    (home / "bin").symlink_to(commands / "bin")
    return home


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder as a Secret is mounted: links through a hidden folder."""
    (tmp_path / "secrets/..data").mkdir(parents=True)
    return tmp_path / "secrets"


def put(secrets: Path, **values: str) -> None:
    for name, value in values.items():
        setting = name.replace("__", ".")
        (secrets / "..data" / setting).write_text(value)
        (secrets / setting).symlink_to(Path("..data", setting))


def fill(
    home: Path, secrets: Path, folder: Path, *, store: ObjectStore = S3, user: bool = False, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run what the container runs; as the node's ``user`` where root runs the test."""
    command = stores.command(store, home=str(home), secrets=str(secrets), folder=str(folder))
    if user and os.geteuid() == 0:
        command = ["setpriv", f"--reuid={elasticsearch.USER}", "--regid=0", "--clear-groups", *command]
    known = {**os.environ, "ES_JAVA": str(distribution.java() / "java"), **env}
    return subprocess.run(command, env=known, capture_output=True, text=True, check=False)


def entries(folder: Path) -> list[str]:
    known = {**os.environ, "ES_JAVA": str(distribution.java() / "java"), "ES_PATH_CONF": str(folder)}
    listed = [distribution.path() / "bin/elasticsearch-keystore", "list"]
    return subprocess.run(listed, env=known, capture_output=True, text=True, check=True).stdout.split()


def test_each_file_of_the_secret_is_a_setting_of_the_keystore(home, secrets, tmp_path):
    put(secrets, s3__client__default__access_key="AKIA", s3__client__default__secret_key="s3cret")
    (tmp_path / "config").mkdir()
    done = fill(home, secrets, tmp_path / "config")
    assert (done.returncode, done.stderr) == (0, "")
    names = ["keystore.seed", "s3.client.default.access_key", "s3.client.default.secret_key"]
    assert entries(tmp_path / "config") == names
    assert "s3cret" not in done.stdout


def test_a_keystore_that_an_earlier_start_left_is_made_anew(home, secrets, tmp_path):
    put(secrets, s3__client__default__session_token="t")
    assert fill(home, secrets, tmp_path).returncode == 0
    (secrets / "s3.client.default.session_token").unlink()
    put(secrets, s3__client__default__access_key="AKIA")
    assert fill(home, secrets, tmp_path).returncode == 0
    assert entries(tmp_path) == ["keystore.seed", "s3.client.default.access_key"]


def test_an_image_without_the_module_gets_no_setting_of_which_it_would_not_start(tmp_path, secrets):
    put(secrets, s3__client__default__access_key="AKIA")
    done = fill(distribution.path(), secrets, tmp_path)
    assert done.returncode == 0
    assert "this image of Elasticsearch has no module repository-s3" in done.stderr
    assert not (tmp_path / "elasticsearch.keystore").exists()
    told = ObjectStore("s3", "kept", "p", "default", "store", (("region", "eu-1"),))
    assert fill(distribution.path(), secrets, tmp_path, store=told).returncode == 1


def test_the_token_of_an_aws_role_is_where_elasticsearch_looks_for_it(home, tmp_path):
    token = tmp_path / "token"
    token.write_text("a token")
    for _ in range(2):
        done = fill(home, tmp_path / "none", tmp_path, AWS_WEB_IDENTITY_TOKEN_FILE=str(token))
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "repository-s3/aws-web-identity-token-file").read_text() == "a token"
    assert not (tmp_path / "elasticsearch.keystore").exists()


@contextlib.contextmanager
def restarted(**settings: str) -> Iterator[tuple[elasticsearch.Formation, elasticsearch.Node]]:
    """A node that ran, stopped, and was started again over a keystore made as in a pod."""
    with elasticsearch.nodes(1, secure=True, heap="384m") as formation:
        [first] = formation.nodes
        first.stop()
        folder = first.log.parent / "pod"
        (folder / "secrets/..data").mkdir(parents=True)
        put(folder / "secrets", **settings)
        binary = next(Path(word) for word in first.process.args if word.endswith("/bin/elasticsearch"))
        home = with_module(folder / "home", binary.parents[1])
        done = fill(home, folder / "secrets", first.config, user=True)
        assert (done.returncode, done.stderr) == (0, "")
        again = elasticsearch.start_again(first, heap="384m")
        try:
            yield formation, again
        finally:
            again.stop()
            for process in (first.process, again.process):
                if process.stdin:
                    process.stdin.close()


def answers(formation: elasticsearch.Formation, password: str) -> str:
    """As whom Elasticsearch knows ``elastic`` with this password; empty while it does not answer."""
    [url] = formation.urls
    with Elasticsearch(
        url, basic_auth=("elastic", password), ca_certs=str(formation.authority), max_retries=0
    ) as client:
        try:
            return str(client.security.authenticate()["username"])
        except AuthenticationException:
            return "nobody"
        except (ApiError, TransportError):
            return ""


def test_elasticsearch_starts_with_the_keystore_and_reads_it():
    """The password that ``elastic`` begins with is a secure setting that this server knows."""
    with restarted(bootstrap__password=PASSWORD) as (formation, node):
        progress.until(
            lambda: answers(formation, PASSWORD) == "elastic",
            120,
            "the password of the keystore known",
            lambda: progress.tail(node.log),
        )
        assert answers(formation, formation.password) == "nobody"


def test_a_node_that_does_not_know_a_setting_of_its_keystore_does_not_start():
    """Why the container looks for the module first."""
    with restarted(s3__client__default__access_key="AKIA") as (_, node):
        assert node.process.wait(120) == 1
        assert "unknown secure setting [s3.client.default.access_key]" in node.log.read_text()
