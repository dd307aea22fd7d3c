"""The index as both sides know it: names, mapping, settings and the rule for document ids.

The operator creates the index, the service writes and searches it. This package is the one
owner of everything they must agree on, so that neither has to import the other. It is pure:
standard library only, no I/O.
"""

from match_index.bodies import (
    FIELDS,
    SCHEMA_VERSION,
    alias_action,
    index_body,
    mappings,
    review_body,
    settings,
    target_body,
    template_body,
)
from match_index.names import (
    ID_BYTES,
    MAX_FILEPATH_BYTES,
    backing_index,
    badges,
    document_id,
    generation,
    id_bytes,
    id_text,
    is_backing_index,
    operators_badge,
    review_index,
    template_name,
)

__all__ = [
    "FIELDS",
    "ID_BYTES",
    "MAX_FILEPATH_BYTES",
    "SCHEMA_VERSION",
    "alias_action",
    "backing_index",
    "badges",
    "document_id",
    "generation",
    "id_bytes",
    "id_text",
    "index_body",
    "is_backing_index",
    "mappings",
    "operators_badge",
    "review_body",
    "review_index",
    "settings",
    "target_body",
    "template_body",
    "template_name",
]
