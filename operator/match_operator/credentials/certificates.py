"""Authorities and the certificate of a cluster's nodes: made, signed, and made anew in good time.

Two authorities are trusted at any time: the one that signs, and the one that will sign after it. So the
second can take over from one moment to the next, with nobody left who does not know it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE: Final = timedelta(days=3650)
SUCCESSOR_LEFT: Final = timedelta(days=730)
"""An authority that is to sign next must have so long to go, else another is made ..."""
AUTHORITY_LEFT: Final = timedelta(days=365)
"""... well before the one that signs now has only so long to go, and is followed by it."""
LIFE: Final = timedelta(days=365)
LEFT: Final = timedelta(days=120)
"""The nodes' certificate is made anew when it has only so long to go."""
SKEW: Final = timedelta(hours=1)
"""How far the nodes' clocks may be behind ours."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, each as PEM."""

    certificate: str
    key: str

    @property
    def text(self) -> str:
        """Both, one after the other; ``pair`` reads it."""
        return self.certificate + self.key


def pair(text: str) -> Pair:
    """The two in what ``Pair.text`` gave."""
    certificate, mark, key = text.partition("-----BEGIN PRIVATE KEY-----")
    return Pair(certificate, mark + key)


def authority(name: str, now: datetime) -> Pair:
    """A new authority that has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = (
        _certificate(subject, key, now, AUTHORITY_LIFE)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    return _pair(made.sign(key, hashes.SHA256()), key)


def sign(signer: Pair, name: str, hosts: list[str], now: datetime) -> Pair:
    """A certificate of ``signer`` for servers and clients at ``hosts``."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        _certificate(subject, key, now, LIFE)
        .issuer_name(_read(signer.certificate).subject)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
    )
    return _pair(made.sign(_private(signer.key), hashes.SHA256()), key)


def left(certificate: str, now: datetime) -> timedelta:
    """How long it is good for; nothing for what is no certificate."""
    try:
        return _read(certificate).not_valid_after_utc - now
    except ValueError:
        return timedelta()


def fits(leaf: Pair, signer: Pair, hosts: list[str]) -> bool:
    """Whether ``leaf`` is of ``signer``, for these hosts, and together with its key."""
    try:
        certificate, parent = _read(leaf.certificate), _read(signer.certificate)
        certificate.verify_directly_issued_by(parent)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        own = _private(leaf.key).public_key() == certificate.public_key()
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return own and names.get_values_for_type(x509.DNSName) == hosts


def is_authority(found: Pair) -> bool:
    """Whether it can sign."""
    try:
        return bool(_private(found.key).public_key() == _read(found.certificate).public_key())
    except (ValueError, TypeError):
        return False


def _certificate(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + life)
    )


def _read(certificate: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificate.encode())


def _private(key: str) -> ec.EllipticCurvePrivateKey:
    found = serialization.load_pem_private_key(key.encode(), password=None)
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise TypeError("not a key of ours")
    return found


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode())
