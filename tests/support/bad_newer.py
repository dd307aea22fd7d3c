"""The part of the table of bad input that is about what the original API did not have."""

from odd_request import COUNT, NOT_THAT_METHOD, SEARCH, Case, Request, add, post

SIMILAR = add({"unless_similar": "100"}, "other.png")
PURGE = post("/purge", {"filter": '{"owner": "nobody"}'})
BATCH = Request("POST", "/add", {"filepaths[0]": "a"}, {"images[0]": "photo.jpg"})
NEWER = [
    *(
        Case(
            post("/search", {"min_score": text}, image="photo.jpg"),
            400,
            "min_score must be a number from 40 to 100.",
            post("/search", {"min_score": "99.5"}, image="photo.jpg"),
        )
        for text in ("high", "39.9", "100.1", "NaN", "1e2", "-50")
    ),
    Case(add({"unless_similar": "5"}), 400, "unless_similar must be a number from 40 to 100.", SIMILAR),
    Case(add({"if_new": "2"}), 400, "if_new must be true or false.", add({"if_new": "0"})),
    Case(
        post("/search", {"limit": "10001"}, image="photo.jpg"),
        400,
        "limit must be at most 10000.",
        post("/search", {"limit": "10000"}, image="photo.jpg"),
    ),
    *(
        Case(
            post("/search", {"filter": text}, image="photo.jpg"),
            400,
            sentence,
            post("/search", {"filter": '{"a": 1}'}, image="photo.jpg"),
        )
        for text, sentence in (
            ("[1]", "filter must be a JSON object."),
            ("{", "filter must be JSON: Expecting property name enclosed in double quotes at character 2."),
            ('{"a": 1, "a": 2}', "filter must not repeat a key within an object."),
        )
    ),
    Case(post("/search", {"filepath": "never added"}), 404, "No image is stored at that filepath.", SEARCH),
    Case(
        post("/search", {"filepath": "a"}, image="photo.jpg"),
        400,
        "Give either filepath or an image, not both.",
        SEARCH,
    ),
    Case(Request("GET", "/image"), 400, "filepath is required.", COUNT),
    Case(Request("GET", "/image?filepath=never"), 404, "No image is stored at that filepath.", COUNT),
    Case(post("/purge"), 400, "filter is required.", PURGE),
    Case(post("/purge", {"filter": "{}"}), 400, "filter must have at least one key.", PURGE),
    Case(Request("GET", "/purge"), 405, NOT_THAT_METHOD, PURGE),
    Case(
        Request("POST", "/add", {"filepaths[0]": "a", "filepath": "a"}, {"images[0]": "photo.jpg"}),
        400,
        "Give either filepath or filepaths[0], filepaths[1], ..., not both.",
        BATCH,
    ),
    Case(
        Request("POST", "/import", body=b"{}", content_type="application/json"),
        415,
        "The body must be sent as application/x-ndjson.",
        Request("POST", "/import", body=b"{}", content_type="application/x-ndjson"),
    ),
    Case(Request("GET", "/export?filter=1"), 400, "filter must be a JSON object.", COUNT),
]
