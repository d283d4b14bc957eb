"""Policies: versioned texts that say what is required. A published policy never changes; a proposal becomes one."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models
from django.urls import reverse

from audit.history import History
from audit.models import AppendOnly, Governed
from registry.models import User


class Policy(AppendOnly):
    """One published version of a named policy, pinned by its digest. `content` is the parsed form of `text`."""

    name = models.CharField(max_length=64)
    number = models.PositiveIntegerField()
    text = models.TextField()
    content = models.JSONField()
    digest = models.CharField(max_length=64, unique=True)
    published_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    published_at = models.DateTimeField()

    class Meta:
        ordering = ["name", "-number"]
        verbose_name_plural = "policies"
        constraints = [models.UniqueConstraint(fields=["name", "number"], name="policy_once")]

    def __str__(self) -> str:
        return f"{self.name} v{self.number}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this policy."""
        return ("policy", str(self), str(self.pk))

    @property
    def ledger_digest(self) -> str:
        """Return the digest of the policy's content."""
        return self.digest

    @property
    def environments(self) -> list[str]:
        """Return the environments the policy knows, in the order of its text."""
        return list(self.content["environments"])

    def environment(self, name: str) -> dict[str, Any]:
        """Return what the policy asks for one environment. Raises KeyError for an unknown one."""
        found: dict[str, Any] = self.content["environments"][name]
        return found

    def rule(self, slug: str) -> dict[str, Any]:
        """Return the parameters of one rule, empty when the policy gives none; its own rules are named by their ids."""
        own = {each["id"]: each for each in self.content["rules"].get("custom", [])}
        found: dict[str, Any] = own.get(slug) or self.content["rules"].get(slug, {})
        return found

    def is_critical(self, slug: str) -> bool:
        """Return whether nobody may waive the rule."""
        return bool(self.rule(slug).get("critical", False))


class ProposalState(models.TextChoices):
    """Where a proposal stands."""

    OPEN = "open", "Open"
    PUBLISHED = "published", "Published"
    REFUSED = "refused", "Refused"
    WITHDRAWN = "withdrawn", "Withdrawn"


class PolicyProposal(Governed):
    """A text that one person, or CI, wants published, and the answer of a second person.

    `choices` says for each open submission, by its public id, whether it finishes under the old policy until a date
    ({"do": "finish", "until": instant}) or moves to the new one ({"do": "move"}). `replay` is what was shown to decide.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=64)
    text = models.TextField()
    content = models.JSONField()
    digest = models.CharField(max_length=64)
    note = models.TextField(max_length=4000, blank=True)
    state = models.CharField(max_length=10, choices=ProposalState, default=ProposalState.OPEN)
    choices = models.JSONField(default=dict, blank=True)
    replay = models.JSONField(default=list, blank=True)
    proposed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    decided_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.TextField(max_length=4000, blank=True)
    published = models.OneToOneField(Policy, on_delete=models.PROTECT, related_name="proposal", null=True, blank=True)
    history = History()

    class Meta:
        ordering = ["-proposed_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=models.Q(state="open"), name="proposal_open_once"),
            models.CheckConstraint(condition=models.Q(state__in=ProposalState.values), name="proposal_state_known"),
            models.CheckConstraint(
                condition=models.Q(decided_by__isnull=True)
                | models.Q(state="withdrawn")
                | ~models.Q(decided_by=models.F("proposed_by")),
                name="proposal_needs_a_second_person",
            ),
        ]

    def __str__(self) -> str:
        return f"proposal for {self.name} of {self.proposed_at:%Y-%m-%d}"

    def get_absolute_url(self) -> str:
        """Return the address of the proposal's page."""
        return reverse("governance:proposal", args=[self.public_id])

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this proposal."""
        return ("proposal", self.name, str(self.public_id))

    @property
    def ledger_digest(self) -> str:
        """Return the digest of the proposed content."""
        return self.digest
