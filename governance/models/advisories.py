"""Known vulnerabilities from OSV, as imported. Feeds, not governed facts: a newer import replaces a record."""

from __future__ import annotations

from django.db import models

from registry.models import User


class Severity(models.TextChoices):
    """How bad a vulnerability is, mildest first. Unknown is its own value: a record without one is not harmless."""

    UNKNOWN = "unknown", "Unknown"
    LOW = "low", "Low"
    MEDIUM = "medium", "Medium"
    HIGH = "high", "High"
    CRITICAL = "critical", "Critical"


class AdvisoryImport(models.Model):
    """One import of one OSV archive. `changed` counts the records that were new or newer than what was known."""

    ecosystem = models.CharField(max_length=60)
    filename = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    read = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    withdrawn = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    faults = models.JSONField(default=list, help_text="The first records that could not be read: name and reason.")
    newest_modified = models.DateTimeField(null=True)
    imported_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    imported_at = models.DateTimeField()

    class Meta:
        ordering = ["-imported_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.ecosystem} of {self.imported_at:%Y-%m-%d}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this import."""
        return ("advisories", f"{self.ecosystem} {self.filename}", str(self.pk))

    @property
    def ledger_digest(self) -> str:
        """Return the sha256 of the archive."""
        return self.sha256


class Advisory(models.Model):
    """One OSV record. `group` is the name shared by all aliases, a CVE id where there is one."""

    id = models.CharField(primary_key=True, max_length=100)
    group = models.CharField(max_length=100, db_index=True)
    aliases = models.JSONField(default=list)
    summary = models.TextField(blank=True)
    severity = models.CharField(max_length=10, choices=Severity, default=Severity.UNKNOWN)
    score = models.FloatField(null=True, help_text="The CVSS 3 base score, where a vector gives one.")
    vectors = models.JSONField(default=list)
    published = models.DateTimeField(null=True)
    modified = models.DateTimeField()
    withdrawn = models.DateTimeField(null=True)
    source = models.ForeignKey(AdvisoryImport, on_delete=models.PROTECT, related_name="advisories")

    class Meta:
        verbose_name_plural = "advisories"

    def __str__(self) -> str:
        return self.id


class AffectedPackage(models.Model):
    """One package that an advisory affects, with OSV's exact versions and ranges.

    `ecosystem` is OSV's own word, which names a distribution's release (`Debian:12`); the name is spelled as in SBOMs.
    """

    advisory = models.ForeignKey(Advisory, on_delete=models.CASCADE, related_name="packages")
    ecosystem = models.CharField(max_length=300)
    purl_type = models.CharField(max_length=40)
    purl_name = models.CharField(max_length=300)
    versions = models.JSONField(default=list)
    ranges = models.JSONField(default=list)

    class Meta:
        indexes = [models.Index(fields=["purl_type", "purl_name"], name="affected_by_package")]

    def __str__(self) -> str:
        return f"{self.purl_type}/{self.purl_name}"


class TouchedPackage(models.Model):
    """One package about which an import said something new, so that only the versions that use it are matched again."""

    source = models.ForeignKey(AdvisoryImport, on_delete=models.CASCADE, related_name="touched")
    purl_type = models.CharField(max_length=40)
    purl_name = models.CharField(max_length=300)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "purl_type", "purl_name"], name="touched_once")]

    def __str__(self) -> str:
        return f"{self.purl_type}/{self.purl_name}"
