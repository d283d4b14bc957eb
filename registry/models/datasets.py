"""Datasets and what each version used them for."""

from __future__ import annotations

from django.db import models

from audit.history import History
from audit.models import Governed
from registry.models.assets import Version, sha256_validator


class Purpose(models.TextChoices):
    """What a version used a dataset for."""

    TRAIN = "train", "Training"
    FINE_TUNE = "fine-tune", "Fine-tuning"
    EVALUATE = "evaluate", "Evaluation"


class Dataset(Governed):
    """One state of one data set. Another content is another row."""

    name = models.CharField(max_length=200)
    uri = models.CharField("URI", max_length=1000)
    sha256 = models.CharField(max_length=64, validators=[sha256_validator])
    licence = models.CharField(max_length=200)
    personal_data = models.BooleanField()
    history = History()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["name", "sha256"], name="dataset_once")]

    def __str__(self) -> str:
        return f"{self.name} ({self.sha256[:12]})"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this dataset."""
        return ("dataset", self.name, str(self.pk))


class DatasetUse(Governed):
    """A version used a dataset for a purpose, over the time window [window_from, window_to) of its records."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="dataset_uses")
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="uses")
    purpose = models.CharField(max_length=10, choices=Purpose)
    window_from = models.DateField()
    window_to = models.DateField()
    history = History()

    class Meta:
        ordering = ["purpose", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["version", "dataset", "purpose"], name="dataset_use_once"),
            models.CheckConstraint(
                condition=models.Q(window_from__lt=models.F("window_to")), name="dataset_window_forwards"
            ),
            models.CheckConstraint(condition=models.Q(purpose__in=Purpose.values), name="dataset_purpose_known"),
        ]

    def __str__(self) -> str:
        return f"{self.dataset} for {self.purpose}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this use."""
        return ("dataset-use", str(self), str(self.pk))
