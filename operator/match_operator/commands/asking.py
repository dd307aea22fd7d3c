"""What `matchctl snapshot` and `matchctl restore` share: create a request and follow it to its end."""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from typing import Any, Final

from match_operator import names
from match_operator.errors import InvalidSpecError

Json = dict[str, Any]

OVER: Final = ("Completed", "Failed", "Refused")
LOOK_SECONDS: Final = 1.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be given to both."""
    parser.add_argument("-n", "--namespace", default="default", help="default: default")
    parser.add_argument(
        "--seconds", type=float, default=3600.0, help="how long to wait, 0 not at all; default: 3600"
    )


@dataclass(frozen=True)
class Asked:
    """A MatchSnapshot or MatchRestore."""

    connection: Any
    kind: str
    namespace: str
    name: str

    def create(self, spec: Json, seconds: float) -> Json:
        """Create it and print what its status says until it is over or time is; the status."""
        url = f"namespaces/{self.namespace}/{names.REQUESTS[self.kind]}"
        body = {
            "apiVersion": names.API_VERSION,
            "kind": self.kind,
            "metadata": {"name": self.name},
            "spec": spec,
        }
        answer = self.connection.post(
            version=names.API_VERSION,
            url=url,
            headers={"Content-Type": "application/json"},
            data=json.dumps(body),
        )
        if answer.status_code != 201:
            raise InvalidSpecError(answer.json().get("message", str(answer.status_code)))
        print(f"{self.kind} {self.namespace}/{self.name} created")
        return self._follow(f"{url}/{self.name}", seconds)

    def _follow(self, url: str, seconds: float) -> Json:
        end, said, status = time.monotonic() + seconds, "", Json()
        while time.monotonic() < end:
            item = self.connection.get(version=names.API_VERSION, url=url).json()
            status = item.get("status") or {}
            line = f"{status.get('phase', 'Pending')}: {status.get('message', 'waiting for an operator')}"
            if line != said:
                print(line, flush=True)
                said = line
            if status.get("phase") in OVER:
                return status
            time.sleep(min(LOOK_SECONDS, max(end - time.monotonic(), 0)))
        if seconds:
            print(f"matchctl: not over after {seconds:.0f} seconds; it goes on", file=sys.stderr)
        return status
