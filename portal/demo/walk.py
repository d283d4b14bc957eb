"""The walk: takes versions through their life by calling the verbs, as people, CI and the clock would."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.utils import timezone

from audit import sealer
from governance import decisions, keys, promotions, reviews, submissions, sweeps
from governance.models import Decision, Promotion, Review, Submission
from portal.demo import documents
from portal.demo.cast import Cast
from registry import evidence, intake
from registry.models import User, Version
from registry.registration import Registration

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DATASET = {
    "name": "transactions-2026q2",
    "uri": "s3://datasets/transactions/2026q2",
    "sha256": "ab" * 32,
    "licence": "LicenseRef-internal",
    "personal_data": True,
    "purpose": "train",
    "from": "2026-04-01",
    "to": "2026-07-01",
}


def asset_part(asset: str, kind: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what CI says about the asset."""
    team = changes.get("team", "risk-models")
    return {
        "name": asset,
        "kind": kind,
        "description": changes.get("description", f"{asset}, a {kind} of the {team} team."),
        "team": team,
        "owner": changes.get("owner", "ada"),
        "backup_owner": "ben",
        "escalation_contact": "ml-on-call@example.com",
    }


def version_part(asset: str, number: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what CI says about the version, without its artifact."""
    return {
        "number": number,
        "source": {
            "repository": documents.REPOSITORY.format(name=asset),
            "commit": COMMIT,
            "build_id": f"{asset}-{number}-1",
            "lockfile_sha256": sha256(f"{asset} lock {number}".encode()).hexdigest(),
        },
        "finetune_method": changes.get("finetune_method", "none"),
        "licence": changes.get("licence", "Apache-2.0"),
        "allowed_uses": changes.get("allowed_uses", "Scoring card transactions of our own customers."),
        "prohibited_uses": "Credit decisions about people; anything outside the EU.",
        "risk": {
            "rating": changes.get("risk", "medium"),
            "rationale": "Works on pseudonymised transactions; a person confirms every block.",
            "mitigations": "Rate limits, input validation, drift monitoring, a manual fallback.",
        },
        "authors": changes.get("authors", ["ada@example.com"]),
        "release_notes": changes.get("release_notes", f"Release {number}, trained on the newest quarter."),
    }


@dataclass
class Walk:
    """Makes versions for a cast. Artifacts are written below the first artifact root."""

    cast: Cast
    builder: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def trust_builder(self) -> None:
        """Put the builder's key among the trusted keys, as an administrator does once."""
        now = timezone.now()
        keys.trust(
            "CI builder 2026",
            documents.public_pem(self.builder),
            actor=self.cast.alma,
            owner=self.cast.petra,
            purposes=["provenance"],
            builders=[documents.BUILDER],
            valid_from=now - timedelta(days=1),
            valid_until=now + timedelta(days=365),
        )

    def place(self, name: str, body: bytes) -> str:
        """Write an artifact where the portal can read it, and return its storage URI."""
        path = Path(settings.ARTIFACT_ROOTS[0]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return path.as_uri()

    def registration(self, asset: str, number: str, body: bytes | None, **changes: Any) -> dict[str, Any]:
        """Return what CI sends for a version without its evidence: complete, in the shape of the API."""
        kind = changes.get("kind", "model")
        version = version_part(asset, number, changes)
        if body is not None:
            suffix = changes.get("suffix", "joblib")
            uri = self.place(f"{asset}/{number}/{asset}.{suffix}", body)
            digest = sha256(body).hexdigest()
            version["artifact"] = {"sha256": digest, "size": len(body), "uri": uri, "format": suffix}
        return {
            "asset": asset_part(asset, kind, changes),
            "version": version,
            "components": changes.get("components", []),
            "datasets": changes.get("datasets", [DATASET] if kind in {"model", "adapter"} else []),
            "evidence": [],
        }

    def register(self, asset: str, number: str, body: bytes | None, **changes: Any) -> Version:
        """Register a version as CI does, without evidence."""
        request = Registration.model_validate(self.registration(asset, number, body, **changes))
        self.cast.cee_i.token_scopes = frozenset({"register", "read"})  # type: ignore[attr-defined]
        return intake.register(request, actor=self.cast.cee_i).version

    def evidence(self, version: Version, **changes: Any) -> list[dict[str, str]]:
        """Return SBOM, provenance, evaluation and model card of a version as parts of a registration."""
        return self.documents_for(
            version.asset.slug,
            version.number,
            version.artifact_sha256 or version.identity_digest,
            identity=version.identity_digest,
            **changes,
        )

    def documents_for(
        self,
        slug: str,
        number: str,
        sha256: str,
        *,
        identity: str = "",
        parts: Mapping[str, str] = documents.PARTS,
        **changes: Any,
    ) -> list[dict[str, str]]:
        """Return the evidence of an artifact as parts of a registration; a composed version has another identity."""
        now = timezone.now()
        build = {"commit": COMMIT, "at": now, "people": changes.get("people", ())}
        measured = {
            "at": changes.get("measured_at", now - timedelta(hours=2)),
            "author": changes.get("evaluator", "evaluations@example.com"),
            "metrics": changes.get("metrics", documents.GOOD),
        }
        bodies = {
            "sbom": ("sbom.cdx.json", documents.sbom(slug, number, sha256, parts)),
            "provenance": ("provenance.dsse.json", documents.provenance(slug, sha256, self.builder, **build)),
            "evaluation": ("evaluation.json", documents.evaluation(identity or sha256, **measured)),
            "model-card": ("README.md", documents.model_card(slug)),
        }
        return [
            {"kind": kind, "filename": name, "content_base64": base64.b64encode(body).decode()}
            for kind, (name, body) in bodies.items()
            if kind not in changes.get("without", ())
        ]

    def attach_all(self, version: Version, **changes: Any) -> Version:
        """Attach a version's evidence as CI does."""
        for part in self.evidence(version, **changes):
            evidence.attach(
                version,
                actor=self.cast.cee_i,
                kind=part["kind"],
                filename=part["filename"],
                body=base64.b64decode(part["content_base64"]),
            )
        return version

    def work(self) -> None:
        """Do whatever is due, as workers and clock would: checks, signatures, seals."""
        for _ in range(5):
            done = sweeps.answer_checks_due() + decisions.sign_due()
            sealer.seal_due()
            if not done:
                return

    def candidate(self, asset: str, number: str, body: bytes | None, **changes: Any) -> Version:
        """Take a new version as far as candidate."""
        version = self.register(asset, number, body, **changes)
        self.attach_all(version, **changes)
        submissions.nominate(version, actor=self.cast.cee_i)
        self.work()
        version.refresh_from_db()
        return version

    def submit(self, version: Version, environment: str, *, actor: User | None = None, note: str = "") -> Submission:
        """Submit a version, by default through CI, and let the checks answer."""
        submission = submissions.submit(version, environment, actor=actor or self.cast.cee_i, note=note)
        self.work()
        submission.refresh_from_db()
        return submission

    def approve(self, submission: Submission, *roles: str) -> Review | None:
        """Approve for the given roles, by default for all that are needed, each by its own person."""
        people = {"platform": self.cast.petra, "product": self.cast.dana, "security": self.cast.rhea}
        given = None
        for role in roles or submissions.required_roles(submission):
            given = reviews.approve(
                submission,
                actor=people[role],
                role=role,
                seen=submissions.current_digest(submission),
                proof=self.proof(),
            )
        self.work()
        submission.refresh_from_db()
        return given

    def proof(self, at: datetime | None = None) -> reviews.Proof:
        """Return the proof that somebody has just signed in again."""
        return reviews.Proof(at or timezone.now(), "password")

    def approved(self, version: Version, environment: str = "production") -> Decision:
        """Submit a candidate and have everybody approve it; the decision is signed afterwards."""
        submission = self.submit(version, environment)
        self.approve(submission)
        version.refresh_from_db()
        return submission.decisions.get(verdict="approved")

    def promote(self, version: Version, environment: str = "production") -> Promotion:
        """Promote a version as its owner does."""
        return promotions.promote(version, environment, actor=version.asset.owner or self.cast.ada)
