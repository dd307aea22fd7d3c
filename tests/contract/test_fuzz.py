"""A few hundred made-up requests: none is answered with a fault, and enough of them with an answer."""

from fuzz import fuzzed

REQUESTS = 1500
"""In all; each operation that has parameters gets its share, the others one each."""


def test_no_made_up_request_is_a_fault() -> None:
    with fuzzed(REQUESTS) as (service, table):
        assert [fault for outcome in table.values() for fault in outcome.faults] == []
        assert service.send("GET", "/readyz").status == 200
        assert "Traceback" not in "".join(service.log)
    answered = {name: outcome.share(2) for name, outcome in table.items()}
    assert [name for name, share in answered.items() if share < 0.3] == []
    assert sum(outcome.requests for outcome in table.values()) > REQUESTS / 3
