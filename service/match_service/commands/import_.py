"""``match-service import``: a whole collection at once, from files or from another Elasticsearch index."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from match_service.commands.common import CommandError, WrongUseError, add_service, settings

if TYPE_CHECKING:
    from match_service.importer import State
    from match_service.manifest import Item
    from match_service.settings import Settings
    from match_service.store.base import Store

NAME = "import"
HELP = "add the image files of a folder or a list, or take over an index of image-match, in bulk"
UPLOADS = 8
"""Images under way at once where a service does the decoding."""
EPILOG = """\
SOURCE is a folder, whose image files get their paths within it as filepaths, or a list: a .csv file with a
heading or an .ndjson file, with filepath and, if need be, file (default: filepath, seen from the list) and
metadata (JSON).

--from-elasticsearch reads an index that image-match, dsys/match or TRUEPIC/match has written, on
Elasticsearch 2 or newer, and only reads it. Signatures are taken as they are: no image is fetched.

Where MATCH_THUMBNAILS names a place, thumbnails of the files are kept there, as of what is added.

What is in the store is noted in --state, so the same command again resumes.
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", type=Path, nargs="?", metavar="SOURCE", help="folder, .csv or .ndjson file")
    parser.add_argument("--prefix", default="", help="text put before every filepath")
    parser.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help=f"decoding processes (default: all CPUs); with --url uploads at once (default: {UPLOADS})",
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="file of what was imported (default: SOURCE.imported, INDEX.imported)",
    )
    parser.add_argument(
        "--from-elasticsearch",
        metavar="URL",
        help="take over an index there instead; user:password@ in it, a CA in ELASTICSEARCH_CA_CERTS",
    )
    parser.add_argument("--index", default="images", help="the index to take over (default: images)")
    parser.add_argument("--doc-type", metavar="TYPE", help="only its documents of this mapping type")
    add_service(parser)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def run(options: argparse.Namespace) -> int:
    """Import; the exit code says whether all is in the store."""
    try:
        return _run(options)
    except KeyboardInterrupt:
        print("match-service: interrupted; run the same command again to resume.", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    if (options.source is None) == (options.from_elasticsearch is None):
        raise WrongUseError("import needs either a SOURCE or --from-elasticsearch.")
    if options.from_elasticsearch is not None:
        return _take_over(options)
    from match_service import manifest  # noqa: PLC0415

    try:
        items = manifest.items(options.source, options.prefix)
    except manifest.ManifestError as error:
        raise CommandError(str(error)) from error
    return _upload(options, items) if options.url else _import(options, items)


def _import(options: argparse.Namespace, items: "list[Item]") -> int:
    """Files into the store itself; every core decodes."""
    from match_service import importer  # noqa: PLC0415

    chosen = settings()
    pictures = bool(chosen.thumbnails)
    with _store(chosen, pictures=pictures) as store, _state(options, _name(chosen)) as state:
        workers = options.workers or os.cpu_count() or 1
        return importer.run(items, store, state, workers, pictures=pictures).exit_code


def _upload(options: argparse.Namespace, items: "list[Item]") -> int:
    """Files through a service, which decodes."""
    from match_service import uploader  # noqa: PLC0415
    from match_service.commands.collection import client  # noqa: PLC0415

    with client(options, patient=True) as service, _state(options, options.url) as state:
        return uploader.run(items, service, state, options.workers or UPLOADS).exit_code


def _take_over(options: argparse.Namespace) -> int:
    """Documents of image-match into the store itself."""
    from match_service import takeover  # noqa: PLC0415

    if options.url:
        raise WrongUseError(
            "--from-elasticsearch writes to the store itself, so it goes without --url and MATCH_URL."
        )
    chosen = settings()
    try:
        index = takeover.Index.open(
            options.from_elasticsearch, options.index, options.doc_type, chosen.elasticsearch_ca_certs
        )
        with index, _store(chosen) as store:
            path = options.state or Path(f"{options.index}.imported")
            return takeover.run(index, store, takeover.State(path, index.name, _name(chosen)), options.prefix)
    except takeover.SourceError as error:
        raise CommandError(str(error)) from error


def _name(chosen: "Settings") -> str:
    """What tells this store from others in a state file."""
    if chosen.elasticsearch_url:
        return chosen.elasticsearch_url + chosen.elasticsearch_index
    return str(chosen.data.absolute())


@contextlib.contextmanager
def _store(chosen: "Settings", *, pictures: bool = False) -> Iterator["Store"]:
    """With ``pictures`` thumbnails of what it is given are kept where the settings say."""
    from match_service.errors import StoreUnavailableError  # noqa: PLC0415
    from match_service.store.opening import open_pictured, open_store  # noqa: PLC0415
    from match_service.thumbnails import ThumbnailsError  # noqa: PLC0415

    try:
        store = open_pictured(chosen) if pictures else open_store(chosen)
    except (StoreUnavailableError, ThumbnailsError) as error:
        raise CommandError(str(error)) from error
    with contextlib.closing(store):
        yield store


@contextlib.contextmanager
def _state(options: argparse.Namespace, name: str) -> Iterator["State"]:
    from match_service.importer import State  # noqa: PLC0415

    source: Path = options.source.absolute()
    path = options.state or source.with_name(source.name + ".imported")
    try:
        state = State(path, name)
    except OSError as error:
        raise CommandError(f"{path} cannot be used ({error.strerror}); see --state.") from error
    with contextlib.closing(state):
        yield state
