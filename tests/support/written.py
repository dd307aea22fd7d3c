"""Parts of documents that a measurement writes, between two comments that name it."""

from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def put(page: str, part: str, text: str) -> None:
    """Replace what stands between ``<!-- part -->`` and ``<!-- /part -->`` of a page in docs."""
    path = DOCS / page
    head, _, rest = path.read_text("utf-8").partition(f"<!-- {part} -->\n")
    _, found, tail = rest.partition(f"<!-- /{part} -->")
    assert found, f"{page} has no part {part}"
    path.write_text(f"{head}<!-- {part} -->\n\n{text.strip()}\n\n<!-- /{part} -->{tail}", "utf-8")
    print(text.strip())
