"""Print the objects that a MatchCluster in a file becomes; asks no cluster.

For reviews and for policies that are checked before anything is applied.
"""

import argparse
import sys
from typing import Any

import yaml

from match_operator import api, desired
from match_operator.commands import manifests, schema
from match_operator.config import Config
from match_operator.desired import elasticsearch


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be given."""
    parser.add_argument("-f", "--filename", required=True, help='the file, "-" for standard input')
    parser.add_argument("-n", "--namespace", help="for a MatchCluster that names none; default: default")
    parser.add_argument("--elasticsearch-image", default=Config.elasticsearch_image, help="the operator's")
    parser.add_argument("--api-image", default=Config.api_image, help="the operator's default")


def run(options: argparse.Namespace, _connection: Any) -> int:
    """Print one YAML document for each object."""
    config = Config(elasticsearch_image=options.elasticsearch_image, api_image=options.api_image)
    for body in manifests.read(options.filename):
        if options.namespace:
            body["metadata"] = {"namespace": options.namespace} | body["metadata"]
        cluster = api.from_body(schema.completed(body), config)
        objects = desired.build(cluster, elasticsearch.initial_masters(cluster, {}))
        for item in objects:
            # Who owns it is known only once it exists, and the fingerprint is the operator's own affair.
            item["metadata"].pop("ownerReferences")
            item["metadata"].pop("annotations")
        yaml.dump_all(objects, sys.stdout, _Readable, sort_keys=False, explicit_start=True)
    return 0


class _Readable(yaml.SafeDumper):
    """Texts of several lines as such, and no anchors."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _text)
