"""Probes and metrics over HTTP, from a thread of their own: they answer while the event loop is busy."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import start_http_server


def serve(health_port: int, metrics_port: int, problem: Callable[[], str]) -> None:
    """Answer /healthz with 200, or with 503 and the sentence that ``problem`` returns; serve /metrics."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sentence = problem() if self.path == "/healthz" else "not found; ask for /healthz"
            status = 404 if self.path != "/healthz" else 503 if sentence else 200
            body = json.dumps({"status": "fail" if sentence else "ok", "error": sentence}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Probes are no news."""

    # Probes come from outside the pod.
    server = ThreadingHTTPServer(("", health_port), Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    start_http_server(metrics_port)
