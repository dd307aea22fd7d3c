"""Names in Elasticsearch that follow from the alias or from a filepath."""

import base64
import hashlib

MAX_FILEPATH_BYTES = 8192
"""Longest filepath in UTF-8 bytes; Lucene refuses a keyword of more than 32,766."""

ID_BYTES = 24
"""Of a SHA-256, kept twice by Elasticsearch for each document: two paths of one id are not to be found."""


def template_name(alias: str) -> str:
    """Name of the composable index template behind ``alias``."""
    return f"match-{alias}"


def backing_index(alias: str, generation: int = 1) -> str:
    """Name of a backing index of ``alias``; each migration adds one to ``generation``."""
    return f"{alias}-{generation:06d}"


def document_id(filepath: str) -> str:
    """Id of the one document that may exist for ``filepath``.

    Deriving it makes an overwrite one atomic index call and a delete exact, whatever characters or
    length the path has. It is the beginning of the SHA-256 of the path's UTF-8 bytes as 32 characters of
    URL-safe base64, which Elasticsearch keeps as the 24 bytes they stand for.
    """
    return id_text(hashlib.sha256(filepath.encode("utf-8")).digest()[:ID_BYTES])


def id_text(binary: bytes) -> str:
    """The id that stands for ``binary``."""
    return base64.urlsafe_b64encode(binary).decode("ascii")


def id_bytes(document_id: str) -> bytes:
    """The bytes that ``document_id`` stands for."""
    return base64.urlsafe_b64decode(document_id)
