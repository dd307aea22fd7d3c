"""What a node has beside others to reach a store of snapshots: a keystore, and the role of its pod.

Both are files in Elasticsearch's folder of settings, which is therefore a copy of the image's here too (see
security.py). The keystore is made by the image's own command, before the node starts.
"""

from typing import Any, Final

from match_operator import names, stores
from match_operator.api import MatchCluster, NodeSet
from match_operator.desired import security
from match_operator.desired.security import FOLDER, HOME, VOLUME
from match_operator.stores import ObjectStore

Json = dict[str, Any]

SECRETS: Final = "/mnt/keystore"
SECRETS_VOLUME: Final = "match-keystore"
COPY: Final = f"cp -r {HOME}/config/. {FOLDER}"
FILL: Final = """\
set -eu
home=$1 secrets=$2 module=$4 lacking=$5
export ES_PATH_CONF=$3
if ! [ -d "$home/modules/$module" ] && ! [ -d "$home/plugins/$module" ]; then
  echo "this image of Elasticsearch has no module $module, which snapshots.repository asks for" >&2
  exit "$lacking"
fi
if [ -d "$secrets" ]; then
  # One that an earlier start of this pod has left holds what was true then.
  rm -f "$ES_PATH_CONF/elasticsearch.keystore"
  set --
  for file in "$secrets"/*; do set -- "$@" "${file##*/}" "$file"; done
  "$home/bin/elasticsearch-keystore" create
  "$home/bin/elasticsearch-keystore" add-file "$@"
fi
# Elasticsearch reads the token of an AWS role nowhere else.
if [ -n "${AWS_WEB_IDENTITY_TOKEN_FILE:-}" ]; then
  mkdir -p "$ES_PATH_CONF/repository-s3"
  ln -sf "$AWS_WEB_IDENTITY_TOKEN_FILE" "$ES_PATH_CONF/repository-s3/aws-web-identity-token-file"
fi
"""
"""Takes Elasticsearch's home, the folder with a file for each secure setting, the folder of settings, the
module that knows them, and how to end without it. A node without it does not start over a setting of it; it
does with none, and then Elasticsearch itself says that it knows no such repository."""


def overlay(cluster: MatchCluster, node_set: NodeSet, keystore: str) -> Json:
    """The part of the pod template, to be merged onto the rest; nothing where a node needs none of it.

    ``keystore`` is the fingerprint of what the keystore holds; empty: nothing of ours.
    """
    store = cluster.snapshots.store if cluster.snapshots else None
    if store is None or not (keystore or (store.type == stores.S3 and not store.secret)):
        return {}
    secured = cluster.security.enabled
    settings = {"name": VOLUME, "mountPath": FOLDER}
    prepare = [] if secured else [security.preparing(cluster, node_set, "prepare", ["sh", "-c", COPY])]
    fill = security.preparing(cluster, node_set, "keystore", command(store))
    # What it says last is then in the status of the pod, and so in that of the MatchCluster.
    fill["terminationMessagePolicy"] = "FallbackToLogsOnError"
    secrets: list[Json] = []
    if keystore:
        fill["volumeMounts"] = [settings, {"name": SECRETS_VOLUME, "mountPath": SECRETS, "readOnly": True}]
        made = names.elasticsearch_keystore(cluster.name)
        secrets = [{"name": SECRETS_VOLUME, "secret": {"secretName": made}}]
    return {
        "metadata": {"annotations": {names.KEYSTORE_ANNOTATION: keystore} if keystore else {}},
        "spec": {
            "initContainers": [*prepare, fill],
            "containers": [
                {
                    "name": names.ELASTICSEARCH,
                    "volumeMounts": [{"name": VOLUME, "mountPath": f"{HOME}/config"}],
                }
            ],
            "volumes": [{"name": VOLUME, "emptyDir": {}}, *secrets],
        },
    }


def command(
    store: ObjectStore, *, home: str = HOME, secrets: str = SECRETS, folder: str = FOLDER
) -> list[str]:
    """What the container runs that makes the keystore."""
    lacking = "1" if store.options else "0"
    return ["sh", "-c", FILL, "fill", home, secrets, folder, f"repository-{store.type}", lacking]


def settings(cluster: MatchCluster) -> Json:
    """The part of elasticsearch.yml."""
    store = cluster.snapshots.store if cluster.snapshots else None
    return store.settings() if store else {}


__all__ = ["command", "overlay", "settings"]
