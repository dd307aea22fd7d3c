"""Names in Elasticsearch that follow from the alias or from a filepath."""

import base64
import hashlib
import re

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


def badges(alias: str) -> str:
    """How the aliases begin by which movers of ``alias`` know each other."""
    return f"{alias}.mover."


def operators_badge(alias: str) -> str:
    """The badge that the operator puts in the place of a mover's, so that a successor knows of that one."""
    return f"{badges(alias)}operator"


def review_index(alias: str) -> str:
    """Name of the index in which reviews of duplicates of ``alias`` are kept.

    It is outside the pattern of the template of the images.
    """
    return f"match-review-{alias}"


def generation(index: str) -> int:
    """Which backing index of its alias ``index`` is."""
    return int(index.rpartition("-")[2])


def is_backing_index(alias: str, index: str) -> bool:
    """Whether ``index`` has the name of a backing index of ``alias``."""
    return re.fullmatch(re.escape(alias) + r"-\d{6,}", index) is not None


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
