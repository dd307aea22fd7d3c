"""An issuer of OpenID Connect tokens with real keys, over HTTP or as a plain value."""

import base64
import contextlib
import hashlib
import hmac
import http.server
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

DISCOVERY = "/.well-known/openid-configuration"
AUDIENCE = "match"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WEAK_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - to be refused
EC = ec.generate_private_key(ec.SECP256R1())
EC384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()


def algorithm_of(key: PrivateKeyTypes) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return "ES256" if key.curve.key_size == 256 else "ES384"
    return "EdDSA"


def jwk(name: str | None, key: PrivateKeyTypes, **fields: Any) -> dict[str, Any]:
    """The public half of ``key`` as it stands in a JWK Set."""
    made = jwt.get_algorithm_by_name(algorithm_of(key)).to_jwk(key.public_key(), as_dict=True)
    return made | ({"kid": name} if name else {}) | fields


class Site:
    """What an issuer at ``url`` publishes, and tokens as it signs them."""

    def __init__(self, url: str = "https://issuer.example") -> None:
        self.url = url
        self.keys: list[dict[str, Any]] = [jwk("rsa", RSA, use="sig"), jwk("ec", EC), jwk("ed", ED)]
        self.about: dict[str, Any] = {}
        """What of the discovery document is other than it should be."""
        self.asked = 0

    def document(self, path: str) -> bytes:
        """What is at ``path``; raises ``KeyError`` for nothing."""
        self.asked += path == DISCOVERY
        about = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"} | self.about
        return json.dumps({DISCOVERY: about, "/keys": {"keys": self.keys}}[path]).encode()

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Claims of a good token with ``changed``, of which None are left out."""
        now = int(time.time())
        made = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "exp": now + 300, "iat": now, "scope": "read"}
        return {name: value for name, value in (made | changed).items() if value is not None}

    def token(
        self,
        name: str | None = "rsa",
        key: PrivateKeyTypes = RSA,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token signed by ``key``, which it calls ``name``."""
        head = ({"kid": name} if name else {}) | (header or {})
        algorithm = head.pop("alg", algorithm_of(key))
        return jwt.encode(self.claims(**claims), key, algorithm, head)  # type: ignore[arg-type]


def handmade(header: dict[str, Any], claims: Any, secret: bytes = b"") -> str:
    """A token that no library would make: unsigned, or signed with HMAC and any secret at all."""
    body = f"{_part(json.dumps(header).encode())}.{_part(json.dumps(claims).encode())}"
    return f"{body}.{_part(hmac.digest(secret, body.encode(), hashlib.sha256) if secret else b'')}"


def public_pem(key: PrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class _Handler(http.server.BaseHTTPRequestHandler):
    site: ClassVar[Site]

    def do_GET(self) -> None:
        try:
            data = self.site.document(self.path)
        except KeyError:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def certificate(path: Path, address: str = "") -> Path:
    """A certificate of localhost, or of an address, that signs itself; its key follows it in the file."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address or "localhost")])
    shown = x509.IPAddress(ipaddress.ip_address(address)) if address else x509.DNSName("localhost")
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, EC.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(1))
        .not_valid_after(now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([shown]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(EC, hashes.SHA256())
    )
    key = EC.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + key)
    return path


@contextlib.contextmanager
def issuer(port: int = 0, certificate: Path | None = None, host: str = "localhost") -> Iterator[Site]:
    """A site at ``host`` and ``port``, with TLS where there is a ``certificate`` (and key, in one file)."""
    site = Site()
    handler = type("Handler", (_Handler,), {"site": site})
    with http.server.ThreadingHTTPServer((host, port), handler) as server:
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        site.url = f"{'https' if certificate else 'http'}://{host}:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
