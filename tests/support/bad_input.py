"""What the service answers to requests that are wrong or merely odd: one table, tested and printed.

tests/contract/test_bad_input.py sends every row to the real server; docs/bad-input.md is this file's
output: ``python tests/support/bad_input.py > docs/bad-input.md``.
"""

import zlib
from functools import cache

from bad_newer import NEWER
from odd_request import ADD, COUNT, NOT_THAT_METHOD, SEARCH, Case, Request, add, post
from pictures import encode, flat, jpeg, picture

LIMITS = {
    "MATCH_MAX_BODY_BYTES": "1048576",
    "MATCH_FETCH_MAX_BYTES": "1048576",
    "MATCH_FETCH_TIMEOUT_SECONDS": "2",
    "MATCH_FETCH_PRIVATE_HOSTS": "localhost",
}
"""Settings the table is made under, lowered so that large and slow are quick to show."""

PICTURES = "http://pictures.example"
"""Stands for a web server the test starts; see test_bad_input.py."""

URLENCODED = "application/x-www-form-urlencoded"


@cache
def file(name: str) -> bytes:
    """Contents of the files named in the table."""
    photo = jpeg(1)
    return {
        "photo.jpg": lambda: photo,
        "other.png": lambda: encode(picture(2), "PNG"),
        "truncated.jpg": lambda: photo[: len(photo) // 2],
        "truncated.png": lambda: encode(picture(2), "PNG")[:3000],
        "header-only.jpg": lambda: photo[:20],
        "empty.jpg": lambda: b"",
        "page.html": lambda: b"<!doctype html><title>404</title>",
        "drawing.svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "program.elf": lambda: b"\x7fELF" + bytes(range(256)) * 4,
        "flat.png": flat,
        "bomb.png": _bomb,
        "large.bin": lambda: b"\xff" * 3_000_000,
    }[name]()


def _bomb() -> bytes:
    """A PNG of a few bytes whose header claims 12,000 x 12,000 pixels."""
    data = bytearray(encode(picture(3, 16, 16), "PNG"))
    data[16:24] = (12_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


FETCH = Request("POST", "/search", {"url": f"{PICTURES}/photo.jpg"})
OVERLAP = post("/overlap", image1="photo.jpg", image2="other.png")
COMPARE = post("/compare", image1="photo.jpg", image2="other.png")
LIST, PING = (Request("GET", path) for path in ("/list", "/ping"))
DELETE = Request("DELETE", "/delete", {"filepath": "a"})

TAGGED = add({"metadata": '{"tag": ["x", 1, null]}'})

FORM_NEEDED = f"Parameters must be sent as {URLENCODED} or multipart/form-data."
UNKNOWN = "The data is not an image in a format that is read here, such as JPEG, PNG, GIF or WebP."
TRUNCATED = "The image cannot be decoded: image file is truncated…"
PRIVATE = "The URL's host is not on the public internet."
CONTROLS = "filepath must not hold control characters."

METHODS = [
    Case(Request("GET", "/add"), 405, NOT_THAT_METHOD, ADD),
    Case(Request("PUT", "/add", {"filepath": "a"}), 405, NOT_THAT_METHOD, ADD),
    Case(Request("POST", "/delete", {"filepath": "a"}), 405, NOT_THAT_METHOD, DELETE),
    Case(Request("GET", "/delete?filepath=a"), 405, NOT_THAT_METHOD, DELETE),
    Case(Request("GET", "/search"), 405, NOT_THAT_METHOD, SEARCH),
    Case(Request("DELETE", "/search"), 405, NOT_THAT_METHOD, SEARCH),
    Case(Request("GET", "/compare"), 405, NOT_THAT_METHOD, COMPARE),
    Case(Request("DELETE", "/count"), 405, NOT_THAT_METHOD, COUNT),
    Case(Request("PATCH", "/list"), 405, NOT_THAT_METHOD, LIST),
    Case(Request("DELETE", "/ping"), 405, NOT_THAT_METHOD, PING),
    Case(Request("BREW", "/count"), 405, NOT_THAT_METHOD, COUNT),
    Case(Request("GET", "/nothing"), 404, "There is no such path.", COUNT),
    Case(Request("POST", "/add/"), 404, "There is no such path.", ADD),
    Case(Request("GET", "/list/../../etc/passwd"), 404, "There is no such path.", LIST),
]

BODIES = [
    Case(Request("POST", "/add"), 400, "filepath is required.", ADD),
    Case(
        Request("POST", "/add", body=b'{"filepath": "a"}', content_type="application/json"),
        415,
        FORM_NEEDED,
        ADD,
    ),
    Case(
        Request("POST", "/search", body=b"\xff\xd8\xff", content_type="image/jpeg"), 415, FORM_NEEDED, SEARCH
    ),
    Case(Request("POST", "/search", body=b"image=x"), 415, FORM_NEEDED, SEARCH),
    Case(
        Request("POST", "/add", body=b"no parts here", content_type="multipart/form-data"),
        400,
        "The body is not well-formed multipart/form-data.",
        ADD,
    ),
    Case(
        Request("POST", "/add", body=b"--b\r\nbroken", content_type="multipart/form-data; boundary=b"),
        400,
        "The body is not well-formed multipart/form-data.",
        ADD,
    ),
    Case(
        Request("POST", "/add", body=b"filepath=\xff\xfe", content_type=URLENCODED),
        400,
        "The body must be urlencoded UTF-8 of at most 1000 fields.",
        ADD,
    ),
    Case(
        Request("POST", "/add", body=b"filepath=%ED%A0%80", content_type=URLENCODED),
        400,
        "The body must be urlencoded UTF-8 of at most 1000 fields.",
        ADD,
    ),
    Case(
        Request("POST", "/add", body=b"x=1&" * 2000, content_type=URLENCODED),
        400,
        "The body must be urlencoded UTF-8 of at most 1000 fields.",
        ADD,
    ),
    Case(add(image="large.bin"), 413, "The request is larger than this service accepts.", ADD),
    Case(post("/search", image="large.bin"), 413, "The request is larger than this service accepts.", SEARCH),
    Case(
        Request("POST", "/add", {"filepath": "x" * 600_000}),
        413,
        "Form fields must be at most 500000 bytes in all.",
        ADD,
    ),
]

NAMES = [
    Case(add({"filepath": ""}), 400, "filepath is required.", ADD),
    Case(post("/add", image="photo.jpg"), 400, "filepath is required.", ADD),
    Case(Request("DELETE", "/delete"), 400, "filepath is required.", DELETE),
    Case(Request("DELETE", "/delete?filepath="), 400, "filepath is required.", DELETE),
    Case(
        Request("DELETE", "/delete?filepath=a", {"filepath": "b"}),
        400,
        "filepath was given more than once, with different values.",
        DELETE,
    ),
    Case(Request("DELETE", "/delete", {"filepath": "a\x00b"}), 400, CONTROLS, DELETE),
    Case(add({"filepath": "a\nb"}), 400, CONTROLS, ADD),
    Case(
        add({"filepath": "x" * 8193}),
        400,
        "filepath must be at most 8192 bytes long in UTF-8.",
        add({"filepath": "x" * 8192}),
    ),
    Case(
        add({"filepath": "é" * 4097}),
        400,
        "filepath must be at most 8192 bytes long in UTF-8.",
        add({"filepath": "é" * 4096}),
    ),
    Case(add({"filepath": "a\ufffd"}), 400, "filepath must be valid UTF-8 and must not hold U+FFFD.", ADD),
]

IMAGES = [
    Case(Request("POST", "/add", {"filepath": "a"}), 400, "url or image is required.", ADD),
    Case(Request("POST", "/search"), 400, "url or image is required.", SEARCH),
    Case(post("/compare", image1="photo.jpg"), 400, "url2 or image2 is required.", COMPARE),
    Case(post("/compare", image2="photo.jpg"), 400, "url1 or image1 is required.", COMPARE),
    Case(
        post("/overlap", {"mode": "sum"}, image1="photo.jpg", image2="other.png"),
        400,
        "mode must be blend or difference.",
        OVERLAP,
    ),
    Case(
        Request("POST", "/search", {"image": "photo.jpg"}),
        400,
        "image must be a file uploaded as multipart/form-data.",
        SEARCH,
    ),
    Case(
        post("/search", {"url": f"{PICTURES}/photo.jpg"}, image="photo.jpg"),
        400,
        "Give either url or image, not both.",
        FETCH,
    ),
    Case(add(image="empty.jpg"), 400, "image is an empty file.", ADD),
    Case(add(image="truncated.jpg"), 400, TRUNCATED, ADD),
    Case(post("/search", image="truncated.png"), 400, TRUNCATED, post("/search", image="other.png")),
    Case(post("/search", image="header-only.jpg"), 400, UNKNOWN, SEARCH),
    Case(post("/search", image="page.html"), 400, UNKNOWN, SEARCH),
    Case(post("/search", image="drawing.svg"), 400, UNKNOWN, SEARCH),
    Case(post("/compare", image1="program.elf", image2="photo.jpg"), 400, UNKNOWN, COMPARE),
    Case(post("/overlap", image1="photo.jpg", image2="program.elf"), 400, UNKNOWN, OVERLAP),
    Case(
        add(image="bomb.png"),
        400,
        "The image has 12000 x 12000 pixels; at most 100,000,000 in all are allowed.",
        ADD,
    ),
    Case(
        add(image="flat.png"),
        400,
        "The image is flat: it has no differences in brightness by which it could be found.",
        ADD,
    ),
    Case(
        post("/search", image="flat.png"),
        400,
        "The image is flat: it has no differences in brightness by which it could be found.",
        SEARCH,
    ),
]


def _url(url: str, sentence: str) -> Case:
    return Case(Request("POST", "/search", {"url": url}), 400, sentence, FETCH)


URLS = [
    _url("/etc/passwd", "The URL must begin with http:// or https://."),
    _url("file:///etc/passwd", "The URL must begin with http:// or https://."),
    _url("ftp://example.com/a.jpg", "The URL must begin with http:// or https://."),
    _url("http://", "The URL must name a host."),
    _url("http://[::1", "The URL is malformed."),
    _url("http://example.com:99999/", "The URL is malformed."),
    _url("http://user:secret@example.com/", "The URL must not hold a user name or a password."),
    _url("http://example.com/a b", "The URL must not hold spaces, control characters or backslashes."),
    _url("http://127.0.0.1:9200/_search", PRIVATE),
    _url("http://2130706433/", PRIVATE),
    _url("http://[::ffff:10.0.0.1]/", PRIVATE),
    _url("http://169.254.169.254/latest/meta-data/", PRIVATE),
    _url("http://nowhere.invalid/a.jpg", "The URL's host could not be resolved."),
    _url(f"{PICTURES}/missing", "The URL's server answered with status 404."),
    _url(f"{PICTURES}/page.html", UNKNOWN),
    _url(f"{PICTURES}/large.bin", "The URL's content is larger than 1048576 bytes."),
    _url(f"{PICTURES}/loop", "The URL redirects more than 5 times."),
    _url(f"{PICTURES}/inward", PRIVATE),
    _url(f"{PICTURES}/drip", "The URL took longer than 2 seconds to fetch."),
    _url(f"{PICTURES}/cut", "The URL's server could not be reached or broke off its answer."),
    _url("http://example.com/" + "a" * 9000, "The URL must be at most 8192 characters long."),
]


def _metadata(text: str, sentence: str) -> Case:
    return Case(add({"metadata": text}), 400, sentence, TAGGED)


METADATA = [
    _metadata(
        "{bad", "metadata must be JSON: Expecting property name enclosed in double quotes at character 2."
    ),
    _metadata("cat", "metadata must be JSON: Expecting value at character 1."),
    _metadata("NaN", "metadata must not hold NaN: it is not JSON."),
    _metadata('{"x": -Infinity}', "metadata must not hold -Infinity: it is not JSON."),
    _metadata("1e999", "metadata holds a number that is too large or has too many digits."),
    _metadata("9" * 101, "metadata holds a number of more than 100 digits."),
    _metadata('{"a": 1, "a": 2}', "metadata must not repeat a key within an object."),
    _metadata('"\\ud800"', "metadata must not hold half of a surrogate pair."),
    _metadata("[" * 33 + "]" * 33, "metadata must be nested at most 32 levels deep."),
    _metadata("[" * 30_000, "metadata must be nested at most 32 levels deep."),
    _metadata('"' + "x" * 65_536 + '"', "metadata must be at most 65536 bytes long."),
]

VALUES = [
    Case(
        post("/search", {"all_orientations": "maybe"}, image="photo.jpg"),
        400,
        "all_orientations must be true or false.",
        post("/search", {"all_orientations": "No"}, image="photo.jpg"),
    ),
    Case(
        Request("GET", "/list?offset=abc"),
        400,
        "offset must be a whole number.",
        Request("GET", "/list?offset=1"),
    ),
    Case(
        Request("GET", "/list?limit=1.5"),
        400,
        "limit must be a whole number.",
        Request("GET", "/list?limit=1"),
    ),
    Case(Request("GET", "/list?limit=%D9%A3"), 400, "limit must be a whole number.", LIST),
    Case(
        Request("GET", "/list?limit=10001"),
        400,
        "limit must be at most 10000.",
        Request("GET", "/list?limit=10000"),
    ),
    Case(
        Request("GET", "/list?offset=" + "9" * 30),
        400,
        "offset must be a whole number.",
        Request("GET", "/list?offset=999999999999999"),
    ),
    Case(
        Request("GET", "/list?limit=1&limit=2"),
        400,
        "limit was given more than once, with different values.",
        LIST,
    ),
    Case(
        Request("GET", "/list?limit=%ff"),
        400,
        "The query string must be urlencoded UTF-8 of at most 1000 fields.",
        LIST,
    ),
]

ODD = [
    *(
        Case(add({"filepath": name}), 200)
        for name in (
            "/etc/passwd",
            "../../../../etc/shadow",
            "C:\\windows\\win.ini",
            "file:///etc/passwd",
            "https://example.com/a.jpg?x=1&y=%20#z",
            "пример/猫/🐈.jpg",
            "cafe\u0301",
            "caf\u00e9",
            '"quoted" AND path:*',
            " leading and trailing ",
            "*",
        )
    ),
    Case(add({"metadata": ""}), 200),
    Case(add({"metadata": "0"}), 200),
    Case(add({"metadata": '"text"'}), 200),
    Case(add({"unknown": "ignored"}), 200),
    Case(add({"url": ""}), 200),
    Case(post("/search", {"all_orientations": "TRUE"}, image="photo.jpg"), 200),
    Case(Request("DELETE", "/delete", {"filepath": "never added"}), 200),
    Case(Request("DELETE", "/delete?filepath=never%20added"), 200),
    Case(Request("GET", "/list?offset=-5&limit=-1"), 200),
    Case(Request("GET", "/list?offset=1000000"), 200),
    Case(Request("GET", "/list?limit="), 200),
    Case(Request("POST", "/list", {"limit": "1"}), 200),
    Case(Request("POST", "/count", body=b"[]", content_type="application/json"), 200),
    Case(post("/compare", image1="flat.png", image2="photo.jpg"), 200),
    Case(post("/compare", image1="flat.png", image2="flat.png"), 200),
]

GROUPS = {
    "Paths and methods": METHODS,
    "Bodies": BODIES,
    "File paths": NAMES,
    "Images": IMAGES,
    "URLs": URLS,
    "Metadata": METADATA,
    "Other values": VALUES,
    "Beyond the original": NEWER,
    "Odd but well-formed": ODD,
}
CASES = [case for cases in GROUPS.values() for case in cases]

INTRODUCTION = f"""\
# Bad input

Every row is sent by a test to the real server, over both stores, and gets this answer; no row gets a 5xx.
Beside each refusal stands a well-formed request that the same test sees succeed. All answers are JSON in
the envelope of [http-api.md](http-api.md#the-envelope).

`@name` is an uploaded file. `{PICTURES}` stands for a web server that has `photo.jpg` (and `loop`,
a redirect to itself; `inward`, a redirect to 127.0.0.1; `drip`, a byte now and then; `cut`, an answer
that breaks off). To show large and
slow quickly the server ran with {", ".join(f"`{k}={v}`" for k, v in LIMITS.items())}.
Regenerate this page with `python tests/support/bad_input.py > docs/bad-input.md`.
"""


def markdown() -> str:
    """The page docs/bad-input.md."""
    lines = [INTRODUCTION]
    for title, cases in GROUPS.items():
        lines += [f"## {title}", "", "| request | answer | well-formed twin (200) |", "| --- | --- | --- |"]
        for case in cases:
            answer = f"{case.status} {case.sentence}".strip()
            lines.append(f"| {case.request} | {answer} | {case.twin or ''} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
