"""A toy Kubernetes and a toy Elasticsearch that do what the operator's steps say, and watch over the data.

It exists to try what no real cluster can be made to do on demand: a crash of the operator after any step, a
spec that changes at any moment, and progress of the rest of the world in between. What a toy cannot show,
whether the real ones behave like it, the user stories in tests/e2e do.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import match_index
import world
from match_operator import desired, names, plan
from match_operator.api import MatchCluster
from match_operator.observed import Disk, Elastic, Node, Observed, Shard, Shutdown
from match_operator.plan import awareness, drain, founding, index_steps, membership, refusals, restart, steps

Json = dict[str, Any]
BAD_IMAGE = "no-such-image"
FOUNDERS = names.FOUNDERS_SETTING


@dataclass
class Copy:
    """One copy of the index's shard."""

    node: str
    primary: bool
    started: bool = True


@dataclass
class World:
    """Everything outside the operator; ``broken_promises`` lists what must never happen and did."""

    spec: Json
    shutdown_api: bool = False
    hosts: int = 3
    """Kubernetes nodes, on which pods are placed in turn."""
    children: dict[tuple[str, str], Json] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    copies: list[Copy] = field(default_factory=list)
    disks: set[str] = field(default_factory=set)
    """Volumes that hold a whole copy of the data."""
    replicas: int = 0
    template: Json | None = None
    settings: dict[str, str] = field(default_factory=dict)
    voters: set[str] = field(default_factory=set)
    excluded: list[str] = field(default_factory=list)
    shutdowns: dict[str, str] = field(default_factory=dict)
    broken_promises: list[str] = field(default_factory=list)
    refused: set[tuple[str, str]] = field(default_factory=set)
    """Children that the API server refuses to write."""
    told: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Whom each node was told to found the cluster with when it was last started."""
    version: int = 0
    _parsed: MatchCluster | None = None

    @property
    def cluster(self) -> MatchCluster:
        """The MatchCluster as it is now."""
        if self._parsed is None:
            self._parsed = world.kept(self.spec)
        return self._parsed

    def observe(self) -> Observed:
        """What a look sees."""
        children = copy.deepcopy(self.children)
        # It is reached through its Service, which leads to ready nodes only.
        ready = any(pod["status"]["conditions"][0]["status"] == "True" for pod in self._of("Pod"))
        return Observed(children, self._elastic() if self._has_quorum() and ready else None)

    def plan(self) -> steps.Plan:
        """What the operator would do now."""
        return self._plan_for(self.observe())

    def _plan_for(self, seen: Observed) -> steps.Plan:
        replicas = membership.replicas(self.cluster, seen)
        founders = founding.first_masters(self.cluster, seen, replicas)
        return plan.make(self.cluster, desired.build(self.cluster, founders, replicas), seen)

    def ask(self, spec: Json) -> None:
        """Change the spec, as far as the schema and the volumes there are would let a user."""
        sizes = {}
        for item in self._of("StatefulSet"):
            template = item["spec"]["volumeClaimTemplates"][0]
            name = item["metadata"]["labels"][names.NODE_SET_LABEL]
            sizes[name] = template["spec"]["resources"]["requests"]["storage"]
        for node_set in spec["elasticsearch"]["nodeSets"]:
            size = sizes.get(node_set["name"], "20Gi")
            if size != "20Gi":
                node_set["storage"] = {"size": size}
        self.spec = spec
        self._parsed = None

    def look(self, crash_after: int | None = None) -> bool:
        """One reconcile, which may die after some steps; whether there was nothing to do or to wait for."""
        todo = self.plan()
        assert {problem.reason for problem in todo.problems} <= {"FoundersMissing"}, todo.problems
        refused: list[steps.Step] = []
        for step in todo.steps[:crash_after]:
            if refusals.builds_on(step, refused):
                continue
            item = step.item if isinstance(step, steps.Apply) else {"kind": "", "metadata": {"name": ""}}
            if (item["kind"], item["metadata"]["name"]) in self.refused:
                refused.append(step)
            else:
                self.take(step)
        return not todo.steps and not todo.waiting_for

    # --- what steps do

    def take(self, step: steps.Step) -> None:
        """The effect of a step."""
        match step:
            case steps.Apply(item):
                self._apply(item)
            case steps.ReplacePod(pod) | steps.Remove({"kind": "Pod"} as pod):
                self.children["Pod", pod["metadata"]["name"]]["metadata"]["deletionTimestamp"] = "now"
            case steps.Remove(item) | steps.Recreate(item):
                del self.children[item["kind"], item["metadata"]["name"]]
            case steps.Shrink(item, replicas):
                live = self.children["StatefulSet", item["metadata"]["name"]]
                live["spec"]["replicas"] = replicas
            case steps.GrowVolume(claim, size):
                self.children["PersistentVolumeClaim", claim["metadata"]["name"]] = world.claim(
                    claim["metadata"]["name"].removeprefix("data-"), size, size
                )
            case index_steps.PutTemplate(_, body):
                self.template = body
            case index_steps.CreateIndex():
                self.replicas = self.cluster.index_replicas
            case index_steps.UpdateIndex(_, settings):
                self._set_replicas(int(settings["number_of_replicas"]))
            case _:
                self._hear(step)

    def _hear(self, step: steps.Step) -> None:
        match step:
            case steps.ChangeSettings(settings):
                self.settings = {k: v for k, v in (self.settings | dict(settings)).items() if v is not None}
            case steps.PutShutdown(node, node_id):
                self.shutdowns[node_id] = restart.REASON + node
            case steps.DropShutdown(_, node_id):
                self.shutdowns.pop(node_id, None)
            case steps.ExcludeVoter(node):
                self.excluded.append(node)
            case steps.DropVotes(node_ids):
                self.excluded = [node_id.removeprefix("id-") for node_id in node_ids]
                self._vote()
                self.excluded.clear()
            case steps.AdmitVoters():
                self.excluded.clear()

    def _apply(self, item: Json) -> None:
        ref = (item["kind"], item["metadata"]["name"])
        live = copy.deepcopy(item)
        if ref[0] == "ConfigMap":
            self._check_founders(ref, item)
        self.version += 1
        live["metadata"] |= {"generation": 1, "uid": f"uid-{ref[1]}", "resourceVersion": str(self.version)}
        if item["kind"] == "StatefulSet":
            before = self.children.get(ref, {}).get("spec", {}).get("replicas", 0)
            if item["spec"]["replicas"] < before:
                self.broken_promises.append(f"{ref[1]} lost nodes by an apply")
            live["status"] = {"observedGeneration": 1, "updateRevision": _revision(item)}
        if item["kind"] == "Deployment":
            count = item["spec"]["replicas"]
            fields = ("replicas", "readyReplicas", "updatedReplicas")
            live["status"] = {"observedGeneration": 1} | dict.fromkeys(fields, count)
        self.children[ref] = live

    def _check_founders(self, ref: tuple[str, str], item: Json) -> None:
        config, before = (founding.config_of(i) for i in (item, self.children.get(ref, {})))
        if "master" not in config["node.roles"]:
            return
        if FOUNDERS not in config and not self.voters:
            self.broken_promises.append(f"{ref[1]} names no founders though nothing is founded")
        if FOUNDERS in config and "master" in before.get("node.roles", ()) and FOUNDERS not in before:
            self.broken_promises.append(f"{ref[1]} names founders again")

    def _set_replicas(self, count: int) -> None:
        self.replicas = count
        surplus = [c for c in self.copies if not c.primary][count:]
        self.copies = [c for c in self.copies if c not in surplus]

    # --- what the world does by itself

    def tick(self) -> None:
        """Everything else moves on a little."""
        self._end_pods()
        self._join()
        for item in self._of("StatefulSet"):
            self._make_pods(item)
        self._answer()
        self._vote()
        if self._has_quorum():
            self._allocate()
        self._check()

    def _of(self, kind: str) -> list[Json]:
        return [item for (k, _), item in sorted(self.children.items()) if k == kind]

    def _end_pods(self) -> None:
        sets = {i["metadata"]["name"]: i["spec"]["replicas"] for i in self._of("StatefulSet")}
        for pod in self._of("Pod"):
            name = pod["metadata"]["name"]
            if pod["metadata"].get("deletionTimestamp"):
                del self.children["Pod", name]
                self._leave(name)
            elif names.ordinal(name) >= sets.get(name.rpartition("-")[0], 10**6):
                pod["metadata"]["deletionTimestamp"] = "now"

    def _make_pods(self, item: Json) -> None:
        labels = item["metadata"]["labels"]
        for ordinal in range(item["spec"]["replicas"]):
            name = f"{item['metadata']['name']}-{ordinal}"
            if ("Pod", name) in self.children:
                continue
            template = item["spec"]["template"]["spec"]["containers"][0]
            pod = world.pod(name, names.ELASTICSEARCH, ready=False, revision=_revision(item))
            pod["metadata"]["labels"] |= labels
            host = (ordinal + labels[names.NODE_SET_LABEL].count("b")) % self.hosts
            pod["spec"] = {"image": template["image"], "nodeName": f"host-{host}", "containers": [template]}
            self.children["Pod", name] = pod
            size = item["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
            self.children.setdefault(
                ("PersistentVolumeClaim", names.volume(name)), world.claim(name, size, size)
            )

    def _join(self) -> None:
        """One starting pod becomes ready and its node joins."""
        sets = {i["metadata"]["name"]: i for i in self._of("ConfigMap")}
        for pod in self._of("Pod"):
            name = pod["metadata"]["name"]
            ready = pod["status"]["conditions"][0]
            if ready["status"] == "True" or pod["metadata"].get("deletionTimestamp"):
                continue
            if pod["spec"]["image"] == BAD_IMAGE:
                waiting = {"state": {"waiting": {"reason": "ImagePullBackOff"}}}
                pod["status"]["containerStatuses"] = [waiting]
                continue
            if name in self.nodes:
                continue
            config = founding.config_of(sets[name.rpartition("-")[0]])
            roles = config["node.roles"]
            self._tell_founders(name, tuple(config.get(FOUNDERS, ())))
            self.nodes[name] = Node(f"id-{name}", "8.19.21", "master" in roles, "data" in roles)
            return

    def _tell_founders(self, name: str, founders: tuple[str, ...]) -> None:
        lists = {told for told in self.told.values() if told}
        if founders and lists - {founders}:
            self.broken_promises.append(
                f"{name} was told of other founders than the rest: {founders}, {lists}"
            )
        self.told[name] = founders

    def _answer(self) -> None:
        """Members are ready, but for those whose shutdown is announced: they close their readiness port."""
        for pod in self._of("Pod"):
            name = pod["metadata"]["name"]
            open_ = name in self.nodes and f"id-{name}" not in self.shutdowns
            pod["status"]["conditions"][0]["status"] = str(open_)

    def _leave(self, name: str) -> None:
        self.nodes.pop(name, None)
        for gone in [c for c in self.copies if c.node == name]:
            self.copies.remove(gone)
            heir = next((c for c in self.copies if c.started), None)
            if gone.primary and heir:
                heir.primary = True
            if gone.primary and not heir and not self._comes_back(name):
                self.broken_promises.append(f"{name} left with the only copy")

    def _comes_back(self, name: str) -> bool:
        """Whether its StatefulSet will make the pod anew."""
        item = self.children.get(("StatefulSet", name.rpartition("-")[0]))
        return item is not None and names.ordinal(name) < item["spec"]["replicas"]

    def _vote(self) -> None:
        alive = {n for n, node in self.nodes.items() if node.is_master}
        if not self.voters:
            self.voters = next((set(self.told[n]) for n in sorted(alive) if self._founds(n, alive)), set())
            return
        if self._has_quorum():
            self._reconfigure(alive)

    def _reconfigure(self, alive: set[str]) -> None:
        """An odd number of votes, three at least unless they were fewer, as Elasticsearch has it."""
        members, had = alive - set(self.excluded), self.voters - set(self.excluded)
        size = (len(members) - 1) // 2 * 2 + 1 if len(members) >= 3 else 3 if len(had) >= 3 else 1
        in_turn = [*sorted(members & had), *sorted(members - had), *sorted(had - members)]
        voters = set(in_turn[:size])
        if 2 * len(voters & alive) > len(voters):
            self.voters = voters

    def _founds(self, name: str, alive: set[str]) -> bool:
        founders = set(self.told[name])
        return name in founders and 2 * len(founders & alive) > len(founders)

    def _has_quorum(self) -> bool:
        alive = {n for n, node in self.nodes.items() if node.is_master} & self.voters
        return bool(self.voters) and 2 * len(alive) > len(self.voters)

    def _allocate(self) -> None:
        """One copy is started, made or moved, as the settings allow."""
        if self.template is None:
            return
        data = [n for n, node in sorted(self.nodes.items()) if node.is_data]
        free = [n for n in data if n not in self._shut_out() and n not in {c.node for c in self.copies}]
        places = [n for n in free if self._fits(n, self.copies)]
        if not self.copies:
            known = [n for n in data if n in self.disks] if self.disks else places
            if known:
                self.copies.append(Copy(known[0], primary=True))
        elif starting := next((c for c in self.copies if not c.started), None):
            starting.started = True
        elif moves := list(self._moves(free)):
            mover, place = moves[0]
            mover.node = place
        elif (
            len(self.copies) <= self.replicas and places and self.settings.get(restart.ENABLE) != "primaries"
        ):
            self.copies.append(Copy(places[0], primary=False, started=False))
        self.disks = {c.node for c in self.copies if c.started} or self.disks

    def _is_held_back(self) -> bool:
        return self.settings.get(restart.ENABLE) == "primaries"

    def _moves(self, free: list[str]) -> Iterator[tuple[Copy, str]]:
        """Copies that may not stay where they are, and where they may go."""
        for each in self.copies:
            others = [c for c in self.copies if c is not each]
            if each.node in self._shut_out() or not self._fits(each.node, others):
                yield from ((each, node) for node in free if self._fits(node, others))

    def _fits(self, node: str, copies: list[Copy]) -> bool:
        """Whether awareness lets a node have one more copy beside these."""
        if names.HOST_ATTRIBUTE not in self.settings.get(awareness.SETTING, "").split(","):
            return True
        places = {n: self.host(n) for n, there in self.nodes.items() if there.is_data}
        share = -(-(self.replicas + 1) // len(set(places.values())))
        return sum(places.get(c.node) == places[node] for c in copies) < share

    def host(self, node: str) -> str:
        """The Kubernetes node where a pod runs."""
        place: str = self.children["Pod", node]["spec"]["nodeName"]
        return place

    def _shut_out(self) -> set[str]:
        return set(self.settings.get(drain.EXCLUDE, "").split(","))

    def _check(self) -> None:
        if self.disks and not self.disks & self._volumes():
            self.broken_promises.append("no volume holds the data any more")

    def _volumes(self) -> set[str]:
        return {ref[1].removeprefix("data-") for ref in self.children if ref[0] == "PersistentVolumeClaim"}

    def _elastic(self) -> Elastic:
        index = match_index.backing_index("images")
        shards = [Shard(index, 0, c.primary, c.started, c.node, 1) for c in self.copies]
        missing = self.replicas + 1 - len(shards) if self.template else 0
        shards += [Shard(index, 0, not self.copies, started=False, node="") for _ in range(missing)]
        moving = sum(not c.started for c in self.copies)
        cluster = self.cluster
        live = world.live_index(cluster, number_of_replicas=str(self.replicas))
        health = "red" if self.template and not self.copies else "yellow" if moving or missing else "green"
        return Elastic(
            uuid="u-1",
            health=health,
            moving_shards=moving,
            nodes=dict(self.nodes),
            master=min(n for n, node in self.nodes.items() if node.is_master),
            template=self.template,
            indices={index: live} if self.template else {},
            documents=1,
            shards=tuple(shards),
            disks={n: Disk(100 * 2**30, 50 * 2**30, 1) for n, node in self.nodes.items() if node.is_data},
            settings=dict(self.settings),
            voters=frozenset(f"id-{n}" for n in self.voters),
            excluded_voters=tuple(self.excluded),
            shutdowns=tuple(self._entries()) if self.shutdown_api else None,
        )

    def _entries(self) -> Iterator[Shutdown]:
        for node_id, reason in self.shutdowns.items():
            yield Shutdown(node_id, reason, complete=True)

    @property
    def leftovers(self) -> tuple[Any, ...]:
        """What the operator told Elasticsearch and did not take back."""
        aware = (awareness.SETTING, awareness.MARK)
        settings = {name: value for name, value in self.settings.items() if name not in aware}
        return (settings, self.excluded, self.shutdowns)


def _revision(item: Json) -> str:
    return str(hash(repr(item["spec"]["template"])))
