"""Evidence: content-addressed documents about a version. Rows are only ever added; the newest of a kind counts."""

from __future__ import annotations

import uuid

from django.db import models

from audit.models import AppendOnly
from registry.models.assets import Version
from registry.models.people import User


class EvidenceKind(models.TextChoices):
    """What a document says about a version."""

    SBOM = "sbom", "SBOM"
    PROVENANCE = "provenance", "Provenance"
    EVALUATION = "evaluation", "Evaluation report"
    VEX = "vex", "VEX statements"
    MODEL_CARD = "model-card", "Model card"
    LICENCE_TEXT = "licence-text", "Licence text"
    OTHER = "other", "Other"


class Evidence(AppendOnly):
    """One document attached to one version. Its bytes are in the storage under their sha256."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="evidence")
    kind = models.CharField(max_length=20, choices=EvidenceKind)
    reader = models.CharField(max_length=40)
    media_type = models.CharField(max_length=120)
    filename = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()
    summary = models.JSONField(default=dict)
    warnings = models.JSONField(default=list)
    subject_digests = models.JSONField(default=list)
    author = models.CharField(max_length=200, blank=True)
    attached_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    attached_at = models.DateTimeField()

    class Meta:
        ordering = ["-attached_at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["version", "kind", "sha256"], name="evidence_once")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.filename}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this document."""
        return ("evidence", self.filename, str(self.public_id))

    @property
    def ledger_digest(self) -> str:
        """Return the sha256 of the document."""
        return self.sha256
