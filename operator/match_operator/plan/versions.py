"""Which versions of Elasticsearch may follow which."""

from collections.abc import Iterator
from typing import Final

from match_operator.api import MatchCluster
from match_operator.observed import Observed
from match_operator.plan.steps import Problem

OLDEST: Final = (8, 0, 0)


def parse(text: str) -> tuple[int, ...]:
    """A version in the form that compares; a suffix such as -SNAPSHOT is dropped."""
    return tuple(int(part) for part in text.partition("-")[0].split("."))


def problems(cluster: MatchCluster, seen: Observed) -> Iterator[Problem]:
    """Downgrades and jumps that Elasticsearch does not support."""
    running = (
        max((parse(n.version) for n in seen.elastic.nodes.values()), default=None) if seen.elastic else None
    )
    if running is None:
        remembered = seen.status.get("elasticsearch", {}).get("version")
        if not remembered:
            return
        running = parse(remembered)
    if cluster.external:
        if running < OLDEST:
            yield Problem(
                "VersionUnsupported",
                f"Elasticsearch runs {_text(running)}; {_text(OLDEST)} is the oldest that is supported",
            )
        return
    asked = parse(cluster.resolved.elasticsearch_version)
    if asked < running:
        yield Problem(
            "DowngradeUnsupported",
            f"Elasticsearch runs {_text(running)} and cannot go back to {_text(asked)}; set "
            f"elasticsearch.version to {_text(running)} or higher",
            node_set="*",
        )
    elif asked[0] > running[0] + 1 or (asked[0] > running[0] and running < (8, 18, 0)):
        yield Problem(
            "VersionSkipUnsupported",
            f"Elasticsearch {_text(running)} cannot become {_text(asked)} in one step; set "
            f"elasticsearch.version to the newest {running[0]}.x first",
            node_set="*",
        )


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
