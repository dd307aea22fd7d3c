"""Make the API of a MatchCluster, or its Elasticsearch, answer at a port of this machine.

Each connection goes to a pod that is ready when it is made, so the port outlives the pods it leads to.
"""

import argparse
import select
import socket
import socketserver
import sys
import threading
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward
from pykube.objects import Pod

from match_operator import names, observed

PORTS = {names.API: names.API_PORT, names.ELASTICSEARCH: names.HTTP_PORT}
LOCAL = {names.API: 8888, names.ELASTICSEARCH: 9200}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be given."""
    parser.add_argument("name", help="of the MatchCluster")
    parser.add_argument("-n", "--namespace", default="default", help="default: default")
    parser.add_argument("-c", "--component", choices=tuple(PORTS), default=names.API, help="default: api")
    parser.add_argument("-p", "--port", type=int, help="here; default: 8888, of elasticsearch 9200; 0: any")


def run(options: argparse.Namespace, connection: Any) -> int:
    """Forward until interrupted; exit code 1 where no pod is ready or the port is taken."""
    if not ready(connection, options):
        print(f"matchctl: no {options.component} pod of {options.name} is ready", file=sys.stderr)
        return 1
    port = LOCAL[options.component] if options.port is None else options.port
    api = config.new_client_from_config(options.kubeconfig)  # type: ignore[no-untyped-call]
    try:
        server = Forwarding(port, options, connection, client.CoreV1Api(api))
    except OSError as error:
        print(f"matchctl: port {port} cannot be used: {error}; choose another by --port", file=sys.stderr)
        return 1
    with server:
        print(
            f"http://127.0.0.1:{server.server_address[1]} leads to {options.name}; end with Ctrl-C",
            flush=True,
        )
        try:
            server.serve_forever(0.2)
        except KeyboardInterrupt:
            print()
    return 0


def ready(connection: Any, options: argparse.Namespace) -> list[str]:
    """Pods of the component that are ready."""
    selector = names.selector(options.name, options.component)
    pods = Pod.objects(connection, namespace=options.namespace).filter(selector=selector)
    return sorted(pod.name for pod in pods if observed.is_ready(pod.obj))


class Forwarding(socketserver.ThreadingTCPServer):
    """Takes connections on loopback and passes each on to a pod."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, options: argparse.Namespace, connection: Any, api: Any) -> None:
        self.options, self.connection, self.api = options, connection, api
        self._turn = 0
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Connection)

    def reach(self) -> Any:
        """A socket that leads to a ready pod, each in its turn; raises ``OSError``."""
        pods = ready(self.connection, self.options)
        if not pods:
            raise OSError("no pod is ready")
        port = PORTS[self.options.component]
        call = self.api.connect_get_namespaced_pod_portforward
        with self._lock:  # to connect, the client exchanges a method of its own for a while
            self._turn += 1
            pod = pods[self._turn % len(pods)]
            try:
                return portforward(call, pod, self.options.namespace, ports=str(port)).socket(port)
            except ApiException as error:
                raise OSError(f"{pod}: {error.reason}") from error


class _Connection(socketserver.BaseRequestHandler):
    server: Forwarding

    def handle(self) -> None:
        try:
            pod = self.server.reach()
        except OSError as error:
            print(f"matchctl: {error}", file=sys.stderr)
            return
        try:
            pump(self.request, pod)
        finally:
            pod.close()


def pump(here: socket.socket, there: socket.socket) -> None:
    """Pass bytes both ways until either side has no more."""
    other = {here.fileno(): there, there.fileno(): here}
    while True:
        for number in select.select(list(other), [], [])[0]:
            source = here if number == here.fileno() else there
            try:
                data = source.recv(65536)
                other[number].sendall(data)
            except OSError:
                return
            if not data:
                return
