"""Everything the service refuses or cannot do, free of HTTP; ``api/errors.py`` maps it to replies."""


class MatchError(Exception):
    """Base of all; its text is one sentence written for the caller."""


class BadRequestError(MatchError):
    """The request is missing something or holds something that cannot be understood."""


class BadImageError(BadRequestError):
    """The bytes are not an image that can be decoded safely; ``reason`` is a word for counting."""

    def __init__(self, sentence: str, reason: str = "damaged") -> None:
        super().__init__(sentence)
        self.reason = reason


class FeaturelessImageError(BadImageError):
    """The image is flat: its signature is all zero and has no distance to anything."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, "flat")


class FetchError(BadRequestError):
    """The URL given by the caller could not be fetched."""


class StoreUnavailableError(MatchError):
    """The store cannot be reached or cannot promise its answer; trying again later may help."""


class MissingError(MatchError):
    """What was asked for is not there."""


class ConflictError(MatchError):
    """What is there already forbids what was asked for."""


class IssuerAwayError(MatchError):
    """Whoever issues tokens cannot be asked for its keys; trying again later may help."""


class NotAuthenticatedError(MatchError):
    """The request brings no key or token that is good."""


class NotPermittedError(MatchError):
    """Whoever asks may not have this done."""


class RateLimitedError(MatchError):
    """More requests than allowed; ``retry_after`` in seconds."""

    def __init__(self, sentence: str, retry_after: int) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class OverloadedError(MatchError):
    """More is waiting than can be worked off in time; trying again a little later may help."""
