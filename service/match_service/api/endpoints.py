"""All endpoints: the one place that says which there are, what they take and who may use them."""

from typing import Any, Final

from match_service.api.describe import NDJSON, Endpoint, Parameter
from match_service.engine.overlap import MODES

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

_JOB: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["state", "progress", "images", "count", "min_score", "all_orientations", "started", "error"],
    "properties": {
        "state": {"enum": ["running", "done", "failed", "cancelled"]},
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "images": {"type": "integer"},
        "count": {"type": "integer", "description": "Groups found."},
        "min_score": _SCORE,
        "all_orientations": {"type": "boolean"},
        "started": {"type": "number", "description": "Seconds since 1970."},
        "error": {"type": "string", "description": "One sentence where it failed."},
    },
}
_GROUP: Final = {"type": "array", "items": _ROW}

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
_TWO_IMAGES: Final = (
    Parameter("image1", "image", "The first image, as a file.", required=True),
    Parameter("image2", "image", "The second image, as a file.", required=True),
)
COMPARE: Final = Endpoint(
    "compare",
    ("POST",),
    "read",
    "The score of two images.",
    _TWO_IMAGES,
    result={"type": "object", "required": ["score"], "properties": {"score": _SCORE}},
)
OVERLAP: Final = Endpoint(
    "overlap",
    ("POST",),
    "read",
    "A JPEG of at most 960 x 960 pixels: the second image, turned as the first is, laid over it.",
    (
        *_TWO_IMAGES,
        Parameter("mode", "choice", "Half of each, or what differs.", default=MODES[0], choices=MODES),
        Parameter("all_orientations", "flag", "Also turned, mirrored and inverted.", default=True),
    ),
    result=None,
    gives="image/jpeg",
)
COUNT: Final = Endpoint("count", ("GET", "POST"), "read", "Number of images.", result={"type": "integer"})
LIST: Final = Endpoint(
    "list",
    ("GET", "POST"),
    "read",
    "Filepaths in code-point order.",
    (
        _OFFSET,
        Parameter("limit", "integer", "Most filepaths.", default=20, most=MAX_LIMIT),
        Parameter("after", "filepath", "Only what follows this filepath: pages without counting."),
        _FILTER,
        Parameter("details", "flag", "What /image gives instead of filepaths alone.", default=False),
    ),
    query=True,
    result={"anyOf": [_TEXT, _RECORD]},
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
THUMBNAIL: Final = Endpoint(
    "thumbnail",
    ("GET",),
    "read",
    "A JPEG of at most 480 x 480 pixels of the image at this filepath, where thumbnails are kept.",
    (Parameter("filepath", "filepath", "The image's name.", required=True),),
    query=True,
    result=None,
    gives="image/jpeg",
    errors=(404,),
)
START_DUPLICATES: Final = Endpoint(
    "start_duplicates",
    ("POST",),
    "write",
    "Begin to look for groups of images that look alike; while that runs already, tells of it.",
    (
        Parameter("min_score", "number", "Least score; default 80.", least=55, most=100),
        Parameter("all_orientations", "flag", "Also turned, mirrored and inverted ones.", default=False),
    ),
    result=_JOB,
    at="duplicates",
)
CANCEL_DUPLICATES: Final = Endpoint(
    "cancel_duplicates",
    ("DELETE",),
    "write",
    "Have the search for duplicates that runs stop.",
    result=_JOB,
    at="duplicates",
)
DUPLICATES: Final = Endpoint(
    "duplicates",
    ("GET",),
    "read",
    "How far the last search for duplicates is, and a page of the groups it found, largest first.",
    (_OFFSET, Parameter("limit", "integer", "Most groups.", default=20, most=1000)),
    query=True,
    result={**_JOB, "properties": {**_JOB["properties"], "groups": {"type": "array", "items": _GROUP}}},
)
PING: Final = Endpoint("ping", ("GET", "POST"), None, "Answers, and touches nothing.")
LIVEZ: Final = Endpoint("livez", ("GET",), None, "Whether the process lives.")
READYZ: Final = Endpoint("readyz", ("GET",), None, "Whether a search can be answered now.")
METRICS: Final = Endpoint(
    "metrics", ("GET",), "read", "Metrics for Prometheus.", result=None, gives="text/plain"
)
OPENAPI: Final = Endpoint("openapi.json", ("GET",), None, "This document.", result=None)

ENDPOINTS: Final = (
    ADD, DELETE, SEARCH, COMPARE, OVERLAP, COUNT, LIST, IMAGE, THUMBNAIL, START_DUPLICATES, CANCEL_DUPLICATES,
    DUPLICATES, PURGE, EXPORT, IMPORT, PING, LIVEZ, READYZ, METRICS, OPENAPI,
)  # fmt: skip
SCOPES: Final = {endpoint.name.partition(".")[0]: endpoint.scope for endpoint in ENDPOINTS}
"""By the name Flask has for the endpoint."""
