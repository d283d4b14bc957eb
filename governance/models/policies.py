"""Policies: versioned texts that say what is required. A published policy never changes."""

from __future__ import annotations

from typing import Any

from django.db import models

from audit.models import AppendOnly
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
        """Return the parameters of one rule, empty when the policy gives none."""
        found: dict[str, Any] = self.content["rules"].get(slug, {})
        return found

    def is_critical(self, slug: str) -> bool:
        """Return whether nobody may waive the rule."""
        return bool(self.rule(slug).get("critical", False))
