"""An Elasticsearch that is not ours: only what concerns one index is looked at.

It may hold thousands of others, so nothing is asked for that grows with them, nor anything for which a user
that may only see this index lacks the right. What it refuses is said in words that lead to the spec.
"""

from typing import Any

from elastic_transport import TlsError
from elasticsearch import ApiError, TransportError, UnsupportedProductError

from match_operator.access import Access
from match_operator.clients.elastic import ElasticClient, node_of
from match_operator.clients.reasons import innermost, translated
from match_operator.observed import Elastic


def connect(to: Access) -> ElasticClient:
    """The client for an Elasticsearch of either kind."""
    return ExternalClient(to) if to.external else ElasticClient(to)


class ExternalClient(ElasticClient):
    """One Elasticsearch with which others live too."""

    def observe(self, alias: str) -> Elastic:
        """What our index is like; raises ``ElasticsearchError`` with the reason, in words for its user."""
        with translated(_sentence):
            return self._observe(alias)

    def _observe(self, alias: str) -> Elastic:
        client = self._client
        info = client.info()
        health = self._health(alias)
        members: Any = client.cat.nodes(
            h="name,id,version,node.role", full_id=True, format="json", master_timeout="2s"
        )
        return Elastic(
            uuid=info["cluster_uuid"],
            health=health["status"],
            moving_shards=health["relocating_shards"] + health["initializing_shards"],
            nodes={m["name"]: node_of(m) for m in members},
            master="",
            **self._collection(alias),
            unassigned=self._why(alias) if health["unassigned_shards"] else "",
        )

    def _health(self, alias: str) -> Any:
        return self._client.cluster.health(index=f"{alias}-00*", timeout="1s", master_timeout="2s")

    def _why(self, alias: str) -> str:
        """Why a copy of our index goes nowhere."""
        return self._unassigned(self._shards(f"{alias}-00*"))


def _sentence(error: ApiError | TransportError) -> str:
    if isinstance(error, UnsupportedProductError):
        return "what answers there is no Elasticsearch of a supported kind"
    if isinstance(error, TlsError):
        return "its certificate is not signed by an authority that is trusted; see external.caSecretRef"
    if not isinstance(error, ApiError):
        return f"it does not answer ({type(error).__name__})"
    if error.meta.status == 401:
        return "it refuses the credentials of external.secretRef (401)"
    if error.meta.status == 403:
        return f"the user of external.secretRef lacks a right: {innermost(error) or error.message}"
    return f"it answers {error.meta.status} {error.message}: {innermost(error)}"
