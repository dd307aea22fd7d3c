"""The status of a MatchCluster whose spec or children cannot be read: how it is, as far as that can be seen.

What runs goes on running, and whoever watches it must not be told the health of an earlier day.
"""

from datetime import datetime
from typing import Any

from match_operator import names, observed, status
from match_operator.errors import InvalidSpecError
from match_operator.observed import Observed
from match_operator.plan import Problem

Json = dict[str, Any]


def make(body: Json, problem: Problem, children: Observed | None, health: str, now: datetime) -> Json:
    """Status of an object whose spec, or whose children, cannot be read; what runs already goes on running.

    ``children`` are None where they are what cannot be read, ``health`` is empty where nobody could be asked.
    """
    before = dict(body.get("status") or {})
    parts = _parts(before, children, health)
    serving = all(holds for _, holds, _, _ in parts)
    generation = body["metadata"].get("generation", 0)
    verdicts = [
        ("Ready", status.holds(before, "Ready") and serving, problem.reason, problem.message),
        ("Reconciling", False, problem.reason, problem.message),
        ("Stalled", True, problem.reason, problem.message),
        *parts,
    ]
    kept = [c for c in before.get("conditions", []) if c["type"] not in {v[0] for v in verdicts}]
    before.pop("operation", None)
    return (
        before
        | _numbers(before, children, health)
        | {
            "observedGeneration": generation,
            "phase": "Invalid" if problem.reason == InvalidSpecError.reason else "Stalled",
            "conditions": [*status.conditions(verdicts, generation, before, now), *kept],
        }
    )


def _parts(before: Json, children: Observed | None, health: str) -> list[tuple[str, bool, str, str]]:
    """Conditions of the parts as far as they can be seen."""
    parts = []
    if health:
        said = f"the health of Elasticsearch is {health}"
        parts.append(("ElasticsearchReady", health in ("green", "yellow"), "SpecUnread", said))
    if children and "api" in before:
        ready = _api_ready(children)
        parts.append(("ApiReady", ready > 0, "SpecUnread", f"{ready} API pods are ready"))
    return parts


def _numbers(before: Json, children: Observed | None, health: str) -> Json:
    numbers: Json = {}
    if "elasticsearch" in before:
        numbers["elasticsearch"] = before["elasticsearch"] | {"health": health or "unknown"}
    if children and "nodes" in before.get("elasticsearch", {}):
        ready = sum(map(observed.is_ready, children.pods(names.ELASTICSEARCH)))
        summary = f"{ready}/{before['elasticsearch']['nodes']}"
        numbers["elasticsearch"] |= {"readyNodes": ready, "summary": summary}
    if children and "api" in before:
        ready, wanted = _api_ready(children), before["api"]["summary"].partition("/")[2]
        numbers["api"] = before["api"] | {"readyReplicas": ready, "summary": f"{ready}/{wanted}"}
    return numbers


def _api_ready(children: Observed) -> int:
    """The API is the only Deployment there is."""
    return sum(item.get("status", {}).get("readyReplicas", 0) for item in children.of_kind("Deployment"))
