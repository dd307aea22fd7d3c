"""Parts of the spec that the schema lets through as they are, and that must still be right.

Each raises ``InvalidSpecError`` that names the field and says what to change.
"""

from typing import Any

from match_operator import names, quantities
from match_operator.errors import InvalidSpecError

Json = dict[str, Any]


def resources(where: str, given: Json) -> None:
    """That each is a quantity, and no request beyond its limit."""
    for kind in ("requests", "limits"):
        for name, quantity in given.get(kind, {}).items():
            try:
                quantities.parse(quantity)
            except ValueError as error:
                raise InvalidSpecError(f"{where}.{kind}.{name}: {error}") from None
            limit = given.get("limits", {}).get(name, quantity)
            if kind == "requests" and quantities.parse(quantity) > quantities.parse(limit):
                raise InvalidSpecError(
                    f"{where}.requests.{name} ({quantity}) must not exceed the limit ({limit})"
                )


def pod_template(where: str, template: Json) -> None:
    """That it holds nothing but what is merged, and no label by which the operator finds its pods."""
    if unknown := set(template) - {"metadata", "spec"}:
        raise InvalidSpecError(f"{where} may hold metadata and spec only, not {', '.join(sorted(unknown))}")
    for part in ("metadata", "spec"):
        if not isinstance(template.get(part, {}), dict):
            raise InvalidSpecError(f"{where}.{part} must be an object")
    if unknown := set(template.get("metadata", {})) - {"labels", "annotations"}:
        raise InvalidSpecError(
            f"{where}.metadata may hold labels and annotations only, not {', '.join(sorted(unknown))}"
        )
    for name in template.get("metadata", {}).get("labels") or {}:
        if name in (names.CLUSTER_LABEL, names.COMPONENT_LABEL, names.NODE_SET_LABEL):
            raise InvalidSpecError(
                f"{where}.metadata.labels.{name} is set by the operator; remove it from the spec"
            )
