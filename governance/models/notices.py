"""Notices: what people and systems are told, once for each cause, and how telling them went.

A notice holds nothing secret: a sentence and an address. Who is told what is decided in `governance.notices`.
"""

from __future__ import annotations

import uuid

from django.db import models

from audit.history import History
from audit.models import Governed
from registry.models import Asset, Team, User


class Pace(models.TextChoices):
    """When somebody wants mail."""

    AT_ONCE = "at_once", "At once"
    DAILY = "daily", "Once a day, together"
    NEVER = "never", "Never: I look at the home page"


class NoticePreference(Governed):
    """How one person wants to be told."""

    user = models.OneToOneField(User, on_delete=models.PROTECT, related_name="notice_preference")
    pace = models.CharField(max_length=10, choices=Pace, default=Pace.AT_ONCE)
    hour = models.PositiveSmallIntegerField(default=7, help_text="The hour (UTC) of the daily mail.")
    history = History()

    def __str__(self) -> str:
        return f"{self.user}: {self.get_pace_display()}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this preference."""
        return ("notices", "preference", self.user.ledger_name)


class WebhookForm(models.TextChoices):
    """The shape of what is posted."""

    JSON = "json", "JSON, signed"
    SLACK = "slack", "Text for Slack and its likes, signed"


class Webhook(Governed):
    """Where notices are posted to. Its secret is derived (see `governance.notices`) and never stored."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=120, unique=True)
    url = models.URLField(max_length=500)
    form = models.CharField(max_length=10, choices=WebhookForm, default=WebhookForm.JSON)
    kinds = models.JSONField(default=list, blank=True, help_text="The kinds of notices it gets; none means all.")
    team = models.ForeignKey(
        Team,
        on_delete=models.PROTECT,
        related_name="webhooks",
        null=True,
        blank=True,
        help_text="None means every team.",
    )
    generation = models.PositiveIntegerField(default=1, editable=False)
    is_active = models.BooleanField(default=True)
    made_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    history = History()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this webhook."""
        return ("webhook", self.name, str(self.public_id))


class Notice(models.Model):
    """One thing said to one receiver because of one cause; the same cause never says it twice."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=40)
    cause = models.CharField(max_length=200)
    person = models.ForeignKey(User, on_delete=models.PROTECT, related_name="notices", null=True, blank=True)
    webhook = models.ForeignKey(Webhook, on_delete=models.PROTECT, related_name="notices", null=True, blank=True)
    address = models.EmailField(blank=True, help_text="An address that is not a person, such as a rota.")
    receiver = models.CharField(max_length=300, help_text="Who, in one text, so that a cause is told once.")
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    subject = models.CharField(max_length=200)
    text = models.TextField()
    url = models.CharField(max_length=500, blank=True)
    made_at = models.DateTimeField()
    due_at = models.DateTimeField(help_text="When to deliver it, and after a failure when to try again.")
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    given_up_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-made_at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["cause", "receiver"], name="notice_once")]
        indexes = [
            models.Index(
                fields=["due_at"], condition=models.Q(sent_at=None, given_up_at=None), name="notice_to_deliver"
            )
        ]

    def __str__(self) -> str:
        return self.subject


class DeliveryAttempt(models.Model):
    """One attempt to deliver a notice, and what came of it."""

    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="tries")
    at = models.DateTimeField()
    worked = models.BooleanField()
    answer = models.CharField(max_length=300, help_text="The status or the error, shortened, without any content.")

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.answer
