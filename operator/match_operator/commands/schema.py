"""The schema's defaults without an API server, for commands that ask no cluster."""

import copy
from pathlib import Path
from typing import Any

import yaml

from match_operator import names
from match_operator.errors import InvalidSpecError

Json = dict[str, Any]

COPIES = {
    plural: Path(__file__).parent / f"{plural}.yaml" for plural in (names.PLURAL, *names.REQUESTS.values())
}
"""By plural. Made from crds/ by `make crd`, so that they are there wherever matchctl is installed."""


def crd(plural: str = names.PLURAL) -> Json:
    """The CustomResourceDefinition that this version brings."""
    read: Json = yaml.safe_load(COPIES[plural].read_text("utf-8"))
    return read


def completed(body: Json) -> Json:
    """A MatchCluster as an API server would keep it; raises ``InvalidSpecError`` for a field it would refuse.

    Patterns, bounds and rules are left to the API server.
    """
    metadata = {"namespace": "default", "uid": "00000000-0000-0000-0000-000000000000", "generation": 1}
    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    if body.get("kind") != names.KIND or not (body.get("metadata") or {}).get("name"):
        raise InvalidSpecError(f"not a {names.KIND} with a name")
    spec = _defaulted(body.get("spec") or {}, schema, "spec")
    return body | {"metadata": metadata | body["metadata"], "spec": spec}


def _defaulted(value: Any, schema: Json, path: str) -> Any:
    properties = schema.get("properties")
    if isinstance(value, dict) and properties is not None:
        if unknown := sorted(set(value) - set(properties)):
            raise InvalidSpecError(f"unknown field {path}.{unknown[0]}")
        filled = {k: copy.deepcopy(p["default"]) for k, p in properties.items() if "default" in p} | value
        return {k: _defaulted(v, properties[k], f"{path}.{k}") for k, v in filled.items()}
    if isinstance(value, list):
        return [_defaulted(item, schema.get("items", {}), f"{path}[{i}]") for i, item in enumerate(value)]
    return value
