"""image-match itself as the engine, for those who want to rule out any difference to it.

Slower by far, and only there if image-match is installed; ``MATCH_ENGINE=reference`` selects it.
"""

from typing import Any

import numpy as np

from match_service.engine.decode import Limits, check_header, quiet_pillow
from match_service.errors import BadImageError, MatchError
from match_service.model import Signature


class ReferenceMissingError(MatchError):
    """image-match is asked for but not installed."""


def load() -> Any:
    """image-match's signature generator; ``ReferenceMissingError`` says how to install it."""
    try:
        from image_match.goldberg import ImageSignature  # noqa: PLC0415 - an extra most never install
    except ImportError as error:
        raise ReferenceMissingError(
            "MATCH_ENGINE=reference needs image-match: pip install 'match-operator[reference]' "
            "&& pip install --no-deps image-match==1.1.2"
        ) from error
    return ImageSignature()


def raw_signature(data: bytes, limits: Limits) -> Signature:
    """Signature by image-match, 648 zeros for a flat image."""
    check_header(data, limits)
    generator = load()
    with quiet_pillow():
        try:
            found = generator.generate_signature(data, bytestream=True)
        except Exception as error:  # whatever it raises, the image was the reason
            raise BadImageError("The image cannot be decoded by image-match.") from error
    return np.asarray(found, dtype=np.int8)
