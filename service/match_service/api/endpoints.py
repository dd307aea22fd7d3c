"""All endpoints: the one place that says which there are, what they take and who may use them."""

from typing import Any, Final

from match_service.api.describe import NDJSON, Endpoint, Parameter

MAX_LIMIT: Final = 10_000
MAX_OFFSET: Final = 10**15
LEAST_SCORE: Final = 40.0
"""Below it answers would be strangers: libpuzzle, the loosest user of this signature, stops there."""

_TEXT: Final = {"type": "string"}
_ANY: Final[dict[str, Any]] = {"description": "any JSON value"}
_SCORE: Final = {"type": "number", "minimum": 0, "maximum": 100}
_ROW: Final = {
    "type": "object",
    "required": ["score", "filepath", "metadata"],
    "properties": {"score": _SCORE, "filepath": _TEXT, "metadata": _ANY, "orientation": _TEXT},
}
_RECORD: Final = {
    "type": "object",
    "required": ["filepath", "metadata", "sha256", "added"],
    "properties": {"filepath": _TEXT, "metadata": _ANY, "sha256": _TEXT, "added": {"type": "string"}},
}
_ITEM: Final = {
    "type": "object",
    "required": ["filepath", "status", "error"],
    "properties": {
        "filepath": {"type": ["string", "null"]},
        "status": {"enum": ["ok", "fail"]},
        "error": {"type": "array", "items": _TEXT},
    },
}
_PURGED: Final = {
    "type": "object",
    "required": ["matched", "deleted", "filepaths"],
    "properties": {
        "matched": {"type": "integer"},
        "deleted": {"type": "integer"},
        "filepaths": {"type": "array", "items": _TEXT},
    },
}
_IMPORTED: Final = {
    "type": "object",
    "required": ["imported", "failed", "errors"],
    "properties": {
        "imported": {"type": "integer"},
        "failed": {"type": "integer"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}

_IMAGE: Final = Parameter("image", "image", "The image, as a file.", required=True)
_FILTER: Final = Parameter(
    "filter", "filter", "A JSON object; only images whose metadata contains it, as PostgreSQL's @> has it."
)
_OFFSET: Final = Parameter("offset", "integer", "How many to pass over.", default=0, most=MAX_OFFSET)

ADD: Final = Endpoint(
    "add",
    ("POST",),
    "write",
    "Add an image, or replace the one at the same filepath; or several, as filepaths[0], images[0], ...",
    (
        Parameter("filepath", "filepath", "The image's name.", required=True, indexed="filepaths"),
        Parameter("image", "image", "The image, as a file.", required=True, indexed="images"),
        Parameter("metadata", "metadata", "Any JSON value, kept with the image.", indexed="metadata"),
        Parameter("if_new", "flag", "Refuse with 409 if the filepath holds an image.", default=False),
        Parameter(
            "unless_similar",
            "number",
            "Refuse with 409 if an image of at least this score is stored at another filepath.",
            least=LEAST_SCORE,
            most=100,
        ),
    ),
    result=_ITEM,
    errors=(409,),
)
DELETE: Final = Endpoint(
    "delete",
    ("DELETE",),
    "write",
    "Forget the image at exactly this filepath; one that is not there is no error.",
    (Parameter("filepath", "filepath", "The image's name.", required=True),),
    query=True,
)
SEARCH: Final = Endpoint(
    "search",
    ("POST",),
    "read",
    "Similar images, best first.",
    (
        Parameter("image", "image", "The image, as a file."),
        Parameter("filepath", "filepath", "Instead of an image: a stored one, which is left out itself."),
        Parameter("all_orientations", "flag", "Also turned, mirrored and inverted."),
        Parameter("thorough", "flag", "Also larger crops, small turns and frames.", default=False),
        Parameter("min_score", "number", "Least score; default 55.", least=LEAST_SCORE, most=100),
        Parameter("limit", "integer", "Most rows; default: all.", most=MAX_LIMIT),
        _OFFSET,
        _FILTER,
        Parameter("details", "flag", "Also say in which orientation each matched.", default=False),
    ),
    result=_ROW,
    errors=(404,),
)
COMPARE: Final = Endpoint(
    "compare",
    ("POST",),
    "read",
    "The score of two images.",
    (
        Parameter("image1", "image", "The first image, as a file.", required=True),
        Parameter("image2", "image", "The second image, as a file.", required=True),
    ),
    result={"type": "object", "required": ["score"], "properties": {"score": _SCORE}},
)
COUNT: Final = Endpoint("count", ("GET", "POST"), "read", "Number of images.", result={"type": "integer"})
LIST: Final = Endpoint(
    "list",
    ("GET", "POST"),
    "read",
    "Filepaths in code-point order.",
    (_OFFSET, Parameter("limit", "integer", "Most filepaths.", default=20, most=MAX_LIMIT)),
    query=True,
    result=_TEXT,
)
IMAGE: Final = Endpoint(
    "image",
    ("GET",),
    "read",
    "What is kept of the image at this filepath.",
    (Parameter("filepath", "filepath", "The image's name.", required=True),),
    query=True,
    result=_RECORD,
    errors=(404,),
)
PURGE: Final = Endpoint(
    "purge",
    ("POST",),
    "admin",
    "Delete all images whose metadata contains the filter; only say which with dry_run, the default.",
    (
        Parameter("filter", "filter", "A JSON object with at least one key.", required=True),
        Parameter("dry_run", "flag", "Delete nothing.", default=True),
    ),
    result=_PURGED,
)
EXPORT: Final = Endpoint(
    "export",
    ("GET",),
    "admin",
    "All images with their signatures, one JSON object a line, as /import reads them.",
    (_FILTER,),
    query=True,
    result=None,
    gives=NDJSON,
)
IMPORT: Final = Endpoint(
    "import",
    ("POST",),
    "admin",
    "Add images from lines as /export gives them; a line that is wrong is told and passed over.",
    result=_IMPORTED,
    takes=NDJSON,
)
PING: Final = Endpoint("ping", ("GET", "POST"), None, "Answers, and touches nothing.")
LIVEZ: Final = Endpoint("livez", ("GET",), None, "Whether the process lives.")
READYZ: Final = Endpoint("readyz", ("GET",), None, "Whether a search can be answered now.")
METRICS: Final = Endpoint(
    "metrics", ("GET",), "read", "Metrics for Prometheus.", result=None, gives="text/plain"
)
OPENAPI: Final = Endpoint("openapi.json", ("GET",), None, "This document.", result=None)

ENDPOINTS: Final = (
    ADD, DELETE, SEARCH, COMPARE, COUNT, LIST, IMAGE, PURGE, EXPORT, IMPORT, PING, LIVEZ, READYZ, METRICS,
    OPENAPI,
)  # fmt: skip
SCOPES: Final = {endpoint.name.partition(".")[0]: endpoint.scope for endpoint in ENDPOINTS}
"""By the name Flask has for the endpoint."""
