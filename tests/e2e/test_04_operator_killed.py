"""Story: the operator dies while it creates a cluster, and the next one completes it."""

from stories import Namespace, kill_operator, small_nodes, wait


def test_a_cluster_is_completed_after_the_operator_was_killed(stories: Namespace):
    stories.apply("killed", small_nodes(1))
    wait(
        lambda: bool(stories.get("configmap", "", "-l", "match.dev/cluster=killed")["items"]), 30, lambda: ""
    )
    kill_operator(stories.lab)
    stories.wait_ready("killed")
    stories.kubectl("delete", "matchcluster", "killed", "--wait=true")
