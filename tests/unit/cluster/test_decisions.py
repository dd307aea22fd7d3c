"""Which cluster is used and where it takes things from: mistakes here touch what is not ours."""

import pytest

from labcluster import base, foreign, progress
from labcluster.foreign import Target


def test_without_a_context_the_local_cluster_is_used() -> None:
    assert foreign.decide({}) is None
    assert foreign.decide({"CLUSTER": "  "}) is None


def test_a_kubeconfig_in_the_environment_is_ignored() -> None:
    assert foreign.decide({"KUBECONFIG": "/home/me/production", "IMAGE_REGISTRY": "r.example/x"}) is None


@pytest.mark.parametrize(
    ("environment", "target"),
    [
        ({"CLUSTER": "kind-dev"}, Target("kind-dev", "kind", "dev")),
        ({"CLUSTER": "k3d-my-dev"}, Target("k3d-my-dev", "k3d", "my-dev")),
        ({"CLUSTER": "eks", "IMAGE_REGISTRY": "r.example/x/"}, Target("eks", "registry", "r.example/x")),
        ({"CLUSTER": "kind-dev", "IMAGE_REGISTRY": "r.example"}, Target("kind-dev", "registry", "r.example")),
        ({"CLUSTER": "eks"}, Target("eks", "")),
    ],
)
def test_the_context_and_the_registry_decide_how_images_travel(
    environment: dict[str, str], target: Target
) -> None:
    assert foreign.decide(environment) == target


def test_finished_images_are_taken_as_they_are() -> None:
    given = {"CLUSTER": "eks", "MATCH_OPERATOR_IMAGE": "r/o:1", "MATCH_SERVICE_IMAGE": "r/s:1"}
    target = foreign.decide(given)
    assert target is not None
    assert foreign.ensure(target) == {"operator": "r/o:1", "service": "r/s:1"}
    more = foreign.decide(given | {"MATCH_ELASTICSEARCH_IMAGE": "r/e:1"})
    assert more is not None
    assert foreign.ensure(more)["elasticsearch"] == "r/e:1"


def test_one_finished_image_alone_is_not_enough() -> None:
    target = foreign.decide({"CLUSTER": "eks", "MATCH_OPERATOR_IMAGE": "r/o:1"})
    assert target == Target("eks", "")


def test_a_cluster_without_a_way_for_images_is_refused_in_one_sentence() -> None:
    with pytest.raises(progress.LabError, match="set IMAGE_REGISTRY"):
        foreign.ensure(Target("eks", ""))


@pytest.mark.parametrize(
    ("sources", "mirror"),
    [
        ("deb http://a.example/debian bookworm main\n", "http://a.example/debian"),
        ("deb [signed-by=/k] http://b.example/debian bookworm main contrib\n", "http://b.example/debian"),
        ("# deb http://off.example/debian bookworm main\n", None),
        ("deb http://c.example/debian bookworm-updates main\n", None),
        (
            "URIs: https://x.example\nSuites: nodistro\n\nURIs: http://d.example/debian\nSuites: bookworm\n",
            "http://d.example/debian",
        ),
        ("", None),
    ],
)
def test_the_mirror_is_the_one_apt_uses_for_the_suite_itself(sources: str, mirror: str | None) -> None:
    assert base.mirror_in(sources) == mirror


def test_pip_settings_come_from_files_and_the_environment_wins() -> None:
    files = "[global]\nindex-url = https://file.example/simple\ncert = /etc/x.pem\n[install]\nuser = true\n"
    environment = {
        "PIP_INDEX_URL": "https://env.example/simple",
        "PIP_FIND_LINKS": "/a\n /b",
        "PIP_USER": "1",
    }
    assert base.pip_settings(environment, files) == {
        "index-url": "https://env.example/simple",
        "find-links": "/a /b",
    }
