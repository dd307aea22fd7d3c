"""docs/cli.md says what --help says, and every command is tried somewhere."""

import subprocess
import sys
from pathlib import Path

import cli_reference

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_made_from_the_help() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "tests/support/cli_reference.py"], capture_output=True, text=True, check=True
    ).stdout
    assert (ROOT / "docs/cli.md").read_text("utf-8") == made, (
        "run: python tests/support/cli_reference.py > docs/cli.md"
    )


def test_every_command_is_run_by_an_integration_test() -> None:
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests/integration").glob("test_*.py"))
    assert [name for name, _ in cli_reference.parsers() if f'"{name}"' not in tests and name != "serve"] == []
