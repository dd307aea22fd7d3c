"""MatchClusters in a file, as `kubectl apply -f` reads it."""

import sys
from pathlib import Path
from typing import Any

import yaml

from match_operator import names
from match_operator.errors import InvalidSpecError

Json = dict[str, Any]


def read(name: str) -> list[Json]:
    """The MatchClusters of a YAML or JSON file, "-" for standard input; raises ``InvalidSpecError``."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
        documents = list(yaml.safe_load_all(text))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidSpecError(f"{name} cannot be read: {error}") from None
    found = [d for d in documents if isinstance(d, dict) and d.get("kind") == names.KIND]
    if not found:
        raise InvalidSpecError(f"{name} holds no {names.KIND}")
    return found
