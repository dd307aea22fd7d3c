"""Makes docs/matchcluster.md from the schema; run as a program it prints the page."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

CRD: Json = yaml.safe_load((Path(__file__).parents[2] / "crds" / "matchclusters.yaml").read_text())
HEAD = """# MatchCluster

Made from `crds/matchclusters.yaml` by `python tests/support/crd_reference.py`;
`kubectl explain matchcluster.spec` says the same. Short name: `mtc`. Examples: [examples/](../examples/).
How a running one looks: [status.md](status.md).
"""


def rows(schema: Json, path: str) -> Iterator[str]:
    """A table row for each field, and its fields below it."""
    for name, part in schema.get("properties", {}).items():
        inner = part.get("items", part)
        here = f"{path}.{name}" + ("[]" if part.get("type") == "array" else "")
        default = part.get("default")
        # Defaults of objects are those of their fields, unless they hold something of their own.
        shown = "" if default in (None, {}, "") else f"`{json.dumps(default)}`"
        yield f"| `{here}` | {_kind(part)} | {shown} | {_sentence(part, inner)} |"
        yield from rows(inner, here)


def _kind(part: Json) -> str:
    if part.get("x-kubernetes-int-or-string"):
        return "quantity"
    bounds = [str(part[key]) for key in ("minimum", "maximum") if key in part]
    return f"{part.get('type', 'any')}{' ' + ' to '.join(bounds) if len(bounds) == 2 else ''}"


def _sentence(part: Json, inner: Json) -> str:
    rules = [
        rule["message"]
        for rule in [
            *part.get("x-kubernetes-validations", []),
            *(inner.get("x-kubernetes-validations", []) if inner is not part else []),
        ]
    ]
    return " ".join([part.get("description", ""), *(f"*{rule}.*" for rule in rules)]).replace("|", "\\|")


def page() -> str:
    """The whole page."""
    root = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    parts = [HEAD]
    for name in ("spec", "status"):
        parts.append(f"## {name}\n\n| field | type | default | meaning |\n| --- | --- | --- | --- |")
        parts += rows(root[name], name)
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
