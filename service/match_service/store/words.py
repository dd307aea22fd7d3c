"""Words by which Elasticsearch's inverted index finds candidates where no mirror does.

image-match's 63 words hold the signs of 16 neighbouring values each. Neighbours go together, so many images
share words by chance, and one changed value spoils a whole word. Signs of eight values from all over the
signature hardly go together: chance hits are rarer, true ones more, and their number says how near.
"""

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from match_service.engine.layout import HALF
from match_service.model import Signature

COUNT: Final = 34
WIDTH: Final = 8

# An order without order, the same for ever: documents hold words made with it.
_PLACES: Final = np.array(
    sorted(range(len(HALF)), key=lambda place: hashlib.sha256(b"%d" % place).digest())
).reshape(COUNT, WIDTH)
_POWERS: Final = 3 ** np.arange(WIDTH)
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"


def tokens(signature: Signature) -> list[str]:
    """34 words of three characters: position and value as one number below 34 * 3**8, base 64."""
    return tokens_of_many(signature[None])[0]


def tokens_of_many(signatures: NDArray[np.int8]) -> list[list[str]]:
    """The words of each of the signatures (n, 648)."""
    signs = np.sign(signatures[:, HALF])[:, _PLACES].astype(np.int64) + 1
    numbers = signs @ _POWERS + np.arange(COUNT) * 3**WIDTH
    return [
        [_DIGITS[n >> 12] + _DIGITS[n >> 6 & 63] + _DIGITS[n & 63] for n in row] for row in numbers.tolist()
    ]
