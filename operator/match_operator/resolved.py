"""Defaults that depend on the operator's version: what they came to is kept with each MatchCluster.

A schema cannot hold them, and an operator that chose anew at each of its upgrades would change clusters that
nobody asked it to change.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from match_operator import names, parts
from match_operator.config import Config
from match_operator.errors import InvalidSpecError

GENERATED: Final = "Generated"
OPEN: Final = "Open"
"""Modes of the API's authentication."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Version and images in force, and those of them that a default came to."""

    elasticsearch_version: str
    elasticsearch_image: str
    api_image: str
    restarted_elasticsearch: str
    """When a restart was last asked for, in whatever words; empty if never."""
    restarted_api: str
    api_auth: str
    """GENERATED or OPEN, where the spec says neither."""
    security: str
    network_policies: str
    node_awareness: str
    """These three: parts.ENABLED or parts.DISABLED, where the spec says neither."""
    keepalive: str
    """The same, of which no spec speaks: whether nodes notice within seconds that another is silent."""
    older_api_image: bool
    """Whether the API's image may be from before it had a port for probes, and left making indices to us."""
    annotation: str
    """What must outlive its source, in the form in which it is kept with the object."""


def resolve(
    version: str,
    image: str,
    api_image: str,
    annotations: Mapping[str, str],
    config: Config,
    *,
    plain: bool = False,
) -> Resolved:
    """What the spec says, else what a default came to before, else what this operator would choose.

    Only what a default came to is kept: a value taken out of the spec leaves nothing behind. The image
    chosen for a version is kept as long as the version stays the same. Removing the annotation is how a
    user asks for this operator's choices. ``plain`` is an Elasticsearch that runs without security.
    """
    before = _kept(annotations.get(names.RESOLVED_ANNOTATION, ""))
    kept = {
        "elasticsearchVersion": before.get("elasticsearchVersion") or config.elasticsearch_version,
        "apiImage": before.get("apiImage") or config.api_image,
        # What an operator looked at that knew of no keys was open, and stays so.
        "apiAuth": before.get("apiAuth") or (OPEN if before else GENERATED),
        "security": before.get("security") or (parts.DISABLED if before or plain else parts.ENABLED),
        "networkPolicies": before.get("networkPolicies") or (parts.DISABLED if before else parts.ENABLED),
        # Nodes read these two when they start, and an operator alone restarts none.
        "nodeAwareness": before.get("nodeAwareness") or (parts.DISABLED if before else parts.ENABLED),
        "keepalive": before.get("keepalive") or (parts.DISABLED if before else parts.ENABLED),
    }
    final_api_image = api_image or kept["apiImage"]
    # An image may be as old as the object: it is asked for no port that it may lack until another follows it.
    kept["apiImageWithoutHealthPort"] = before.get(
        "apiImageWithoutHealthPort", final_api_image if before else ""
    )
    final_version = version or kept["elasticsearchVersion"]
    same_version = before.get("elasticsearchImageFor") == final_version
    kept["elasticsearchImageFor"] = final_version
    kept["elasticsearchImage"] = (
        before.get("elasticsearchImage") if same_version else None
    ) or config.elasticsearch_image.replace("{version}", final_version)
    # A restart that was asked for stays done when the annotation that asked goes.
    for key, asked in (
        ("restartedElasticsearch", names.RESTART_ELASTICSEARCH_ANNOTATION),
        ("restartedApi", names.RESTART_API_ANNOTATION),
    ):
        if value := annotations.get(asked) or before.get(key):
            kept[key] = value
    return Resolved(
        elasticsearch_version=final_version,
        elasticsearch_image=image or kept["elasticsearchImage"],
        api_image=final_api_image,
        restarted_elasticsearch=kept.get("restartedElasticsearch", ""),
        restarted_api=kept.get("restartedApi", ""),
        api_auth=kept["apiAuth"],
        security=kept["security"],
        network_policies=kept["networkPolicies"],
        node_awareness=kept["nodeAwareness"],
        keepalive=kept["keepalive"],
        older_api_image=final_api_image == kept["apiImageWithoutHealthPort"],
        annotation=json.dumps(kept, sort_keys=True),
    )


def _kept(annotation: str) -> dict[str, str]:
    try:
        kept = json.loads(annotation or "{}")
    except ValueError:
        kept = None
    if not isinstance(kept, dict) or not all(isinstance(value, str) for value in kept.values()):
        raise InvalidSpecError(
            f"the annotation {names.RESOLVED_ANNOTATION} is not readable; remove it to have versions and "
            "images chosen anew, or set them in the spec"
        )
    return kept
