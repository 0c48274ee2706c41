"""The certificate authority that join was told to trust: by its digest, or as a file."""

from __future__ import annotations

import hashlib
import re
import ssl
from pathlib import Path

import httpx

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
LARGEST = 256 * 1024


class AuthorityError(RuntimeError):
    """The authority cannot be had or is not the one that was named; the text says what to do."""


def from_file(path: Path) -> bytes:
    try:
        content = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise AuthorityError(f"{path} cannot be read as a PEM file: {error}.") from error
    if not CERTIFICATE.search(content):
        raise AuthorityError(f"{path} holds no certificate in PEM form.")
    return content.encode()


async def fetch(portal: str, digest: str) -> bytes:
    """The file of that digest, or the certificate in it. Any connection will do: the digest is the proof."""
    wanted = normal(digest)
    url = f"{portal.rstrip('/')}/agent/ca.pem"
    content = await _download(url)
    of_file = hashlib.sha256(content.encode()).hexdigest()
    found = {_digest_of(pem): pem for pem in CERTIFICATE.findall(content)}
    if not found:
        raise AuthorityError(
            f"{url} holds no certificate. Name the portal's address with --portal, "
            "or give the certificate with --ca-file."
        )
    if wanted == of_file:
        return content.encode()
    if wanted not in found:
        raise AuthorityError(
            f"{url} has the SHA-256 {of_file}, not {wanted} as --ca-sha256 says. Nothing was sent. "
            "Copy the join command again; if this stays, somebody may be in between."
        )
    return found[wanted].encode() + b"\n"


def normal(digest: str) -> str:
    """Hex, as `sha256sum` or, with colons, as OpenSSL writes it."""
    plain = digest.strip().lower().removeprefix("sha256:").replace(":", "")
    if not re.fullmatch(r"[0-9a-f]{64}", plain):
        raise AuthorityError(
            "--ca-sha256 takes 64 hexadecimal digits: the digest of the certificate."
        )
    return plain


def _digest_of(pem: str) -> str:
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    except ValueError as error:
        raise AuthorityError(f"The portal's certificate is damaged: {error}.") from error


async def _download(url: str) -> str:
    try:
        # Unverified on purpose: what comes back is compared with a digest that the operator gave.
        async with httpx.AsyncClient(verify=False, timeout=10) as client:  # noqa: S501
            answer = await client.get(url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise AuthorityError(
            f"{url} cannot be fetched: {str(error) or type(error).__name__}. "
            "Name the portal's address with --portal, or give the certificate with --ca-file."
        ) from error
    if answer.status_code != httpx.codes.OK or len(answer.content) > LARGEST:
        raise AuthorityError(
            f"{url} answered {answer.status_code}. Is AGENT_CA_FILE set on the portal? "
            "Name the portal's address with --portal, or give the certificate with --ca-file."
        )
    return answer.text
