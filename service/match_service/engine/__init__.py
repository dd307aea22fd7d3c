"""Signatures, words and distances: image-match's algorithm, pure computation on bytes and arrays."""

from match_service.engine.decode import DEFAULT_LIMITS, Limits
from match_service.engine.distance import compare, distance
from match_service.engine.orientations import VIEW_NAMES, views
from match_service.engine.packing import (
    PACKED_BYTES,
    distances,
    pack,
    pack_many,
    packed_matrix,
    unpack,
    unpack_many,
)
from match_service.engine.signature import raw_signature, select, signature
from match_service.engine.words import word_integers, words

__all__ = [
    "DEFAULT_LIMITS",
    "PACKED_BYTES",
    "VIEW_NAMES",
    "Limits",
    "compare",
    "distance",
    "distances",
    "pack",
    "pack_many",
    "packed_matrix",
    "raw_signature",
    "select",
    "signature",
    "unpack",
    "unpack_many",
    "views",
    "word_integers",
    "words",
]
