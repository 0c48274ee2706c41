"""Certificates and keys, made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    certificate: x509.Certificate
    key: Any
    issuers: tuple[x509.Certificate, ...] = ()

    @property
    def chain(self) -> str:
        """PEM: its own certificate, then what is between it and the root."""
        return "".join(pem(each) for each in (self.certificate, *self.issuers))

    @property
    def private_key(self) -> str:
        return key_pem(self.key)

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(SHA256()).hex()

    @property
    def hosts(self) -> list[str]:
        names = self.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return sorted(names.value.get_values_for_type(x509.DNSName))

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def key_pem(key: Any, password: bytes | None = None) -> str:
    secret = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret).decode()


@cache
def authority(name: str = "Test Root") -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    return Issued(_sign(name, key, name, key, is_authority=True), key)


@cache
def intermediate(name: str = "Test Intermediate") -> Issued:
    root, key = authority(), ec.generate_private_key(ec.SECP256R1())
    made = _sign(name, key, _common(root.certificate), root.key, is_authority=True)
    return Issued(made, key)


def issue(
    *hosts: str,
    days: float = 90,
    began: float = 1,
    key: Any = None,
    by: Issued | None = None,
    with_chain: bool = False,
    usage: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH,),
) -> Issued:
    """A certificate for `hosts` that began `began` days ago and ends in `days`."""
    issuer = by or authority()
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = hosts[0] if hosts else "nobody"
    made = _sign(
        name,
        key,
        _common(issuer.certificate),
        issuer.key,
        hosts=hosts,
        begin=datetime.now(UTC) - DAY * began,
        end=datetime.now(UTC) + DAY * days,
        usage=usage,
    )
    return Issued(made, key, (issuer.certificate,) if with_chain else ())


def _sign(
    subject: str,
    key: Any,
    issuer: str,
    issuer_key: Any,
    *,
    hosts: Sequence[str] = (),
    is_authority: bool = False,
    begin: datetime | None = None,
    end: datetime | None = None,
    usage: Sequence[x509.ObjectIdentifier] = (),
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin or datetime.now(UTC) - DAY * 10)
        .not_valid_after(end or datetime.now(UTC) + DAY * 3650)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if hosts:
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(usage)), critical=False)
    return builder.sign(issuer_key, SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _common(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
