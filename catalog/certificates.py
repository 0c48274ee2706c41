"""What a PEM chain and its private key say, or what is wrong with them. Nothing is kept here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from core.errors import InvalidInput

CHAIN, KEY = "certificate", "private_key"  # the fields, as bodies and forms name them
MAX_CHAIN = 64 * 1024
MAX_KEY = 16 * 1024
MAX_CERTIFICATES = 10
MAX_HOSTS = 200
RSA_BITS = range(2048, 8193)
# What gateways can serve with. Ed25519 no browser takes.
CURVES = {"secp256r1": "P-256", "secp384r1": "P-384"}
CLOCK_SKEW = timedelta(minutes=5)
LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
DNS_NAME = re.compile(rf"(\*\.)?{LABEL}(\.{LABEL})*")


@dataclass(frozen=True, slots=True)
class Material:
    """A certificate that can be served, in one spelling."""

    chain: str  # PEM, the server's own first
    key: bytes = field(repr=False)  # PEM, PKCS #8, not encrypted
    fingerprint: str
    subject: str
    issuer: str
    hosts: list[str]
    key_type: str
    not_before: datetime
    not_after: datetime


def read(chain: str, key: str | bytes) -> Material:
    """Check that gateways can serve this now. Raises InvalidInput for `certificate` or `private_key`."""
    certificates = _certificates(chain)
    private = _private_key(key)
    leaf = certificates[0]
    key_type = _key_type(private)
    _check_pair(certificates, private)
    _check_order(certificates)
    _check_purpose(leaf)
    _check_time(certificates)
    return Material(
        chain="".join(each.public_bytes(Encoding.PEM).decode() for each in certificates),
        key=private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        fingerprint=leaf.fingerprint(SHA256()).hex(),
        subject=leaf.subject.rfc4514_string()[:500],
        issuer=leaf.issuer.rfc4514_string()[:500],
        hosts=_hosts(leaf),
        key_type=key_type,
        not_before=leaf.not_valid_before_utc,
        not_after=min(each.not_valid_after_utc for each in certificates),
    )


def _certificates(chain: str) -> list[x509.Certificate]:
    if not chain.strip():
        raise InvalidInput(_("Upload a certificate in PEM form."), field=CHAIN)
    if len(chain) > MAX_CHAIN:
        raise InvalidInput(_("A certificate chain has at most 64 KiB."), field=CHAIN)
    if "PRIVATE KEY-----" in chain:
        raise InvalidInput(
            _("There is a private key among the certificates. Put it in its own field."),
            field=CHAIN,
        )
    try:
        found = x509.load_pem_x509_certificates(chain.encode())
    except ValueError:
        raise InvalidInput(
            _(
                "This is no certificate in PEM form: it starts with -----BEGIN CERTIFICATE-----. "
                "Convert other forms with openssl x509."
            ),
            field=CHAIN,
        ) from None
    if len(found) > MAX_CERTIFICATES:
        raise InvalidInput(
            _("At most %(limit)d certificates: the server's own and those between it and its root.")
            % {"limit": MAX_CERTIFICATES},
            field=CHAIN,
        )
    return found


def _private_key(key: str | bytes) -> PrivateKeyTypes:
    pem = key.encode() if isinstance(key, str) else key
    if not pem.strip():
        raise InvalidInput(_("Upload the certificate's private key in PEM form."), field=KEY)
    if len(pem) > MAX_KEY:
        raise InvalidInput(_("A private key has at most 16 KiB."), field=KEY)
    if b"ENCRYPTED" in pem:
        raise InvalidInput(
            _(
                "This private key is encrypted with a passphrase, which gateways cannot ask for. "
                "Decrypt it with openssl pkey; it is encrypted again before it is stored."
            ),
            field=KEY,
        )
    try:
        return load_pem_private_key(pem, password=None)
    except UnsupportedAlgorithm:
        raise InvalidInput(_("This kind of private key is not supported."), field=KEY) from None
    except (ValueError, TypeError):
        raise InvalidInput(
            _("This is no private key in PEM form: it starts with -----BEGIN PRIVATE KEY-----."),
            field=KEY,
        ) from None


def _key_type(key: PrivateKeyTypes) -> str:
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size in RSA_BITS:
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in CURVES:
        return f"ECDSA {CURVES[key.curve.name]}"
    raise InvalidInput(
        _("Gateways serve with RSA keys of 2048 to 8192 bits and with ECDSA keys P-256 or P-384."),
        field=KEY,
    )


def _check_pair(certificates: Sequence[x509.Certificate], key: PrivateKeyTypes) -> None:
    mine = _public(key.public_key())
    matching = [
        place for place, each in enumerate(certificates, 1) if _public(each.public_key()) == mine
    ]
    if not matching:
        raise InvalidInput(
            _("This private key belongs to another certificate than “%(subject)s”.")
            % {"subject": _name(certificates[0])},
            field=KEY,
        )
    if matching[0] != 1:
        raise InvalidInput(
            _(
                "The private key belongs to certificate %(place)d of the chain. Put the server's own "
                "first, then each one's issuer."
            )
            % {"place": matching[0]},
            field=CHAIN,
        )


def _public(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]


def _check_order(certificates: Sequence[x509.Certificate]) -> None:
    for place, (each, issuer) in enumerate(pairwise(certificates), 1):
        try:
            each.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            raise InvalidInput(
                _(
                    "Certificate %(place)d of the chain (%(subject)s) was not issued by the one after "
                    "it (%(next)s). Put the server's own first, then each one's issuer."
                )
                % {"place": place, "subject": _name(each), "next": _name(issuer)},
                field=CHAIN,
            ) from None


def _check_purpose(leaf: x509.Certificate) -> None:
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    except ValueError:
        raise InvalidInput(_("The certificate's extensions cannot be read."), field=CHAIN) from None
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(
        usage
    ):
        raise InvalidInput(
            _("The certificate “%(subject)s” is not meant for servers: clients would refuse it.")
            % {"subject": _name(leaf)},
            field=CHAIN,
        )


def _check_time(certificates: Sequence[x509.Certificate]) -> None:
    now = timezone.now()
    for each in certificates:
        if each.not_valid_after_utc <= now:
            raise InvalidInput(
                _("The certificate “%(subject)s” expired on %(day)s. Upload its successor.")
                % {"subject": _name(each), "day": _day(each.not_valid_after_utc)},
                field=CHAIN,
            )
        if each.not_valid_before_utc > now + CLOCK_SKEW:
            raise InvalidInput(
                _("The certificate “%(subject)s” is not valid before %(day)s.")
                % {"subject": _name(each), "day": _day(each.not_valid_before_utc)},
                field=CHAIN,
            )


def _hosts(leaf: x509.Certificate) -> list[str]:
    """The DNS names that clients compare. They have long ignored the common name."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = {name.lower().rstrip(".") for name in names.get_values_for_type(x509.DNSName)}
    except x509.ExtensionNotFound:
        found = set()
    except ValueError:
        raise InvalidInput(_("The certificate's extensions cannot be read."), field=CHAIN) from None
    good = sorted(name for name in found if len(name) <= 253 and DNS_NAME.fullmatch(name))
    if not good:
        raise InvalidInput(
            _(
                "The certificate “%(subject)s” names no host. It needs its hosts as subject "
                "alternative names: clients ignore the common name."
            )
            % {"subject": _name(leaf)},
            field=CHAIN,
        )
    if len(good) > MAX_HOSTS:
        raise InvalidInput(
            _("At most %(limit)d hosts in one certificate.") % {"limit": MAX_HOSTS}, field=CHAIN
        )
    return good


def _name(certificate: x509.Certificate) -> str:
    common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    value = common[0].value if common else certificate.subject.rfc4514_string()
    return str(value)[:100] or f"{certificate.serial_number:x}"


def _day(moment: datetime) -> str:
    return date_format(timezone.localtime(moment), "Y-m-d")
