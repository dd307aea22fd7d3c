import pytest

from match_operator import merge, quantities


def test_containers_merge_by_name_and_the_rest_of_the_template_stays():
    base = {"spec": {"containers": [{"name": "api", "image": "a", "env": [{"name": "X", "value": "1"}]}]}}
    overlay = {
        "spec": {"containers": [{"name": "api", "env": [{"name": "Y", "value": "2"}]}, {"name": "side"}]}
    }
    merged = merge.merge(base, overlay)
    assert merged["spec"]["containers"] == [
        {"name": "api", "image": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
        {"name": "side"},
    ]
    assert base["spec"]["containers"][0]["env"] == [{"name": "X", "value": "1"}]


def test_null_removes_a_field():
    assert merge.merge({"spec": {"affinity": {"a": 1}, "x": 1}}, {"spec": {"affinity": None}}) == {
        "spec": {"x": 1}
    }


def spread(when, skew):
    return {"topologyKey": "zone", "whenUnsatisfiable": when, "maxSkew": skew}


def test_two_constraints_of_one_topology_are_both_kept():
    both = {"topologySpreadConstraints": [spread("DoNotSchedule", 2), spread("ScheduleAnyway", 1)]}
    assert merge.merge({"topologySpreadConstraints": []}, both) == both


@pytest.mark.parametrize(
    ("desired", "live"),
    [
        pytest.param({"a": 1}, {"a": 1, "defaulted": 2}, id="defaults of the server"),
        pytest.param(
            {"limits": {"cpu": "1000m", "memory": "2048Mi"}},
            {"limits": {"cpu": "1", "memory": "2Gi"}},
            id="canonical quantities",
        ),
        pytest.param(
            {"containers": [{"name": "a", "image": "x"}]},
            {"containers": [{"name": "injected"}, {"name": "a", "image": "x", "stdin": False}]},
            id="a container someone else added",
        ),
        pytest.param(
            {"volumes": [{"name": "a", "emptyDir": {"sizeLimit": "1024Mi"}}]},
            {"volumes": [{"name": "a", "emptyDir": {"sizeLimit": "1Gi"}}]},
            id="a canonical quantity outside of resources",
        ),
        pytest.param(
            {"topologySpreadConstraints": [spread("DoNotSchedule", 2), spread("ScheduleAnyway", 1)]},
            {"topologySpreadConstraints": [spread("DoNotSchedule", 2), spread("ScheduleAnyway", 1)]},
            id="two constraints of one topology",
        ),
        pytest.param({"emptyDir": {}}, {"emptyDir": None}, id="empty and absent"),
    ],
)
def test_what_others_added_is_no_drift(desired, live):
    assert merge.drift(desired, live) is None


@pytest.mark.parametrize(
    ("desired", "live", "path"),
    [
        ({"spec": {"replicas": 2}}, {"spec": {"replicas": 3}}, "spec.replicas"),
        ({"spec": {"containers": [{"name": "a", "image": "x"}]}},
         {"spec": {"containers": [{"name": "a", "image": "y"}]}}, "spec.containers[a].image"),
        ({"ports": [{"port": 80}]}, {"ports": []}, "ports"),
        ({"automountServiceAccountToken": False}, {}, "automountServiceAccountToken"),
        ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, "limits.cpu"),
    ],
)  # fmt: skip
def test_drift_names_the_path(desired, live, path):
    assert merge.drift(desired, live) == path


def test_what_an_apply_came_back_as_is_no_drift_until_it_changes():
    desired = {"hostNetwork": False, "env": [{"name": "A", "value": ""}], "timeoutSeconds": 0}
    answer = {"env": [{"name": "A"}], "timeoutSeconds": 1}
    rewritten = dict(merge.drifts(desired, answer))
    assert merge.drift(desired, answer, rewritten) is None
    assert merge.drift(desired, answer | {"hostNetwork": True}, rewritten) == "hostNetwork"
    assert merge.drift(desired, answer | {"env": []}, rewritten) == "env[A]"
    assert merge.drift(desired, answer | {"timeoutSeconds": 2}, rewritten) == "timeoutSeconds"


@pytest.mark.parametrize(
    ("text", "value"), [("2Gi", 2**31), ("500m", 0.5), ("1.5", 1.5), (3, 3), ("1k", 1000)]
)
def test_quantities_are_read_as_kubernetes_reads_them(text, value):
    assert float(quantities.parse(text)) == value


@pytest.mark.parametrize("text", ["", "2GB", "much", "Gi", "1 Gi x"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match="not a quantity"):
        quantities.parse(text)
