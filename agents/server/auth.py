"""Who opens a stream: the agent signs a JWT over the nonce that this very stream was given.

A nonce is good for one stream, so nothing needs to be remembered against replays; the times in the token
are the server's own, so no clocks need to agree.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jwt.utils import base64url_decode

from clusters.models import Agent
from clusters.services.agents import AgentRevoked
from core.errors import Unauthenticated

AUDIENCE = "imp-gateway"
# A token that asks must never be one that connects.
CHECK_AUDIENCE = "imp-gateway-check"
ALGORITHMS = ["EdDSA"]
REQUIRED = ["iss", "aud", "nonce", "iat", "exp"]
LEEWAY_SECONDS = 10
MAX_LENGTH = 4096


def claimed(token: str) -> UUID:
    """The agent that the token says it is of. Nothing is proved yet, so no more is decoded than that."""
    if len(token) > MAX_LENGTH:
        raise _refused("The token is too long.", "malformed")
    try:
        _, payload, _ = token.split(".")
        return UUID(json.loads(base64url_decode(payload))["iss"])
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError):
        raise _refused("The token is no JWT whose issuer is an agent's id.", "malformed") from None


def prove(*, token: str, nonce: str, agent: Agent | None, audience: str = AUDIENCE) -> None:
    """The agent's key signed the token over this stream's nonce. Raises Unauthenticated or AgentRevoked."""
    if agent is None:
        raise _refused("The portal knows no agent of this id. Join again.", "unknown_agent")
    claims = _verified(token, bytes(agent.public_key), audience)
    if claims["nonce"] != nonce:
        raise _refused("The token is signed over another nonce than this stream's.", "nonce")
    # Only now: nobody but the key's holder learns that the agent was revoked.
    if agent.revoked_at is not None:
        raise AgentRevoked


def _verified(token: str, public_key: bytes, audience: str) -> dict[str, Any]:
    try:
        return jwt.decode(
            token,
            key=Ed25519PublicKey.from_public_bytes(public_key),
            algorithms=ALGORITHMS,
            audience=audience,
            leeway=LEEWAY_SECONDS,
            options={"require": REQUIRED, "strict_aud": True},
        )
    except jwt.ExpiredSignatureError:
        raise _refused("The token has expired. Sign a new one by imp-time.", "expired") from None
    except jwt.InvalidAudienceError:
        raise _refused(f"The token is for another audience than {audience}.", "audience") from None
    except jwt.InvalidAlgorithmError:
        raise _refused("The token must be signed with EdDSA (Ed25519).", "algorithm") from None
    except jwt.InvalidSignatureError:
        raise _refused("The token is signed with another key than this agent's.", "key") from None
    except jwt.InvalidTokenError as error:
        raise _refused(f"The token is not acceptable: {error}.", "malformed") from None


def _refused(message: str, why: str) -> Unauthenticated:
    return Unauthenticated(message, code=f"jwt_{why}")
