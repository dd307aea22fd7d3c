"""Images that are only a number: their signatures are unlike any other, and made without a picture."""

import numpy as np

from match_service import engine
from match_service.engine.layout import HALF, from_half
from match_service.model import Record, Signature
from match_service.store.base import Store


def signature(number: int) -> Signature:
    """The signature of image ``number``."""
    values = np.random.default_rng(number).choice([-2, -1, 1, 2], len(HALF)).astype(np.int8)
    return from_half(values)


def record(filepath: str, number: int) -> Record:
    """Image ``number`` at ``filepath``, with its number as metadata."""
    return Record(filepath, signature(number), "0" * 64, {"n": number})


def found(store: Store, number: int) -> list[str]:
    """Filepaths at which a search for image ``number`` finds it."""
    return [m.filepath for m in store.search(engine.views(signature(number), all_orientations=False))]
