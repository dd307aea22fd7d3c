"""Object stores that keep snapshots: S3, GCS and Azure, in Elasticsearch's own terms.

Three places must agree on the name of a client: the repository as it is registered, elasticsearch.yml for
what anybody may read, and the keystore for the rest. All three are spelled here and nowhere else.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]

S3: Final = "s3"
GCS: Final = "gcs"
AZURE: Final = "azure"
PLACES: Final = {S3: "bucket", GCS: "bucket", AZURE: "container"}
"""By type of repository, what Elasticsearch and the spec call where the snapshots are."""
REQUIRED: Final = {S3: ("access_key", "secret_key"), GCS: ("credentials_file",), AZURE: ("account",)}
OPTIONAL: Final = {S3: ("session_token",), GCS: (), AZURE: ("key", "sas_token")}
"""Keys of the Secret, which are the last parts of the keystore's settings."""
SERVICE_ACCOUNT: Final = ("client_email", "client_id", "private_key", "private_key_id")


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """spec.snapshots.repository.s3, gcs or azure"""

    type: str
    place: str
    """Bucket or container."""
    base_path: str
    client: str
    secret: str
    """Secret with credentials; empty for those of the pod or of its machine."""
    options: tuple[tuple[str, str | bool], ...]
    """Settings of the client that anybody may read, by their last part; only those that say something."""

    def settings(self) -> Json:
        """The part of elasticsearch.yml."""
        return {self._setting(name): value for name, value in self.options}

    def repository(self, *, read_only: bool) -> Json:
        """How it is registered. Elasticsearch gives settings back as texts."""
        return {
            "type": self.type,
            "settings": {
                PLACES[self.type]: self.place,
                "base_path": self.base_path,
                "client": self.client,
                "readonly": str(read_only).lower(),
            },
        }

    def keystore(self, credentials: Mapping[str, str]) -> dict[str, str]:
        """Settings of the keystore from what a Secret holds; other keys of it are left alone."""
        known = (*REQUIRED[self.type], *OPTIONAL[self.type])
        return {self._setting(key): credentials[key] for key in known if credentials.get(key)}

    def _setting(self, name: str) -> str:
        return f"{self.type}.client.{self.client}.{name}"


def parse(repository: Json, default_path: str) -> ObjectStore | None:
    """The object store of spec.snapshots.repository, where it is one."""
    for kind, place in PLACES.items():
        raw = repository.get(kind)
        if raw:
            return ObjectStore(
                type=kind,
                place=raw[place],
                base_path=raw["basePath"] or default_path,
                client=raw["client"],
                secret=(raw.get("credentialsSecretRef") or {"name": ""})["name"],
                options=tuple(_options(raw)) if kind == S3 else (),
            )
    return None


def _options(raw: Json) -> Iterable[tuple[str, str | bool]]:
    named = (
        ("endpoint", raw["endpoint"]),
        ("region", raw["region"]),
        ("path_style_access", raw["pathStyleAccess"]),
    )
    return ((name, value) for name, value in named if value)


def flaw(kind: str, credentials: Mapping[str, str]) -> str:
    """What is wrong with a Secret, of which Elasticsearch would not start; empty where nothing is."""
    if missing := [key for key in REQUIRED[kind] if not credentials.get(key)]:
        return f"holds nothing under {' and '.join(missing)}"
    if kind == AZURE and credentials.get("key") and credentials.get("sas_token"):
        return "holds both key and sas_token, of which Elasticsearch takes one"
    if kind == GCS:
        return _flaw_of_service_account(credentials["credentials_file"])
    return ""


def _flaw_of_service_account(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return "holds no JSON under credentials_file"
    if missing := [key for key in SERVICE_ACCOUNT if not found.get(key)]:
        return f"holds no key of a service account under credentials_file: it lacks {' and '.join(missing)}"
    return ""
