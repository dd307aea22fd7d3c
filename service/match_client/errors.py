"""What a call raises: one class for each thing a caller might do about it."""


class MatchClientError(Exception):
    """Base of all; its text is one sentence."""


class ImageUnreadableError(MatchClientError):
    """The file to be sent cannot be read."""


class NotReachedError(MatchClientError):
    """No answer came: the service cannot be reached, or the connection was lost or took too long."""


class StrangeAnswerError(MatchClientError):
    """What answered does not speak the Match API, a proxy or another service for instance."""

    def __init__(self, sentence: str, status: int, request_id: str | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.request_id = request_id


class ApiError(MatchClientError):
    """The service refused or failed; ``str`` gives its sentence, with status and request id."""

    def __init__(
        self, status: int, sentence: str, request_id: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(status, sentence, request_id, retry_after)
        self.status = status
        self.sentence = sentence
        self.request_id = request_id
        """What the service's log calls this request, where it says so."""
        self.retry_after = retry_after
        """Seconds after which the service asks to be tried again, if it does."""

    def __str__(self) -> str:
        request = f", request {self.request_id}" if self.request_id else ""
        return f"{self.sentence} ({self.status}{request})"


class BadRequestError(ApiError):
    """400 or 415: a parameter is wrong, an image cannot be decoded, a URL cannot be fetched."""


class ForbiddenError(ApiError):
    """401 or 403: the key is missing, unknown, or may not do this."""


class NotThereError(ApiError):
    """404 or 405: this service has no such endpoint (it may be an older version) or no such image."""


class ConflictError(ApiError):
    """409: what is stored already forbids it."""


class TooLargeError(ApiError):
    """413: the image is larger than this service accepts."""


class RateLimitedError(ApiError):
    """429: too many requests for this key."""


class UnavailableError(ApiError):
    """503: the store behind the service cannot answer now."""


class ServerFailedError(ApiError):
    """Any other status: a fault of the service, whose log says more."""


_CLASSES: dict[int, type[ApiError]] = {
    400: BadRequestError,
    401: ForbiddenError,
    403: ForbiddenError,
    404: NotThereError,
    405: NotThereError,
    409: ConflictError,
    413: TooLargeError,
    415: BadRequestError,
    429: RateLimitedError,
    503: UnavailableError,
}


def of_status(
    status: int, sentence: str, request_id: str | None = None, retry_after: float | None = None
) -> ApiError:
    """The error for ``status``, not raised."""
    return _CLASSES.get(status, ServerFailedError)(status, sentence, request_id, retry_after)
