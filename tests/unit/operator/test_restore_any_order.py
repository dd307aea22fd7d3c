"""A restore through every order of looks, crashes, writes and changes of mind, against a toy Elasticsearch.

What must never happen: an image that was added is in no index, although nobody said that images may be lost;
the alias leads to an index of which a part is missing; or a restore that is called complete was another's.
"""

import copy
from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import match_index
import world
from match_operator import names, plan
from match_operator.observed import Observed, Repository, Snapshot
from match_operator.plan import requests
from match_operator.plan.index_steps import (
    AbandonIndex,
    AllowWrites,
    DropReplaced,
    MarkIndex,
    RestoreSnapshot,
    SwitchIndex,
)
from match_operator.plan.steps import Step

Json = dict[str, Any]
CLUSTER = world.kept({"snapshots": {"repository": {"claim": {"name": "backup"}}}})
BODY = {
    "type": "fs",
    "settings": {"location": "/usr/share/elasticsearch/snapshots/photos", "readonly": "false"},
}
SEEN = world.seen(CLUSTER)
OBJECTS = world.objects(CLUSTER, seen=SEEN)
SAVED = {"saved": frozenset({"saved-1", "saved-2"}), "older": frozenset({"older-1"})}
"""Images by snapshot, of which each is asked for by a MatchRestore of its own."""
WHICH = st.sampled_from(sorted(SAVED))
TIME = "2026-01-01T03:00:00Z"


class CrashError(Exception):
    """The operator dies."""


class Restoring(RuleBasedStateMachine):
    """One collection, two snapshots, and for each a MatchRestore that comes and goes."""

    def __init__(self) -> None:
        super().__init__()
        self.alias = match_index.backing_index("images")
        self.indices: dict[str, set[str]] = {self.alias: set()}
        self.parts: set[str] = set()
        """Indices of which a part is still missing."""
        self.origin: dict[str, str] = {}
        """By index the snapshot that was restored into it last."""
        self.asked: dict[str, Json] = {}
        self.added: set[str] = set()
        self.consented = False
        self.number = 0
        self.pace = 0

    @initialize(empty=st.booleans())
    def begin(self, empty: bool) -> None:
        """With images or without."""
        if not empty:
            self.add()

    @rule()
    def add(self) -> None:
        """A writer, whose image is acknowledged."""
        self.number += 1
        self.indices[self.alias].add(f"image-{self.number}")
        self.added.add(f"image-{self.number}")

    @rule(which=WHICH, overwrite=st.booleans())
    def ask(self, which: str, overwrite: bool) -> None:
        """A user asks for the restore, or says something else about images that are there."""
        if which in self.asked and requests.phase(self.asked[which]) in requests.FINAL:
            del self.asked[which]
        new = world.body() | {
            "kind": names.RESTORE_KIND,
            "metadata": {"name": which, "namespace": "lab", "uid": "u", "generation": 1},
        }
        item = self.asked.setdefault(which, new)
        item["spec"] = {"cluster": "photos", "snapshot": which, "overwrite": overwrite}
        self.consented |= overwrite

    @rule(which=WHICH, often=st.integers(0, 5))
    def withdraw(self, which: str, often: int) -> None:
        """A user deletes the MatchRestore, which is rare enough for restores to come to their end."""
        if often == 0:
            self.asked.pop(which, None)

    @rule()
    def progress(self) -> None:
        """Elasticsearch has copied the rest."""
        self.parts.clear()

    @rule(crash_after=st.sampled_from((99, 99, 99, 99, 0, 1, 2)), writes=st.booleans())
    def look(self, crash_after: int, writes: bool) -> None:
        """One reconcile, which may die; a write may come between what it sees and what it does."""
        seen = self.observe()
        if writes:
            self.add()
        self.pace = crash_after
        try:
            made = plan.make(CLUSTER, OBJECTS, seen)
            for step in made.steps:
                self.take(step)
            for answer in requests.answers(CLUSTER, seen):
                for step in answer.steps:
                    self.take(step)
                self.tick()
                self.say(answer)
        except CrashError:
            pass

    def say(self, answer: requests.Answer) -> None:
        """Write the status, which tells the truth."""
        which = answer.item["metadata"]["name"]
        if answer.phase == "Completed":
            assert self.origin[answer.facts["index"]] == which
        if which in self.asked:
            self.asked[which]["status"] = {"phase": answer.phase} | answer.facts

    @rule()
    def undisturbed(self) -> None:
        """Two looks with nothing in between."""
        for _ in range(2):
            self.look(99, False)

    @invariant()
    def nothing_is_lost_unasked(self) -> None:
        """Every image is in some index, unless images may be lost."""
        there = set().union(*self.indices.values())
        assert self.consented or self.added <= there

    @invariant()
    def what_serves_is_whole(self) -> None:
        """The alias leads to an index that is there, and all of it."""
        assert self.alias in self.indices
        assert self.alias not in self.parts

    def teardown(self) -> None:
        """Left alone, the restore ends, and only what serves or what was kept is left."""
        for _ in range(24):
            self.progress()
            self.look(99, False)
        for item in self.asked.values():
            assert requests.phase(item) in ("Completed", "Refused", "Failed"), item
            empty_spares = [n for n, images in self.indices.items() if n > self.alias and not images]
            assert not empty_spares

    def observe(self) -> Observed:
        """What a look sees."""
        live = world.live_index(CLUSTER)
        spare = {name: live for name in self.indices if name != self.alias}
        elastic = world.elastic(CLUSTER, indices={self.alias: live}, spare=spare)
        indices = (match_index.backing_index("images"),)
        saved = tuple(Snapshot(name, "SUCCESS", TIME, TIME, indices, "lab/photos") for name in SAVED)
        return replace(
            SEEN,
            elastic=replace(
                elastic,
                documents=len(self.indices[self.alias]),
                copied=len(self.indices[max(spare)]) if spare else 0,
                repository=Repository("match-images", BODY, saved),
                restored={name: name not in self.parts for name in spare},
            ),
            requests=tuple(copy.deepcopy(item) for item in self.asked.values()),
        )

    def tick(self) -> None:
        """The moment at which the operator may die."""
        self.pace -= 1
        if self.pace < 0:
            raise CrashError

    def take(self, step: Step) -> None:
        """The effect of a step; one that Elasticsearch refuses ends the look."""
        self.tick()
        match step:
            case RestoreSnapshot(name=name, target=target):
                if target in self.indices:
                    raise CrashError
                self.indices[target] = set(SAVED[name])
                self.origin[target] = name
                self.parts.add(target)
            case SwitchIndex(source=source, target=target):
                if self.alias != source or target not in self.indices:
                    raise CrashError
                self.alias = target
            case AbandonIndex(source=source, targets=targets):
                if self.alias != source:
                    raise CrashError
                for target in targets:
                    self.indices.pop(target, None)
                    self.parts.discard(target)
            case DropReplaced(name):
                self.indices.pop(name, None)
            case MarkIndex() | AllowWrites():
                pass
            case _:
                raise AssertionError(step)


TestRestoring = Restoring.TestCase
TestRestoring.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
