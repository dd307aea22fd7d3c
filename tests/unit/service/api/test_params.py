"""Metadata is any JSON value that every reader understands alike."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from match_service.api.params import MAX_METADATA_DEPTH, parse_metadata
from match_service.errors import BadRequestError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(10**99), 10**99) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_any_json_value_is_read_as_it_was_written(value: object) -> None:
    assert parse_metadata(json.dumps(value)) == value


@given(st.text(max_size=200))
def test_any_text_is_either_a_json_value_or_refused_in_a_sentence(text: str) -> None:
    try:
        value = parse_metadata(text)
    except BadRequestError as refusal:
        said = str(refusal)
    else:
        said = "metadata" if value == json.loads(text) else "something else"
    assert said.startswith("metadata")


@pytest.mark.parametrize(("opening", "closing"), ["[]", ('{"a":', "}")])
def test_nesting_is_allowed_to_its_limit_and_not_beyond(opening: str, closing: str) -> None:
    def nested(depth: int) -> str:
        return opening * (depth - 1) + "[]" + closing * (depth - 1)

    assert parse_metadata(nested(MAX_METADATA_DEPTH)) is not None
    with pytest.raises(BadRequestError, match="levels deep"):
        parse_metadata(nested(MAX_METADATA_DEPTH + 1))


def test_brackets_inside_strings_do_not_count_as_nesting() -> None:
    assert parse_metadata(json.dumps('"[[' * 100)) == '"[[' * 100
