"""Evaluations: the metrics read from one evidence document, one row each, and who answers for the document."""

from __future__ import annotations

from django.db import models

from audit.models import AppendOnly
from registry.models.evidence import Evidence
from registry.models.people import User


class Category(models.TextChoices):
    """The six things a version is measured for."""

    QUALITY = "quality", "Quality"
    TOXICITY = "toxicity", "Toxicity"
    JAILBREAK = "jailbreak", "Jailbreak"
    BIAS = "bias", "Bias"
    LATENCY = "latency", "Latency"
    COST = "cost", "Cost"


class Direction(models.TextChoices):
    """Which way is better."""

    HIGHER = "higher", "higher is better"
    LOWER = "lower", "lower is better"


class Evaluation(AppendOnly):
    """One measured value. `subject_digest` is the identity digest it was measured on, empty when nobody says.

    `slice` names the part of the data that a value is about; an overall value has none. Values that were measured on
    different data sets or slices are different values and are never averaged.
    """

    evidence = models.ForeignKey(Evidence, on_delete=models.PROTECT, related_name="evaluations")
    category = models.CharField(max_length=10, choices=Category)
    metric = models.CharField(max_length=120)
    value = models.DecimalField(max_digits=30, decimal_places=12)
    unit = models.CharField(max_length=40, blank=True)
    direction = models.CharField(max_length=6, choices=Direction, default=Direction.HIGHER)
    dataset = models.CharField(max_length=200, blank=True)
    slice = models.CharField(max_length=200, blank=True)
    stderr = models.DecimalField(max_digits=30, decimal_places=12, null=True)
    ci_low = models.DecimalField(max_digits=30, decimal_places=12, null=True)
    ci_high = models.DecimalField(max_digits=30, decimal_places=12, null=True)
    sample_size = models.BigIntegerField(null=True)
    measured_at = models.DateTimeField()
    subject_digest = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["category", "metric"]
        indexes = [models.Index(fields=["category", "metric"], name="evaluation_by_metric")]

    def __str__(self) -> str:
        return f"{self.name} = {self.value.normalize():f}"

    @property
    def name(self) -> str:
        """Return category/metric, the name that policies use."""
        return f"{self.category}/{self.metric}"


class ReportSignature(AppendOnly):
    """A person's dated word for one evaluation report. Whoever signs has a hand in it and cannot approve on it."""

    evidence = models.ForeignKey(Evidence, on_delete=models.PROTECT, related_name="signatures")
    capacity = models.CharField(max_length=200, help_text="In what capacity, such as head of model validation.")
    statement = models.TextField(max_length=4000, help_text="What the person says about the report.")
    signed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    signed_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["evidence", "signed_by"], name="report_signed_once")]

    def __str__(self) -> str:
        return f"{self.signed_by} for {self.evidence.filename}"
