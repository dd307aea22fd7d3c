"""Certificates and kubeconfigs: one authority, elliptic keys, made once, kept with the data."""

import base64
import dataclasses
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from labcluster import network, paths, progress

USERS = {
    "admin": "/O=system:masters/CN=lab-admin",
    "kube-controller-manager": "/CN=system:kube-controller-manager",
    "kube-scheduler": "/CN=system:kube-scheduler",
    "kube-proxy": "/CN=system:kube-proxy",
    "coredns": "/O=system:masters/CN=lab-coredns",
    "volumes": "/O=system:masters/CN=lab-volumes",
    "apiserver-to-kubelet": "/O=system:masters/CN=lab-apiserver",
}
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
DAYS = ("-days", "3650")


def folder() -> Path:
    """Where keys and certificates lie, readable by root only."""
    return paths.lab() / "pki"


@dataclasses.dataclass(frozen=True)
class Authority:
    """Keeps what it signed in its folder as `<name>.key` and `<name>.crt`, its own as `ca`."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """Its own certificate."""
        return self.folder / "ca.crt"

    def ensure(self, name: str) -> None:
        """Make the authority of that common name unless it exists."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.certificate.exists():
            made = ("-keyout", self.folder / "ca.key", "-out", self.certificate)
            _openssl("req", "-x509", *KEY, *DAYS, "-subj", f"/CN={name}", *made)

    def sign(self, name: str, subject: str, hosts: list[str], addresses: list[str]) -> None:
        """Make `<name>.key` and a certificate for both ends of a connection, unless they exist."""
        if (self.folder / f"{name}.crt").exists():
            return
        names = [f"DNS:{host}" for host in hosts] + [f"IP:{address}" for address in addresses]
        extensions = ["extendedKeyUsage=serverAuth,clientAuth"]
        if names:
            extensions.append(f"subjectAltName={','.join(names)}")
        with tempfile.TemporaryDirectory() as work:
            request, details, made = Path(work) / "csr", Path(work) / "ext", Path(work) / "crt"
            details.write_text("\n".join(extensions))
            _openssl("req", *KEY, "-subj", subject, "-keyout", self.folder / f"{name}.key", "-out", request)
            signer = ("-CA", self.certificate, "-CAkey", self.folder / "ca.key", "-CAcreateserial")
            _openssl("x509", "-req", "-in", request, *signer, *DAYS, "-extfile", details, "-out", made)
            shutil.copy(made, self.folder / f"{name}.crt")


def ensure(nodes: list[str]) -> None:
    """Make what is missing: the authority, the API server's, every user's, every node's, the tokens' key."""
    where = folder()
    authority = Authority(where)
    authority.ensure("match-operator-lab")
    if not (where / "tokens.key").exists():
        token_key(where)
    hosts = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    hosts.append("kubernetes.default.svc.cluster.local")
    addresses = ["127.0.0.1", network.GATEWAY, network.FIRST_SERVICE]
    authority.sign("apiserver", "/CN=kube-apiserver", hosts, addresses)
    for name, subject in USERS.items():
        authority.sign(name, subject, [], [])
    for node in nodes:
        authority.sign(f"kubelet-{node}", f"/O=system:nodes/CN=system:node:{node}", [node], [network.GATEWAY])
    for name in [*USERS, *(f"kubelet-{node}" for node in nodes)]:
        _kubeconfig(name)


def token_key(where: Path) -> None:
    """Make `tokens.key` and `tokens.pub`, with which tokens of service accounts are signed and checked."""
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", where / "tokens.key")
    _openssl("ec", "-in", where / "tokens.key", "-pubout", "-out", where / "tokens.pub")


def kubeconfig(name: str) -> Path:
    """The kubeconfig of a user of the list above, or of `kubelet-<node>`."""
    return paths.lab() / ("kubeconfig" if name == "admin" else f"pki/{name}.kubeconfig")


def _openssl(*words: str | Path) -> None:
    progress.run(["openssl", *words], "openssl")


def config(where: Path, context: str, server: str, name: str) -> dict[str, Any]:
    """A kubeconfig for the user `name`, whose certificate lies in `where` beside its authority's."""

    def data(file: str) -> str:
        return base64.b64encode((where / file).read_bytes()).decode()

    cluster = {"server": server, "certificate-authority-data": data("ca.crt")}
    user = {"client-certificate-data": data(f"{name}.crt"), "client-key-data": data(f"{name}.key")}
    chosen = {"cluster": "lab", "user": name, "namespace": "default"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": context, "context": chosen}],
        "current-context": context,
    }


def _kubeconfig(name: str) -> None:
    file = kubeconfig(name)
    text = json.dumps(config(folder(), "match-operator-lab", network.API_SERVER, name), indent=1)
    if not file.exists() or file.read_text() != text:
        file.touch(mode=0o600)
        file.write_text(text)
