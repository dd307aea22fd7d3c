"""Makes docs/matchcluster.md from the schema; run as a program it prints the page."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

CRDS = Path(__file__).parents[2] / "crds"
HEAD = """# MatchCluster

Made from `crds/` by `python tests/support/crd_reference.py`;
`kubectl explain matchcluster.spec` says the same. Short name: `mtc`. Examples: [examples/](../examples/).
How a running one looks: [status.md](status.md).
Below: [MatchSnapshot](#matchsnapshot), [MatchRestore](#matchrestore).
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
    parts = [HEAD, *_tables("matchclusters", "")]
    for plural in ("matchsnapshots", "matchrestores"):
        crd = _crd(plural)
        kind, short = crd["spec"]["names"]["kind"], crd["spec"]["names"]["shortNames"][0]
        description = _schema(crd)["description"]
        parts += [f"## {kind}\n\n{description} Short name: `{short}`.\n", *_tables(plural, f"{kind} ")]
    return "\n".join(parts)


def _tables(plural: str, what: str) -> Iterator[str]:
    root = _schema(_crd(plural))["properties"]
    for name in ("spec", "status"):
        yield f"{'###' if what else '##'} {what}{name}\n"
        yield "| field | type | default | meaning |\n| --- | --- | --- | --- |"
        yield from rows(root[name], name)
        yield ""


def _crd(plural: str) -> Json:
    found: Json = yaml.safe_load((CRDS / f"{plural}.yaml").read_text())
    return found


def _schema(crd: Json) -> Json:
    found: Json = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


if __name__ == "__main__":
    print(page(), end="")
