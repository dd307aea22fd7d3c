"""What the documents point at exists, and what a user can set is documented."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import world

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {".venv", ".git", "node_modules"}
DOCUMENTS = sorted(p for p in ROOT.rglob("*.md") if not SKIPPED & set(p.relative_to(ROOT).parts))
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
VARIABLE = re.compile(r"PORT|(MATCH|ELASTICSEARCH|WORKER|ALL)(_[A-Z0-9]+)+")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def slugs(document: Path) -> set[str]:
    """Anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ +(.+?) *#*$", FENCE.sub("", document.read_text("utf-8")), re.MULTILINE)
    texts = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


def broken_links(document: Path) -> Iterator[str]:
    """Relative links of the document to a file or heading that does not exist."""
    text = CODE.sub("", FENCE.sub("", document.read_text("utf-8")))
    for link in LINK.findall(text):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (document.parent / target).resolve() if target else document
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in slugs(path)):
            yield link


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    assert list(broken_links(document)) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_make_target_a_document_names_exists(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    text = document.read_text("utf-8")
    code = [match.group() for pattern in (FENCE, CODE) for match in pattern.finditer(text)]
    named = {
        t for part in code for t in re.findall(r"(?:^|[`$;&] ?)make ([a-z][a-z0-9-]*)", part, re.MULTILINE)
    }
    assert named - targets == set()


def test_every_make_target_is_explained_by_make_help() -> None:
    lines = (ROOT / "Makefile").read_text("utf-8").splitlines()
    assert [line for line in lines if re.match(r"[a-z0-9-]+:(?!=)", line) and " ## " not in line] == []


def variables() -> Iterator[str]:
    """Names of environment variables in the code of operator and service."""
    for part in ("operator", "service"):
        for path in sorted((ROOT / part).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if (
                    isinstance(node, ast.Constant)
                    and isinstance(node.value, str)
                    and VARIABLE.fullmatch(node.value)
                ):
                    yield node.value


def test_every_environment_variable_is_documented() -> None:
    pages = "\n".join(page.read_text("utf-8") for page in (ROOT / "docs").rglob("*.md"))
    documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)(?:=[^`]*)?`", pages))
    assert sorted(set(variables()) - documented) == []


def specs() -> Iterator[tuple[str, dict[str, Any]]]:
    """Specs of MatchClusters in the documents."""
    for document in DOCUMENTS:
        for block in re.findall(
            r"^```yaml\n(.*?)^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL
        ):
            found = yaml.safe_load(block)
            is_ours = isinstance(found, dict) and found.get("kind", "MatchCluster") == "MatchCluster"
            if is_ours and isinstance(found.get("spec"), dict):
                yield name_of(document), found["spec"]


def test_every_spec_in_a_document_can_be_built() -> None:
    found = list(specs())
    assert found
    for document, spec in found:
        closed = world.SCHEMA["properties"]["spec"] | {"additionalProperties": False}
        jsonschema.validate(spec, closed)
        assert world.objects(world.cluster(spec)), document
