"""docs/pains.md names tests that exist and changes that can be made; `make reliability` makes them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pains

ROOT = Path(__file__).resolve().parents[2]
PROOFS = [proof for pain in pains.PAINS for proof in pain.proofs]


def names(file: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.test.rpartition("::")[2])
def test_a_named_test_exists_and_its_change_can_be_made(proof: pains.Proof) -> None:
    file, _, name = proof.test.partition("::")
    assert name in names(file)
    assert (ROOT / proof.file).read_text("utf-8").count(proof.old) == 1


def test_the_page_is_made_from_what_is_tried() -> None:
    made = (ROOT / "docs" / "pains.md").read_text("utf-8")
    assert made == pains.page(), "run: python tests/support/pains.py > docs/pains.md"


def test_all_fifteen_are_there_and_one_without_a_test_is_called_open() -> None:
    assert len(pains.PAINS) == 15
    assert [p.title for p in pains.PAINS if bool(p.proofs) == p.answer.startswith("Open:")] == []
