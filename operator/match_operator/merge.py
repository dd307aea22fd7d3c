"""Merging a user's pod template onto ours, and seeing where a live object has drifted from the desired one.

Both need the same knowledge: which lists of the Kubernetes API are really maps, and by which key.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from match_operator import quantities

MERGE_KEYS: Final = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "hostAliases": ("ip",),
}
"""What tells the items of a list apart (``listMapKey``, else ``patchMergeKey``, in k8s.io/api/core/v1)."""

_QUANTITIES: Final = {"requests", "limits"}
_QUANTITY_FIELDS: Final = {"storage", "sizeLimit", "divisor"}
_NOT_REWRITTEN: Final = object()


def merge(base: Any, overlay: Any, field: str = "") -> Any:
    """``overlay`` merged onto ``base``: maps by key, known lists by their merge key, null deletes.

    Neither argument is changed.
    """
    if isinstance(base, dict) and isinstance(overlay, dict):
        merged = dict(base)
        for key, value in overlay.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = merge(base.get(key), value, key)
        return merged
    keys = MERGE_KEYS.get(field)
    if keys and isinstance(base, list) and isinstance(overlay, list):
        items = {_key(item, keys): item for item in base}
        for item in overlay:
            name = _key(item, keys)
            items[name] = merge(items.get(name), item)
        return list(items.values())
    return overlay


def drift(desired: Any, live: Any, rewritten: Mapping[str, Any] | None = None) -> str | None:
    """First path at which ``live`` lacks what ``desired`` says, or None.

    Fields that only the live object has are the API server's defaults or another manager's, and no drift.
    Neither is what the API server answers when it is sent ``desired``: the ``rewritten`` values by path.
    """
    known = rewritten or {}
    return next((p for p, value in drifts(desired, live) if known.get(p, _NOT_REWRITTEN) != value), None)


def drifts(desired: Any, live: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every path at which ``live`` lacks what ``desired`` says, with what it has there or None."""
    field = path.rpartition(".")[2].partition("[")[0]
    if isinstance(desired, dict) and isinstance(live, dict):
        for key, value in desired.items():
            if _is_quantity(field, key) and key in live and quantities.equal(value, live[key]):
                continue
            yield from drifts(value, live.get(key), f"{path}.{key}" if path else key)
    elif isinstance(desired, list) and isinstance(live, list):
        yield from _drifts_of_list(desired, live, path, MERGE_KEYS.get(field))
    elif desired != live and not (live is None and desired in ({}, [])):
        yield path, live


def _drifts_of_list(
    desired: list[Any], live: list[Any], path: str, keys: tuple[str, ...] | None
) -> Iterator[tuple[str, Any]]:
    if keys:
        by_key = {_key(item, keys): item for item in live}
        pairs = [(item, by_key.get(_key(item, keys)), _name(item, keys)) for item in desired]
    elif len(desired) != len(live):
        yield path, live
        return
    else:
        pairs = [(wanted, got, str(i)) for i, (wanted, got) in enumerate(zip(desired, live, strict=True))]
    for wanted, got, name in pairs:
        yield from drifts(wanted, got, f"{path}[{name}]")


def _key(item: Any, keys: tuple[str, ...]) -> Any:
    return tuple(item.get(key) for key in keys) if isinstance(item, dict) else item


def _name(item: Any, keys: tuple[str, ...]) -> str:
    return ",".join(map(str, _key(item, keys))) if isinstance(item, dict) else str(item)


def _is_quantity(field: str, key: str) -> bool:
    return field in _QUANTITIES or key in _QUANTITY_FIELDS
