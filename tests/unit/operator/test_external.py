"""A MatchCluster over an Elasticsearch that exists already: what is managed there, and what is left alone."""

import base64
from dataclasses import replace
from datetime import UTC, datetime

import jsonschema
import pytest

import match_index
import world
from match_operator import access, plan, status
from match_operator.desired.api import deployment
from match_operator.desired.migration import Move, job
from match_operator.errors import ElasticsearchError
from match_operator.observed import Elastic, Node
from match_operator.plan.index_steps import CreateIndex, MarkIndex, PutTemplate, UpdateIndex
from match_operator.plan.steps import Apply
from world import external
from world import kept as of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ONE = match_index.backing_index("images")
OURS = {"cluster": "lab/photos", "uid": world.UID}
OTHERS = {"cluster": "press/photos", "uid": "another"}
CLUSTER = of(external())


def make(cluster, seen):
    return plan.make(cluster, world.objects(cluster, seen=seen), seen)


def told(cluster, seen):
    made = status.make(cluster, seen, make(cluster, seen), NOW)
    jsonschema.validate(made, world.SCHEMA["properties"]["status"] | {"additionalProperties": False})
    return made


def condition(made, kind):
    return next(c for c in made["conditions"] if c["type"] == kind)


def index_of(owner, **settings):
    """A backing index with a mark, or with none."""
    return world.live_index(CLUSTER, **settings) | {"mappings": match_index.mappings(owner)}


def elastic(**changes):
    return world.elastic(CLUSTER, **changes)


EMPTY = {"template": None, "indices": {}, "documents": 0}


def test_only_the_api_is_made_in_kubernetes():
    kinds = [(i["kind"], i["metadata"]["name"]) for i in world.objects(CLUSTER)]
    assert kinds == [
        ("NetworkPolicy", "photos-api"),
        ("Service", "photos-api"),
        ("Deployment", "photos-api"),
        ("PodDisruptionBudget", "photos-api"),
    ]


def test_a_settled_one_is_ready_and_nothing_is_done():
    seen = world.seen(CLUSTER)
    assert make(CLUSTER, seen).steps == ()
    made = told(CLUSTER, seen)
    assert made["phase"] == "Ready"
    assert made["elasticsearch"]["summary"] == "external"
    assert "nodes" not in made["elasticsearch"]


def test_template_and_index_are_made_with_the_mark_of_their_owner():
    steps = make(CLUSTER, world.seen(CLUSTER, elastic=elastic(**EMPTY))).steps
    template = next(s for s in steps if isinstance(s, PutTemplate))
    created = next(s for s in steps if isinstance(s, CreateIndex))
    assert template.body["template"]["mappings"]["_meta"]["match"]["owner"] == OURS
    assert created.body["mappings"]["_meta"]["match"]["owner"] == OURS
    assert created.body["aliases"] == {"images": {"is_write_index": True}}


def test_an_index_that_another_owns_is_refused_and_nothing_of_it_is_touched():
    seen = world.seen(
        CLUSTER, without=[("Deployment", "photos-api")], elastic=elastic(indices={ONE: index_of(OTHERS)})
    )
    made = make(CLUSTER, seen)
    assert [p.reason for p in made.problems] == ["IndexOwned"]
    assert "belongs to MatchCluster press/photos with UID another" in made.problems[0].message
    assert made.steps == (), "no API either, since it would serve and change the other's images"
    assert told(CLUSTER, seen)["phase"] == "Stalled"


def test_an_index_of_a_namesake_with_another_uid_is_another_owners():
    namesake = OURS | {"uid": "of another Kubernetes cluster"}
    seen = world.seen(CLUSTER, elastic=elastic(indices={ONE: index_of(namesake)}))
    assert [p.reason for p in make(CLUSTER, seen).problems] == ["IndexOwned"]


def test_a_template_that_another_owns_is_refused_while_there_is_no_index():
    theirs = match_index.template_body("images", 1, 1, owner=OTHERS)
    made = make(CLUSTER, world.seen(CLUSTER, elastic=elastic(**EMPTY | {"template": theirs})))
    assert "the index template match-images belongs to" in made.problems[0].message


def test_where_two_raced_the_index_decides_and_its_owner_takes_the_template_back():
    theirs = match_index.template_body("images", 1, 1, owner=OTHERS)
    made = make(CLUSTER, world.seen(CLUSTER, elastic=elastic(template=theirs)))
    assert made.problems == ()
    assert [type(s) for s in made.steps] == [PutTemplate]


def test_a_spare_index_of_another_is_refused_too():
    spare = {match_index.backing_index("images", 2): index_of(OTHERS)}
    made = make(CLUSTER, world.seen(CLUSTER, elastic=elastic(spare=spare)))
    assert [p.reason for p in made.problems] == ["IndexOwned"]


def test_an_index_of_one_that_is_no_more_is_taken_over_when_its_uid_is_named():
    heir = of(external(takeOverFrom="another"))
    steps = make(heir, world.seen(CLUSTER, elastic=elastic(indices={ONE: index_of(OTHERS)}))).steps
    [marked] = [s for s in steps if isinstance(s, MarkIndex)]
    assert (marked.name, marked.meta["match"]["owner"]) == (ONE, OURS)
    assert marked.meta["match"]["schema"] == match_index.SCHEMA_VERSION, "what else is in _meta stays"


def test_naming_a_uid_takes_nothing_from_anybody_else():
    heir = of(external(takeOverFrom="a third"))
    made = make(heir, world.seen(CLUSTER, elastic=elastic(indices={ONE: index_of(OTHERS)})))
    assert [p.reason for p in made.problems] == ["IndexOwned"]


def test_an_index_of_the_service_that_nobody_owns_is_marked():
    steps = make(CLUSTER, world.seen(CLUSTER, elastic=elastic(indices={ONE: index_of(None)}))).steps
    assert [s.name for s in steps if isinstance(s, MarkIndex)] == [ONE]


def test_an_alias_on_an_index_of_another_kind_of_name_is_refused():
    foreign = {"photos-of-2019": index_of(None)}
    assert [
        p.reason for p in make(CLUSTER, world.seen(CLUSTER, elastic=elastic(indices=foreign))).problems
    ] == ["IndexTaken"]


def test_an_index_without_its_alias_is_said_and_not_made_again():
    lost = elastic(indices={}, spare={ONE: index_of(OURS)})
    made = make(CLUSTER, world.seen(CLUSTER, elastic=lost))
    assert [p.reason for p in made.problems] == ["AliasMissing"]
    assert made.steps == ()


@pytest.mark.parametrize("state", [None, elastic(**EMPTY), elastic(indices={ONE: index_of(None)})])
def test_the_api_waits_until_the_index_is_known_to_be_ours(state: Elastic | None):
    seen = world.seen(CLUSTER, without=[("Deployment", "photos-api")], elastic=state)
    assert not [s for s in make(CLUSTER, seen).steps if isinstance(s, Apply)]


def test_the_api_goes_on_and_is_changed_while_elasticsearch_is_away():
    more = of(external() | {"api": {"replicas": 5}})
    seen = world.seen(CLUSTER, elastic=None, silence="it does not answer")
    assert [s.item["kind"] for s in make(more, seen).steps if isinstance(s, Apply)] == ["Deployment"]


def test_an_elasticsearch_that_does_not_answer_is_what_it_waits_for():
    made = told(CLUSTER, world.seen(CLUSTER, elastic=None, silence="it refuses the credentials"))
    assert condition(made, "Ready")["status"] == "False"
    expected = "the external Elasticsearch cannot be used: it refuses the credentials"
    assert made["operation"]["waitingFor"] == expected
    assert condition(made, "ElasticsearchReady")["reason"] == "Unreachable"


def one_node(**index):
    """What one node makes of an index with no room for a copy."""
    node = {"nodes": {"es-0": Node("id-es-0", "8.19.21")}}
    return elastic(**node, indices={ONE: index_of(OURS, **index)})


def test_on_one_node_the_index_is_made_without_copies():
    lone = replace(elastic(**EMPTY), nodes={"es-0": Node("id-es-0", "8.19.21")})
    created = next(
        s for s in make(CLUSTER, world.seen(CLUSTER, elastic=lone)).steps if isinstance(s, CreateIndex)
    )
    assert created.body["settings"] == {"index": {"number_of_replicas": "0"}}


def test_copies_that_have_no_room_are_said_and_asked_for_once_they_have():
    lone = world.seen(CLUSTER, elastic=one_node(number_of_replicas="0"))
    assert make(CLUSTER, lone).steps == ()
    assert condition(told(CLUSTER, lone), "IndexReady")["reason"] == "ReplicasClamped"
    two = world.seen(CLUSTER, elastic=elastic(indices={ONE: index_of(OURS, number_of_replicas="0")}))
    assert UpdateIndex(ONE, {"number_of_replicas": "1"}) in make(CLUSTER, two).steps


def test_a_node_that_is_away_for_a_moment_costs_no_copy():
    seen = world.seen(CLUSTER, elastic=one_node(number_of_replicas="1"))
    assert make(CLUSTER, seen).steps == ()


def test_nodes_that_are_called_like_ours_are_not_emptied():
    """Its URL may lead to the nodes of a MatchCluster of the same name in another namespace."""
    nodes = {f"photos-es-default-{n}": Node(f"id-{n}", "8.19.21") for n in range(3)}
    made = make(CLUSTER, world.seen(CLUSTER, elastic=elastic(nodes=nodes)))
    assert (made.steps, made.waiting_for) == ((), "")


def test_any_version_from_8_on_is_as_it_should_be():
    for version, reasons in (("7.17.0", ["VersionUnsupported"]), ("8.0.1", []), ("9.4.0", [])):
        seen = world.seen(CLUSTER, elastic=elastic(nodes={"es-0": Node("id", version)}))
        assert [p.reason for p in make(CLUSTER, seen).problems] == reasons


def test_templates_of_indices_whose_names_begin_alike_do_not_meet():
    patterns = [match_index.template_body(name, 1, 1)["index_patterns"] for name in ("images", "images-old")]
    assert patterns == [["images-00*"], ["images-old-00*"]]


def secret(**data):
    """A Secret of the user's."""
    return {"data": {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}}


def access_with(given, **fields):
    cluster = of(external(**fields))
    return access.to_elasticsearch(cluster, replace(world.seen(cluster), given=given))


CREDENTIALS = {"secretRef": {"name": "es"}}


def test_user_and_password_or_an_api_key_come_from_the_secret_that_is_named():
    both = access_with({"es": secret(username="u", password="p")}, **CREDENTIALS)
    assert (both.url, both.username, both.password, both.api_key) == ("https://es.example:9200", "u", "p", "")
    key = access_with({"es": secret(apiKey="k")}, **CREDENTIALS)
    assert (key.username, key.api_key) == ("", "k")


def test_the_authority_comes_from_the_key_that_is_named():
    fields = {"caSecretRef": {"name": "ca", "key": "tls.crt"}}
    assert access_with({"ca": secret(**{"tls.crt": "PEM"})}, **fields).authority == "PEM"
    assert of(external(**fields)).given_secrets == ("ca",)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"es": None}, "there is no Secret es in this namespace"),
        ({"es": secret(user="u")}, "the Secret es holds neither username and password nor apiKey"),
        ({"es": secret(username="u")}, "the Secret es holds nothing under password"),
    ],
)
def test_a_secret_that_cannot_be_used_is_said(given, sentence):
    with pytest.raises(ElasticsearchError, match=sentence):
        access_with(given, **CREDENTIALS)


@pytest.mark.parametrize(
    "make_pod", [deployment, lambda c: job(c, Move(ONE, "images-000002"))], ids=["api", "job"]
)
def test_pods_have_the_credentials_as_files_and_never_in_their_environment(make_pod):
    cluster = of(external(**CREDENTIALS, caSecretRef={"name": "ca", "key": "tls.crt"}))
    spec = make_pod(cluster)["spec"]["template"]["spec"]
    [container] = spec["containers"]
    env = {item["name"]: item["value"] for item in container["env"]}
    assert env["ELASTICSEARCH_URL"] == "https://es.example:9200"
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    folder = volumes[mounted[env["ELASTICSEARCH_CREDENTIALS"]]]["projected"]["sources"]
    assert [s["secret"]["items"][0]["path"] for s in folder] == ["username", "password", "apiKey"]
    assert {s["secret"]["name"] for s in folder} == {"es"}
    authority, _, file = env["ELASTICSEARCH_CA_CERTS"].rpartition("/")
    assert volumes[mounted[authority]]["secret"] == {
        "secretName": "ca",
        "items": [{"key": "tls.crt", "path": file}],
    }


def test_without_secrets_the_pods_mount_none():
    volumes = deployment(CLUSTER)["spec"]["template"]["spec"]["volumes"]
    assert not {"elasticsearch", "elasticsearch-ca"} & {v["name"] for v in volumes}
