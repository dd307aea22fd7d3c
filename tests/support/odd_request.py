"""The rows of the table of bad input: a request, as it is sent and as it is printed, and its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False)
class Request:
    """One request; files by name, or a raw body with its content type instead of form fields."""

    method: str
    path: str
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = ""

    def __str__(self) -> str:
        parts = [f"{name}={_short(value)}" for name, value in self.fields.items()]
        parts += [f"{name}=@{value}" for name, value in self.files.items()]
        if self.body is not None:
            parts.append(f"[{self.content_type or 'no type'}] {_short(self.body.decode('latin-1'))}")
        return f"`{self.method} {_short(self.path)}` " + ", ".join(f"`{part}`" for part in parts)


def _short(value: str) -> str:
    text = value if len(value) <= 72 else f"{value[:24]}… ({len(value.encode()):,} bytes)"
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return shown.replace("|", "\\|").replace("`", "'")


@dataclass(frozen=True)
class Case:
    """A request, the answer it gets, and for a refusal the well-formed request nearest to it.

    A sentence that ends in "…" is the beginning of the real one, which names details.
    """

    request: Request
    status: int
    sentence: str = ""
    twin: Request | None = None


def post(path: str, fields: Mapping[str, str] | None = None, **files: str) -> Request:
    return Request("POST", path, fields or {}, files)


def add(fields: Mapping[str, str] | None = None, image: str = "photo.jpg") -> Request:
    return post("/add", {"filepath": "a", **(fields or {})}, image=image)


ADD = add()
SEARCH = post("/search", image="photo.jpg")
COUNT = Request("GET", "/count")
NOT_THAT_METHOD = "This path does not answer that HTTP method."
