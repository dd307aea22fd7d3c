"""The command line ``match-service``."""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from match_service.errors import StoreUnavailableError
from match_service.keys import SCOPES, KeysError, new, parse
from match_service.settings import Settings, SettingsError

EPILOG = """\
Configuration is read from the environment: PORT, MATCH_HOST, MATCH_DATA, ELASTICSEARCH_URL,
ELASTICSEARCH_INDEX, ALL_ORIENTATIONS, WORKER_COUNT and more (docs/http-api.md lists all).
With nothing set, `match-service serve` keeps images in ./match.db and answers on http://127.0.0.1:8888.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (2 for a wrong setting or command line, 1 for a failure)."""
    parser = argparse.ArgumentParser(
        prog="match-service",
        description="Reverse image search over HTTP.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=version("match-operator"))
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("serve", help="answer the Match API until told to stop")
    importing = commands.add_parser("import", help="add the image files of a folder or a list, in bulk")
    importing.add_argument("source", type=Path, help="folder, .csv or .ndjson file")
    importing.add_argument("--prefix", default="", help="text put before every filepath")
    importing.add_argument(
        "--workers", type=_positive, default=os.cpu_count() or 1, help="decoding processes"
    )
    importing.add_argument("--state", type=Path, help="file of what was imported (default: SOURCE.imported)")
    keys = commands.add_parser("keys", help="make API keys")
    actions = keys.add_subparsers(dest="action", required=True, metavar="ACTION")
    making = actions.add_parser("new", help="make a key and show it once, with the line for the file of keys")
    making.add_argument("name", help="whose it is; shown in the access log")
    making.add_argument("--scope", choices=SCOPES, default="read", help="what it is good for (default: read)")
    making.add_argument("--file", type=Path, help="add the line to this file, making it if it is not there")
    options = parser.parse_args(arguments)
    if options.command == "keys":
        return _new_key(options)
    try:
        settings = Settings.from_environ()
    except SettingsError as error:
        print(f"match-service: {error}", file=sys.stderr)
        return 2
    if options.command == "serve":
        return _serve(settings)
    try:
        return _import(settings, options)
    except KeyboardInterrupt:
        print("match-service: interrupted; run the same command again to resume.", file=sys.stderr)
        return 130


def _new_key(options: argparse.Namespace) -> int:
    path: Path | None = options.file
    try:
        token, line = new(options.name, options.scope)
        if path is not None:
            old = path.read_text("utf-8") if path.exists() else ""
            parse([*old.splitlines(), line], str(path))
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with open(handle, "a", encoding="utf-8") as file:  # noqa: PTH123 - made for its owner alone
                file.write(f"{line}\n" if not old or old.endswith("\n") else f"\n{line}\n")
    except (KeysError, OSError, UnicodeDecodeError) as error:
        print(f"match-service: {error}", file=sys.stderr)
        return 1
    print(f"key:  {token}")
    print(f"line: {line}" if path is None else f"added to {path}; a running service knows it at once")
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _import(settings: Settings, options: argparse.Namespace) -> int:
    from match_service import importer, manifest  # noqa: PLC0415
    from match_service.app import open_store  # noqa: PLC0415

    source: Path = options.source
    path: Path = options.state or source.absolute().with_name(source.absolute().name + ".imported")
    try:
        items = manifest.items(source, options.prefix)
        store = open_store(settings)
        state = importer.State(path, settings.elasticsearch_url + settings.elasticsearch_index
                               if settings.elasticsearch_url else str(settings.data.absolute()))  # fmt: skip
    except (manifest.ManifestError, StoreUnavailableError) as error:
        print(f"match-service: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"match-service: {path} cannot be used ({error.strerror}); see --state.", file=sys.stderr)
        return 1
    try:
        return importer.run(items, store, state, options.workers).exit_code
    finally:
        state.close()
        store.close()


def _serve(settings: Settings) -> int:
    parent, folder = os.getpid(), tempfile.mkdtemp(prefix="match-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # before the import of metrics
    # Imported here so that --help and a wrong setting do not wait for numpy and Flask.
    from match_service import server  # noqa: PLC0415

    try:
        server.serve(settings)
    except server.CannotServeError as error:
        print(f"match-service: {error}", file=sys.stderr)
        return 1
    finally:
        if os.getpid() == parent:  # workers leave by here as well
            shutil.rmtree(folder, ignore_errors=True)
    return 0
