"""What becomes of a plan of which the API server refused a step: all goes on that does not build on it.

A spec that is refused in part must not stop what has begun: a restart that Elasticsearch was told of, nodes
on their way out, a full disk's neighbours that grow.
"""

from collections.abc import Collection
from typing import Final

from match_operator import names
from match_operator.errors import ForbiddenError, InvalidSpecError, PermissionMissingError
from match_operator.plan.steps import Apply, GrowVolume, KeepResolved, Problem, Recreate, Remove, Step

_WITH_PODS: Final = ("StatefulSet", "Deployment", "Job")
_OF_PODS: Final = ("Secret", "ConfigMap", "NetworkPolicy")
"""What pods start with, or are guarded by."""


def builds_on(step: Step, refused: Collection[Step]) -> bool:
    """Whether a step must not be taken because of those before it that were refused.

    Pods are not made with half of what they need. What is not wanted any more may still be in use by what
    could not be changed.
    """
    defaults = any(isinstance(other, KeepResolved) for other in refused)
    kinds = {other.item["kind"] for other in refused if isinstance(other, Apply)}
    match step:
        case Apply(item) | Recreate(item):
            return defaults or (item["kind"] in _WITH_PODS and bool(kinds & set(_OF_PODS)))
        case Remove(item) if names.NODE_SET_LABEL not in item["metadata"]["labels"]:
            return defaults or bool(kinds)
        case _:
            return False


def changes_pods(step: Step) -> bool:
    """Whether the revisions of a StatefulSet that were seen say nothing about its pods after a step."""
    return isinstance(step, Apply | Recreate) and step.item["kind"] == "StatefulSet"


def problem(step: Step, error: InvalidSpecError | ForbiddenError) -> Problem:
    """What the user is told of a refused step."""
    if isinstance(step, GrowVolume) and not isinstance(error, PermissionMissingError):
        return Problem("VolumeGrowthRefused", f"{step} is refused: {error}")
    return Problem(error.reason, str(error))
