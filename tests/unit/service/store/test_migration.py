"""The protocol of moving a collection, against a model of two indices: no order of events may lose an image.

Hypothesis chooses when writers write and delete, when each request of a mover arrives, when a mover dies and
when another starts, also while the first is still alive. Movers run as threads that stand still at each
request until the machine lets them go, so that a failure is repeated exactly.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from match_service.store import migration
from match_service.store.migration import Change, Count, GaveUpError, Mover, Surplus

IDS = [f"image-{number}" for number in range(5)]
SHARDS = 2
OPERATOR = 0
"""Among those who send; no ``id`` is 0."""


class Died(BaseException):
    """The mover's process was killed."""


@dataclass
class Cluster:
    """The source and the target as Elasticsearch would keep them, and what was acknowledged."""

    source: dict[str, tuple[int, int]] = field(default_factory=dict)
    """id -> (seq_no in its shard, value)"""
    last: list[int] = field(default_factory=lambda: [-1] * SHARDS)
    target: dict[str, tuple[int, int, int | None]] = field(default_factory=dict)
    """id -> (version, own seq_no, value, None for a delete)"""
    target_seq: int = -1
    alias: str = "source"
    writable: bool = True
    blocked: bool = False
    made: bool = True
    """Whether there is a target."""
    badge: object | None = None
    saved: list[int] = field(default_factory=lambda: [-1] * SHARDS)
    acknowledged: dict[str, int] = field(default_factory=dict)
    sending: set[int] = field(default_factory=set)
    """Whoever has looked for his badge, or lost it, and has a request that has not arrived yet."""

    @staticmethod
    def shard(key: str) -> int:
        return int(key[-1]) % SHARDS

    def change(self, key: str, value: int | None) -> None:
        """A write (or delete) that has reached the index behind the alias."""
        if self.alias == "target":
            version = self.target.get(key, (0, 0, None))[0] + 1
            self.keep(key, version, value)
        else:
            shard = self.shard(key)
            self.last[shard] += 1
            if value is None:
                self.source.pop(key, None)
            else:
                self.source[key] = (self.last[shard], value)
        if value is None:
            self.acknowledged.pop(key, None)
        else:
            self.acknowledged[key] = value

    def keep(self, key: str, version: int, value: int | None) -> None:
        self.target_seq += 1
        self.target[key] = (version, self.target_seq, value)

    def found(self) -> dict[str, int]:
        """What a search through the alias finds."""
        if self.alias == "source":
            return {key: value for key, (_, value) in self.source.items()}
        return {key: value for key, (_, _, value) in self.target.items() if value is not None}

    @property
    def is_fenced(self) -> bool:
        """What a look of the operator sees."""
        return self.alias == "source" and (self.blocked or not self.writable)

    def lift(self, badge: object | None) -> None:
        """The operator's one request that allows writes, if it has seen ``badge`` and that is still worn."""
        if self.alias == "source" and self.made and badge is not None and self.badge is badge:
            self.badge, self.writable = object(), True
            self.sending.add(OPERATOR)

    def give_up(self) -> None:
        """The operator's one request that removes the target and allows writes."""
        self.made, self.target, self.saved, self.badge = False, {}, [-1] * SHARDS, None
        self.writable = True
        self.sending.add(OPERATOR)

    def unblock(self) -> None:
        """The request that comes after either."""
        self.sending.discard(OPERATOR)
        self.blocked = False

    def make(self, *, worn: bool) -> None:
        """A new target of the same name, which wears the operator's badge or none."""
        self.made, self.badge = True, object() if worn else None


class ModelIndices:
    """``Indices`` over a ``Cluster``; ``arrive`` lets one request through."""

    def __init__(self, cluster: Cluster, arrive: Callable[[], None]) -> None:
        self.cluster, self.arrive = cluster, arrive
        self.badge: object | None = None

    def _arrive(self) -> None:
        """A request about the target."""
        self.arrive()
        if not self.cluster.made:
            raise GaveUpError("no such index")

    def _swap(self) -> None:
        if self.badge is None or self.cluster.badge is not self.badge or self.cluster.alias != "source":
            raise GaveUpError("taken over")
        self.badge = self.cluster.badge = object()

    @contextlib.contextmanager
    def _sent(self) -> Iterator[None]:
        """A request of which the mover knows, when it sends it, that nobody has taken over."""
        self.arrive()
        if self.badge is None or self.cluster.badge is not self.badge:
            raise GaveUpError("taken over")
        with self._sending():
            self._arrive()
            yield

    @contextlib.contextmanager
    def _sending(self) -> Iterator[None]:
        self.cluster.sending.add(id(self))
        try:
            yield
        finally:
            self.cluster.sending.discard(id(self))

    def switched(self) -> bool:
        self.arrive()
        return self.cluster.alias == "target"

    def take_over(self) -> None:
        self._arrive()
        if self.cluster.alias != "source":
            raise GaveUpError("taken over")
        others = set(self.cluster.sending) if self.cluster.badge is not None else set()
        self.badge = self.cluster.badge = object()
        self.cluster.writable = True
        with self._sending():
            while others & self.cluster.sending:
                self.arrive()
            self.cluster.blocked = False

    def saved(self) -> list[int]:
        self._arrive()
        return list(self.cluster.saved)

    def save(self, seen: Sequence[int]) -> None:
        self._arrive()
        self.cluster.saved = list(seen)

    def checkpoints(self) -> list[int]:
        self.arrive()
        return list(self.cluster.last)

    def changes(self, shard: int, after: int, until: int) -> Iterator[list[Change]]:
        self.arrive()
        found = sorted(
            (seq_no, key, value)
            for key, (seq_no, value) in self.cluster.source.items()
            if self.cluster.shard(key) == shard and after < seq_no <= until
        )
        for seq_no, key, value in found:
            yield [Change(key, seq_no, {"value": value})]

    def put(self, changes: Iterable[Change]) -> None:
        with self._sent():
            for each in changes:
                if each.seq_no + 1 >= self.cluster.target.get(each.id, (0, 0, None))[0]:
                    self.cluster.keep(each.id, each.seq_no + 1, each.document["value"])

    def show(self) -> None:
        self._arrive()

    def bounds(self, images: int) -> list[str]:  # noqa: ARG002 - five images make no large ranges
        self._arrive()
        return IDS[2:4]

    def _ids(self, low: str | None, high: str | None) -> tuple[set[str], set[str]]:
        def between(key: str) -> bool:
            return (low is None or low <= key) and (high is None or key < high)

        source = set(filter(between, self.cluster.source))
        target = {key for key, each in self.cluster.target.items() if each[2] is not None and between(key)}
        return source, target

    def count(self, low: str | None, high: str | None) -> Count:
        self._arrive()
        source, target = self._ids(low, high)
        return Count(len(source), len(target))

    def surplus(self, low: str | None, high: str | None) -> list[Surplus]:
        self._arrive()
        copies = {key: self.cluster.target[key][1] for key in self._ids(low, high)[1]}
        self.arrive()
        kept = self._ids(low, high)[0]
        return [Surplus(key, seq_no, 1) for key, seq_no in copies.items() if key not in kept]

    def remove(self, surplus: Iterable[Surplus]) -> None:
        with self._sent():
            for each in surplus:
                version, seq_no, value = self.cluster.target[each.id]
                if seq_no == each.seq_no and value is not None:
                    self.cluster.keep(each.id, version + 1, None)

    def fence(self) -> None:
        self.arrive()
        self._swap()
        self.cluster.writable = False
        self.arrive()
        self.cluster.blocked = True

    def unfence(self) -> None:
        self.arrive()
        self._swap()
        self.cluster.blocked = False
        self.arrive()
        self._swap()
        self.cluster.writable = True

    def unequal(self) -> list[str]:
        self._arrive()
        return [
            key
            for key, (_, value) in self.cluster.source.items()
            if self.cluster.target.get(key, (0, 0, None))[2] != value
        ]

    def switch(self) -> None:
        self.arrive()
        self._swap()
        self.cluster.alias, self.cluster.writable = "target", True


class MoverThread:
    """A mover that goes one request further each time it is told to."""

    def __init__(self, cluster: Cluster) -> None:
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._killed = False
        self.over = False
        self.failed: BaseException | None = None
        indices = ModelIndices(cluster, self._arrive)
        self._thread = threading.Thread(target=self._run, args=(Mover(indices),), daemon=True)
        self._thread.start()
        self._stands.acquire()

    def _arrive(self) -> None:
        self._stands.release()
        self._go.acquire()
        if self._killed:
            raise Died

    def _run(self, mover: Mover) -> None:
        try:
            mover.run()
        except (GaveUpError, Died):
            pass
        except BaseException as error:  # noqa: BLE001 - shown by the machine, in its own thread
            self.failed = error
        self.over = True
        self._stands.release()

    def step(self) -> None:
        self._go.release()
        self._stands.acquire()

    def kill(self) -> None:
        self._killed = True
        while not self.over:
            self.step()
        self._thread.join()


class Moving(RuleBasedStateMachine):
    """A collection, writers, movers of which any may die at any request, and an operator that interferes."""

    @initialize(present=st.sets(st.sampled_from(IDS)))
    def begin(self, present: set[str]) -> None:
        self.cluster = Cluster()
        self.value = 0
        self.movers: list[MoverThread] = []
        self.underway: list[tuple[str, int | None]] = []
        self.seen: object | None = None
        for key in sorted(present):
            self.write(key)

    @rule(key=st.sampled_from(IDS))
    def write(self, key: str) -> None:
        self.value += 1
        self._change(key, self.value)

    @rule(key=st.sampled_from(IDS))
    def delete(self, key: str) -> None:
        self._change(key, None)

    def _change(self, key: str, value: int | None) -> None:
        if self.cluster.alias == "target" or (self.cluster.writable and not self.cluster.blocked):
            self.cluster.change(key, value)

    @precondition(lambda self: self.cluster.alias == "source" and self.cluster.writable)
    @rule(key=st.sampled_from(IDS))
    def send_slowly(self, key: str) -> None:
        """A write that has found the source behind the alias, and arrives there later."""
        self.value += 1
        self.underway.append((key, self.value))

    @precondition(lambda self: self.underway)
    @rule()
    def arrive_late(self) -> None:
        key, value = self.underway.pop(0)
        if self.cluster.blocked:
            return  # refused, so never acknowledged
        assert self.cluster.alias == "source", "the source took a write after the switch"
        self.cluster.change(key, value)

    @precondition(lambda self: len(self.movers) < 2)
    @rule()
    def start(self) -> None:
        self.movers.append(MoverThread(self.cluster))

    @precondition(lambda self: self.movers)
    @rule(which=st.integers(0, 1), steps=st.integers(1, 12))
    def move(self, which: int, steps: int) -> None:
        mover = self.movers[which % len(self.movers)]
        for _ in range(steps):
            if not mover.over:
                mover.step()
        if mover.over:
            self.movers.remove(mover)
        assert mover.failed is None, mover.failed

    @precondition(lambda self: self.movers)
    @rule(which=st.integers(0, 1))
    def die(self, which: int) -> None:
        self.movers.pop(which % len(self.movers)).kill()

    @rule()
    def look(self) -> None:
        """The operator sees a fence, whose mover has no Job any more but may still live."""
        self.seen = self.cluster.badge if self.cluster.is_fenced else None

    @precondition(lambda self: OPERATOR not in self.cluster.sending)
    @rule()
    def lift(self) -> None:
        self.cluster.lift(self.seen)
        self.seen = None

    @precondition(lambda self: self.movers and OPERATOR not in self.cluster.sending)
    @rule(which=st.integers(0, 1), beyond=st.integers(5, 15), key=st.sampled_from(IDS))
    def lift_under_the_fence(self, which: int, beyond: int, key: str) -> None:
        """Where most can go wrong, with a writer who has waited for it; few moves come there by chance."""
        mover = self.movers[which % len(self.movers)]
        for _ in range(100):
            if not mover.over and not self.cluster.blocked:
                mover.step()
        self.move(which, beyond)
        if self.cluster.is_fenced:
            self.cluster.lift(self.cluster.badge)
            self.cluster.unblock()
            self.write(key)

    @precondition(lambda self: self.cluster.made and self.cluster.alias == "source")
    @rule(often=st.integers(0, 3))
    def give_up(self, often: int) -> None:
        """The number of shards was set back, which is rare enough for moves to come to their end."""
        if often == 0 and OPERATOR not in self.cluster.sending:
            self.cluster.give_up()

    @precondition(lambda self: OPERATOR in self.cluster.sending)
    @rule()
    def unblock(self) -> None:
        self.cluster.unblock()

    @precondition(lambda self: not self.cluster.made and OPERATOR not in self.cluster.sending)
    @rule()
    def make(self) -> None:
        self.cluster.make(worn=bool(self.movers))

    @invariant()
    def what_was_acknowledged_is_what_is_found(self) -> None:
        if hasattr(self, "cluster"):
            assert self.cluster.found() == self.cluster.acknowledged

    def teardown(self) -> None:
        for mover in getattr(self, "movers", ()):
            mover.kill()


TestMoving = Moving.TestCase
TestMoving.settings = settings(max_examples=250, stateful_step_count=60, deadline=None)


def run(cluster: Cluster, between: Callable[[int], None] = lambda _: None) -> None:
    """Move everything, with ``between`` called before each request."""
    requests = iter(range(10_000))
    Mover(ModelIndices(cluster, lambda: between(next(requests)))).run()


def test_a_move_ends_on_the_target_with_all_images() -> None:
    cluster = Cluster()
    for number, key in enumerate(IDS):
        cluster.change(key, number)
    cluster.change(IDS[0], None)

    run(cluster)

    assert cluster.alias == "target"
    assert cluster.found() == {key: number for number, key in enumerate(IDS) if number}


def test_a_move_is_finished_although_writers_never_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "FEW_CHANGES", 0)
    cluster = Cluster()

    def write(request: int) -> None:
        if cluster.alias == "target" or cluster.writable:
            cluster.change(IDS[request % len(IDS)], request if request % 3 else None)

    run(cluster, write)

    assert cluster.alias == "target"
    assert cluster.found() == cluster.acknowledged


def test_a_mover_that_died_at_any_request_is_succeeded_by_one_that_ends_the_move() -> None:
    for fatal in range(200):
        cluster = Cluster()
        for number, key in enumerate(IDS):
            cluster.change(key, number)

        def die(request: int, fatal: int = fatal) -> None:
            if request == fatal:
                raise Died

        try:
            run(cluster, die)
        except Died:
            run(cluster)
            assert cluster.alias == "target"
            assert cluster.found() == cluster.acknowledged
        else:
            assert fatal > 10
            return
    pytest.fail("the move never ended by itself")


@pytest.mark.parametrize("interferes", ["lifts the fence", "gives the move up"])
def test_a_mover_that_outlives_its_job_loses_nothing_when_the_operator(interferes: str) -> None:
    for moment in range(200):
        cluster = Cluster()
        for number, key in enumerate(IDS):
            cluster.change(key, number)
        fenced: list[int] = []

        def interfere(
            request: int, moment: int = moment, cluster: Cluster = cluster, fenced: list[int] = fenced
        ) -> None:
            if cluster.is_fenced:
                fenced.append(request)
            if request != moment or not cluster.is_fenced:
                return
            if interferes == "lifts the fence":
                cluster.lift(cluster.badge)
            else:
                cluster.give_up()
            cluster.unblock()
            cluster.change(IDS[0], 1_000)  # by a writer who waited for it

        try:
            run(cluster, interfere)
        except GaveUpError:
            assert cluster.alias == "source"
            if not cluster.made:
                cluster.make(worn=False)
            run(cluster)
        assert cluster.alias == "target"
        assert cluster.found() == cluster.acknowledged
        if fenced and moment > max(fenced):
            return
    pytest.fail("the fence never came to its end")


def test_a_successor_waits_for_what_was_sent_when_the_operator_lifted_the_fence() -> None:
    cluster = Cluster()
    for number, key in enumerate(IDS):
        cluster.change(key, number)
    first = MoverThread(cluster)
    while not (cluster.blocked and not cluster.writable):
        first.step()
    cluster.lift(cluster.badge)
    first.kill()
    second = MoverThread(cluster)
    for _ in range(100):
        if not second.over:
            second.step()
    assert cluster.alias == "source", "a block that it relied on may yet have been lifted"

    cluster.unblock()
    while not second.over:
        second.step()

    assert (cluster.alias, cluster.found()) == ("target", cluster.acknowledged)


def test_a_collection_restored_from_a_snapshot_is_not_moved() -> None:
    cluster = Cluster(saved=[7] * SHARDS)

    with pytest.raises(GaveUpError, match="restored"):
        run(cluster)
