"""Tokens of services: issue, revoke, and find out who is calling. Only hashes are stored."""

from __future__ import annotations

import hmac
import secrets
import string
from datetime import datetime, timedelta
from hashlib import sha256

from django.core.exceptions import PermissionDenied
from django.urls import reverse
from django.utils import timezone

from audit import log
from audit.events import Event
from portal.errors import Fault, Invalid, Reason, Refused, show
from registry.drafts import validated
from registry.models import AccessToken, User

# Reads the whole ledger, as auditors do and administrators do not.
AUDIT = "audit"
SCOPES = ("register", "gate", "serving", "promote", "read", "policy", AUDIT)
MAX_DAYS = 90
ALPHABET = string.ascii_letters + string.digits


def issue(user: User, *, actor: User, label: str, scopes: list[str], days: int = MAX_DAYS) -> tuple[AccessToken, str]:
    """Issue a token to a service and return it with its secret, which is shown this once.

    Raises Refused with code `not_auditor` for the scope audit, unless an auditor issues it.
    """
    if user.kind != "service":
        raise Invalid(Fault("user", show(user.username), "a service account: people sign in instead"))
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise Invalid(Fault("scopes", show(scopes), f"one or more of {', '.join(SCOPES)}"))
    if not 1 <= days <= MAX_DAYS:
        raise Invalid(Fault("days", show(days), f"1 to {MAX_DAYS}"))
    prefix = "".join(secrets.choice(ALPHABET) for _ in range(8))
    secret = f"csn_{prefix}_" + "".join(secrets.choice(ALPHABET) for _ in range(43))
    now = timezone.now()
    token = AccessToken(
        user=user,
        label=label,
        prefix=prefix,
        secret_sha256=sha256(secret.encode()).hexdigest(),
        scopes=sorted(scopes),
        issued_by=actor,
        issued_at=now,
        expires_at=now + timedelta(days=days),
    )
    validated(token, exclude=("user", "issued_by"))
    with log.record(Event.TOKEN_ISSUED, actor=actor, subject=user, prefix=prefix, scopes=token.scopes):
        expect_issuer(actor, scopes)
        token.save()
    return token, secret


def expect_issuer(actor: User, scopes: list[str]) -> None:
    """Refuse whoever may not hand out these scopes: an auditor the one that reads the ledger, administrators others."""
    if set(scopes) != {AUDIT}:
        actor.require("token.issue")
    if AUDIT in scopes and not actor.has_perm("token.issue_audit"):
        fix = "An auditor issues it, alone or together with the other scopes where they administer as well."
        seen = Reason("token.issue_audit", f"{actor} does not sit in the role auditor.", fix, reverse("audit:tokens"))
        raise Refused("not_auditor", "A token with the scope audit reads the whole ledger.", reasons=[seen])


def revoke(token: AccessToken, *, actor: User) -> AccessToken:
    """End a token now; ending it twice changes nothing."""
    with log.record(Event.TOKEN_REVOKED, actor=actor, subject=token) as entry:
        token = AccessToken.objects.select_for_update().get(pk=token.pk)
        actor.require("token.issue")
        if token.revoked_at is not None:
            entry.skip()
            return token
        token.revoked_at = timezone.now()
        token.save(update_fields=["revoked_at"])
    return token


def end_all(user: User, *, actor: User) -> int:
    """End every token of an account that is still open. Returns how many."""
    rows = list(AccessToken.objects.filter(user=user, revoked_at=None).order_by("pk"))
    for row in rows:
        revoke(row, actor=actor)
    return len(rows)


def authenticate(secret: str, scope: str, *, at: datetime | None = None) -> User | None:
    """Return the service behind a secret with its scopes, or None. Raises PermissionDenied when a scope is missing."""
    parts = secret.split("_")
    if len(parts) != 3 or parts[0] != "csn" or len(secret) > 80 or not (secret.isascii() and secret.isprintable()):
        return None
    token = AccessToken.objects.select_related("user").filter(prefix=parts[1]).first()
    now = at or timezone.now()
    known = token.secret_sha256 if token else "0" * 64
    if not hmac.compare_digest(known, sha256(secret.encode()).hexdigest()) or token is None:
        return None
    if token.revoked_at is not None or not token.issued_at <= now < token.expires_at or not token.user.is_active:
        return None
    if scope not in token.scopes:
        raise PermissionDenied(f"This token has the scopes {', '.join(token.scopes)}; {scope!r} is needed.")
    token.user.token_scopes = frozenset(token.scopes)  # type: ignore[attr-defined]
    return token.user
