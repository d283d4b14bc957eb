"""The verbs of the trusted-key registry: trust a public key or the root of a Sigstore instance, and stop trusting it.

Whoever is trusted is trusted for purposes, builders, assets and a time. What a change makes doubtful is asked again at
once; what was decided stands until somebody revokes the decision (docs/threat-model.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from audit import log, seal
from audit.events import Event
from governance import lifecycle
from governance.models import CheckRequest, CheckRun, Policy, Submission, TrustedKey, TrustedRoot
from governance.models.keys import Purpose
from governance.models.runs import Outcome
from governance.models.submissions import SubmissionState
from portal.errors import Fault, Invalid, Refused, show
from portal.jobs import Job, ring
from registry.drafts import is_storable, validated
from registry.models import State, User
from registry.models.people import slug_validator

MAX_LISTED = 200
MAX_NAME = 500
BATCH = 2000


def trust(
    name: str,
    public_pem: str,
    *,
    actor: User,
    owner: User,
    purposes: Sequence[str],
    builders: Sequence[str] = (),
    assets: Sequence[str] = (),
    valid_from: datetime,
    valid_until: datetime,
) -> TrustedKey:
    """Trust a public key for some purposes, builders and assets from one instant to another; no assets means all.

    Checks that failed for want of a trusted key are asked again. Raises Invalid naming the field that is wrong, and
    Refused when the key or its name is registered already, even when it was revoked since.
    """
    public = seal.load_public_key(public_pem)
    key = TrustedKey(
        name=name,
        public_pem=public.pem,
        fingerprint=public.fingerprint,
        owner=owner,
        **scope(purposes, builders, assets, valid_from, valid_until),
    )
    validated(key, exclude=("owner", "revoked_at"))
    with log.record(Event.KEY_TRUSTED, actor=actor, subject=key, **told(key)) as entry:
        actor.require("key.trust")
        if TrustedKey.objects.filter(fingerprint=public.fingerprint).exists():
            raise Refused("key_known", f"The key {public.fingerprint[:12]}… is registered already.")
        if TrustedKey.objects.filter(name=name).exists():
            raise Refused("key_name_taken", f"Another key is named {name}; a name is never used twice.")
        key.save()
        entry.note(asked_again=ask_again(waiting_for(key), actor=actor))
    return key


def revoke(key: TrustedKey, *, actor: User, reason: str) -> TrustedKey:
    """Stop trusting a key from now on; every check whose passed answer rests on it is asked again."""
    lifecycle.expect_reason(reason)
    with log.record(Event.KEY_REVOKED, actor=actor, subject=key, reason=reason) as entry:
        key = TrustedKey.objects.select_for_update().get(pk=key.pk)
        actor.require("key.trust")
        if key.revoked_at is not None:
            raise Refused("key_revoked", f"The key {key.name} was revoked on {key.revoked_at:%Y-%m-%d} already.")
        key.revoked_at, key.revoke_reason = timezone.now(), reason
        validated(key, exclude=("owner",))
        key.save(update_fields=["revoked_at", "revoke_reason"])
        entry.note(asked_again=ask_again(resting_on(key.fingerprint), actor=actor))
    return key


def trust_root(
    name: str,
    text: str,
    *,
    actor: User,
    owner: User,
    identities: Sequence[Mapping[str, str]],
    purposes: Sequence[str],
    builders: Sequence[str] = (),
    assets: Sequence[str] = (),
    valid_from: datetime,
    valid_until: datetime,
) -> TrustedRoot:
    """Trust exactly these identities under the trust root of one Sigstore instance, for purposes, builders and assets.

    `text` is the instance's trusted_root.json; `identities` are {"issuer": …, "identity": …} pairs, compared exactly.
    Raises Invalid naming the field that is wrong, and Refused when the root or its name is registered already.
    """
    # The library behind it takes a second to import, which only whoever registers a root should pay.
    from governance.checks import keyless  # noqa: PLC0415

    keyless.load_root(text)
    root = TrustedRoot(
        name=name,
        text=text,
        sha256=seal.digest(keyless.read_root(text)),
        identities=expect_identities(identities),
        owner=owner,
        **scope(purposes, builders, assets, valid_from, valid_until),
    )
    validated(root, exclude=("owner", "revoked_at"))
    with log.record(Event.ROOT_TRUSTED, actor=actor, subject=root, **told(root)) as entry:
        actor.require("key.trust")
        if TrustedRoot.objects.filter(sha256=root.sha256).exists():
            raise Refused("root_known", f"The trust root {root.sha256[:12]}… is registered already.")
        if TrustedRoot.objects.filter(name=name).exists():
            raise Refused("root_name_taken", f"Another trust root is named {name}; a name is never used twice.")
        root.save()
        entry.note(asked_again=ask_again(waiting_for(root), actor=actor))
    return root


def revoke_root(root: TrustedRoot, *, actor: User, reason: str) -> TrustedRoot:
    """Stop trusting a root and all its identities; every check whose passed answer rests on them is asked again."""
    lifecycle.expect_reason(reason)
    with log.record(Event.ROOT_REVOKED, actor=actor, subject=root, reason=reason) as entry:
        root = TrustedRoot.objects.select_for_update().get(pk=root.pk)
        actor.require("key.trust")
        if root.revoked_at is not None:
            raise Refused("root_revoked", f"The root {root.name} was revoked on {root.revoked_at:%Y-%m-%d} already.")
        root.revoked_at, root.revoke_reason = timezone.now(), reason
        validated(root, exclude=("owner",))
        root.save(update_fields=["revoked_at", "revoke_reason"])
        entry.note(asked_again=ask_again(resting_on(root.sha256), actor=actor))
    return root


def scope(
    purposes: Sequence[str],
    builders: Sequence[str],
    assets: Sequence[str],
    valid_from: datetime,
    valid_until: datetime,
) -> dict[str, Any]:
    """Return the fields that say what a signer is trusted for. Raises Invalid for the first that makes no sense."""
    if not valid_from < valid_until:
        raise Invalid(Fault("valid_until", valid_until.isoformat(), f"an instant after {valid_from.isoformat()}"))
    expect_names("purposes", purposes, f"one or more of {', '.join(Purpose.values)}", least=1)
    for purpose in purposes:
        if purpose not in Purpose.values:
            raise Invalid(Fault("purposes", show(purpose), f"one or more of {', '.join(Purpose.values)}"))
    speaks = Purpose.PROVENANCE in purposes
    expect_names("builders", builders, "one or more builder ids" if speaks else "builder ids", least=int(speaks))
    expect_names("assets", assets, "names of assets")
    for asset in assets:
        expect_slug(asset)
    lists = {"purposes": purposes, "builders": builders, "assets": assets}
    unique = {field: list(dict.fromkeys(values)) for field, values in lists.items()}
    return {**unique, "valid_from": valid_from, "valid_until": valid_until}


def expect_names(field: str, values: Any, expected: str, *, least: int = 0) -> None:
    """Raise Invalid unless values are a list of short, different-from-empty texts that can be stored."""
    listed = isinstance(values, list | tuple) and least <= len(values) <= MAX_LISTED
    if not listed or not all(isinstance(each, str) and 0 < len(each.strip()) <= MAX_NAME for each in values):
        raise Invalid(Fault(field, show(values), f"a list of at most {MAX_LISTED}: {expected}"))
    if not is_storable(list(values)):
        raise Invalid(Fault(field, show(values), "text without NUL characters and lone surrogates"))


def expect_slug(asset: str) -> None:
    """Raise Invalid unless a text can be the name of an asset; it need not be registered yet."""
    try:
        slug_validator(asset)
    except ValidationError as error:
        raise Invalid(Fault("assets", show(asset), "names of assets, one each")) from error


def expect_identities(identities: Any) -> list[dict[str, str]]:
    """Return (issuer, identity) pairs as they are stored. Raises Invalid unless there are some and each has both."""
    expected = 'a list of {"issuer": …, "identity": …} pairs'
    listed = isinstance(identities, list | tuple) and 0 < len(identities) <= MAX_LISTED
    if not listed or not all(isinstance(each, Mapping) and set(each) == {"issuer", "identity"} for each in identities):
        raise Invalid(Fault("identities", show(identities), expected))
    for each in identities:
        expect_names("identities", [each["issuer"], each["identity"]], expected)
    pairs = dict.fromkeys((each["issuer"], each["identity"]) for each in identities)
    return [{"issuer": issuer, "identity": identity} for issuer, identity in pairs]


def told(trusted: TrustedKey | TrustedRoot) -> dict[str, Any]:
    """Return what the ledger says a signer is trusted for."""
    found: dict[str, Any] = {"purposes": trusted.purposes, "builders": trusted.builders, "assets": trusted.assets}
    if isinstance(trusted, TrustedRoot):
        # Identities may be addresses of people, so the entry counts them; the row that it names by digest holds them.
        found["identities"] = len(trusted.identities)
    return found


def resting_on(fingerprint: str) -> QuerySet[CheckRun]:
    """Return the passed answers that name a signer: provenance, attested checksums, signed evaluations."""
    rests = Q(facts__fingerprint=fingerprint) | Q(facts__fingerprints__contains=[fingerprint])
    return CheckRun.objects.filter(rests, outcome=Outcome.PASSED).exclude(version__state=State.RETIRED)


def waiting_for(trusted: TrustedKey | TrustedRoot) -> QuerySet[CheckRun]:
    """Return the answers about versions on their way that failed because nobody trusted had signed, in its scope."""
    about = Q(version__asset__slug__in=trusted.assets) if trusted.assets else Q()
    codes = ("untrusted_key", "revoked_key")
    waiting = (State.DRAFT, State.CANDIDATE)
    return CheckRun.objects.filter(about, outcome=Outcome.FAILED, facts__code__in=codes, version__state__in=waiting)


def ask_again(runs: QuerySet[CheckRun], *, actor: User) -> int:
    """Queue the questions that some answers were given to, under every policy that still matters. Returns how many.

    Those are the newest of each name, and those that an open submission or a decision in force is pinned to. A worker
    that is answering right now may have looked before the change, so its request makes way for a new one.
    """
    mine = {"version": OuterRef("version"), "policy": OuterRef("policy")}
    in_force = Q(
        decisions__verdict="approved", decisions__expires_at__gt=timezone.now(), decisions__revocation__isnull=True
    )
    pinned = Submission.objects.filter(Q(state=SubmissionState.OPEN) | in_force, **mine)
    newest = list(Policy.objects.order_by("name", "-number").distinct("name").values_list("pk", flat=True))
    asked = runs.filter(Q(policy__in=newest) | Exists(pinned)).order_by()
    CheckRequest.objects.filter(Exists(asked.filter(check_slug=OuterRef("check_slug"), **mine))).delete()
    return enqueue(asked.values_list("version", "policy", "check_slug").distinct(), actor=actor)


def enqueue(questions: Iterable[tuple[int, int, str]], *, actor: User) -> int:
    """Write (version, policy, check) questions into the queue, in as many rows at a time as are quick."""
    now = timezone.now()
    rows = [
        CheckRequest(version_id=version, policy_id=rules, check_slug=slug, requested_by=actor, requested_at=now)
        for version, rules, slug in questions
    ]
    CheckRequest.objects.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)
    if rows:
        ring(Job.RUN_CHECKS)
    return len(rows)
