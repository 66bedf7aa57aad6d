"""The certificates of a Kubernetes cluster of the tests' own, and the kubeconfigs that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "write_kubeconfig"]

_VALID = timedelta(days=2)
_USAGES = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs the certificates of one cluster; everything lies in its folder."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, folder: Path) -> Authority:
        """Make one, and the key by which tokens of service accounts are signed."""
        folder.mkdir(mode=0o700)
        key, name = ec.generate_private_key(ec.SECP256R1()), _name("the tests", ())
        made = _begin(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        found = cls(folder, key, made.sign(key, hashes.SHA256()))
        found.ca.write_bytes(found.certificate.public_bytes(Encoding.PEM))
        found.issue("accounts", "service accounts")
        return found

    @property
    def ca(self) -> Path:
        """Return its own certificate."""
        return self.folder / "ca.crt"

    def cert_of(self, name: str) -> Path:
        """Return the certificate that was issued under a name."""
        return self.folder / f"{name}.crt"

    def key_of(self, name: str) -> Path:
        """Return the key that goes with it."""
        return self.folder / f"{name}.key"

    def issue(self, name: str, user: str, *groups: str, addresses: Sequence[str] = ()) -> None:
        """Issue a certificate for a user in *groups*, or for a server at *addresses*."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = _begin(_name(user, groups), self.certificate.subject, key)
        made = made.add_extension(x509.ExtendedKeyUsage(_USAGES), critical=False)
        if addresses:
            alike = [x509.IPAddress(ip_address(address)) for address in addresses]
            made = made.add_extension(x509.SubjectAlternativeName(alike), critical=False)
        self.cert_of(name).write_bytes(made.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        self.key_of(name).touch(mode=0o600)
        self.key_of(name).write_bytes(private)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (self.folder / f"{name}.pub").write_bytes(public)

    def kubeconfig(self, name: str, server: str) -> Path:
        """Write how the user of a certificate reaches the cluster."""
        user = {"client-certificate": str(self.cert_of(name)), "client-key": str(self.key_of(name))}
        return write_kubeconfig(self.folder / f"{name}.kubeconfig", server, str(self.ca), user)


def write_kubeconfig(path: Path, server: str, ca: str, user: dict[str, str]) -> Path:
    """Write a kubeconfig of one cluster and one user."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": ca}}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content))
    return path


def _name(user: str, groups: Sequence[str]) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _begin(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    present = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(present - timedelta(hours=1))
        .not_valid_after(present + _VALID)
    )
