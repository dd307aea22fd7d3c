"""Decisions become Events: one for each, however often it is taken, and none holds up what it tells of."""

import pytest

import world
from match_operator.clients.events import PAUSE, Recorder
from match_operator.errors import KubernetesError


class Board:
    """Where Events are written; counts those of one name, as the API server's keeper does."""

    def __init__(self, *, refuses=False):
        self.events, self.counts, self.refuses = {}, {}, refuses

    def record(self, event):
        if self.refuses:
            raise KubernetesError("forbidden")
        name = event["metadata"]["name"]
        self.events[name] = event
        self.counts[name] = self.counts.get(name, 0) + 1


@pytest.fixture(name="board")
def _board():
    return Board()


def recorder(board, clock=None):
    return Recorder(board, clock or (lambda: 0.0))


def test_a_decision_says_what_and_about_whom(board):
    recorder(board).say(world.body(), "ReplacingNode", "replacing pod photos-es-default-0", warning=True)
    (event,) = board.events.values()
    assert (event["type"], event["reason"]) == ("Warning", "ReplacingNode")
    assert event["involvedObject"]["uid"] == world.UID
    assert event["metadata"]["namespace"] == event["involvedObject"]["namespace"] == "lab"


def test_the_same_decision_at_each_look_is_one_write_a_minute(board):
    times = iter([0.0, 1.0, PAUSE - 1, PAUSE + 1])
    says = recorder(board, lambda: next(times))
    for _ in range(4):
        says.say(world.body(), "Repairing", "repairing spec.replicas of Deployment photos-api")
    assert list(board.counts.values()) == [2]


def test_another_operator_finds_the_event_of_the_one_before(board):
    for _ in range(2):
        recorder(board).say(world.body(), "Ready", "images can be added")
    assert list(board.counts.values()) == [2]


@pytest.mark.parametrize(
    ("body", "reason", "message", "warning"),
    [
        (world.body(uid="another"), "Ready", "m", False),
        (world.body(), "Degraded", "m", False),
        (world.body(), "Ready", "other", False),
        (world.body(), "Ready", "m", True),
    ],
)
def test_whatever_differs_is_another_event(board, body, reason, message, warning):
    says = recorder(board)
    says.say(world.body(), "Ready", "m")
    says.say(body, reason, message, warning=warning)
    assert len(board.events) == 2


def test_an_event_that_is_refused_holds_nothing_up():
    recorder(Board(refuses=True)).say(world.body(), "Ready", "m")
