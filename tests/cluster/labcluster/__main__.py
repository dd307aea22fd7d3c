"""`python -m labcluster <command>`: the local cluster and the single Elasticsearch node from a shell."""

import argparse
import signal
import sys
import threading

from labcluster import elasticsearch, progress


def _elasticsearch() -> None:
    """One node in the foreground; its URL is the one line on standard output."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with elasticsearch.node() as url:
        print(url, flush=True)
        stop.wait()


def main() -> int:
    """Parse the command line and run one command; exit code 1 with one sentence when it cannot be done."""
    parser = argparse.ArgumentParser(prog="labcluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("elasticsearch", help="run one Elasticsearch node in the foreground, print its URL")
    arguments = parser.parse_args()
    try:
        if arguments.command == "elasticsearch":
            _elasticsearch()
    except progress.LabError as error:
        progress.say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
