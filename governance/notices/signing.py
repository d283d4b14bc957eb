"""The secrets of webhooks and what is signed with them, as the Standard Webhooks specification 1.0.0 says it.

A secret is derived from the portal's SECRET_KEY, the webhook and its generation, so it is stored nowhere. Whoever
changes SECRET_KEY changes all of them.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from governance.models import Webhook
from portal.posting import secret_text, signature_headers

PURPOSE = b"countersign webhook 1 "


def key_of(webhook: Webhook) -> bytes:
    """Return the 32 bytes that a webhook's posts are signed with in its present generation (HKDF, RFC 5869)."""
    purpose = PURPOSE + webhook.public_id.bytes + webhook.generation.to_bytes(4)
    return HKDF(hashes.SHA256(), 32, None, purpose).derive(settings.SECRET_KEY.encode())


def secret_of(webhook: Webhook) -> str:
    """Return the secret as it is shown to whoever sets up the receiver."""
    return secret_text(key_of(webhook))


def headers(webhook: Webhook, identifier: str, body: bytes, *, seconds: int) -> dict[str, str]:
    """Return the three headers of a signed post; `seconds` is the Unix time of the attempt."""
    return signature_headers(key_of(webhook), identifier, body, seconds=seconds)
