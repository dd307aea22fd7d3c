"""End a pause: have the operator bring the MatchCluster to its spec again."""

import argparse
from typing import Any

from match_operator.commands import pause

arguments = pause.arguments


def run(options: argparse.Namespace, connection: Any) -> int:
    """Clear spec.paused; exit code 1 where that is refused."""
    return pause.setting(options, connection, paused=False)
