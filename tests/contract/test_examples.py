"""Every example is accepted by the schema and can be built."""

from pathlib import Path

import jsonschema
import pytest
import yaml

import world

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_builds(path: Path):
    given = yaml.safe_load(path.read_text())
    closed = world.SCHEMA["properties"]["spec"] | {"additionalProperties": False}
    jsonschema.validate(given.get("spec", {}), closed)
    cluster = world.cluster(given.get("spec"), name=given["metadata"]["name"])
    assert world.objects(cluster)


def test_there_is_a_minimal_one_with_nothing_but_a_name():
    minimal = yaml.safe_load((EXAMPLES[0]).read_text())
    assert minimal == {
        "apiVersion": "match.dev/v1alpha1",
        "kind": "MatchCluster",
        "metadata": {"name": "photos"},
    }
