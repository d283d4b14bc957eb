"""Decisions and their signatures. A decision's payload is fixed when it is made; its signature arrives as a row."""

from __future__ import annotations

import uuid

from django.db import models
from django.urls import reverse

from audit.models import AppendOnly, InsertOnly
from governance.models.submissions import Submission
from governance.models.waivers import Waiver
from registry.models import User, Version


class DecisionVerdict(models.TextChoices):
    """What was decided. A revocation is a decision that names the one it revokes."""

    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    REVOKED = "revoked", "Revoked"


class Decision(AppendOnly):
    """The record that a submission was approved, rejected or revoked. `payload` holds the exact signed bytes."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, related_name="decisions")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="decisions")
    environment = models.CharField(max_length=40)
    verdict = models.CharField(max_length=10, choices=DecisionVerdict)
    reason = models.TextField(blank=True)
    revokes = models.OneToOneField("self", on_delete=models.PROTECT, related_name="revocation", null=True)
    identity_digest = models.CharField(max_length=64, db_index=True)
    dossier_digest = models.CharField(max_length=64, help_text="What was decided on; the payload says it too.")
    payload = models.BinaryField()
    made_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-made_at", "-pk"]
        indexes = [models.Index(fields=["version", "environment", "-made_at"], name="decision_newest")]
        constraints = [
            models.UniqueConstraint(
                fields=["submission"],
                condition=models.Q(verdict__in=["approved", "rejected"]),
                name="decision_one_outcome",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verdict}: {self.version.label} for {self.environment}"

    def get_absolute_url(self) -> str:
        """Return the address of the decision's page."""
        return reverse("governance:decision", args=[self.public_id])

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this decision."""
        return ("decision", str(self), str(self.public_id))

    @property
    def ledger_digest(self) -> str:
        """Return the identity digest the decision is about."""
        return self.identity_digest


class Signature(AppendOnly):
    """The DSSE envelope over one decision's payload."""

    decision = models.OneToOneField(Decision, on_delete=models.PROTECT, related_name="signature")
    envelope = models.JSONField()
    keyid = models.CharField(max_length=64)
    signed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"signature by {self.keyid[:12]}"


class Reliance(AppendOnly):
    """One waiver that an approval rests on: when the waiver ends, the approval ends with it."""

    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, related_name="reliances")
    waiver = models.ForeignKey(Waiver, on_delete=models.PROTECT, related_name="reliances")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["decision", "waiver"], name="reliance_once")]

    def __str__(self) -> str:
        return f"{self.decision} rests on {self.waiver}"


class RevocationList(InsertOnly):
    """One signed list of the decisions that were revoked and have not expired yet, for gates that work offline.

    It repeats what revocations say, which have their own entries, so it has none.
    """

    number = models.BigIntegerField(primary_key=True)
    envelope = models.JSONField(help_text="The DSSE envelope, signed with the decision key.")
    issued_at = models.DateTimeField()
    next_update = models.DateTimeField(help_text="Gates refuse the list from then on.")

    class Meta:
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"revocation list {self.number}"
