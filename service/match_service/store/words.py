"""Words by which Elasticsearch's inverted index finds candidates where no mirror does.

image-match's 63 words hold the signs of 16 neighbouring values each. Neighbours go together, so many images
share words by chance, and one changed value spoils a whole word. Signs of nine values from all over the
signature hardly go together: chance hits are rarer, true ones more, and their number says how near.
"""

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from match_service.engine.layout import HALF
from match_service.model import Signature

COUNT: Final = 60
WIDTH: Final = 9
ORDERS: Final = 2
"""Times that (nearly) every value is in a word, each time in the company of others."""


def _order(number: int) -> list[int]:
    """The 272 places in an order without order, the same for ever: documents hold words made with it."""
    return sorted(range(len(HALF)), key=lambda place: hashlib.sha256(b"%d/%d" % (number, place)).digest())


_EACH: Final = COUNT // ORDERS
_PLACES: Final = np.array([_order(number)[: _EACH * WIDTH] for number in range(ORDERS)]).reshape(COUNT, WIDTH)
_POWERS: Final = 3 ** np.arange(WIDTH)
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"


def tokens(signature: Signature) -> list[str]:
    """60 words of four characters: position and value as one number below 60 * 3**9, base 64."""
    return tokens_of_many(signature[None])[0]


def tokens_of_many(signatures: NDArray[np.int8]) -> list[list[str]]:
    """The words of each of the signatures (n, 648)."""
    signs = np.sign(signatures[:, HALF])[:, _PLACES].astype(np.int64) + 1
    numbers = signs @ _POWERS + np.arange(COUNT) * 3**WIDTH
    return [[_token(number) for number in row] for row in numbers.tolist()]


def _token(number: int) -> str:
    digits = (number >> 18, number >> 12 & 63, number >> 6 & 63, number & 63)
    return "".join([_DIGITS[digit] for digit in digits])
