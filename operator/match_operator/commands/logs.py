"""Print the logs of all pods of a MatchCluster, each line with the name of its pod."""

import argparse
import sys
import threading
from collections.abc import Iterable
from typing import Any

from pykube.objects import Pod

from match_operator import names

LOCK = threading.Lock()


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be given."""
    parser.add_argument("name", help="of the MatchCluster")
    parser.add_argument("-n", "--namespace", default="default", help="default: default")
    parser.add_argument("-c", "--component", choices=(names.ELASTICSEARCH, names.API), help="default: both")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as lines come")
    parser.add_argument("--tail", type=int, default=100, help="lines of each pod to begin with; default: 100")
    parser.add_argument("-p", "--previous", action="store_true", help="of the container that ran before")


def run(options: argparse.Namespace, connection: Any) -> int:
    """Print; exit code 1 where there is no pod."""
    selector = {names.CLUSTER_LABEL: options.name}
    if options.component:
        selector[names.COMPONENT_LABEL] = options.component
    pods = list(Pod.objects(connection, namespace=options.namespace).filter(selector=selector))
    if not pods:
        print(f"matchctl: MatchCluster {options.name} has no pod in {options.namespace}", file=sys.stderr)
        return 1
    threads = [threading.Thread(target=_print, args=(pod, options), daemon=True) for pod in pods]
    for thread in threads:
        thread.start()
        if not options.follow:
            thread.join()
    for thread in threads:
        thread.join()
    return 0


def _print(pod: Any, options: argparse.Namespace) -> None:
    container = pod.obj["metadata"]["labels"][names.COMPONENT_LABEL]
    wanted = {"container": container, "tailLines": options.tail}
    wanted |= {"follow": "true"} if options.follow else {}
    wanted |= {"previous": "true"} if options.previous else {}
    path = f"namespaces/{pod.namespace}/pods/{pod.name}/log"
    answer = pod.api.get(version="v1", url=path, params=wanted, stream=True, timeout=None)
    write(pod.name, answer.iter_lines(decode_unicode=True))


def write(pod: str, lines: Iterable[str]) -> None:
    """Print each line whole, behind the name of its pod."""
    for line in lines:
        with LOCK:
            print(f"{pod} {line}", flush=True)
