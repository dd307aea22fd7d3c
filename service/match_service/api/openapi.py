"""The OpenAPI 3.1 document, made of the descriptions that requests are read by.

docs/openapi.json is this file's output: ``python -m match_service.api.openapi > docs/openapi.json``.
"""

import json
import sys
from importlib.metadata import version
from typing import Any, Final

from match_service.api.describe import MULTIPART, Endpoint, Schema
from match_service.api.endpoints import ENDPOINTS

URLENCODED: Final = "application/x-www-form-urlencoded"
STATUSES: Final = {
    400: "A parameter is missing or wrong, the image cannot be decoded, the URL cannot be fetched.",
    401: "An API key or a token is missing or not good.",
    403: "The API key or the token is not good for this.",
    404: "There is no such image.",
    409: "What is stored already forbids it.",
    413: "The request is too large.",
    415: "The body is of another content type.",
    429: "Too many requests; Retry-After says when to come back.",
    500: "The service failed.",
    503: "The store or the issuer of tokens is away, or too much waits; Retry-After says when to come back.",
}
BEARER: Final = "An API key; or a token of an OpenID Connect issuer, where the service trusts one."
_ALWAYS: Final = (400, 413, 415, 500)
_GUARDED: Final = (401, 403, 429, 503)


def document() -> dict[str, Any]:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Match",
            "summary": "Reverse image search",
            "version": version("match-operator"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}, {"key": []}, {"basic": []}, {}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": BEARER},
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
                "basic": {"type": "http", "scheme": "basic"},
            },
            "schemas": {"Failure": _envelope("fail", {"maxItems": 0})},
            "responses": {str(status): _failure(text) for status, text in STATUSES.items()},
        },
    }


def _paths() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {}).update(_path(endpoint))
    return paths


def _envelope(status: str, result: Schema) -> Schema:
    return {
        "type": "object",
        "required": ["status", "error", "method", "result"],
        "properties": {
            "status": {"enum": ["ok", "warn"] if status == "ok" else [status]},
            "error": {"type": "array", "items": {"type": "string"}},
            "method": {"type": "string"},
            "result": {"type": "array", **result},
        },
    }


def _failure(text: str) -> Schema:
    return {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}},
    }


def _path(endpoint: Endpoint) -> dict[str, Any]:
    return {method.lower(): _operation(endpoint, method) for method in endpoint.methods}


def _operation(endpoint: Endpoint, method: str) -> dict[str, Any]:
    name = endpoint.name.partition(".")[0]
    operation: dict[str, Any] = {
        "operationId": name if method == endpoint.methods[0] else f"{name}By{method.title()}",
        "summary": endpoint.summary,
        "responses": _responses(endpoint),
    }
    if endpoint.scope is None:
        operation["security"] = []
    else:
        operation["description"] = (
            f"Needs a key or token of scope `{endpoint.scope}`, where they are asked for."
        )
    if endpoint.takes:
        operation["requestBody"] = {"required": True, "content": {endpoint.takes: {"schema": {}}}}
    elif endpoint.parameters and method == "POST":
        operation["requestBody"] = _form(endpoint)
    elif endpoint.parameters:
        operation["parameters"] = [
            {"name": field, "in": "query", "required": parameter.required, "schema": schema}
            for parameter in endpoint.parameters
            for field, schema in parameter.schemas().items()
        ]
    return operation


def _form(endpoint: Endpoint) -> dict[str, Any]:
    fields: dict[str, Schema] = {}
    for parameter in endpoint.parameters:
        fields |= parameter.schemas()
    needs = _needs(endpoint)
    schema: Schema = {"type": "object", "properties": fields}
    if any(parameter.indexed for parameter in endpoint.parameters):
        schema = _several(endpoint, schema, needs)
    elif needs:
        schema["allOf"] = needs
    content = {MULTIPART: {"schema": schema}}
    if not any(parameter.kind == "image" and parameter.required for parameter in endpoint.parameters):
        content[URLENCODED] = {"schema": schema}
    return {"required": bool(needs), "content": content}


def _needs(endpoint: Endpoint) -> list[Schema]:
    """What a form must have: what is required, and one of the ways to name an image."""
    named = [p for p in endpoint.parameters if p.required and p.kind != "image"]
    needs: list[Schema] = [{"required": [p.name]} for p in named]
    images = [list(p.schemas()) for p in endpoint.parameters if p.required and p.kind == "image"]
    optional = [p for p in endpoint.parameters if not p.required and p.kind in ("image", "filepath")]
    ways = [*images, [name for p in optional for name in p.schemas()]]
    return needs + [{"oneOf": [{"required": [name]} for name in names]} for names in ways if names]


def _several(endpoint: Endpoint, schema: Schema, needs: list[Schema]) -> Schema:
    """``schema`` for one item, or for many that are numbered."""
    single: list[str] = []
    numbered: dict[str, Schema] = {}
    patterns: dict[str, Schema] = {}
    for parameter in endpoint.parameters:
        for name, field in parameter.schemas().items() if parameter.indexed else ():
            single.append(name)
            plural = name if name == parameter.indexed else f"{name}s"
            numbered[f"{plural}[0]"] = field
            patterns[f"^{plural}\\[(0|[1-9][0-9]?)\\]$"] = field
    images = {"oneOf": [{"required": ["images[0]"]}, {"required": ["urls[0]"]}]}
    no_single = {"not": {"anyOf": [{"required": [name]} for name in single]}}
    return {
        **schema,
        "properties": {**schema["properties"], **numbered},
        "patternProperties": patterns,
        "anyOf": [
            {"allOf": needs, "not": {"anyOf": [{"required": [name]} for name in numbered]}},
            {"required": ["filepaths[0]"], **images, **no_single},
        ],
    }


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    body: Schema = {"schema": {}}
    if endpoint.result is not None:
        body = {"schema": _envelope("ok", {"items": endpoint.result})}
    always = (*_ALWAYS, *endpoint.errors, *(_GUARDED if endpoint.scope else (403, 503)))
    return {
        "200": {"description": "It worked.", "content": {endpoint.gives: body}},
        **{str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(set(always))},
    }


def text() -> str:
    """The document as it lies in docs/openapi.json."""
    return json.dumps(document(), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
