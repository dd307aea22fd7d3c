"""Signatures in 243 bytes, and distances straight from them.

Three planes of 648 bits, 81 bytes each, first value in the most significant bit: nonzero, of size two,
negative. Dot products of such signatures are counts of common bits, so nothing is ever unpacked to search.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from match_service.engine.layout import LENGTH
from match_service.model import Signature, Views

PLANE_BYTES: Final = LENGTH // 8
PACKED_BYTES: Final = 3 * PLANE_BYTES

Packed = NDArray[np.uint8]


def pack(signature: Signature) -> bytes:
    """243 bytes that ``unpack`` turns back into ``signature``, any 648 values of -2..2."""
    row = pack_many(signature[None, :])
    return row.tobytes()


def pack_many(signatures: NDArray[np.int8]) -> Packed:
    """Packed rows (n, 243) of signatures (n, 648); ``ValueError`` if a value is not in -2..2."""
    if signatures.ndim != 2 or signatures.shape[1] != LENGTH or np.abs(signatures).max(initial=0) > 2:
        raise ValueError("A signature has 648 values of -2 to 2.")
    planes = [signatures != 0, np.abs(signatures) == 2, signatures < 0]
    return np.concatenate([np.packbits(plane, axis=1) for plane in planes], axis=1)


def unpack(packed: bytes) -> Signature:
    """The signature in 243 bytes; ``ValueError`` if they cannot be one."""
    if len(packed) != PACKED_BYTES:
        raise ValueError(f"A packed signature has {PACKED_BYTES} bytes, not {len(packed)}.")
    signature: Signature = unpack_many(packed_matrix([packed]))[0]
    return signature


def unpack_many(packed: Packed) -> NDArray[np.int8]:
    """Signatures (n, 648) of packed rows (n, 243)."""
    bits = np.unpackbits(packed.reshape(-1, 3, PLANE_BYTES), axis=2)
    planes: NDArray[np.int8] = bits.view(np.int8)
    nonzero, two, negative = planes[:, 0], planes[:, 1], planes[:, 2]
    if np.any((two | negative) & ~nonzero & 1):
        raise ValueError("The bytes are not a packed signature.")
    signatures: NDArray[np.int8] = (nonzero + two) * (1 - 2 * negative)
    return signatures


def packed_matrix(packed: list[bytes]) -> Packed:
    """Rows (n, 243) from separate byte strings."""
    return np.frombuffer(b"".join(packed), dtype=np.uint8).reshape(-1, PACKED_BYTES)


def distances(packed: Packed, views: Views) -> NDArray[np.float64]:
    """Distances (n, k) of packed rows (n, 243) to each of k views (k, 648), as ``distance`` gives them."""
    rows = unpack_many(packed).astype(np.float32)
    queries = views.astype(np.float32)
    # Sums of 648 products of at most 4 are exact in float32.
    dots = (rows @ queries.T).astype(np.float64)
    own = np.einsum("ij,ij->i", rows, rows).astype(np.float64)[:, None]
    theirs = np.einsum("ij,ij->i", queries, queries).astype(np.float64)[None, :]
    return normalise(np.maximum(own + theirs - 2.0 * dots, 0.0), own, theirs)


def normalise(
    squared: NDArray[np.float64], own: NDArray[np.float64], theirs: NDArray[np.float64]
) -> NDArray[np.float64]:
    """||a - b|| / (||a|| + ||b||) from squared norms; 1.0 where both are zero."""
    total = np.sqrt(own) + np.sqrt(theirs)
    found: NDArray[np.float64] = np.divide(
        np.sqrt(squared), total, out=np.ones_like(squared), where=total > 0
    )
    return found
