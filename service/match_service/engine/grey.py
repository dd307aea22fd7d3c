"""Grey levels in the two arithmetics the engine compares: exact integers, and image-match's floats."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

WEIGHTS: Final = np.array([2125, 7154, 721], dtype=np.int64)
"""Luminance weights of scikit-image's ``rgb2gray`` times 10,000."""
SCALE: Final = 2_550_000
"""Grey of white in those integers; image-match's is 1.0."""

_COEFFICIENTS: Final = np.array([0.2125, 0.7154, 0.0721])


def integer_grey(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Grey levels 0..2,550,000 of RGB pixels (..., 3), exact."""
    return pixels @ WEIGHTS


def exact_grey(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Grey levels 0..1 of RGB rows (rows, columns, 3), bit for bit those of ``rgb2gray``.

    Whole rows only: BLAS rounds by a pixel's place in its row.
    """
    grey: NDArray[np.float64] = np.multiply(pixels, 1.0 / 255.0, dtype=np.float64) @ _COEFFICIENTS
    return grey
