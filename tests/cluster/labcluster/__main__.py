"""`python -m labcluster <command>`: the local cluster and the single Elasticsearch node from a shell."""

import argparse
import os
import signal
import sys
import threading
import time

from labcluster import certificates, elasticsearch, foreign, lab, nodes, progress
from labcluster.cluster import Cluster

COMMANDS = {
    "up": "start or heal the cluster, build and load the images",
    "status": "what runs and where its files are",
    "down": "stop everything; volumes, objects, images and builds stay",
    "kubeconfig": "print the path of the kubeconfig",
    "images": "build and load the images, print their references",
    "elasticsearch": "run one Elasticsearch node in the foreground, print its URL",
}


def _up(count: int) -> None:
    start = time.monotonic()
    cluster = Cluster.up(images_too=True, nodes=count)
    references = cluster.images
    if progress.summary():
        progress.say(progress.summary())
    progress.say(f"  {time.monotonic() - start:7.1f} s  in all; context {cluster.context} is up")
    for name, reference in references.items():
        progress.say(f"  {name:14} {reference}")
    progress.say(f"  export KUBECONFIG={cluster.kubeconfig}")


def _images() -> None:
    for name, reference in Cluster.up().images.items():
        print(f"{name} {reference}")


def _kubeconfig() -> None:
    target = foreign.decide(os.environ)
    path = foreign.kubeconfig(target) if target else certificates.kubeconfig("admin")
    if not path.exists():
        raise progress.LabError("There is no cluster yet: run `python -m labcluster up`.")
    print(path)


def _elasticsearch() -> None:
    """One node in the foreground; its URL is the one line on standard output."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with elasticsearch.node() as url:
        print(url, flush=True)
        stop.wait()


def _run(arguments: argparse.Namespace) -> None:
    if arguments.command == "down":
        if foreign.decide(os.environ):
            raise progress.LabError("CLUSTER names a cluster of yours, which is not ours to stop: unset it.")
        lab.down(arguments.purge)
    elif arguments.command == "status":
        print(lab.status())
    elif arguments.command == "up":
        _up(arguments.nodes)
    else:
        simple = {"images": _images, "kubeconfig": _kubeconfig, "elasticsearch": _elasticsearch}
        simple[arguments.command]()


def main() -> int:
    """Parse the command line and run one command; exit code 1 with one sentence when it cannot be done."""
    parser = argparse.ArgumentParser(prog="labcluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == "down":
            command.add_argument("--purge", action="store_true", help="delete data and builds as well")
        if name == "up":
            how_many = range(1, nodes.MOST + 1)
            told = f"at least so many nodes (default {lab.NODES}); a running cluster never shrinks"
            command.add_argument(
                "--nodes", type=int, default=lab.NODES, choices=how_many, metavar="N", help=told
            )
    try:
        _run(parser.parse_args())
    except progress.LabError as error:
        progress.say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
