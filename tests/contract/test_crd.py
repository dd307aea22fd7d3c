"""The schema and the code that reads it agree."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import crd_reference
import world
from match_operator import api
from match_operator.commands import schema

SPEC = world.SCHEMA["properties"]["spec"]


def leaves(schema: dict, path: str = "") -> Iterator[tuple[str, dict]]:
    """Every property of a schema that has none of its own."""
    for name, part in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        inner = part.get("items", part)
        if inner.get("properties"):
            yield from leaves(inner, here)
        else:
            yield here, part


class Recording(dict):
    """A dict that remembers the paths that were read."""

    def __init__(self, value: dict, read: set[str], path: str) -> None:
        super().__init__(value)
        self.read, self.path = read, path

    def __getitem__(self, key):
        return self._seen(key, super().__getitem__(key))

    def get(self, key, default=None):
        return self._seen(key, super().get(key, default))

    def _seen(self, key, value):
        here = f"{self.path}.{key}" if self.path else key
        self.read.add(here)
        if isinstance(value, dict):
            return Recording(value, self.read, here)
        if isinstance(value, list):
            return [Recording(v, self.read, here) if isinstance(v, dict) else v for v in value]
        return value


def test_matchctl_brings_the_schemas_as_they_are_written():
    """`make crd` makes it so."""
    written = {path.stem: path.read_bytes() for path in (Path(__file__).parents[2] / "crds").glob("*.yaml")}
    assert {plural: copy.read_bytes() for plural, copy in schema.COPIES.items()} == written


def test_every_field_of_the_schema_is_read_by_the_operator():
    external = {"urls": ["http://es:9200"], "secretRef": {"name": "a"}, "caSecretRef": {"name": "b"}}
    read: set[str] = set()
    claim, location = {"claim": {"name": "c"}}, {"location": "/l", "name": "n"}
    named = {"credentialsSecretRef": {"name": "s"}}
    for elasticsearch, repository in (
        ({"nodeSets": [{"name": "a"}], "security": {"certificateSecretRef": {"name": "c"}}}, claim),
        ({"external": external}, location),
        ({}, {"s3": {"bucket": "b"} | named}),
        ({}, {"gcs": {"bucket": "b"} | named}),
        ({}, {"azure": {"container": "b"} | named}),
    ):
        spec = {"elasticsearch": elasticsearch, "snapshots": {"repository": repository}}
        oidc = {"issuer": "https://i.example", "audiences": ["a"], "caSecretRef": {"name": "ca"}}
        auth = {"secretRef": {"name": "mine"}, "oidc": oidc}
        body = world.body(spec | {"api": {"autoscaling": {"max": 3}, "auth": auth}})
        api.from_body(body | {"spec": Recording(body["spec"], read, "")}, world.CONFIG)
    opaque = ("requests", "limits")  # read by iterating
    unread = {path for path, _ in leaves(SPEC) if path not in read and path.rpartition(".")[2] not in opaque}
    assert unread == set()


def test_every_field_explains_itself():
    for crd in world.CRDS.values():
        properties = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        for path, part in [*leaves(properties["spec"]), *leaves(properties["status"])]:
            assert part.get("description", "").endswith("."), path


def test_a_name_alone_gives_a_complete_spec():
    assert dataclasses.asdict(world.cluster())["api"]["replicas"] == 2


def test_the_default_node_set_is_the_schemas():
    items = SPEC["properties"]["elasticsearch"]["properties"]["nodeSets"]["items"]
    made = world.defaulted({"name": "default"}, items)
    assert made == api.DEFAULT_NODE_SET


def test_every_rule_says_what_to_do():
    def rules(schema):
        if isinstance(schema, dict):
            yield from schema.get("x-kubernetes-validations", [])
            for part in schema.values():
                yield from rules(part)
        elif isinstance(schema, list):
            for part in schema:
                yield from rules(part)

    found = list(rules(world.SCHEMA))
    assert len(found) >= 9
    assert all(rule["message"] for rule in found)


def test_the_reference_page_is_made_from_the_schema():
    made = (Path(__file__).parents[2] / "docs" / "matchcluster.md").read_text()
    assert made == crd_reference.page(), "run: python tests/support/crd_reference.py > docs/matchcluster.md"
