"""How far two images are apart."""

import numpy as np

from match_service.engine.decode import DEFAULT_LIMITS, Limits
from match_service.engine.signature import raw_signature
from match_service.model import Signature


def distance(a: Signature, b: Signature) -> float:
    """||a - b|| / (||a|| + ||b||), 0 for equal and 1 for opposite signatures; never NaN.

    A signature of zeros (a flat image) says nothing, so its distance to any, even to another of zeros, is
    1.0, as in image-match's searches.
    """
    wide_a, wide_b = a.astype(np.int64), b.astype(np.int64)
    total = float(np.linalg.norm(wide_a) + np.linalg.norm(wide_b))
    return float(np.linalg.norm(wide_b - wide_a)) / total if total else 1.0


def compare(data_a: bytes, data_b: bytes, limits: Limits = DEFAULT_LIMITS) -> float:
    """Distance of two encoded images, 0..1; ``BadImageError`` if one cannot be decoded.

    Flat images are compared too: equal bytes are at distance 0, a flat image and anything else at 1.
    """
    a = raw_signature(data_a, limits)
    if data_a == data_b:
        return 0.0
    return distance(a, raw_signature(data_b, limits))
