"""What a node has beside others where Elasticsearch has TLS and users: files, and settings that name them.

The files must lie in Elasticsearch's own folder of settings, but there as whole folders, since a single file
that is mounted never changes. So that folder is a copy of the image's, made before the node starts, in which
links lead to what is mounted. Elasticsearch looks every five seconds whether a file has changed.
"""

from typing import Any, Final

from match_operator import names
from match_operator.api import MatchCluster, NodeSet
from match_operator.credentials import users
from match_operator.desired import pod

Json = dict[str, Any]

HOME: Final = "/usr/share/elasticsearch"
FOLDER: Final = "/mnt/config"
USERS: Final = "match-users"
CERTIFICATES: Final = "match-certificates"
"""Volumes, and where they are in the folder of settings; names that neither image nor user has taken."""
VOLUME: Final = "match-settings"
PREPARE: Final = " && ".join(
    [
        # They may be links, made by an earlier start.
        f"rm -f {' '.join(f'{FOLDER}/{file}' for file in users.FILES)}",
        f"cp -r {HOME}/config/. {FOLDER}",
        *(f"ln -sf {USERS}/{file} {FOLDER}/{file}" for file in users.FILES),
    ]
)


def settings(cluster: MatchCluster) -> Json:
    """The part of elasticsearch.yml.

    Nodes look at who signed for a peer and not for which name: they meet by addresses that change.
    """
    if not cluster.security.enabled:
        return {"xpack.security.enabled": False}
    files = {
        "certificate": f"{CERTIFICATES}/{names.CERTIFICATE_KEY}",
        "key": f"{CERTIFICATES}/{names.PRIVATE_KEY}",
        "certificate_authorities": f"{CERTIFICATES}/{names.TRUSTED_KEY}",
    }
    tls = {
        f"xpack.security.{layer}.ssl.{name}": value
        for layer in ("http", "transport")
        for name, value in ({"enabled": True} | files).items()
    }
    return {
        "xpack.security.enabled": True,
        "xpack.security.autoconfiguration.enabled": False,
        # The users that Elasticsearch brings keep their passwords in an index, where no Secret can set them.
        "xpack.security.authc.reserved_realm.enabled": False,
        "xpack.security.transport.ssl.verification_mode": "certificate",
        **tls,
    }


def overlay(cluster: MatchCluster, node_set: NodeSet) -> Json:
    """The part of the pod template, to be merged onto the rest; nothing without security."""
    if not cluster.security.enabled:
        return {}
    files = [{"key": file, "path": file} for file in users.FILES]
    keys = (names.CERTIFICATE_KEY, names.PRIVATE_KEY, names.TRUSTED_KEY)
    shown = [{"key": key, "path": key} for key in keys]
    certificates = cluster.security.secret or names.certificates(cluster.name)
    return {
        "spec": {
            "initContainers": [preparing(cluster, node_set, "prepare", ["sh", "-c", PREPARE])],
            "containers": [
                {
                    "name": names.ELASTICSEARCH,
                    "volumeMounts": [
                        {"name": VOLUME, "mountPath": f"{HOME}/config"},
                        _mount(USERS),
                        _mount(CERTIFICATES),
                    ],
                }
            ],
            "volumes": [
                {"name": VOLUME, "emptyDir": {}},
                _secret(USERS, names.elasticsearch_users(cluster.name), files),
                _secret(CERTIFICATES, certificates, shown),
            ],
        }
    }


def preparing(cluster: MatchCluster, node_set: NodeSet, name: str, command: list[str]) -> Json:
    """A container that works on the folder of settings before the node starts."""
    return {
        "name": name,
        "image": cluster.resolved.elasticsearch_image,
        "command": command,
        "resources": node_set.resources,
        "securityContext": pod.restricted_container(),
        "volumeMounts": [{"name": VOLUME, "mountPath": FOLDER}],
    }


def _mount(volume: str) -> Json:
    return {"name": volume, "mountPath": f"{HOME}/config/{volume}", "readOnly": True}


def _secret(volume: str, name: str, items: list[Json]) -> Json:
    return {"name": volume, "secret": {"secretName": name, "items": items}}
