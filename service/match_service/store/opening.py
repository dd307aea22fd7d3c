"""Which store the settings ask for; apart from the web application, so that a command need not load that."""

from typing import TYPE_CHECKING

from match_service.settings import Settings
from match_service.store.base import Store

if TYPE_CHECKING:
    from match_service.store.mirror import MirrorMemory


def open_store(settings: Settings, memory: "MirrorMemory | None" = None) -> Store:
    """The store the settings ask for; an Elasticsearch that is down is no error yet, /readyz says so.

    ``memory``, made before a fork, is where all workers have one mirror of Elasticsearch's signatures.
    """
    # Imported where they are chosen: the Elasticsearch client alone takes as long as all the rest.
    if settings.elasticsearch_url:
        from match_service.store.bound import mirror_bytes  # noqa: PLC0415
        from match_service.store.elastic import ElasticStore  # noqa: PLC0415
        from match_service.store.mirror import MirrorMemory  # noqa: PLC0415

        return ElasticStore.connect(
            settings.elasticsearch_url,
            settings.elasticsearch_index,
            manage_index=settings.manage_index,
            ca_certs=settings.elasticsearch_ca_certs or None,
            credentials=settings.elasticsearch_credentials or None,
            memory=memory or MirrorMemory(mirror_bytes(settings.mirror_max_bytes)),
        )
    from match_service.store.embedded import EmbeddedStore  # noqa: PLC0415

    return EmbeddedStore.open(settings.data)


def open_pictured(settings: Settings) -> Store:
    """As ``open_store``, and thumbnails are kept beside it where the settings name a place for them.

    Raises ``ThumbnailsError`` where they cannot be.
    """
    if not settings.thumbnails:
        return open_store(settings)
    from match_service import thumbnails  # noqa: PLC0415
    from match_service.store.pictured import PicturedStore  # noqa: PLC0415

    kept = thumbnails.keep_in(settings.thumbnails)
    return PicturedStore(open_store(settings), kept)
