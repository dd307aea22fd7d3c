"""API keys as a file that changes."""

import hashlib
from pathlib import Path

import pytest

from match_service.cli import main
from match_service.keys import KeyFile, KeysError, new, parse


def entry(name: str, scope: str, token: str) -> str:
    return f"{name}:{scope}:{hashlib.sha256(token.encode()).hexdigest()}"


def test_a_key_is_found_by_its_token_and_by_nothing_else(tmp_path: Path) -> None:
    token, line = new("ann", "write")
    (tmp_path / "keys").write_text(f"# ours\n\n{line}\n{entry('bob', 'read', 'b')}:10/second\n")
    keys = KeyFile(tmp_path / "keys")
    found = keys.find(token)
    assert found is not None
    assert (found.name, found.scope, found.rate) == ("ann", "write", "")
    bob = keys.find("b")
    assert bob is not None
    assert (bob.name, bob.rate) == ("bob", "10/second")
    assert [keys.find(other) for other in ("", token[:-1], token + "x", line, "\ud800")] == [None] * 5


def test_scopes_include_the_smaller_ones() -> None:
    keys = parse([entry(scope, scope, scope) for scope in ("read", "write", "admin")], "here")
    assert [[key.may(scope) for scope in ("read", "write", "admin")] for key in keys] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_a_rotation_needs_no_restart_and_a_mistake_in_it_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys"
    path.write_text(entry("ann", "read", "old"))
    keys = KeyFile(path)
    fresh = tmp_path / "fresh"
    fresh.write_text(entry("ann", "read", "new"))
    fresh.replace(path)
    assert keys.find("old") is None
    assert keys.find("new") is not None
    for wrong in ("ann:everything:x", ""):
        path.write_text(wrong)
        assert keys.find("new") is not None
    path.unlink()
    assert keys.find("new") is not None
    assert "stay as they were" in caplog.text
    path.write_text(entry("ann", "admin", "newest"))
    assert keys.find("new") is None
    assert keys.find("newest") is not None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no API key"),
        ("# nothing", "holds no API key"),
        ("ann:read", "Line 1 of .* is not name:scope:sha256"),
        ("ann:read:" + "g" * 64, "Line 1 of"),
        ("\nann:root:" + "a" * 64, "Line 2 of"),
        ("a b:read:" + "a" * 64, "Line 1 of"),
        ("ann:read:" + "a" * 64 + ":often", "Line 1 of"),
        ("ann:read:" + "a" * 64 + "\nann:read:" + "b" * 64, "Line 2 of .* repeats the name ann"),
    ],
)
def test_a_file_that_is_wrong_is_told_by_line(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(KeysError, match=sentence):
        KeyFile(tmp_path / "keys")


def test_the_command_makes_a_key_that_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys"
    for name in ("ann", "bob"):
        assert main(["keys", "new", name, "--scope", "write", "--file", str(path)]) == 0
    tokens = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("key:")]
    keys = KeyFile(path)
    assert [key.name for token in tokens if (key := keys.find(token))] == ["ann", "bob"]
    assert path.stat().st_mode & 0o077 == 0
    assert not any(token in path.read_text() for token in tokens)
    assert main(["keys", "new", "ann", "--file", str(path)]) == 1
    assert main(["keys", "new", "a:b"]) == 1
    assert main(["keys", "new", "cat"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("line:"))
    assert parse([line.removeprefix("line: ")], "here")[0].scope == "read"
