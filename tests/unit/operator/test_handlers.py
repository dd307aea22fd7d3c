"""What kopf is told: it must never give up on a request, since that is the end of the operator."""

import itertools

from match_operator.handlers import Patience


def test_tries_never_end_and_begin_anew_for_each_request():
    patience = Patience()
    first, second = (list(itertools.islice(patience, 500)) for _ in range(2))
    assert first == second
    assert len(first) == 500
    assert max(first) <= 60
    assert not hasattr(patience, "__len__")  # from which kopf would count tries
