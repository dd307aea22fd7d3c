"""The description of the API is valid, is what is checked in, and is what the service does."""

import json
from pathlib import Path

import pytest
from openapi_schema_validator import OAS31Validator

from match_service.api import openapi
from match_service.api.endpoints import ENDPOINTS
from match_service.app import create_app
from match_service.settings import Settings
from match_service.store.embedded import EmbeddedStore

PAGE = Path(__file__).resolve().parents[2] / "docs/openapi.json"


def test_the_document_in_docs_is_current() -> None:
    assert PAGE.read_text("utf-8") == openapi.text(), (
        "run: python -m match_service.api.openapi > docs/openapi.json"
    )


def test_the_service_gives_that_document(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path / "match.db")
    client = create_app(Settings(), store).test_client()
    assert client.get("/openapi.json").json == openapi.document()
    store.close()


def test_every_path_of_the_service_is_described_with_its_methods(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path / "match.db")
    rules = create_app(Settings(), store).url_map.iter_rules()
    served = {rule.rule: set(rule.methods or ()) - {"HEAD", "OPTIONS"} for rule in rules}
    assert served == {endpoint.path: set(endpoint.methods) for endpoint in ENDPOINTS}
    store.close()


def test_every_endpoint_is_in_the_page_of_the_api() -> None:
    page = (PAGE.parent / "http-api.md").read_text("utf-8")
    assert [endpoint.path for endpoint in ENDPOINTS if endpoint.path not in page] == []
    assert [
        parameter.name
        for endpoint in ENDPOINTS
        for parameter in endpoint.parameters
        if f"`{parameter.name}`" not in page
    ] == []


def test_every_schema_in_it_is_one() -> None:
    def schemas(node: object) -> list[object]:
        if isinstance(node, dict):
            own = [node["schema"]] if isinstance(node.get("schema"), dict) else []
            return own + [found for value in node.values() for found in schemas(value)]
        return [found for value in node for found in schemas(value)] if isinstance(node, list) else []

    found = schemas(json.loads(PAGE.read_text("utf-8")))
    assert len(found) > 40
    for schema in found:
        OAS31Validator.check_schema(schema)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_answers_are_as_described(endpoint: openapi.Endpoint, tmp_path: Path) -> None:
    if (
        endpoint.result is None
        or endpoint.methods[0] != "GET"
        or any(p.required for p in endpoint.parameters)
    ):
        return
    store = EmbeddedStore.open(tmp_path / "match.db")
    answer = create_app(Settings(), store).test_client().get(endpoint.path).json
    described = openapi.document()["paths"][endpoint.path]["get"]["responses"]["200"]
    OAS31Validator(described["content"]["application/json"]["schema"]).validate(answer)
    store.close()
