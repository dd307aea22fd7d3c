"""Made-up requests and damaged images, a few thousand: none is a fault, and enough requests get an answer."""

import mutants
from fuzz import run
from match_service.engine.decode import FORMATS

REQUESTS = 800
IMAGES = 400


def test_no_made_up_request_and_no_damaged_image_is_a_fault() -> None:
    made = run(REQUESTS, IMAGES)
    assert made.faults == []
    assert sum(outcome.requests for outcome in made.operations.values()) >= REQUESTS
    assert set(made.images) == set(FORMATS)


def test_a_mutant_is_made_again_from_its_number_and_every_format_meets_every_damage() -> None:
    count = len(FORMATS) * len(mutants.MUTATIONS)
    made = [mutants.make(number) for number in range(count)]
    assert made == [mutants.make(number) for number in range(count)]
    assert len({(name, kind) for name, kind, _ in made}) == count
