"""What can go wrong in a reconcile, free of kopf and of either client."""


class OperatorError(Exception):
    """Base of all."""


class InvalidSpecError(OperatorError):
    """The spec asks for something that cannot be; the text says what to change.

    It becomes a condition, and no error: only a changed spec can help.
    """

    reason = "InvalidSpec"


class ConflictError(OperatorError):
    """Someone changed the object meanwhile; the next reconcile sees the new state."""


class NotLeadingError(OperatorError):
    """Another operator may be acting; this one must not write."""


class KubernetesError(OperatorError):
    """The API server refused or did not answer."""


class ForbiddenError(KubernetesError):
    """The API server forbids what could be: by a quota or a webhook, or it lacks permission.

    It becomes a condition as well: only a person can help, and no event tells when that has happened.
    """

    reason = "Forbidden"


class PermissionMissingError(ForbiddenError):
    """The operator's own role does not allow it."""

    reason = "PermissionMissing"


class ElasticsearchError(OperatorError):
    """Elasticsearch refused or did not answer."""
