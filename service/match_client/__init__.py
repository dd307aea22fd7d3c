"""A typed client of the Match API, for programs and for this project's own command line.

``Client`` and ``AsyncClient`` have the same methods. Both only carry: what a call sends and how its answer
is read is written once (``calls``), and so is when one is repeated (``flow``).
"""

from match_client.aio import AsyncClient
from match_client.calls import Mode, SearchOptions
from match_client.client import Client
from match_client.errors import (
    ApiError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    ImageUnreadableError,
    MatchClientError,
    NotReachedError,
    NotThereError,
    RateLimitedError,
    ServerFailedError,
    StrangeAnswerError,
    TooLargeError,
    UnavailableError,
)
from match_client.flow import Retry
from match_client.images import Image
from match_client.results import Comparison, Json, Match, Overlap

__all__ = [
    "ApiError",
    "AsyncClient",
    "BadRequestError",
    "Client",
    "Comparison",
    "ConflictError",
    "ForbiddenError",
    "Image",
    "ImageUnreadableError",
    "Json",
    "Match",
    "MatchClientError",
    "Mode",
    "NotReachedError",
    "NotThereError",
    "Overlap",
    "RateLimitedError",
    "Retry",
    "SearchOptions",
    "ServerFailedError",
    "StrangeAnswerError",
    "TooLargeError",
    "UnavailableError",
]
