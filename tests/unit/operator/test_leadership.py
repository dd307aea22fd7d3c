"""Who acts: never two at once, whatever is late, lost or overtaken; and soon another when one is gone."""

import copy
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from match_operator.config import Config
from match_operator.errors import ConflictError, KubernetesError, NotLeadingError, OperatorError
from match_operator.leadership import DEADLINE, DURATION, PERIOD, Leadership


@dataclass
class Server:
    """An API server that keeps one Lease, in a world whose time the test moves."""

    time: float = 0.0
    kept: dict | None = None
    version: int = 0
    script: list = field(default_factory=list)
    """What happens around the next requests; nothing once it is empty."""
    candidates: list = field(default_factory=list)
    asking: Leadership | None = None

    def lease(self, *_):
        return self._answer(lambda: copy.deepcopy(self.kept))

    def create_lease(self, lease):
        def create():
            if self.kept is not None:
                raise ConflictError("it is there")
            return self._keep(lease)

        return self._answer(create)

    def replace_lease(self, lease):
        def replace():
            if self.kept is None:
                raise KubernetesError("not found")
            if lease["metadata"]["resourceVersion"] != self.kept["metadata"]["resourceVersion"]:
                raise ConflictError("it has changed")
            return self._keep(lease)

        return self._answer(replace)

    def _keep(self, lease):
        self.version += 1
        self.kept = copy.deepcopy(lease)
        self.kept["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.kept)

    def _answer(self, request):
        before, fate, after = self.script.pop(0) if self.script else (0.0, "answered", 0.0)
        self.move(before)
        if fate == "lost":
            raise KubernetesError("it never arrived")
        answer = request()
        if fate == "overtaken":
            rest, self.script = self.script, []
            for candidate in self.candidates:
                if candidate is not self.asking:
                    attempt(candidate)
            self.script = rest
        self.move(after)
        if fate == "unanswered":
            raise KubernetesError("its answer never arrived")
        return answer

    def move(self, seconds):
        self.time += seconds
        self.check()

    def check(self):
        acting = [c.identity for c in self.candidates if acts(c)]
        assert len(acting) < 2, acting


def acts(candidate):
    try:
        candidate.check()
    except NotLeadingError:
        return False
    return True


def attempt(candidate):
    try:
        return candidate.attempt()
    except OperatorError:
        return False


def world(*identities, ahead=0.0):
    """A server and candidates, each with a clock that is further ahead than the one before."""
    server = Server()

    def clock(offset):
        return lambda: server.time + offset

    for number, identity in enumerate(identities):
        made = Leadership(server, "system", "lease", identity, clock=clock(number * ahead))
        server.candidates.append(made)
    return server, *server.candidates


SECONDS = st.one_of(
    st.sampled_from([0.0, 0.5, PERIOD, DEADLINE - 0.5, DEADLINE, DURATION - 0.5, DURATION]),
    st.floats(0, 2 * DURATION),
)
REQUEST = st.tuples(SECONDS, st.sampled_from(["answered", "lost", "unanswered", "overtaken"]), SECONDS)
TURN = st.tuples(st.integers(0, 1), SECONDS, st.lists(REQUEST, max_size=2))


@given(st.lists(TURN, max_size=30), st.floats(-1e4, 1e4))
@example([(0, 0.0, []), (1, 0.0, []), (1, DURATION, [])], 0.0)
@settings(max_examples=300, deadline=None)
def test_never_two_act_at_once(turns, ahead):
    server, *candidates = world("a", "b", ahead=ahead)
    for who, pause, script in turns:
        server.move(pause)
        server.script, server.asking = list(script), candidates[who]
        attempt(candidates[who])
        server.check()


def test_the_first_acts_and_the_others_stand_by():
    server, one, other = world("a", "b")
    assert attempt(one)
    assert not attempt(other)
    assert (acts(one), acts(other)) == (True, False)
    server.move(DEADLINE - 0.1)
    assert attempt(one)
    server.move(DEADLINE - 0.1)
    assert acts(one)


def test_one_that_cannot_renew_stops_before_another_may_begin():
    server, one, other = world("a", "b")
    attempt(one)
    attempt(other)
    server.move(DEADLINE)
    assert not acts(one)
    assert not attempt(other)
    server.move(DURATION - DEADLINE)
    assert attempt(other)
    with pytest.raises(NotLeadingError, match="a holds the Lease lease no longer"):
        one.check()


def test_time_counts_from_before_the_request():
    server, one = world("a")
    server.script = [(0.0, "answered", 0.0), (0.0, "answered", DEADLINE)]
    one.attempt()
    assert not acts(one)


def test_a_lease_given_back_is_taken_at_once():
    _, one, other = world("a", "b")
    attempt(one)
    attempt(other)
    one.release()
    assert not acts(one)
    assert attempt(other)


def test_a_lease_that_is_not_held_any_more_is_not_given_back():
    server, one, other = world("a", "b")
    attempt(one)
    attempt(other)
    server.move(DURATION)
    attempt(other)
    one.release()
    assert server.kept["spec"]["holderIdentity"] == "b"


def test_one_started_again_under_its_own_name_goes_on_at_once():
    """As a container in the same pod: the one before it has ended, or it would not be there."""
    _, one, again = world("a", "a")
    attempt(one)
    one._until = float("-inf")
    assert attempt(again)


def test_a_deleted_lease_is_made_again():
    server, one = world("a")
    attempt(one)
    server.kept = None
    assert not attempt(one)
    assert attempt(one)


def test_how_often_it_changed_hands_is_kept():
    server, one, other = world("a", "b")
    attempt(one)
    server.move(PERIOD)
    attempt(one)
    assert server.kept["spec"]["leaseTransitions"] == 1
    one.release()
    attempt(other)
    assert server.kept["spec"]["leaseTransitions"] == 2


def test_a_candidate_that_asks_no_more_is_not_healthy():
    server, one = world("a")
    attempt(one)
    assert one.problem() == ""
    server.move(61)
    assert one.problem() == "the Lease lease has not been asked for in 61 seconds"


@pytest.mark.parametrize("text", ["lease", "/lease", "system/", "a/b/c"])
def test_a_lease_without_a_namespace_is_refused(text):
    with pytest.raises(ValueError, match="MATCH_LEASE must be a namespace and a name"):
        Config.from_env({"MATCH_LEASE": text})
    assert Config.from_env({"MATCH_LEASE": "system/lease"}).lease == ("system", "lease")
