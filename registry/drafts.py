"""How a draft is written: its fields, components and data sets, by hand or from a document, until it is frozen.

Registration from CI stands in `intake`; what makes a draft complete stands in `completeness`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from audit import log
from audit.events import Event
from portal.errors import Fault, Invalid, Refused, show
from registry import composition, evidence, readers
from registry.models import Asset, Component, Dataset, DatasetUse, Evidence, User, Version
from registry.readers.reading import Reading
from registry.registration import DatasetPart

EDITABLE = (
    "artifact_sha256",
    "artifact_size",
    "storage_uri",
    "format",
    "source_repository",
    "source_commit",
    "build_id",
    "lockfile_sha256",
    "finetune_method",
    "licence",
    "allowed_uses",
    "prohibited_uses",
    "risk",
    "risk_rationale",
    "mitigations",
    "authors",
    "release_notes",
)
MAX_AUTHORS = 50
MAX_AUTHOR = 200
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# The kinds of documents that may fill a draft in, each with the word that fields from it carry as their origin.
FILLS = {"sbom": "sbom", "provenance": "provenance", "model-card": "model_card"}
EMPTY: tuple[Any, ...] = ("", None, [])


@dataclass(frozen=True)
class Prefilled:
    """What a document did to a draft: which fields it filled, and which it contradicts but found filled.

    `named` is what the document says beyond the fields of the form, by name: base models, data sets, a description.
    """

    version: Version
    document: Evidence
    filled: tuple[str, ...]
    kept: tuple[str, ...]
    named: Mapping[str, str | list[str]]


def validated(row: models.Model, *, exclude: tuple[str, ...] = ()) -> None:
    """Raise Invalid with one Fault for each field that the model refuses or the database could not hold."""
    faults = unfit(row)
    try:
        row.clean_fields(exclude=set(exclude))
    except ValidationError as error:
        faults += [
            Fault(name, show(getattr(row, name, None)), " ".join(str(text) for text in messages))
            for name, messages in error.message_dict.items()
        ]
    if faults:
        raise Invalid(*faults)


def unfit(row: models.Model) -> list[Fault]:
    """Return a fault for each text that is too long for its field, or that PostgreSQL and UTF-8 cannot hold."""
    faults = []
    for field in row._meta.concrete_fields:
        value, most = getattr(row, field.attname), field.max_length
        # Django bounds short texts by itself, and long ones only in its forms.
        if isinstance(field, models.TextField) and isinstance(value, str) and most and len(value) > most:
            faults.append(Fault(field.name, f"{len(value):,} characters", f"at most {most:,} characters"))
        elif not is_storable(value):
            faults.append(Fault(field.name, show(value), "text without NUL characters and lone surrogates"))
    return faults


def is_storable(value: Any) -> bool:
    """Return whether every text in a value can be stored."""
    if isinstance(value, dict):
        return all(is_storable(each) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return all(is_storable(each) for each in value)
    return not isinstance(value, str) or UNSTORABLE.search(value) is None


def expect_names(fields: dict[str, Any], allowed: tuple[str, ...]) -> None:
    """Raise Invalid for a field that cannot be edited this way."""
    for name in fields:
        if name not in allowed:
            raise Invalid(Fault(name, "an edit", f"one of {', '.join(allowed)}"))


def expect_authors(authors: Any) -> None:
    """Raise Invalid unless authors are a list of names: whoever is named there cannot review."""
    listed = isinstance(authors, list) and len(authors) <= MAX_AUTHORS
    if not listed or not all(isinstance(each, str) and 0 < len(each.strip()) <= MAX_AUTHOR for each in authors):
        expected = f"a list of at most {MAX_AUTHORS} user names or addresses of at most {MAX_AUTHOR} characters"
        raise Invalid(Fault("authors", show(authors), expected))


def start_draft(asset: Asset, number: str, *, actor: User, copy_from: Version | None = None) -> Version:
    """Start the draft of a new version, prefilled from an earlier version of the asset when one is given."""
    version = Version(asset=asset, number=number, registered_by=actor)
    if copy_from is not None:
        kept = [name for name in EDITABLE if not name.startswith(("artifact", "build", "storage", "release"))]
        for name in kept:
            setattr(version, name, getattr(copy_from, name))
        version.origins = {name: f"previous: {copy_from.number}" for name in kept if getattr(version, name)}
    validated(version, exclude=("asset",))
    with log.record(Event.VERSION_REGISTERED, actor=actor, subject=version):
        asset = Asset.objects.select_for_update().get(pk=asset.pk)
        actor.require("version.register", asset)
        if Version.objects.filter(asset=asset, number=number).exists():
            raise Refused("version_taken", f"{version.label} is registered already; a version is never replaced.")
        version.save()
        for edge in copy_from.components.all() if copy_from else ():
            Component.objects.create(version=version, part=edge.part, role=edge.role)
        for use in copy_from.dataset_uses.all() if copy_from else ():
            DatasetUse.objects.create(
                version=version,
                dataset=use.dataset,
                purpose=use.purpose,
                window_from=use.window_from,
                window_to=use.window_to,
            )
        stamp_identity(version)
    return version


def edit(version: Version, *, actor: User, origin: str = "person", **fields: Any) -> Version:
    """Change fields of a draft and remember where their values came from. Raises Refused once content is frozen."""
    expect_names(fields, EDITABLE)
    expect_authors(fields.get("authors", []))
    with log.record(Event.VERSION_EDITED, actor=actor, subject=version) as entry:
        version = lock_draft(version, actor)
        changed = [name for name, value in fields.items() if getattr(version, name) != value]
        for name in changed:
            setattr(version, name, fields[name])
            version.origins[name] = origin
        validated(version)
        if not changed:
            entry.skip()
            return version
        version.identity_digest = composition.identify(version)
        version.save(update_fields=[*changed, "origins", "identity_digest"])
        entry.note(fields=sorted(changed))
    return version


def prefill(version: Version, *, actor: User, filename: str, body: bytes) -> Prefilled:
    """Attach a document to a draft, and fill the fields that are empty with what it says, marked with their origin.

    Raises Invalid when it is no SBOM, provenance or model card that a reader understands, and Refused once content is
    frozen; then nothing is attached either.
    """
    filename = evidence.expect_filename(filename)
    kind = kind_of(body, filename)
    reading = readers.read(body, kind=kind, filename=filename)
    with log.record(Event.VERSION_EDITED, actor=actor, subject=version) as entry:
        # What is attached and what is edited is told by the two recordings inside.
        entry.skip()
        version = lock_draft(version, actor)
        document = evidence.attach(version, actor=actor, kind=kind, filename=filename, body=body, reading=reading)
        offered = {name: value for name, value in reading.suggestions.items() if takes(name, value)}
        filled = {name: value for name, value in offered.items() if getattr(version, name) in EMPTY}
        if filled:
            version = edit(version, actor=actor, origin=FILLS[kind], **filled)
    kept = tuple(name for name, value in offered.items() if getattr(version, name) != value)
    return Prefilled(version, document, tuple(filled), kept, beyond(reading))


def start_from_document(
    asset: Asset, number: str, *, actor: User, filename: str, body: bytes, copy_from: Version | None = None
) -> Prefilled:
    """Start a draft and fill it in from a document, as `prefill` does; without one when the document is refused."""
    with log.record(Event.VERSION_REGISTERED, actor=actor, subject=asset) as entry:
        entry.skip()
        version = start_draft(asset, number, actor=actor, copy_from=copy_from)
        return prefill(version, actor=actor, filename=filename, body=body)


def kind_of(body: bytes, filename: str) -> str:
    """Return which kind of document may fill a draft in. Raises Invalid, naming the formats, when it is none."""
    fit = [reader for reader in readers.READERS if reader.kind in FILLS]
    for reader in fit:
        if reader.recognises(body):
            return reader.kind
    raise Invalid(Fault(filename, f"bytes that begin with {show(body[:40])}", " or ".join(each.title for each in fit)))


def takes(name: str, value: Any) -> bool:
    """Return whether a field of a draft can hold what a document says; a document may say more than fits."""
    if name not in EDITABLE or value in EMPTY:
        return False
    others = {field.name for field in Version._meta.fields} - {name}
    try:
        validated(Version(**{name: value}), exclude=tuple(others))
        expect_authors(value if name == "authors" else [])
    except Invalid:
        return False
    return True


def beyond(reading: Reading) -> dict[str, str | list[str]]:
    """Return what a document suggests that no field of a version is for."""
    return {name: value for name, value in reading.suggestions.items() if name not in EDITABLE}


def lock_draft(version: Version, actor: User) -> Version:
    """Lock a version, ask whether the actor may edit it, and expect its content to be open."""
    version = Version.objects.select_for_update(of=("self",)).select_related("asset").get(pk=version.pk)
    actor.require("version.edit", version)
    if version.is_frozen:
        raise Refused(
            "content_frozen",
            f"The content of {version.label} was frozen when it was nominated. Register a new version instead.",
        )
    return version


def stamp_identity(version: Version) -> None:
    """Store the identity digest that the version's present content has."""
    version.identity_digest = composition.identify(version)
    version.save(update_fields=["identity_digest"])


def add_component(version: Version, *, actor: User, role: str, part: Version) -> Component:
    """Take a registered, frozen version into a draft in a role. Raises Refused for a loop or an open draft."""
    with log.record(Event.VERSION_EDITED, actor=actor, subject=version, fields=["components"]):
        version = lock_draft(version, actor)
        actor.require("asset.view", part)
        edge = Component(version=version, part=part, role=role)
        validated(edge)
        expect_part(version, part, role)
        edge.save()
        stamp_identity(version)
    return edge


def expect_part(version: Version, part: Version, role: str) -> None:
    """Raise Refused unless a version may be taken as a part."""
    if composition.would_loop(version, part):
        raise Refused("component_loop", f"{part.label} is made from {version.label}; a version cannot contain itself.")
    if not part.is_frozen and role != "base":
        raise Refused(
            "component_open",
            f"{part.label} is still an open draft. Nominate it first: only frozen content has a lasting identity.",
        )
    if version.components.filter(part=part, role=role).exists():
        raise Refused("component_known", f"{part.label} is in {version.label} as {role} already.")


def remove_component(edge: Component, *, actor: User) -> None:
    """Take a part out of a draft."""
    with log.record(Event.VERSION_EDITED, actor=actor, subject=edge.version, fields=["components"]):
        version = lock_draft(edge.version, actor)
        edge.delete()
        stamp_identity(version)


def use_dataset(version: Version, part: DatasetPart, *, actor: User) -> DatasetUse:
    """Record that a draft used a data set for a purpose over a window of its records."""
    if part.window_from >= part.window_to:
        raise Invalid(Fault("datasets.to", part.window_to.isoformat(), f"a day after {part.window_from.isoformat()}"))
    with log.record(Event.VERSION_EDITED, actor=actor, subject=version, fields=["datasets"]):
        version = lock_draft(version, actor)
        dataset = Dataset.objects.filter(name=part.name, sha256=part.sha256).first()
        if dataset is None:
            dataset = register_dataset(part, actor=actor)
        elif (dataset.uri, dataset.licence, dataset.personal_data) != (part.uri, part.licence, part.personal_data):
            raise Refused(
                "dataset_differs",
                f"The data set {part.name} with this sha256 is registered with the URI {dataset.uri}, the licence "
                f"{dataset.licence} and personal data {'yes' if dataset.personal_data else 'no'}.",
            )
        if version.dataset_uses.filter(dataset=dataset, purpose=part.purpose).exists():
            raise Refused("dataset_known", f"{version.label} names {part.name} for {part.purpose} already.")
        return DatasetUse.objects.create(
            version=version,
            dataset=dataset,
            purpose=part.purpose,
            window_from=part.window_from,
            window_to=part.window_to,
        )


def register_dataset(part: DatasetPart, *, actor: User) -> Dataset:
    """Register one state of a data set."""
    dataset = Dataset(
        name=part.name, uri=part.uri, sha256=part.sha256, licence=part.licence, personal_data=part.personal_data
    )
    validated(dataset)
    with log.record(Event.DATASET_REGISTERED, actor=actor, subject=dataset, sha256=part.sha256):
        dataset.save()
    return dataset


def remove_dataset_use(use: DatasetUse, *, actor: User) -> None:
    """Take a data set's use out of a draft."""
    with log.record(Event.VERSION_EDITED, actor=actor, subject=use.version, fields=["datasets"]):
        lock_draft(use.version, actor)
        use.delete()


def freeze(version: Version) -> None:
    """Close the content of a locked draft for good; the caller has asked and is recording."""
    version.identity_digest = composition.identify(version)
    version.frozen_at = timezone.now()
    version.save(update_fields=["identity_digest", "frozen_at"])
