"""Words of signatures: what documents in every index hold, so they may never change."""

import hashlib

import numpy as np

from match_service.engine.layout import HALF, from_half
from match_service.model import Signature
from match_service.store import words


def signature(seed: int) -> Signature:
    values = np.random.default_rng(seed).integers(-2, 3, len(HALF)).astype(np.int8)
    return from_half(values)


def test_the_words_of_a_signature_are_those_that_documents_hold() -> None:
    values = (np.arange(len(HALF)) * 7 % 5 - 2).astype(np.int8)
    made = words.tokens(from_half(values))
    digest = hashlib.sha256(" ".join(made).encode()).hexdigest()
    assert (len(made), digest[:16]) == (60, "2ab5c77f848326d2")


def test_every_word_says_where_it_stands() -> None:
    made = [words.tokens(signature(seed)) for seed in range(20)]
    for position, column in enumerate(zip(*made, strict=True)):
        others = {word for row in made for word in row[:position] + row[position + 1 :]}
        assert not set(column) & others


def test_only_signs_count() -> None:
    plain = signature(1)
    assert words.tokens(np.sign(plain)) == words.tokens(plain)
    assert not set(words.tokens(plain)) & set(words.tokens(-plain)) - set(words.tokens(0 * plain))


def test_a_changed_value_changes_at_most_two_words() -> None:
    before = signature(2)
    for place in range(0, len(HALF), 17):
        half = before[HALF].copy()
        half[place] = -1 if half[place] >= 0 else 1
        after = words.tokens(from_half(half))
        changed = sum(a != b for a, b in zip(words.tokens(before), after, strict=True))
        assert 0 <= changed <= 2


def test_many_at_once_are_the_same_words() -> None:
    signatures = np.stack([signature(seed) for seed in range(3)])
    assert words.tokens_of_many(signatures) == [words.tokens(row) for row in signatures]
