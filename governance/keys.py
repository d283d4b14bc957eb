"""The trusted-key registry's verbs: trust a builder's public key, and stop trusting it."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from audit import log, seal
from audit.events import Event
from governance import lifecycle
from governance.models import TrustedKey
from governance.models.keys import Purpose
from portal.errors import Fault, Invalid, Refused, show
from registry.drafts import validated
from registry.models import User


def trust(
    name: str,
    public_pem: str,
    *,
    actor: User,
    owner: User,
    builders: list[str],
    purposes: tuple[str, ...] = (Purpose.PROVENANCE,),
    valid_from: datetime,
    valid_until: datetime,
) -> TrustedKey:
    """Trust a public key to speak for some builders from one instant to another."""
    public = seal.load_public_key(public_pem)
    if not valid_from < valid_until:
        raise Invalid(Fault("valid_until", valid_until.isoformat(), f"an instant after {valid_from.isoformat()}"))
    if not builders or not all(isinstance(builder, str) and builder.strip() for builder in builders):
        raise Invalid(Fault("builders", show(builders), "one or more builder ids"))
    key = TrustedKey(
        name=name,
        public_pem=public.pem,
        fingerprint=public.fingerprint,
        purposes=list(purposes),
        builders=builders,
        owner=owner,
        valid_from=valid_from,
        valid_until=valid_until,
    )
    validated(key, exclude=("owner", "revoked_at"))
    with log.record(Event.KEY_TRUSTED, actor=actor, subject=key, builders=builders):
        actor.require("key.trust")
        if TrustedKey.objects.filter(fingerprint=public.fingerprint).exists():
            raise Refused("key_known", f"The key {public.fingerprint[:12]}… is registered already.")
        if TrustedKey.objects.filter(name=name).exists():
            raise Refused("key_name_taken", f"A key named {name} is registered already.")
        if TrustedKey.objects.filter(name=name).exists():
            raise Refused("key_name_taken", f"Another key is named {name}; a name is never used twice.")
        key.save()
    return key


def revoke(key: TrustedKey, *, actor: User, reason: str) -> TrustedKey:
    """Stop trusting a key from now on; provenance that rests on it is asked again."""
    lifecycle.expect_reason(reason)
    with log.record(Event.KEY_REVOKED, actor=actor, subject=key, reason=reason):
        key = TrustedKey.objects.select_for_update().get(pk=key.pk)
        actor.require("key.trust")
        if key.revoked_at is not None:
            raise Refused("key_revoked", f"The key {key.name} was revoked on {key.revoked_at:%Y-%m-%d} already.")
        key.revoked_at, key.revoke_reason = timezone.now(), reason
        validated(key, exclude=("owner",))
        key.save(update_fields=["revoked_at", "revoke_reason"])
    return key
