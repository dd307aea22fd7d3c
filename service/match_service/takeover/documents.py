"""image-match's documents as records of ours, or the reason why one cannot be."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from match_service.engine.layout import HALF, LENGTH, from_half
from match_service.manifest import problem
from match_service.model import Record, Signature

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Legacy:
    """One document."""

    record: Record
    age: float
    """Seconds since 1970 at which it was added; minus infinity where it does not say."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A document that cannot be taken over."""

    name: str
    reason: str


def read(hits: Iterable[dict[str, Any]], nest: str) -> list[Legacy | Refused]:
    """What each search hit is; ``nest`` names the field that holds image-match's fields, if one does."""
    return [_read(hit, nest) for hit in hits]


def _read(hit: dict[str, Any], nest: str) -> Legacy | Refused:
    source = hit.get("_source") or {}
    source = source.get(nest) if nest else source
    name = f"document {hit.get('_id')}"
    if not isinstance(source, dict):
        return Refused(name, f"It has no field {nest}.")
    # image-match's driver calls it path, and reads it from url where there is one.
    filepath = source.get("path") or source.get("url")
    if not isinstance(filepath, str):
        return Refused(name, "It has no path.")
    if wrong := problem(filepath):
        return Refused(filepath, wrong)
    signature = _signature(source.get("signature"))
    if isinstance(signature, str):
        return Refused(filepath, signature)
    metadata = source.get("metadata")
    return Legacy(Record(filepath, signature, _digest(metadata), metadata), _age(source.get("timestamp")))


def _signature(values: Any) -> Signature | str:
    """The signature, or what is wrong with it."""
    if not isinstance(values, list) or len(values) != LENGTH:
        return (
            f"Its signature has not {LENGTH} values: it was made with other settings than image-match's own."
        )
    try:
        row = np.array(values, dtype=np.float64)
    except (ValueError, TypeError):
        return "Its signature holds something that is no number."
    whole = row.astype(np.int8)
    if not np.array_equal(row, from_half(whole[HALF])) or np.abs(row).max() > 2:
        return "Its signature is not one that an image can have."
    if not whole.any():
        return "Its image is flat: it has no features by which it could be found."
    return whole


def _digest(metadata: Any) -> str:
    """The file's SHA-256, which TRUEPIC/match keeps among the metadata."""
    digest = metadata.get("sha256") if isinstance(metadata, dict) else None
    return digest if isinstance(digest, str) and _SHA256.fullmatch(digest) else ""


def _age(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value / 1000
    try:
        moment = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return float("-inf")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
