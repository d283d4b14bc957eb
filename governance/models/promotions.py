"""Moves of a version through its life, moves of an environment's pointer, and the consumers a gate has let in."""

from __future__ import annotations

from django.db import models

from audit.models import AppendOnly
from governance.models.decisions import Decision
from registry.models import Asset, State, User, Version


class Transition(AppendOnly):
    """One move of a version's state. `Version.state` is the cache of the newest of these rows."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="transitions")
    move = models.CharField(max_length=20)
    from_state = models.CharField(max_length=10, blank=True)
    to_state = models.CharField(max_length=10, choices=State)
    at = models.DateTimeField()
    actor = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField(blank=True)
    cause = models.CharField(max_length=200, blank=True)
    successor = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+", null=True)
    sunset_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["version", "-at", "-id"], name="transition_newest")]

    def __str__(self) -> str:
        return f"{self.move}: {self.from_state or 'nothing'} to {self.to_state}"


class Promotion(AppendOnly):
    """An environment's pointer for one asset moved to a version, on the strength of a decision."""

    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="promotions")
    environment = models.CharField(max_length=40)
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="promotions")
    decision = models.ForeignKey(Decision, on_delete=models.PROTECT, related_name="promotions")
    previous = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+", null=True)
    is_rollback = models.BooleanField(default=False)
    reason = models.TextField(blank=True)
    promoted_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    promoted_at = models.DateTimeField()

    class Meta:
        ordering = ["-promoted_at", "-pk"]
        indexes = [models.Index(fields=["asset", "environment", "-promoted_at"], name="promotion_newest")]

    def __str__(self) -> str:
        return f"{self.version.label} in {self.environment}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this promotion."""
        return ("promotion", str(self), str(self.pk))


class ConsumerGrant(AppendOnly):
    """The first time the gate let a consumer use a version in an environment."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="consumer_grants")
    environment = models.CharField(max_length=40)
    consumer = models.CharField(max_length=120)
    granted_at = models.DateTimeField()

    class Meta:
        ordering = ["granted_at"]
        constraints = [models.UniqueConstraint(fields=["version", "environment", "consumer"], name="consumer_once")]

    def __str__(self) -> str:
        return f"{self.consumer} uses {self.version.label} in {self.environment}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this grant."""
        return ("consumer", str(self), str(self.pk))
