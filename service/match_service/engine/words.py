"""The 63 lookup words by which an inverted index finds candidates, integer for integer image-match's."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from match_service.engine.layout import LENGTH
from match_service.model import Signature

COUNT: Final = 63
WIDTH: Final = 16

_STARTS: Final = np.linspace(0, LENGTH, COUNT, endpoint=False).astype(np.intp)
_CELLS: Final = _STARTS[:, None] + np.arange(WIDTH)
_PREFIXES: Final = tuple(f"{position}:" for position in range(COUNT))
_POWERS: Final = 3 ** np.arange(WIDTH, dtype=np.int64)


def word_integers(signature: Signature) -> NDArray[np.int64]:
    """image-match's ``simple_word_0`` to ``simple_word_62``, each 0..3**16 - 1, of signature(s) (..., 648).

    Signs of 16 neighbouring values as base-3 digits, least significant first; the last word reaches five
    cells beyond the signature, which count as zero.
    """
    padding = np.zeros((*signature.shape[:-1], int(_CELLS[-1, -1]) + 1 - LENGTH), dtype=np.int8)
    signs = np.sign(np.concatenate([signature, padding], axis=-1))
    integers: NDArray[np.int64] = (signs[..., _CELLS] + np.int64(1)) @ _POWERS
    return integers


def words(signature: Signature) -> list[str]:
    """The words as 63 tokens ``"<position>:<integer>"``, for one keyword field."""
    values = map(str, word_integers(signature).tolist())
    return [prefix + value for prefix, value in zip(_PREFIXES, values, strict=True)]
