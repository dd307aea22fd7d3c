"""Choosing images by their metadata: PostgreSQL's rule of containment (``@>``), alike over every store."""

from match_service.model import Json


def contains(value: Json, wanted: Json) -> bool:
    """Whether ``value`` holds all that ``wanted`` says.

    An object holds each key of ``wanted`` with a value that holds what is wanted of it; an array holds, for
    each wanted element, one that holds it, in any order; anything else must be equal. Numbers are equal by
    value (1 and 1.0), true and false are no numbers.
    """
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(
            k in value and contains(value[k], v) for k, v in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(value, list) and all(any(contains(e, w) for e in value) for w in wanted)
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return type(value) in _kinds(wanted) and value == wanted


def _kinds(wanted: Json) -> tuple[type, ...]:
    return (int, float) if isinstance(wanted, int | float) else (type(wanted),)
