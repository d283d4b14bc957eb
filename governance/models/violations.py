"""Violations: that something was served which was not allowed to be, as one task for people until somebody answers."""

from __future__ import annotations

import uuid

from django.db import models
from django.urls import reverse

from audit.history import History
from audit.models import Governed
from registry.models import User, Version


class ViolationKind(models.TextChoices):
    """Why a window should not have been served, by the standing of its time."""

    UNKNOWN = "unknown", "Not registered"
    UNDECIDED = "undecided", "No decision"
    REVOKED = "revoked", "Decision revoked"
    EXPIRED = "expired", "Decision expired"
    CHALLENGED = "challenged", "Challenge overdue"
    RETIRED = "retired", "Retired"
    NEW_CONSUMER = "new_consumer", "Deprecated, for a new consumer"


class ViolationState(models.TextChoices):
    """Whether somebody has to say something."""

    OPEN = "open", "Open"
    ANSWERED = "answered", "Answered"


class Violation(Governed):
    """One stretch in which a deployment served a digest that an environment did not allow.

    What is counted is a sum over serving windows, which are the record themselves; so the counts are no part of it.
    """

    unrecorded_fields = frozenset({"first_window", "last_window", "windows", "requests"})

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=20, choices=ViolationKind)
    digest = models.CharField(max_length=64)
    environment = models.CharField(max_length=40)
    deployment = models.CharField(max_length=120)
    source = models.CharField(max_length=80, help_text="Who reported the first of its windows.")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="violations", null=True, blank=True)
    rule = models.CharField(max_length=40, help_text="The rule by which it was not allowed.")
    says = models.TextField(help_text="Why it was not allowed, as of its first window.")
    fix = models.TextField(blank=True)
    opened_at = models.DateTimeField()
    first_window = models.DateTimeField(help_text="When its first window began.")
    last_window = models.DateTimeField(help_text="When its last window began.")
    windows = models.BigIntegerField(default=0)
    requests = models.BigIntegerField(default=0)
    state = models.CharField(max_length=10, choices=ViolationState, default=ViolationState.OPEN)
    answer = models.TextField(blank=True)
    answered_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True)
    history = History()

    class Meta:
        ordering = ["-opened_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["digest", "environment", "deployment", "kind"],
                condition=models.Q(state="open"),
                name="violation_open_once",
            ),
            models.CheckConstraint(
                condition=models.Q(state="open", answered_by__isnull=True, answered_at__isnull=True, answer="")
                | models.Q(
                    ~models.Q(answer=""), state="answered", answered_by__isnull=False, answered_at__isnull=False
                ),
                name="violation_answer",
            ),
        ]
        indexes = [models.Index(fields=["digest", "environment", "deployment"], name="violation_of_what")]

    def __str__(self) -> str:
        place = ", ".join(filter(None, (self.deployment, self.environment))) or "many places"
        return f"{self.label} served in {place}: {self.get_kind_display().lower()}"

    @property
    def label(self) -> str:
        """Return what was served: a version, or the beginning of a digest that nobody registered."""
        if self.version is not None:
            return self.version.label
        return f"sha256:{self.digest[:12]}…" if self.digest else "many digests"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this violation."""
        return ("violation", str(self), str(self.public_id))

    def get_absolute_url(self) -> str:
        """Return the address of its page."""
        return reverse("governance:violation", args=[self.public_id])


class AffectedCustomer(models.Model):
    """That a customer was served during a violation: derived from the windows, so that they can be counted."""

    violation = models.ForeignKey(Violation, on_delete=models.CASCADE, related_name="customers")
    customer = models.CharField(max_length=120)

    class Meta:
        ordering = ["customer"]
        constraints = [models.UniqueConstraint(fields=["violation", "customer"], name="affected_customer_once")]

    def __str__(self) -> str:
        return self.customer
