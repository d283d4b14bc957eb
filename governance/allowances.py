"""Allowances: a security reviewer lets artifacts of one asset name one exact global, for a while, and takes it back.

What scans do with an allowance stands in `governance.scanning.allowlist`; which ones an answer counts on, in the check.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import independence, lifecycle, policy, scanning
from governance.checks import artifact_scan
from governance.models import AllowedGlobal, Submission
from governance.models.allowances import GlobalUse
from governance.permissions import on_team
from governance.scanning import allowlist, second_engine
from portal.errors import Fault, Invalid, Reason, Refused, show
from portal.jobs import Job, ring
from registry.drafts import validated
from registry.models import Asset, ReportSignature, State, User, Version

in_force = artifact_scan.in_force
MAX_ROWS = 200


def allow(
    asset: Asset, module: str, name: str, *, actor: User, use: str, reason: str, expires_at: datetime
) -> AllowedGlobal:
    """Let artifacts of an asset use one global until an instant; whatever was held for it is scanned again.

    Raises Refused for a global that nobody may allow and for an actor who had a hand in the asset's versions, Invalid
    for what cannot be read or is longer than the policy's longest waiver.
    """
    now = timezone.now()
    allowed = AllowedGlobal(
        asset=asset,
        module=module,
        name=name,
        use=use,
        reason=reason,
        allowed_by=actor,
        allowed_at=now,
        expires_at=expires_at,
    )
    validated(allowed, exclude=("asset", "allowed_by", "revoked_by", "revoked_at"))
    lifecycle.expect_reason(reason)
    expect_end(allowed)
    with log.record(Event.GLOBAL_ALLOWED, actor=actor, subject=allowed, use=use, reason=reason, expires=expires_at):
        allowed.asset = lock(asset)
        actor.require("global.allow", allowed.asset)
        expect_independent(allowed.asset, actor)
        expect_allowable(module, name)
        expect_needed(allowed)
        allowed.save()
        ring(Job.RUN_CHECKS)
    return allowed


def revoke(allowed: AllowedGlobal, *, actor: User, reason: str) -> AllowedGlobal:
    """Stop allowing a global now; answers that count on it are stale from this moment."""
    lifecycle.expect_reason(reason)
    with log.record(Event.GLOBAL_REVOKED, actor=actor, subject=allowed, reason=reason):
        asset = lock(allowed.asset)
        actor.require("global.allow", asset)
        allowed = AllowedGlobal.objects.select_for_update(of=("self",)).get(pk=allowed.pk)
        if not allowed.is_in_force(timezone.now()):
            raise Refused("allowance_over", f"{allowed} is not allowed any more.")
        allowed.revoked_by, allowed.revoked_at = actor, timezone.now()
        allowed.save(update_fields=["revoked_by", "revoked_at"])
        ring(Job.RUN_CHECKS)
    return allowed


def lock(asset: Asset) -> Asset:
    """Lock an asset's row, so that two people cannot allow the same at once."""
    return Asset.objects.select_for_update(of=("self",)).select_related("team").get(pk=asset.pk)


def expect_end(allowed: AllowedGlobal) -> None:
    """Raise Invalid unless the allowance ends, and no later than the policy lets any exception last."""
    # Policies differ by the kind of asset only, so any version of it, even one that is not there, asks for the same.
    rules = policy.governing(Version(asset=allowed.asset))
    last = rules.content["waivers"]["max_days"]
    if not allowed.allowed_at < allowed.expires_at <= allowed.allowed_at + timedelta(days=last):
        raise Invalid(Fault("expires_at", allowed.expires_at.isoformat(), f"an instant within the next {last} days"))


def expect_independent(asset: Asset, actor: User) -> None:
    """Raise Refused with every reason why the actor had a hand in what would be allowed. Nobody is exempt."""
    found = involvement(asset, actor)
    if found:
        raise Refused(
            "not_independent",
            f"{actor} cannot allow anything in {asset.slug}: nobody makes exceptions for their own work.",
            reasons=[
                Reason("independence", each, "Somebody else from security has to.", asset.get_absolute_url())
                for each in found
            ],
        )


def involvement(asset: Asset, person: User) -> list[str]:
    """Return each way in which a person had a hand in an asset: its team, or any version that is not retired."""
    found = [f"{person} is on the team {asset.team}."] if on_team(person, asset) else []
    found += [f"{person} owns it."] if person.pk in {asset.owner_id, asset.backup_owner_id} else []
    versions = list(asset.versions.exclude(state=State.RETIRED).select_related("asset").prefetch_related("evidence"))
    for version in versions:
        found += [f"{version.label}: {each}" for each in independence.hand_in(version, person, version.evidence.all())]
    asked = Submission.objects.filter(version__in=versions, submitted_by=person).select_related("version__asset")
    found += [f"{each.version.label}: {person} submitted it." for each in asked[:MAX_ROWS]]
    signed = ReportSignature.objects.filter(evidence__version__in=versions, signed_by=person)
    found += [f"{person} signed {row.evidence.filename}." for row in signed.select_related("evidence")[:MAX_ROWS]]
    wrote = Q(history_user=person, history_change_reason__in=independence.WRITING)
    if not found and Version.history.filter(wrote, asset_id=asset.pk).exists():
        found.append(f"{person} wrote or nominated a draft of it.")
    return found[:MAX_ROWS]


def expect_allowable(module: str, name: str) -> None:
    """Raise Refused, saying why, for a global that no scan may count on however it was allowed."""
    says = scanning.read_allowlist().explain_refusal(module, name)
    if says is None and second_engine.calls_dangerous(module, name):
        says = f"The second engine, {second_engine.NAME}, calls {module}.{name} dangerous."
    if says is not None:
        fix = "Export the model to a format without code, such as safetensors or ONNX."
        raise Refused(
            "global_refused",
            f"{show(module)} {show(name)} cannot be allowed by anybody.",
            reasons=[Reason("artifact-scan", says, fix)],
        )


def expect_needed(allowed: AllowedGlobal) -> None:
    """Raise Refused when everybody may use the global like this, or an allowance in force covers it already."""
    wanted = artifact_scan.named(allowed)
    rising = allowlist.RISING.index
    listed = scanning.read_allowlist().judge(allowed.module, allowed.name)
    if listed in allowlist.RISING and rising(listed) >= rising(wanted.use):
        raise Refused("global_listed", f"{wanted} is on the allow-list for everybody; no exception is needed.")
    for row in in_force(allowed.asset, allowed.allowed_at):
        mine = artifact_scan.named(row)
        same = (mine.module, mine.name) == (wanted.module, wanted.name)
        if same and rising(mine.use) >= rising(wanted.use) and row.expires_at >= allowed.expires_at:
            raise Refused("global_allowed", f"{row} is allowed until {row.expires_at:%Y-%m-%d} already.")


def uses() -> list[tuple[str, str]]:
    """Return what can be allowed, as values and words, from the least to the most."""
    return [(str(each.value), str(each.label)) for each in (GlobalUse.REF, GlobalUse.CLASS, GlobalUse.CALL)]


__all__ = ["allow", "in_force", "involvement", "revoke", "uses"]
