"""How large a MatchCluster a load needs, and what the plan says where it cannot do better."""

from pathlib import Path

import jsonschema
import pytest
import yaml

import world
from match_operator import ctl, size
from match_operator.size import GIB, Load

MILLION = 10**6
DOCUMENT = (Path(__file__).parents[3] / "docs/sizing.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("250k", 250_000),
        ("50M", 50 * MILLION),
        ("1.5G", 1500 * MILLION),
        ("2bn", 2000 * MILLION),
        ("1,000", 1000),
    ],
)
def test_images_are_read_as_people_write_them(text: str, number: int) -> None:
    assert size.images(text) == number


@pytest.mark.parametrize("text", ["", "0", "many", "-5", "5T", "1e6"])
def test_what_is_no_number_of_images_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a number of images"):
        size.images(text)


@pytest.mark.parametrize(
    ("load", "shards", "data_nodes", "masters", "exact"),
    [
        (Load(10_000), 1, 3, 0, True),
        (Load(10 * MILLION), 1, 3, 0, True),
        (Load(50 * MILLION), 5, 3, 0, True),
        (Load(200 * MILLION), 20, 3, 0, True),
        (Load(1000 * MILLION), 64, 14, 3, False),
    ],
)
def test_a_load_gets(load: Load, shards: int, data_nodes: int, masters: int, exact: bool) -> None:
    found = size.size(load)
    assert (found.shards, found.data_nodes, found.masters, found.mirror > 0) == (
        shards,
        data_nodes,
        masters,
        exact,
    )


@pytest.mark.parametrize("count", [10**power for power in range(3, 10)])
def test_no_pod_is_smaller_than_its_mirror_and_no_volume_than_its_share_of_the_index(count: int) -> None:
    found = size.size(Load(count))
    assert found.pod_memory > found.mirror
    assert found.node_disk * found.data_nodes > found.index * 1.2


@pytest.mark.parametrize("count", [1, 3000, 10**6, 10**8])
def test_a_mirror_holds_all_images_and_those_not_yet_forgotten(count: int) -> None:
    whole_blocks = size.size(Load(count)).mirror // size.MIRROR_BYTES // 65_536 * 65_536
    assert whole_blocks >= max(count + 100_000, 1.25 * count)


def test_more_of_anything_never_needs_less() -> None:
    for loads in (
        [Load(count, searches_per_second=2) for count in (10**5, 10**7, 10**8)],
        [Load(10**7, searches_per_second=rate) for rate in (0, 1, 5, 25)],
    ):
        cores = [found.pods * found.pod_cores for found in map(size.size, loads)]
        assert cores == sorted(cores)
        assert cores[-1] > cores[0]
    assert size.size(Load(10**7, replicas=2)).index == 1.5 * size.size(Load(10**7, replicas=1)).index
    assert size.size(Load(10**7, adds_per_second=20_000)).data_nodes > size.size(Load(10**7)).data_nodes


def test_a_replica_has_a_node_of_its_own() -> None:
    assert size.size(Load(1000, replicas=5)).data_nodes == 6


def test_what_exceeds_the_schema_is_refused_with_what_to_do() -> None:
    with pytest.raises(size.TooLargeError, match="spread the images over several"):
        size.size(Load(300 * MILLION, searches_per_second=10_000))


def test_a_mirror_too_large_for_a_pod_is_said_and_its_price_too() -> None:
    load = Load(1000 * MILLION)
    said = "\n".join(size.words(load, size.size(load)))
    assert "searches go by words and find less" in said
    assert "Several MatchClusters" in said
    assert size.size(load).pod_memory < 16 * GIB


@pytest.mark.parametrize(
    "arguments", ["--images 20k", "--images 50M --searches-per-second 20", "--images 1G"]
)
def test_the_manifest_is_a_complete_match_cluster(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    ctl.main(["size", *arguments.split(), "-o", "yaml", "--name", "big"])
    given = yaml.safe_load(capsys.readouterr().out)
    assert given["apiVersion"] == "match.dev/v1alpha1"
    jsonschema.validate(given["spec"], world.SCHEMA["properties"]["spec"] | {"additionalProperties": False})
    cluster = world.cluster(given["spec"], name=given["metadata"]["name"])
    (deployment,) = (item for item in world.objects(cluster) if item["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"MATCH_MIRROR_MAX_BYTES", "ELASTICSEARCH_URL"} <= {
        variable["name"] for variable in container["env"]
    }


def test_words_are_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    ctl.main(["size", "--images", "1M"])
    assert capsys.readouterr().out.startswith("1,000,000 images, 1 searches")


def test_an_impossible_load_ends_with_a_sentence() -> None:
    with pytest.raises(SystemExit, match="matchctl: This load takes"):
        ctl.main(["size", "--images", "300M", "--searches-per-second", "10000"])


def test_a_negative_rate_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        ctl.main(["size", "--images", "1M", "--adds-per-second", "-1"])
    assert "invalid rate value" in capsys.readouterr().err


def rows(heading: str) -> dict[str, list[str]]:
    """Cells of the table below a line of docs/sizing.md, by their first one."""
    table = DOCUMENT.split(heading, 1)[1].split("| --- |\n", 1)[1].split("\n\n", 1)[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {first: rest for first, *rest in cells}


def test_the_document_shows_what_the_calculation_says() -> None:
    found = rows("| | 10 million | 100 million | 1,000 million |")
    sizes = [size.size(Load(millions * MILLION)) for millions in (10, 100, 1000)]
    assert found["primary shards"] == [str(each.shards) for each in sizes]
    assert found["index, both copies"] == [f"{each.index / GIB:,.0f} GiB" for each in sizes]
    pods = [f"{p.pods} of {p.pod_cores} CPUs, {p.pod_memory / GIB:g} GiB" for p in sizes]
    assert found["API pods"] == pods


def test_the_document_names_the_coefficients() -> None:
    for said in (
        f"{size.DISK_BYTES} bytes",
        f"{size.MIRROR_BYTES} bytes",
        f"{size.SCAN_MS:.0f} ms a million",
    ):
        assert said in DOCUMENT


def test_the_error_on_the_largest_size_is_what_the_document_says_and_small_for_what_is_calculated_with() -> (
    None
):
    errors = {}
    for name, (foretold, measured, error) in rows("| at 1,000,000 images | foretold").items():
        values = [float(text.split()[0].split("/")[0].replace(",", "")) for text in (foretold, measured)]
        errors[name] = values[0] / values[1] - 1
        assert f"{errors[name]:+.0%}".replace("%", " %") == error
    assert abs(errors["file"]) < 0.05
    assert abs(errors["search, 16 orientations"]) < 0.1
