"""What can go wrong in a reconcile, free of kopf and of either client."""


class OperatorError(Exception):
    """Base of all."""


class InvalidSpecError(OperatorError):
    """The spec asks for something that cannot be; the text says what to change.

    It becomes a condition, never a retry: only a changed spec can help.
    """


class ConflictError(OperatorError):
    """Someone changed the object meanwhile; the next reconcile sees the new state."""


class NotLeadingError(OperatorError):
    """Another operator may be acting; this one must not write."""


class KubernetesError(OperatorError):
    """The API server refused or did not answer."""


class ElasticsearchError(OperatorError):
    """Elasticsearch refused or did not answer."""
