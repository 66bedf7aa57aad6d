"""An authority for tests, and the certificates that it signs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "Pair"]

Pair = tuple[str, str]
"""The files of a certificate and of its key."""


class Authority:
    """Signs certificates and writes them into a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(NameOID.COMMON_NAME, name)
        builder = _builder(self._name, self._key, self._name, timedelta(days=2))
        usage = x509.KeyUsage(
            key_cert_sign=True,
            crl_sign=True,
            **dict.fromkeys(
                ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"), False
            ),
            **dict.fromkeys(("key_agreement", "encipher_only", "decipher_only"), False),
        )
        signed = (
            builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def server(self) -> Pair:
        """Return a certificate for this machine."""
        address = x509.IPAddress(ip_address("127.0.0.1"))
        return self._sign(_name(NameOID.COMMON_NAME, "server"), [address], ExtendedKeyUsageOID.SERVER_AUTH)

    def client(
        self, *, cn: str = "ada", uid: str = "", email: str = "", valid_for: timedelta = timedelta(hours=1)
    ) -> Pair:
        """Return a user's certificate."""
        parts = [x509.NameAttribute(NameOID.COMMON_NAME, cn)]
        if uid:
            parts.append(x509.NameAttribute(NameOID.USER_ID, uid))
        names: list[x509.GeneralName] = [x509.RFC822Name(email)] if email else []
        return self._sign(x509.Name(parts), names, ExtendedKeyUsageOID.CLIENT_AUTH, valid_for)

    def _sign(
        self,
        name: x509.Name,
        names: list[x509.GeneralName],
        purpose: x509.ObjectIdentifier,
        valid_for: timedelta = timedelta(hours=1),
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, key, self._name, valid_for)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        place = self._folder / f"{signed.serial_number}"
        certificate, secret = place.with_suffix(".pem"), place.with_suffix(".key")
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(certificate), str(secret)


def _name(part: x509.ObjectIdentifier, value: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(part, value)])


def _builder(
    name: x509.Name, key: ec.EllipticCurvePrivateKey, issuer: x509.Name, valid_for: timedelta
) -> x509.CertificateBuilder:
    until = datetime.now(UTC) + valid_for
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - timedelta(days=3))
        .not_valid_after(until)
    )
