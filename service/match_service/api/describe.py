"""What an endpoint takes and gives, said once: requests are read by it, OpenAPI is made of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from match_index import MAX_FILEPATH_BYTES
from match_service.api.params import Fetch, Params
from match_service.fetch import MAX_URL_LENGTH

Schema = dict[str, Any]
Kind = Literal["filepath", "image", "flag", "integer", "number", "metadata", "filter", "choice"]
MULTIPART: Final = "multipart/form-data"
NDJSON: Final = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; an ``image`` is two, of which a request has one: an address and an uploaded file."""

    name: str
    kind: Kind
    doc: str
    default: Any = None
    least: float = 0
    most: float = 0
    required: bool = False
    choices: tuple[str, ...] = ()
    indexed: str = ""
    """Its name in a batch, as ``filepaths`` for ``filepaths[0]``, where it may be there."""

    @property
    def url(self) -> str:
        """Name of the address of an image called ``image``, ``image1``, ..."""
        return self.name.replace("image", "url")

    def read(self, params: Params, fetch: Fetch) -> Any:
        """Its value in a request; raises ``BadRequestError`` for one that cannot be meant."""
        readers: dict[Kind, Callable[[], Any]] = {
            "filepath": lambda: params.filepath(self.name, required=self.required),
            "image": lambda: params.image(fetch, self.url, self.name, required=self.required),
            "flag": lambda: params.flag(self.name, default=self.default),
            "integer": lambda: params.count(self.name, default=self.default, most=int(self.most)),
            "number": lambda: params.number(self.name, self.least, self.most),
            "metadata": lambda: params.metadata(self.name),
            "choice": lambda: params.choice(self.name, self.choices, default=self.default),
            "filter": lambda: params.filter(self.name, required=self.required),
        }
        return readers[self.kind]()

    def schemas(self) -> dict[str, Schema]:
        """JSON schemas of the fields a request may have for it, by their names."""
        if self.kind == "image":
            address = {"type": "string", "format": "uri", "maxLength": MAX_URL_LENGTH}
            file = {"type": "string", "format": "binary"}
            return {
                self.name: {**file, "description": self.doc},
                self.url: {**address, "description": f"Address of the image, instead of `{self.name}`."},
            }
        kinds: dict[Kind, Schema] = {
            "filepath": {
                "type": "string",
                "format": "filepath",
                "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f\\ufffd]+$",
                "minLength": 1,
                "maxLength": MAX_FILEPATH_BYTES,
            },
            "flag": {"type": "boolean"},
            "integer": {"type": "integer", "minimum": int(self.least), "maximum": int(self.most)},
            "number": {"type": "number", "minimum": self.least, "maximum": self.most},
            "metadata": {"type": "string", "format": "json", "contentMediaType": "application/json"},
            "choice": {"type": "string", "enum": [*self.choices]},
            "filter": {"type": "string", "format": "json-object", "contentMediaType": "application/json"},
        }
        default = {} if self.default is None else {"default": self.default}
        return {self.name: {**kinds[self.kind], **default, "description": self.doc}}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path."""

    name: str
    methods: tuple[str, ...]
    scope: str | None
    """What a key must be good for; None for what needs none."""
    summary: str
    parameters: tuple[Parameter, ...] = ()
    query: bool = False
    """Whether parameters may stand in the query string as well."""
    result: Schema | None = field(default_factory=lambda: {"type": "object"})
    """Of one element of ``result``; None for an answer that has no envelope."""
    gives: str = "application/json"
    takes: str = ""
    """Content type of a body that is not a form."""
    errors: tuple[int, ...] = ()
    """Statuses beside those that every endpoint has."""
    at: str = ""
    """Its path, where several endpoints share one."""

    @property
    def path(self) -> str:
        return f"/{self.at or self.name}"

    def read(self, params: Params, fetch: Fetch) -> dict[str, Any]:
        """Values by name, the cheap ones first, so that nothing is fetched for a request that is wrong."""
        ordered = sorted(self.parameters, key=lambda parameter: parameter.kind == "image")
        return {parameter.name: parameter.read(params, fetch) for parameter in ordered}
