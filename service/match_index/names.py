"""Names in Elasticsearch that follow from the alias or from a filepath."""

import hashlib

MAX_FILEPATH_BYTES = 8192
"""Longest filepath in UTF-8 bytes; Lucene refuses a keyword of more than 32,766."""


def template_name(alias: str) -> str:
    """Name of the composable index template behind ``alias``."""
    return f"match-{alias}"


def backing_index(alias: str, generation: int = 1) -> str:
    """Name of a backing index of ``alias``; each migration adds one to ``generation``."""
    return f"{alias}-{generation:06d}"


def document_id(filepath: str) -> str:
    """Id of the one document that may exist for ``filepath``.

    Deriving it makes an overwrite one atomic index call and a delete exact, whatever characters or
    length the path has: 64 hexadecimal digits, the SHA-256 of the path's UTF-8 bytes.
    """
    return hashlib.sha256(filepath.encode("utf-8")).hexdigest()
