"""The evidence bundle of one version: everything an auditor needs, as one zip that can be checked without the portal.

What the check is, stands in `verify`, which is shipped inside. Bundles are built in the background by `builder`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet

from audit import seal, sealer
from audit.exports import keys, proofs, tables, verify
from audit.exports.archive import Archive
from audit.reports import BY_SLUG, Filters
from audit.reports.asking import Question
from governance.models import Decision, Policy
from portal.errors import Fault, Invalid, show
from registry import composition, dossier, storage
from registry.models import Evidence, User, Version

TABLES = {
    "decisions.csv": "decisions",
    "reviews.csv": "approvals",
    "checks.csv": "checks",
    "waivers.csv": "waivers",
    "serving.csv": "serving",
}
README = Path(__file__).with_name("readme.txt")
CHUNK = 500
RECORD_SCHEMA = "https://countersign.dev/schemas/record/v1"

Tick = Callable[[float], None]


def write(archive: Archive, label: str, as_of: datetime, tick: Tick) -> dict[str, Any]:
    """Write the bundle of a version as of an instant, and return what the ledger says about it.

    The record itself is frozen at nomination, so it is written as it is; everything that was added to it is cut off at
    the instant. Raises Invalid for a version that is not registered.
    """
    version = find(label)
    write_record(archive, version, as_of)
    tick(0.05)
    documents = write_evidence(archive, version, as_of)
    tick(0.2)
    write_policies(archive, Q(submissions__version=version) | Q(pk__in=version.check_runs.values("policy")))
    write_decisions(archive, Decision.objects.filter(version=version), as_of)
    keys.write(archive)
    entries = proofs.write(archive, version, as_of)
    tick(0.4)
    for name, slug in TABLES.items():
        write_table(archive, name, slug, label, as_of, tick)
    archive.add("verify.py", Path(verify.__file__).read_bytes())
    archive.add("README.txt", readme(version, as_of))
    facts = {"version": label, "identity": version.identity_digest, "as_of": seal.instant(as_of)}
    manifest = archive.close(kind="version", **facts, portal=settings.PORTAL_URL, ledger=settings.LEDGER_ORIGIN)
    return {"version": label, "manifest": manifest, "documents": documents, "entries": entries}


def find(label: str) -> Version:
    """Return a version by its label. Raises Invalid when there is none."""
    slug, _, number = label.partition("@")
    version = Version.objects.filter(asset__slug=slug, number=number).select_related("asset__team").first()
    if version is None:
        raise Invalid(Fault("version", show(label), "a registered version, as name@number"))
    return version


def write_record(archive: Archive, version: Version, as_of: datetime) -> None:
    """Write the record as JSON and, for a composed version, the manifest whose sha256 is its identity digest."""
    manifest = composition.manifest(version)
    if manifest is not None:
        archive.add("composition.json", manifest)
    picture = dossier.picture(version)
    before = set(evidence_of(version, as_of).values_list("sha256", flat=True))
    picture["evidence"] = [each for each in picture["evidence"] if each["sha256"] in before]
    archive.add_json(
        "record.json",
        {
            "schema": RECORD_SCHEMA,
            "version": version.label,
            "identity": version.identity_digest,
            "registered": {"at": seal.instant(version.registered_at), "by": version.registered_by.ledger_name},
            "frozen": seal.instant(version.frozen_at) if version.frozen_at else None,
            "dossier": picture,
            "made_from": [
                {
                    "of": edge.version.label,
                    "role": edge.role,
                    "version": edge.part.label,
                    "identity": edge.part.identity_digest,
                }
                for edge in composition.ancestors(version)
            ],
            "people": people_of(version),
        },
    )


def people_of(version: Version) -> dict[str, Any]:
    """Return who answers for the asset, and the names behind the ledger names that this bundle's tables use."""
    asset = version.asset
    acted = User.objects.filter(
        Q(pk__in=[asset.owner_id, asset.backup_owner_id, version.registered_by_id])
        | Q(reviews__submission__version=version)
        | Q(submissions__version=version)
    ).distinct()
    return {
        "team": asset.team.name,
        "owner": asset.owner.ledger_name if asset.owner else None,
        "backup_owner": asset.backup_owner.ledger_name if asset.backup_owner else None,
        "escalation_contact": asset.escalation_contact,
        "names": {person.ledger_name: str(person) for person in acted},
    }


def evidence_of(version: Version, as_of: datetime) -> Any:
    """Return the documents attached by then, oldest first."""
    return Evidence.objects.filter(version=version, attached_at__lte=as_of).order_by("pk")


def write_evidence(archive: Archive, version: Version, as_of: datetime) -> int:
    """Write every document as it was attached, under a name that tells its kind; return how many there are."""
    count = 0
    for count, row in enumerate(evidence_of(version, as_of).defer("summary"), 1):
        with closing(storage.open(row.sha256, size=row.size)) as stream:
            archive.copy(f"evidence/{count:03d}-{row.kind}-{plain_name(row.filename)}", stream)
    return count


def plain_name(name: str) -> str:
    """Return a file name that every file system takes."""
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_" for letter in name)
    return kept.strip(".")[-80:] or "document"


def write_policies(archive: Archive, judged: Q) -> None:
    """Write each policy that was judged by: its text, and the canonical form whose sha256 is its digest."""
    for policy in Policy.objects.filter(judged).distinct().order_by("name", "number"):
        name = f"policies/{policy.name}-v{policy.number}"
        archive.add(f"{name}.yaml", policy.text)
        archive.add(f"{name}.json", seal.canonical(policy.content))


def write_decisions(archive: Archive, made: QuerySet[Decision], as_of: datetime) -> None:
    """Write each decision that was signed by an instant twice: as the bare DSSE envelope and as a Sigstore bundle."""
    signed = made.filter(signature__signed_at__lte=as_of).select_related("signature").order_by("pk")
    for decision in signed.iterator(chunk_size=CHUNK):
        envelope = decision.signature.envelope
        archive.add(f"decisions/{decision.public_id}.dsse.json", json.dumps(envelope, indent=2) + "\n")
        bundle = json.dumps(seal.bundle(envelope), indent=2)
        archive.add(f"decisions/{decision.public_id}.sigstore.json", bundle + "\n")


def write_table(archive: Archive, name: str, slug: str, label: str, as_of: datetime, tick: Tick) -> None:
    """Write a report about this version alone."""
    question = Question(BY_SLUG[slug], Filters(asset=label), as_of)
    with archive.open(name) as stream:
        tables.write_csv(stream, question.columns, alive(question.rows(), tick))


def alive(rows: Any, tick: Tick) -> Any:
    """Yield rows, telling now and then that work goes on."""
    for row in rows:
        yield row
        tick(0.6)


def readme(version: Version, as_of: datetime) -> str:
    """Return the page that explains the bundle."""
    return README.read_text(encoding="utf-8").format(
        version=version.label,
        identity=version.identity_digest,
        as_of=seal.instant(as_of),
        portal=settings.PORTAL_URL,
        fingerprint=seal.decision_key().fingerprint,
        vkeys="\n".join(f"  {key.vkey}" for key in sealer.ledger_keys()),
    )
