"""Makes docs/cli.md from the command line's own help; run as a program it prints the page."""

import argparse
import os
import sys
from collections.abc import Iterator

# As wide as the page, wherever it is made; and not with this shell's settings as the defaults.
os.environ["COLUMNS"] = "100"
os.environ.pop("MATCH_URL", None)

from match_service import cli

HEAD = """# Command line

Made from the program's own `--help` by `python tests/support/cli_reference.py`. It is installed with the
service (`pip install '.[service]'`, see [getting-started.md](getting-started.md)).

Every command but `serve` works in two ways: on a running service, named by `--url` or `MATCH_URL`, or,
without either, on the store itself, which the environment names as it does for `serve`. The embedded store's
file may be in use by a running `serve` at the same time.

```console
$ match-service import photos                       # a folder, into ./match.db
$ match-service search cat-small.jpg
score  filepath    metadata
 97.2  cats/1.jpg  {"owner": "ann"}
$ export MATCH_URL=https://match.example.com MATCH_KEY=...
$ match-service add cat.jpg --filepath cats/2.jpg --metadata '{"owner": "ann"}'
$ match-service search cat.jpg --json | jq -r .filepath
cats/2.jpg
$ curl -s https://example.com/dog.jpg | match-service search -
No image is like it.
```

| exit code | |
| --- | --- |
| 0 | it worked; a search that finds nothing has worked as well |
| 1 | it could not be done: one sentence on standard error, with status and request id if there are any |
| 2 | the command line or the environment is wrong |
| 130, 141 | Ctrl-C; the reader of a pipe went away |

| variable | |
| --- | --- |
| `MATCH_URL` | the service to ask where `--url` is not given |
| `MATCH_KEY` | its API key, sent as a bearer token; never an argument, which all users of a machine can see |

A certificate authority of your own: `SSL_CERT_FILE`. A proxy: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`. The
rest of the environment: [http-api.md](http-api.md#environment). In Python: [client.md](client.md).
"""


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each command with its grammar, as `match-service --help` lists them."""
    for action in cli.parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, parser in parsers():
        parts.append(f"## match-service {name}\n\n```text\n{parser.format_help().strip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
