"""The local certificate authority: every https address of the local world is signed by it, and clients verify for real.

Rules that hold here:
- One folder holds one authority: `ca.pem` (what clients trust), `ca.key`, `leaf.pem`, `leaf.key`. Keys are 0600.
- What is on disk is checked on every start and made anew when it is missing, damaged, of another authority, or near its
  end. A new authority means that clients must load `ca.pem` again, so it lives ten years and the leaf about one.
- Several processes may open the same folder at once; a lock file lets one of them make the certificates.

It must never be added to a machine's or a browser's own trust store by this code; tests and children are told its path.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import ipaddress
import os
import ssl
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_NAME = "Mailspan sandbox authority"
AUTHORITY_LIFE = datetime.timedelta(days=3650)
LEAF_LIFE = datetime.timedelta(days=397)
#: A certificate with less than this left is made anew.
NEAR_EXPIRY = datetime.timedelta(days=30)
#: Clocks of containers and hosts differ a little; a certificate is valid from this long before it was made.
BACKDATE = datetime.timedelta(hours=1)
LEAF_NAMES: tuple[x509.GeneralName, ...] = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
)


class Authority:
    """The authority of one folder, made on first use.

    `Authority(folder)` creates the folder and whatever is missing in it. Raises `OSError` when it cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder / "lock"):
            self._ensure()

    @property
    def ca_file(self) -> Path:
        """The PEM file clients trust: `verify=`, `NODE_EXTRA_CA_CERTS`, `ssl.create_default_context(cafile=...)`."""
        return self.folder / "ca.pem"

    def leaf_files(self) -> tuple[Path, Path]:
        """(certificate, key) for `localhost`, `127.0.0.1` and `::1`, both PEM."""
        return self.folder / "leaf.pem", self.folder / "leaf.key"

    def server_context(self) -> ssl.SSLContext:
        """A TLS context for a server on this machine."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self.leaf_files())
        return context

    def client_context(self) -> ssl.SSLContext:
        """A TLS context that trusts this authority and nothing else."""
        return ssl.create_default_context(cafile=self.ca_file)

    def _ensure(self) -> None:
        ca_key_file = self.folder / "ca.key"
        leaf_file, leaf_key_file = self.leaf_files()
        ca = _read_pair(self.ca_file, ca_key_file)
        if ca is None or _is_near_expiry(ca[0]):
            ca = _make_authority()
            _write_pair(self.ca_file, ca_key_file, *ca)
        leaf = _read_pair(leaf_file, leaf_key_file)
        if leaf is None or _is_near_expiry(leaf[0]) or not _serves(leaf[0], ca[0]):
            _write_pair(leaf_file, leaf_key_file, *_make_leaf(*ca))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _read_pair(cert_file: Path, key_file: Path) -> Pair | None:
    """The certificate and its key, or None where either is missing, unreadable, or does not belong to the other."""
    try:
        cert = x509.load_pem_x509_certificate(cert_file.read_bytes())
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    except (FileNotFoundError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or cert.public_key() != key.public_key():
        return None
    return cert, key


def _is_near_expiry(cert: x509.Certificate) -> bool:
    return cert.not_valid_after_utc - datetime.datetime.now(datetime.UTC) < NEAR_EXPIRY


def _serves(leaf: x509.Certificate, ca: x509.Certificate) -> bool:
    """Whether the leaf was signed by this authority for exactly the names we serve."""
    try:
        leaf.verify_directly_issued_by(ca)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return tuple(names) == LEAF_NAMES


def _make_authority() -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY_NAME)])
    builder = (
        _builder(name, name, key.public_key(), AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
    )
    return builder.sign(key, hashes.SHA256()), key


def _make_leaf(ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    life = min(LEAF_LIFE, ca.not_valid_after_utc - datetime.datetime.now(datetime.UTC))
    builder = (
        _builder(subject, ca.subject, key.public_key(), life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(LEAF_NAMES), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    return builder.sign(ca_key, hashes.SHA256()), key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_pair(cert_file: Path, key_file: Path, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _replace(key_file, pem, 0o600)
    _replace(cert_file, cert.public_bytes(serialization.Encoding.PEM), 0o644)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Writes the file whole or not at all, never readable by others in between."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    fresh.replace(path)
