"""What a matcher does with a store that others change meanwhile."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from match_service.errors import ConflictError
from match_service.matcher import Matcher
from match_service.model import Match
from match_service.store.embedded import EmbeddedStore
from numbered import record


class Busy(EmbeddedStore):
    """After the first search others add the same image, there and elsewhere."""

    searches = 0

    def search(self, *given: Any, **options: Any) -> list[Match]:
        self.searches += 1
        if self.searches == 2:
            self.add(record("elsewhere", 1))
            self.add(record("here", 1))
        return super().search(*given, **options)


def test_what_is_withdrawn_as_similar_is_never_what_another_has_put_there(tmp_path: Path) -> None:
    store = Busy.open(tmp_path / "match.db")
    ours = record("here", 1)
    with pytest.raises(ConflictError, match="elsewhere is similar"):
        Matcher(store).add(ours, unless_similar=60)
    assert store.filepaths(0, 10) == ["elsewhere", "here"]
    kept = store.get("here")
    assert kept is not None
    assert np.array_equal(kept.record.signature, ours.signature)
    store.close()
