"""The components that an SBOM names, one row each, so that a new advisory finds the versions it touches."""

from __future__ import annotations

from django.db import models

from audit.models import AppendOnly
from registry.models.evidence import Evidence


class SbomComponent(AppendOnly):
    """One component of one SBOM. `purl` is canonical, empty when the SBOM does not identify the component."""

    evidence = models.ForeignKey(Evidence, on_delete=models.PROTECT, related_name="sbom_components")
    type = models.CharField(max_length=40)
    name = models.CharField(max_length=300)
    version = models.CharField(max_length=200, blank=True)
    purl = models.CharField(max_length=600, blank=True)
    purl_type = models.CharField(max_length=40, blank=True)
    purl_name = models.CharField(max_length=300, blank=True)
    licences = models.JSONField(default=list)
    paths = models.JSONField(default=list)

    class Meta:
        ordering = ["name", "version"]
        indexes = [models.Index(fields=["purl_type", "purl_name"], name="sbom_by_package")]

    def __str__(self) -> str:
        return self.purl or f"{self.name} {self.version}".strip()
