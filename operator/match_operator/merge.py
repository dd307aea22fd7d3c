"""Merging a user's pod template onto ours, and seeing where a live object has drifted from the desired one.

Both need the same knowledge: which lists of the Kubernetes API are really maps, and by which key.
"""

from typing import Any, Final

from match_operator import quantities

MERGE_KEYS: Final = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
    "topologySpreadConstraints": "topologyKey",
    "hostAliases": "ip",
}
"""Merge keys of strategic merge patches (``patchMergeKey`` in k8s.io/api/core/v1)."""

_QUANTITIES: Final = {"requests", "limits"}


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
    key = MERGE_KEYS.get(field)
    if key and isinstance(base, list) and isinstance(overlay, list):
        items = {_key(item, key): item for item in base}
        for item in overlay:
            name = _key(item, key)
            items[name] = merge(items.get(name), item)
        return list(items.values())
    return overlay


def drift(desired: Any, live: Any, path: str = "") -> str | None:
    """First path at which ``live`` lacks what ``desired`` says, or None.

    Fields that only the live object has are the API server's defaults or another manager's, and no drift.
    """
    field = path.rpartition(".")[2].partition("[")[0]
    if isinstance(desired, dict) and isinstance(live, dict):
        for key, value in desired.items():
            if _is_quantity(field, key) and key in live and quantities.equal(value, live[key]):
                continue
            if found := drift(value, live.get(key), f"{path}.{key}" if path else key):
                return found
        return None
    if isinstance(desired, list) and isinstance(live, list):
        return _drift_of_list(desired, live, path, MERGE_KEYS.get(field))
    return None if desired == live or (live is None and desired in ({}, [], None)) else path


def _drift_of_list(desired: list[Any], live: list[Any], path: str, key: str | None) -> str | None:
    if key:
        by_key = {_key(item, key): item for item in live}
        pairs = [(item, by_key.get(_key(item, key)), str(_key(item, key))) for item in desired]
    elif len(desired) != len(live):
        return path
    else:
        pairs = [(wanted, got, str(i)) for i, (wanted, got) in enumerate(zip(desired, live, strict=True))]
    for wanted, got, name in pairs:
        if found := drift(wanted, got, f"{path}[{name}]"):
            return found
    return None


def _key(item: Any, key: str) -> Any:
    return item.get(key) if isinstance(item, dict) else item


def _is_quantity(field: str, key: str) -> bool:
    return field in _QUANTITIES or key == "storage"
