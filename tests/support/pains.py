"""The fifteen things that users of other operators suffer from, and what shows that they cannot happen here.

It exists so that the page, the tests it names and the changes that make them fail cannot drift apart:
`tests/mutations.py` makes each change and sees the test fail, `tests/contract/test_pains.py` compares the
page. Run as a program it prints docs/pains.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
OPERATOR = "operator/match_operator/"
UNIT = "tests/unit/operator/"


@dataclass(frozen=True)
class Proof:
    """A test, and the change of one line of the product that makes it fail."""

    test: str
    """As pytest takes it: file::name."""
    file: str
    old: str
    """What stands exactly once in the file."""
    new: str

    @property
    def needs_cluster(self) -> bool:
        """Whether it needs a real API server."""
        return self.test.startswith("tests/integration/")


@dataclass(frozen=True)
class Pain:
    """``answer`` says why it cannot happen here; without proofs it still can, and ``answer`` says so."""

    title: str
    known_from: str
    answer: str
    proofs: tuple[Proof, ...] = ()


PAINS = (
    Pain(
        "A corrected spec never reaches the pods that the wrong one broke",
        "OpenSearch operator #856, #604, #1537; ECK #1799, #7656",
        "A node that neither works nor is a member and whose template is outdated is replaced at once, "
        "whatever the health and also while Elasticsearch does not answer.",
        (
            Proof(
                UNIT + "test_restart.py::test_a_broken_outdated_node_is_replaced_whatever_the_health",
                OPERATOR + "plan/restart.py",
                "broken = [pod for pod in outdated if _is_broken(pod, seen)]",
                "broken = [pod for pod in outdated if seen.elastic and _is_broken(pod, seen)]",
            ),
        ),
    ),
    Pain(
        "A full disk cannot be made larger, because the cluster is not healthy",
        "CloudNativePG #1808, #9301, #9927, #11341; OpenSearch operator #977",
        "Claims grow before every rule about health is asked, each on its own, and also while another part "
        "of the spec is refused.",
        (
            Proof(
                UNIT + "test_volumes.py::test_every_claim_grows_whatever_the_health",
                OPERATOR + "plan/volumes.py",
                "steps += [GrowVolume(claim, node_set.storage_size) for claim in small]",
                "steps += [GrowVolume(claim, node_set.storage_size) for claim in small if seen.elastic]",
            ),
            Proof(
                UNIT + "test_volumes.py::test_claims_grow_though_another_part_of_the_spec_is_refused",
                OPERATOR + "plan/__init__.py",
                "steps += [step for step in growth.steps if not isinstance(step, Recreate) "
                'or not frozen & {"*"}]',
                "steps += [] if frozen else growth.steps",
            ),
        ),
    ),
    Pain(
        "An upgrade of the operator restarts every cluster",
        "ECK #7359, #2595, #4804; CloudNativePG #5950, #7727, #10000",
        "What a default came to is kept with each MatchCluster, and no setting of the operator is part of a "
        "pod. A digest of the pods guards against changes of the templates themselves.",
        (
            Proof(
                UNIT + "test_desired.py::test_another_operator_restarts_nothing",
                OPERATOR + "resolved.py",
                'before.get("apiImage") or config.api_image',
                "config.api_image",
            ),
            Proof(
                UNIT + "test_desired.py::test_pods_are_made_as_every_operator_before_made_them",
                OPERATOR + "desired/elasticsearch.py",
                '"terminationGracePeriodSeconds": 120,',
                '"terminationGracePeriodSeconds": 180,',
            ),
        ),
    ),
    Pain(
        "A cluster that lost all its nodes waits for a quorum that waits for it",
        "OpenSearch operator #289, #336, #266, #685, #1182",
        "All nodes start together, find one another before they are ready, and are ready by what they know "
        "of themselves.",
        (
            Proof(
                UNIT + "test_desired.py::"
                "test_all_nodes_start_together_and_find_one_another_before_any_is_ready",
                OPERATOR + "desired/elasticsearch.py",
                '"podManagementPolicy": "Parallel",',
                '"podManagementPolicy": "OrderedReady",',
            ),
        ),
    ),
    Pain(
        "Certificates expire, or are renewed and not read",
        "OpenSearch operator #1451, #399, #960, #1139",
        "A certificate is made anew 120 days before it ends, and an authority two years before it is to "
        "sign, so that all trust it by then. Nodes read both from folders while they run, and so do the "
        "API's pods: `tests/integration/test_secured.py` sees a real Elasticsearch do it, and "
        "`tests/e2e/test_11_story_secrets.py` real pods under traffic.",
        (
            Proof(
                UNIT + "test_security.py::test_a_certificate_is_made_anew_long_before_it_ends",
                OPERATOR + "credentials/certificates.py",
                "LEFT: Final = timedelta(days=120)",
                "LEFT: Final = timedelta(days=1)",
            ),
            Proof(
                UNIT
                + "test_security.py::test_the_authority_is_followed_by_one_that_all_have_trusted_for_long",
                OPERATOR + "credentials/certificates.py",
                "SUCCESSOR_LEFT: Final = timedelta(days=730)",
                "SUCCESSOR_LEFT: Final = timedelta(days=0)",
            ),
            Proof(
                UNIT + "test_security.py::test_what_may_change_is_mounted_as_folders_which_change_with_it",
                OPERATOR + "desired/security.py",
                'f"{HOME}/config/{volume}", "readOnly": True}',
                'f"{HOME}/config/{volume}", "readOnly": True, "subPath": "tls.crt"}',
            ),
        ),
    ),
    Pain(
        "The status says that all is well while it is not",
        "OpenSearch operator #1269, #384, #780; ECK #2093, #3231",
        "Ready follows what answers now; what is missing or refused is a sentence that names the pod and the "
        "way out.",
        (
            Proof(
                UNIT + "test_status.py::test_a_silent_elasticsearch_is_not_ready",
                OPERATOR + "status.py",
                "ready = serving and (complete or was_ready)",
                "ready = complete or was_ready",
            ),
            Proof(
                UNIT + "test_status.py::test_a_refused_change_stalls_with_the_way_out_and_keeps_serving",
                OPERATOR + "status.py",
                '    if plan.problems:\n        return "Stalled"\n    if complete:',
                "    if complete:",
            ),
        ),
    ),
    Pain(
        "Index settings cannot be declared without a licence",
        "ECK #2157, #3598; OpenSearch operator #465",
        "Shards, copies and refresh interval are fields of the spec, which the operator writes to template "
        "and index of any Elasticsearch.",
        (
            Proof(
                UNIT + "test_plan.py::test_a_changed_replica_count_reaches_template_and_index",
                OPERATOR + "plan/index.py",
                "if elastic.template is None or drift(body, elastic.template):",
                "if elastic.template is None:",
            ),
        ),
    ),
    Pain(
        "The operator writes the same again and again",
        "OpenSearch operator #731, #833",
        "What a server adds to what was written is no difference; a settled cluster costs no write.",
        (
            Proof(
                UNIT + "test_plan.py::test_the_servers_own_additions_to_the_template_are_no_difference",
                OPERATOR + "plan/index.py",
                "if elastic.template is None or drift(body, elastic.template):",
                "if elastic.template != body:",
            ),
            Proof(
                UNIT + "test_plan.py::test_a_settled_cluster_has_nothing_to_do",
                OPERATOR + "plan/__init__.py",
                "elif path := drift(item, live, _rewritten(item, seen)):",
                "elif path := drift(live, item, _rewritten(item, seen)):",
            ),
        ),
    ),
    Pain(
        "A rise in version stops half way, since copies cannot go to older nodes",
        "ECK #8654, #1643, #5449",
        "While a version is being raised yellow is enough, as long as the node holds no only copy.",
        (
            Proof(
                UNIT + "test_restart.py::test_yellow_does_not_stop_a_rise_in_version_that_would_end_it",
                OPERATOR + "plan/restart.py",
                "raising = len(running) > 1 and min(running) < asked",
                "raising = False",
            ),
            Proof(
                UNIT + "test_restart.py::"
                "test_yellow_stops_a_rise_in_version_where_the_node_has_the_only_copy",
                OPERATOR + "plan/restart.py",
                "if name in where and not elsewhere and (index, number) in replicated and len(holders) > 1:",
                "if False:",
            ),
        ),
    ),
    Pain(
        "A node is removed with its shards, or what was set for that stays behind",
        "ECK #3867, #2627, #8195; OpenSearch operator #961, #524, #400; es-operator #423, #168",
        "A node goes only when a look of its own found it empty. What Elasticsearch was told is read back at "
        "each look and taken back when it no longer holds.",
        (
            Proof(
                UNIT + "test_drain.py::test_a_node_with_shards_stays_and_the_status_counts_them",
                OPERATOR + "plan/drain.py",
                "    if left_on(cluster, elastic, [name]):\n",
                "    if False:\n",
            ),
            Proof(
                UNIT + "test_drain.py::test_a_node_is_looked_at_again_after_shards_are_kept_off_it",
                OPERATOR + "plan/drain.py",
                '    if name not in excluded(elastic):\n        return [], f"shards to be kept off {name}"\n',
                "",
            ),
            Proof(
                UNIT + "test_drain.py::test_exclusions_are_lifted_once_nobody_is_to_leave",
                OPERATOR + "plan/drain.py",
                "    if not leaving and not emptied:\n        return Plan((*tidy, *_exclude(elastic, [])))",
                "    if not leaving and not emptied:\n        return Plan(tidy)",
            ),
        ),
    ),
    Pain(
        "Volumes are deleted that nobody asked to delete",
        "ECK #2328, #6249",
        "Retain is the default on scale-down and on deletion, and the operator may not delete a claim.",
        (
            Proof(
                UNIT + "test_volumes.py::test_volumes_are_kept_unless_the_spec_says_otherwise",
                "crds/matchclusters.yaml",
                "                      onDelete:\n                        type: string\n"
                "                        default: Retain",
                "                      onDelete:\n                        type: string\n"
                "                        default: Delete",
            ),
        ),
    ),
    Pain(
        "Nothing can be restored by declaring it",
        "ECK #36, #976",
        "A MatchSnapshot makes one on demand, `spec.snapshots` by schedule, and a MatchRestore brings one "
        "back into an index beside the one that serves, which the alias leaves only when all is there, and "
        "never over images unasked. `tests/integration/test_snapshots.py` does it with a real Elasticsearch "
        "and a real API server.",
        (
            Proof(
                UNIT + "test_snapshots.py::test_the_alias_moves_only_when_all_shards_are_there",
                OPERATOR + "plan/requests.py",
                "if not elastic.restored.get(target):",
                "if elastic.restored.get(target) is None:",
            ),
            Proof(
                UNIT + "test_snapshots.py::test_images_that_were_added_while_it_was_restored_are_not_lost",
                OPERATOR + "plan/requests.py",
                "if refusal := _would_lose(cluster, elastic, item):",
                'if refusal := "":',
            ),
            Proof(
                UNIT + "test_snapshots.py::test_images_that_came_in_the_last_moment_are_kept_and_said",
                OPERATOR + "plan/requests.py",
                "is_empty = elastic.copied == 0 and max(elastic.spare) == replaced",
                "is_empty = True",
            ),
        ),
    ),
    Pain(
        "Autoscaling needs a licence, or fights with the operator",
        "ECK #3299, #4379, #7443",
        "`spec.api.autoscaling`, `kubectl scale` and any autoscaler drive one field, by the scale "
        "subresource of the MatchCluster; nobody writes the Deployment's replicas but the operator.",
        (
            Proof(
                UNIT + "test_desired.py::test_an_autoscaler_drives_the_matchcluster_itself",
                OPERATOR + "desired/api.py",
                '"kind": names.KIND, "name": cluster.name},',
                '"kind": "Deployment", "name": names.api(cluster.name)},',
            ),
            Proof(
                "tests/integration/test_reconcile.py::test_scaling_the_matchcluster_scales_the_api",
                "crds/matchclusters.yaml",
                "specReplicasPath: .spec.api.replicas",
                "specReplicasPath: .spec.index.replicas",
            ),
        ),
    ),
    Pain(
        "The operator's memory grows with what is not its own",
        "OpenSearch operator #790, #700, #612; ECK #2981, #3025, #8760",
        "The API server sends it labelled objects alone, and it keeps none of them.",
        (
            Proof(
                "tests/integration/test_operator.py::test_only_its_own_objects_are_asked_for",
                OPERATOR + "handlers.py",
                "settings.watching.label_selectors[child] = names.CLUSTER_LABEL",
                "pass",
            ),
        ),
    ),
    Pain(
        "It cannot be paused, or a namespace cannot be deleted",
        "OpenSearch operator #723, #976",
        "`spec.paused` lets it look and report and write nothing else. No object carries a finalizer, so no "
        "deletion waits for an operator.",
        (
            Proof(
                "tests/integration/test_reconcile.py::test_a_paused_cluster_is_not_changed",
                OPERATOR + "reconcile.py",
                "todo = plan.Plan(problems=todo.problems) if cluster.paused else self._apply(body, todo)",
                "todo = self._apply(body, todo)",
            ),
            Proof(
                UNIT + "test_desired.py::test_nothing_that_is_made_can_hang_a_deletion",
                OPERATOR + "desired/__init__.py",
                '"namespace": cluster.namespace,',
                '"namespace": cluster.namespace, "finalizers": [f"{names.GROUP}/x"],',
            ),
            Proof(
                "tests/integration/test_operator.py::test_no_matchcluster_gets_a_finalizer",
                OPERATOR + "handlers.py",
                "    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)",
                "    @kopf.on.delete(names.GROUP, names.VERSION, names.PLURAL, registry=registry)",
            ),
        ),
    ),
)

HEAD = """# What users of such operators suffer from

Made by `python tests/support/pains.py > docs/pains.md`. The pains are those that users of ECK, CloudNativePG,
the OpenSearch operator and es-operator report most. For each: why it cannot happen here, the test that would
find it, and a change of one place in the product with which that test fails. `make reliability` makes each of
these changes in a copy and sees the named test fail (`python tests/mutations.py` alone does so too; without
`--cluster` it leaves out what needs an API server).

"""


def page() -> str:
    """docs/pains.md."""
    return HEAD + "\n".join(_sections())


def _sections() -> Iterator[str]:
    for number, pain in enumerate(PAINS, start=1):
        yield f"## {number}. {pain.title}\n"
        yield f"Known from {pain.known_from}.\n"
        yield f"{pain.answer}\n"
        for proof in pain.proofs:
            file, _, name = proof.test.partition("::")
            yield f"- `{name}` ({file}) fails when in `{proof.file}`"
            yield _quoted(proof.old)
            yield "  becomes" + ("" if proof.new else " nothing.")
            if proof.new:
                yield _quoted(proof.new)
            yield ""


def _quoted(code: str) -> str:
    lines = "\n".join(f"  {line}" for line in code.strip("\n").split("\n"))
    return f"  ```\n{lines}\n  ```"


if __name__ == "__main__":
    print(page(), end="")
