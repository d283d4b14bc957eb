"""How assets and whole registrations come in. Drafts are edited in `drafts`, evidence comes in through `evidence`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connection

from audit import log, seal
from audit.events import Event
from portal.errors import Fault, Invalid, Refused, show
from registry import evidence
from registry.drafts import add_component, expect_names, stamp_identity, use_dataset, validated
from registry.models import Asset, Team, User, Version
from registry.registration import AssetPart, Registration, VersionPart

ASSET_EDITABLE = ("description", "owner", "backup_owner", "escalation_contact")


@dataclass(frozen=True)
class Registered:
    """The outcome of a registration: the version, and whether this request made it."""

    version: Version
    created: bool


def register_asset(
    *,
    actor: User,
    slug: str,
    kind: str,
    description: str,
    team: Team,
    owner: User | None = None,
    backup_owner: User | None = None,
    escalation_contact: str = "",
) -> Asset:
    """Register a new asset for a team. Raises Refused when the name is taken."""
    asset = Asset(
        slug=slug,
        kind=kind,
        description=description,
        team=team,
        owner=owner,
        backup_owner=backup_owner,
        escalation_contact=escalation_contact,
    )
    validated(asset)
    with log.record(Event.ASSET_REGISTERED, actor=actor, subject=asset, kind=kind, team=team.slug):
        actor.require("asset.register", team)
        expect_people(asset)
        reserve(slug)
        if Asset.objects.filter(slug=slug).exists():
            raise Refused("asset_taken", f"An asset named {slug} is registered already.")
        asset.save()
    return asset


def change_asset(asset: Asset, *, actor: User, **fields: Any) -> Asset:
    """Change an asset's description, people or escalation contact."""
    expect_names(fields, ASSET_EDITABLE)
    with log.record(Event.ASSET_CHANGED, actor=actor, subject=asset, fields=sorted(fields)):
        asset = Asset.objects.select_for_update().get(pk=asset.pk)
        actor.require("asset.change", asset)
        for name, value in fields.items():
            setattr(asset, name, value)
        validated(asset)
        expect_people(asset)
        asset.save(update_fields=list(fields))
    return asset


def expect_people(asset: Asset) -> None:
    """Raise Invalid unless owner and backup are two different active people."""
    for name in ("owner", "backup_owner"):
        person = getattr(asset, name)
        if person is not None and (not person.is_active or person.kind != "person"):
            raise Invalid(Fault(name, show(person.username), "an active person"))
    if asset.owner_id is not None and asset.owner_id == asset.backup_owner_id:
        raise Invalid(Fault("backup_owner", "the owner", "somebody else than the owner"))


def register(registration: Registration, *, actor: User) -> Registered:
    """Register a whole version with its evidence in one transaction, as CI does.

    The same content again returns the version that is there (and attaches evidence it did not have). Another artifact
    or another record for the same number raises Refused with both hashes. Nothing is kept when anything is refused.
    """
    content = content_digest(registration)
    number = registration.version.number
    probe = Version(asset=Asset(slug=registration.asset.name), number=number, registered_by=actor)
    with log.record(Event.VERSION_REGISTERED, actor=actor, subject=probe, content=content) as entry:
        asset = find_asset(registration.asset, actor=actor)
        actor.require("version.register", asset)
        expect_kind(asset, registration.asset.kind)
        version = Version.objects.filter(asset=asset, number=number).select_related("asset").first()
        created = version is None
        if version is None:
            version = build(asset, registration, content, actor=actor)
            entry.about(version)
        else:
            expect_same(version, registration, content)
            entry.skip()
        for part in registration.evidence:
            evidence.attach_once(version, part, actor=actor)
    return Registered(version, created)


def content_digest(registration: Registration) -> str:
    """Return the sha256 of a registration's facts; a repeated build has another id, and evidence may be added."""
    facts = registration.model_dump(mode="json", by_alias=True, exclude={"evidence": True, "asset": True})
    facts["version"]["source"].pop("build_id")
    facts["asset"] = registration.asset.name
    return seal.digest(facts)


def expect_same(version: Version, registration: Registration, content: str) -> None:
    """Raise Refused with both hashes unless a repeated registration says what the first one said."""
    artifact = registration.version.artifact
    sha256 = artifact.sha256 if artifact else ""
    if sha256 != version.artifact_sha256:
        raise Refused(
            "checksum_differs",
            f"{version.label} is registered with the artifact sha256 {version.artifact_sha256 or '(none)'}, "
            f"but this request says {sha256 or '(none)'}. A version never changes: use a new number.",
            expected=version.artifact_sha256,
            seen=sha256,
        )
    if content != version.registration_digest:
        raise Refused(
            "content_differs",
            f"{version.label} is registered with the record {version.registration_digest or '(edited by a person)'}, "
            f"but this request's record is {content}. A version never changes: use a new number.",
            expected=version.registration_digest,
            seen=content,
        )


def find_asset(part: AssetPart, *, actor: User) -> Asset:
    """Return the named asset, locked; register it when it is new and the request says enough."""
    named = Asset.objects.select_for_update().filter(slug=part.name)
    asset = named.first()
    if asset is None:
        # Another runner may be bringing the same asset now: wait for it, and look again.
        reserve(part.name)
        asset = named.all().first()
    if asset is not None:
        return asset
    missing = [name for name in ("kind", "team", "description") if not getattr(part, name)]
    if missing:
        raise Invalid(*(Fault(f"asset.{name}", "nothing", "a value, because the asset is new") for name in missing))
    return register_asset(
        actor=actor,
        slug=part.name,
        kind=part.kind or "",
        description=part.description,
        team=find(Team, "asset.team", slug=part.team),
        owner=find(User, "asset.owner", username=part.owner) if part.owner else None,
        backup_owner=find(User, "asset.backup_owner", username=part.backup_owner) if part.backup_owner else None,
        escalation_contact=part.escalation_contact,
    )


def expect_kind(asset: Asset, kind: str | None) -> None:
    """Raise Refused when a request takes an asset for another kind of thing than it is."""
    if kind not in (None, asset.kind):
        raise Refused("kind_differs", f"{asset.slug} is registered as a {asset.kind}, not as a {kind}.")


def reserve(slug: str) -> None:
    """Hold a name that is not registered yet until the transaction ends, so that two requests do not both take it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"asset {slug}"])


def find(model: Any, field: str, **by: Any) -> Any:
    """Return the one row with a name, or raise Invalid naming the field that asked for it."""
    row = model.objects.filter(**by).first()
    if row is None:
        raise Invalid(Fault(field, show(next(iter(by.values()))), f"a registered {model._meta.verbose_name}"))
    return row


def build(asset: Asset, registration: Registration, content: str, *, actor: User) -> Version:
    """Write a new version with its components and data sets."""
    version = Version(asset=asset, number=registration.version.number, registered_by=actor, registration_digest=content)
    for name, value in flatten(registration.version).items():
        setattr(version, name, value)
        if value not in ("", None, []):
            version.origins[name] = "ci"
    validated(version, exclude=("asset",))
    version.save()
    for component in registration.components:
        part = find_part(component.version, actor=actor)
        add_component(version, actor=actor, role=component.role, part=part)
    for dataset in registration.datasets:
        use_dataset(version, dataset, actor=actor)
    version.refresh_from_db()
    stamp_identity(version)
    return version


def find_part(label: str, *, actor: User) -> Version:
    """Return a registered version by its label; one that the actor may not see counts as not there."""
    slug, number = label.split("@")
    part = Version.objects.filter(asset__slug=slug, number=number).select_related("asset").first()
    if part is None or not actor.has_perm("asset.view", part):
        raise Invalid(Fault("components.version", show(label), "a registered version"))
    return part


def flatten(part: VersionPart) -> dict[str, Any]:
    """Return a registration's version part as fields of the model."""
    fields: dict[str, Any] = {
        "source_repository": part.source.repository,
        "source_commit": part.source.commit,
        "build_id": part.source.build_id,
        "lockfile_sha256": part.source.lockfile_sha256,
        "finetune_method": part.finetune_method,
        "licence": part.licence,
        "allowed_uses": part.allowed_uses,
        "prohibited_uses": part.prohibited_uses,
        "authors": part.authors,
        "release_notes": part.release_notes,
    }
    if part.artifact:
        fields |= {
            "artifact_sha256": part.artifact.sha256,
            "artifact_size": part.artifact.size,
            "storage_uri": part.artifact.uri,
            "format": part.artifact.format,
        }
    if part.risk:
        fields |= {
            "risk": part.risk.rating,
            "risk_rationale": part.risk.rationale,
            "mitigations": part.risk.mitigations,
        }
    return fields
