"""Which answers of Elasticsearch another try may better, and what a call is for."""

import pytest

from match_service.store import passing

WHOLE = {"_shards": {"total": 3, "successful": 3, "failed": 0}}
LACKING = {"_shards": {"total": 3, "successful": 2, "failed": 1}}
BUSY = {"error": {"type": "search_phase_execution_exception"}, "status": 503}
WRONG = {"error": {"type": "parsing_exception"}, "status": 400}


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/photos/_msearch", "_msearch"),
        ("/photos/_doc/abc?refresh=wait_for", "_doc"),
        ("/_msearch?pretty", "_msearch"),
        ("/", ""),
    ],
)
def test_a_call_is_known_by_its_path(target, kind):
    assert passing.kind(target) == kind


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_or_leaderless_server_passes_whatever_was_asked(status):
    assert passing.passes("_doc", status, {})


@pytest.mark.parametrize("status", [400, 401, 404, 409, 500])
def test_a_refusal_does_not_pass(status):
    assert not passing.passes("_search", status, {})


@pytest.mark.parametrize(
    ("of", "body", "passes"),
    [
        ("_search", WHOLE, False),
        ("_search", LACKING, True),
        ("_count", LACKING, True),
        ("_msearch", {"responses": [WHOLE, WHOLE]}, False),
        ("_msearch", {"responses": [WHOLE, BUSY]}, True),
        ("_msearch", {"responses": [WHOLE, LACKING]}, True),
        ("_msearch", {"responses": [WRONG]}, False),
    ],
)
def test_a_search_that_lacks_a_shard_passes_and_a_wrong_one_does_not(of, body, passes):
    assert passing.passes(of, 200, body) is passes


@pytest.mark.parametrize("of", ["_doc", "_refresh"])
def test_a_write_without_all_copies_is_done(of):
    """Copies that are nowhere count as missing there."""
    assert not passing.passes(of, 200, LACKING)
