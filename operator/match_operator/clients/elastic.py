"""Elasticsearch, as far as the operator needs it: what it is like, its index, and nodes that come and go."""

import contextlib
import ssl
from collections.abc import Iterable, Mapping
from typing import Any, Final

from elasticsearch import ApiError, Elasticsearch, NotFoundError

import match_index
from match_operator.access import Access
from match_operator.clients import snapshots as archive
from match_operator.clients.reasons import translated
from match_operator.errors import ElasticsearchError
from match_operator.observed import Disk, Elastic, Glance, Json, Node, Repository, Shard, Shutdown

TIMEOUT: Final = 5.0
"""Seconds for one look; a reconcile tries again, so waiting longer only delays the status."""
WRITE_TIMEOUT: Final = 20.0
"""Seconds for one change, which a busy master may take some time to publish to every node."""


class ElasticClient:
    """One Elasticsearch cluster, as one user."""

    def __init__(self, access: Access) -> None:
        options: Json = {"basic_auth": (access.username, access.password)} if access.username else {}
        if access.api_key:
            options["api_key"] = access.api_key
        if access.authority:
            try:
                options["ssl_context"] = ssl.create_default_context(cadata=access.authority)
            except (ssl.SSLError, ValueError) as error:
                raise ElasticsearchError("the certificates to trust are not readable as PEM") from error
        self._client = Elasticsearch(access.url.split(","), request_timeout=TIMEOUT, max_retries=0, **options)
        self._writer = self._client.options(request_timeout=WRITE_TIMEOUT)

    def observe(self, alias: str) -> Elastic:
        """What the cluster is like; raises ``ElasticsearchError`` when it does not answer in full."""
        with translated():
            return self._observe(alias)

    def glance(self, alias: str) -> Glance:
        """A small part of ``observe``, for three requests; raises ``ElasticsearchError``."""
        with translated():
            health = self._health(alias)
            indices, spare = self._indices(alias)
            return Glance(health["status"], indices, spare, self._documents(alias, indices))

    def _observe(self, alias: str) -> Elastic:
        client = self._client
        info = client.info()
        health = self._health(alias)
        members: Any = client.cat.nodes(
            h="name,id,version,node.role,master", full_id=True, format="json", master_timeout="2s"
        )
        nodes = {m["name"]: node_of(m) for m in members}
        shards = self._shards()
        collection = self._collection(alias)
        settings = client.cluster.get_settings(flat_settings=True, master_timeout="2s")
        votes = self._votes()
        return Elastic(
            uuid=info["cluster_uuid"] if info["cluster_uuid"] != "_na_" else "",
            health=health["status"],
            moving_shards=health["relocating_shards"]
            + health["initializing_shards"]
            + health["number_of_in_flight_fetch"],
            nodes=nodes,
            master=next((m["name"] for m in members if m["master"] == "*"), ""),
            **collection,
            shards=shards,
            disks=self._disks(),
            settings=settings["persistent"],
            overrides=settings["transient"],
            voters=frozenset(votes.get("last_committed_config", [])),
            excluded_voters=tuple(v["node_name"] for v in votes.get("voting_config_exclusions", [])),
            shutdowns=self._shutdowns(),
            unassigned=self._unassigned(shards) if not health["initializing_shards"] else "",
            stuck=self._stuck(settings["persistent"], shards) if not health["relocating_shards"] else "",
        )

    def _health(self, _alias: str) -> Any:
        return self._client.cluster.health(timeout="1s", master_timeout="2s")

    def put_template(self, name: str, body: Json) -> None:
        """Create or replace a composable index template."""
        self._do(self._writer.indices.put_index_template, name=name, body=body)

    def create_index(self, name: str, body: Json) -> None:
        """Create an index; that it exists already is fine."""
        try:
            self._do(self._writer.indices.create, index=name, body=body)
        except ElasticsearchError as error:
            if "resource_already_exists_exception" not in str(error):
                raise

    def abandon_index(self, alias: str, source: str, targets: Iterable[str]) -> None:
        """Remove targets of a move unless one has become the collection, and let the source take writes."""
        gone = [{"remove_index": {"index": target}} for target in targets]
        self._move_alias(alias, source, source, *gone)
        self._unblock(source)

    def allow_writes(self, alias: str, index: str, target: str = "", badges: Iterable[str] = ()) -> None:
        """Let an index take writes through its alias; the mover to ``target`` can then no longer switch.

        Fails if it has another of its ``badges`` meanwhile. Ours takes their place: a successor that sees
        none would not wait for what was sent before.
        """
        taken: list[Json] = [
            {"remove": {"index": target, "alias": badge, "must_exist": True}} for badge in badges
        ]
        if taken:
            taken.append({"add": {"index": target, "alias": match_index.operators_badge(alias)}})
        self._move_alias(alias, index, index, *taken)
        self._unblock(index)

    def _unblock(self, index: str) -> None:
        self._do(self._writer.indices.put_settings, index=index, settings={"index.blocks.write": None})

    def _move_alias(self, alias: str, source: str, target: str, *also: Json) -> None:
        """Have ``target`` take the alias's writes, and do ``also``, in one step; fails if it is not on
        ``source``."""
        actions = [
            {"remove": {"index": source, "alias": alias, "must_exist": True}},
            {"add": {"index": target, "alias": alias, "is_write_index": True}},
            *also,
        ]
        self._do(self._writer.indices.update_aliases, actions=actions)

    def drop_index(self, name: str) -> None:
        """Delete an index; no alias is followed."""
        self._do(self._writer.indices.delete, index=name, ignore_unavailable=True)

    def update_index(self, name: str, settings: Json) -> None:
        """Change dynamic settings of an index."""
        self._do(self._writer.indices.put_settings, index=name, settings=settings)

    def change_settings(self, settings: Mapping[str, str | None]) -> None:
        """Change persistent cluster settings in one go; None removes one."""
        self._do(self._writer.cluster.put_settings, persistent=dict(settings))

    def flush(self) -> None:
        """Flush every index; shards that cannot be flushed now are only slower to come back."""
        try:
            self._do(self._writer.indices.flush, wait_if_ongoing=True)
        except ElasticsearchError as error:
            if "does not answer" in str(error):
                raise

    def put_shutdown(self, node_id: str, reason: str) -> None:
        """Announce the restart of a node."""
        self._do(self._writer.shutdown.put_node, node_id=node_id, type="restart", reason=reason)

    def drop_shutdown(self, node_id: str) -> None:
        """Take the announcement back; that there is none is fine."""
        with translated(), contextlib.suppress(NotFoundError):
            self._writer.shutdown.delete_node(node_id=node_id)

    def exclude_voter(self, node: str) -> None:
        """Have a node give up its vote; refused by Elasticsearch where the votes left could not elect."""
        self._do(self._writer.cluster.post_voting_config_exclusions, node_names=node, timeout="3s")

    def drop_votes(self, node_ids: Iterable[str]) -> None:
        """Have the votes of absent nodes count no more; refused where the votes left could not elect."""
        ids = ",".join(node_ids)
        self._do(self._writer.cluster.post_voting_config_exclusions, node_ids=ids, timeout="3s")
        self.admit_voters()  # once they have no vote, nothing need be remembered of them

    def admit_voters(self) -> None:
        """Let every node vote again."""
        self._do(self._writer.cluster.delete_voting_config_exclusions, wait_for_removal=False)

    def mark_index(self, name: str, meta: Json) -> None:
        """Replace ``_meta`` of an index's mapping."""
        self._do(self._writer.indices.put_mapping, index=name, meta=meta)

    def switch_index(self, alias: str, source: str, target: str) -> None:
        """Move an alias from one index to another in one step; fails if it is not on ``source``."""
        self._move_alias(alias, source, target)

    def refresh(self, alias: str) -> None:
        """Have counts of the backing indices include all that was written."""
        self._do(self._writer.indices.refresh, index=f"{alias}-00*")

    def repository(self, name: str, alias: str, also: Iterable[str]) -> Repository:
        """A snapshot repository with the snapshots of ``alias`` and others by name."""
        with translated():
            return archive.observe(self._client, name, alias, also)

    def is_whole(self, index: str) -> bool:
        """Whether every primary shard of an index is there."""
        with translated():
            return archive.is_whole(self._client, index)

    @property
    def snapshots(self) -> archive.Snapshots:
        """Changes in a snapshot repository and from it."""
        return archive.Snapshots(self._writer, self._do)

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()

    def _collection(self, alias: str) -> dict[str, Any]:
        """What of ``Elastic`` is about the collection: template, indices and how many images they hold."""
        indices, spare = self._indices(alias)
        return {
            "template": self._template(match_index.template_name(alias)),
            "indices": indices,
            "documents": self._documents(alias, indices),
            "review": bool(self._client.indices.exists(index=match_index.review_index(alias))),
            "spare": spare,
            "copied": self._client.count(index=max(spare), ignore_unavailable=True)["count"] if spare else 0,
        }

    def _documents(self, alias: str, indices: Mapping[str, Json]) -> int:
        return int(self._client.count(index=alias)["count"]) if indices else 0

    def _indices(self, alias: str) -> tuple[dict[str, Json], dict[str, Json]]:
        """Indices behind the alias (or of its name), and backing indices that are not."""
        try:
            found = self._client.indices.get(index=[alias, f"{alias}-00*"], ignore_unavailable=True).body
        except NotFoundError:
            return {}, {}
        behind = {name: index for name, index in found.items() if name == alias or alias in index["aliases"]}
        spare = {
            name: index
            for name, index in found.items()
            if name not in behind and match_index.is_backing_index(alias, name)
        }
        return behind, spare

    def _template(self, name: str) -> Json | None:
        try:
            found = self._client.indices.get_index_template(name=name)["index_templates"]
        except NotFoundError:
            return None
        template: Json = found[0]["index_template"]
        return template

    def _shards(self, index: str | None = None) -> tuple[Shard, ...]:
        rows: Any = self._client.cat.shards(
            index=index,
            h="index,shard,prirep,state,node,store",
            bytes="b",
            format="json",
            master_timeout="2s",
        )
        return tuple(
            Shard(
                index=row["index"],
                number=int(row["shard"]),
                primary=row["prirep"] == "p",
                started=row["state"] in ("STARTED", "RELOCATING"),
                # "name -> address id name" while it relocates.
                node=(row["node"] or "").partition(" ")[0],
                bytes=int(row["store"] or 0),
            )
            for row in rows
        )

    def _disks(self) -> dict[str, Disk]:
        rows: Any = self._client.cat.allocation(
            h="node,shards,disk.avail,disk.total", bytes="b", format="json", master_timeout="2s"
        )
        return {
            row["node"]: Disk(int(row["disk.total"]), int(row["disk.avail"]), int(row["shards"]))
            for row in rows
            if row["disk.total"]
        }

    def _votes(self) -> Json:
        answer = self._client.cluster.state(
            metric="metadata", filter_path="metadata.cluster_coordination", master_timeout="2s"
        )
        votes: Json = answer.get("metadata", {}).get("cluster_coordination", {})
        return votes

    def _shutdowns(self) -> tuple[Shutdown, ...] | None:
        try:
            found = self._client.shutdown.get_node(master_timeout="2s").get("nodes")
        except ApiError as error:
            if error.meta.status in (400, 403, 404, 405):
                return None
            raise
        if not isinstance(found, list):
            return None  # the server took "shutdown" for the name of a node
        return tuple(
            Shutdown(
                node_id=entry["node_id"],
                reason=entry.get("reason", ""),
                complete=entry.get("status") == "COMPLETE",
                explanation=entry.get("shard_migration", {}).get("explanation", ""),
            )
            for entry in found
        )

    def _unassigned(self, shards: tuple[Shard, ...]) -> str:
        """Why the first copy that has no node gets none."""
        for shard in shards:
            if not shard.node:
                try:
                    answer = self._client.cluster.allocation_explain(
                        index=shard.index, shard=shard.number, primary=shard.primary
                    )
                except ApiError:  # it has been given a node meanwhile
                    return ""
                return _decisions(answer.body)
        return ""

    def _stuck(self, settings: Mapping[str, str], shards: tuple[Shard, ...]) -> str:
        """Why the first shard on a node that is excluded from allocation stays there."""
        excluded = settings.get("cluster.routing.allocation.exclude._name", "").split(",")
        for shard in shards:
            if shard.node in excluded and shard.started:
                try:
                    answer = self._client.cluster.allocation_explain(
                        index=shard.index, shard=shard.number, primary=shard.primary, current_node=shard.node
                    )
                except ApiError:
                    return ""
                return _decisions(answer.body)
        return ""

    def _do(self, call: Any, **arguments: Any) -> None:
        with translated():
            call(**arguments)


def node_of(member: Json) -> Node:
    """A row of ``GET /_cat/nodes`` with id, version and node.role."""
    roles = member["node.role"]
    return Node(
        id=member["id"],
        version=member["version"],
        is_master="m" in roles,
        # data, or one of its tiers: content, hot, warm, cold, frozen
        is_data=bool(set(roles) & set("dshwcf")),
    )


def _decisions(explained: Json) -> str:
    """The deciders that said no, of the first node that a shard might have gone to."""
    for node in explained.get("node_allocation_decisions") or []:
        said = [d["explanation"] for d in node.get("deciders") or [] if d.get("decision") == "NO"]
        if said:
            return f"node {node.get('node_name')} does not take it: {said[0][:300]}"
    return ""
