"""An image's signature as it would be if the image were turned, mirrored or inverted.

The grid and the eight neighbours are as symmetric as the square, so turning an image permutes its 648
values, and inverting its brightness negates them. The permuted signature is not always bit for bit that
of the turned image, whose sample boxes may fall one pixel aside; docs/engine.md says how near it is.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from match_service.engine.layout import GRID, LENGTH, NEIGHBOURS
from match_service.model import Signature, Views

Turn = Callable[[NDArray[np.intp]], NDArray[np.intp]]

_TURNS: Final[dict[str, Turn]] = {
    "identity": lambda a: a,
    "rotated 90": lambda a: np.rot90(a, 1),
    "rotated 180": lambda a: np.rot90(a, 2),
    "rotated 270": lambda a: np.rot90(a, 3),
    "mirrored": lambda a: a[:, ::-1],
    "mirrored, rotated 90": lambda a: np.rot90(a[:, ::-1], 1),
    "mirrored, rotated 180": lambda a: np.rot90(a[:, ::-1], 2),
    "mirrored, rotated 270": lambda a: np.rot90(a[:, ::-1], 3),
}

VIEW_NAMES: Final = (*_TURNS, *(f"{name}, inverted" for name in _TURNS))
"""What row i of 16 views shows, turns being anticlockwise: i + 8 is the negative of i."""


def _permutation(turn: Turn) -> NDArray[np.intp]:
    """Index array p such that ``signature[p]`` is the signature of the turned image."""
    source = turn(np.arange(GRID * GRID).reshape(GRID, GRID))
    # Around the centre of a 3 x 3 neighbourhood the same turn says which neighbour came from where.
    ring = turn(np.arange(9).reshape(3, 3))
    numbers = {offset: k for k, offset in enumerate(NEIGHBOURS)}
    moved = [
        numbers[divmod(int(ring[row + 1, column + 1]), 3)[0] - 1, int(ring[row + 1, column + 1]) % 3 - 1]
        for row, column in NEIGHBOURS
    ]
    permutation: NDArray[np.intp] = source.ravel()[:, None] * 8 + np.array(moved)
    return permutation.reshape(LENGTH)


_PERMUTATIONS: Final = np.stack([_permutation(turn) for turn in _TURNS.values()])


def views(signature: Signature, all_orientations: bool) -> Views:
    """The signature alone, (1, 648), or in the 16 orientations of ``VIEW_NAMES``, (16, 648)."""
    if not all_orientations:
        return signature[None, :]
    half = turned(signature)
    return np.concatenate([half, -half])


def turned_back(pixels: NDArray[np.uint8], view: int) -> NDArray[np.uint8]:
    """Pixels (rows, columns, 3) of what shows ``VIEW_NAMES[view]`` of an image, as that image is."""
    mirrored, turns = divmod(view % len(_TURNS), 4)
    # What mirrors is its own opposite, turned or not.
    back = np.rot90(pixels[:, ::-1], turns) if mirrored else np.rot90(pixels, -turns)
    return np.ascontiguousarray(255 - back if view >= len(_TURNS) else back)


def turned(signatures: NDArray[np.int8]) -> NDArray[np.int8]:
    """Signatures (..., 648) in the eight orientations that do not invert, (..., 8, 648)."""
    return signatures[..., _PERMUTATIONS]
