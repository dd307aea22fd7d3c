"""Elasticsearch, as far as the operator needs it: what it is like, and the index behind the alias."""

from typing import Any, Final

from elastic_transport import TransportError
from elasticsearch import ApiError, Elasticsearch, NotFoundError

import match_index
from match_operator.errors import ElasticsearchError
from match_operator.observed import Elastic, Json

TIMEOUT: Final = 5.0
"""Seconds for one request; a reconcile tries again, so waiting longer only delays the status."""


class ElasticClient:
    """One Elasticsearch cluster, addressed by its service."""

    def __init__(self, url: str) -> None:
        self._client = Elasticsearch(url, request_timeout=TIMEOUT, max_retries=0)

    def observe(self, alias: str) -> Elastic:
        """What the cluster is like; raises ``ElasticsearchError`` when it does not answer in full."""
        try:
            info = self._client.info()
            health = self._client.cluster.health(timeout="1s", master_timeout="2s")
            nodes: Any = self._client.cat.nodes(h="name,version", format="json", master_timeout="2s")
            indices = self._indices(alias)
            return Elastic(
                uuid=info["cluster_uuid"] if info["cluster_uuid"] != "_na_" else "",
                health=health["status"],
                moving_shards=health["relocating_shards"] + health["initializing_shards"],
                nodes={node["name"]: node["version"] for node in nodes},
                template=self._template(match_index.template_name(alias)),
                indices=indices,
                documents=self._client.count(index=alias)["count"] if indices else 0,
            )
        except (ApiError, TransportError) as error:
            raise ElasticsearchError(_sentence(error)) from error

    def put_template(self, name: str, body: Json) -> None:
        """Create or replace a composable index template."""
        self._do(self._client.indices.put_index_template, name=name, body=body)

    def create_index(self, name: str, body: Json) -> None:
        """Create an index; that it exists already is fine."""
        try:
            self._do(self._client.indices.create, index=name, body=body)
        except ElasticsearchError as error:
            if "resource_already_exists_exception" not in str(error):
                raise

    def update_index(self, name: str, settings: Json) -> None:
        """Change dynamic settings of an index."""
        self._do(self._client.indices.put_settings, index=name, settings=settings)

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()

    def _indices(self, alias: str) -> dict[str, Json]:
        try:
            return dict(self._client.indices.get(index=alias).body)
        except NotFoundError:
            return {}

    def _template(self, name: str) -> Json | None:
        try:
            found = self._client.indices.get_index_template(name=name)["index_templates"]
        except NotFoundError:
            return None
        template: Json = found[0]["index_template"]
        return template

    def _do(self, call: Any, **arguments: Any) -> None:
        try:
            call(**arguments)
        except (ApiError, TransportError) as error:
            raise ElasticsearchError(_sentence(error)) from error


def _sentence(error: ApiError | TransportError) -> str:
    if isinstance(error, ApiError):
        return f"it answers {error.meta.status} {error.message}"
    return f"it does not answer ({type(error).__name__})"
