"""Nodes that share one machine must not share addresses, ports or names."""

import io
import ipaddress
import json
import tarfile
from pathlib import Path

from labcluster import containers, network
from labcluster.nodes import PODS_PER_NODE, Node


def test_each_node_has_pod_addresses_of_its_own_on_the_bridge() -> None:
    taken: set[int] = {int(ipaddress.ip_address(network.GATEWAY))}
    pods = ipaddress.ip_network(network.PODS)
    for index in range(16):
        addresses = Node(index, "pause").addresses
        first, last = (ipaddress.ip_address(addresses[name]) for name in ("rangeStart", "rangeEnd"))
        assert first in pods
        assert last in pods
        mine = set(range(int(first), int(last) + 1))
        assert len(mine) > PODS_PER_NODE
        assert not mine & taken
        taken |= mine


def test_nodes_differ_in_name_port_socket_and_cgroup() -> None:
    nodes = [Node(index, "pause") for index in range(16)]
    for one in ("name", "health_port", "socket", "cgroup"):
        assert len({getattr(node, one) for node in nodes}) == len(nodes)


def test_nodes_stand_in_three_zones_in_turn() -> None:
    assert [Node(index, "pause").zone for index in range(4)] == ["a", "b", "c", "a"]


def content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def test_the_archive_of_a_single_file_is_an_image_that_runs_it(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(b"\x7fELF")
    containers.archive(program, tmp_path / "out.tar", "localhost/pause:1", {"Entrypoint": ["/pause"]})
    with tarfile.open(tmp_path / "out.tar") as image:
        manifest = json.loads(content(image, "manifest.json"))[0]
        assert manifest["RepoTags"] == ["localhost/pause:1"]
        config = json.loads(content(image, manifest["Config"]))
        assert config["config"] == {"Entrypoint": ["/pause"]}
        with tarfile.open(fileobj=io.BytesIO(content(image, manifest["Layers"][0]))) as layer:
            entry = layer.getmember("pause")
            assert entry.mode & 0o111
            assert entry.size == 4
