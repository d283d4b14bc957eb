"""The trusted-key registry: whose signatures count as provenance, for which builders, and for how long."""

from __future__ import annotations

from datetime import datetime

from django.db import models

from audit.history import History
from audit.models import Governed
from registry.models import Asset, User


class Purpose(models.TextChoices):
    """What a trusted signer may vouch for."""

    PROVENANCE = "provenance", "Build provenance (SLSA)"
    MODEL_SIGNING = "model-signing", "Model signing (OpenSSF)"
    EVALUATION = "evaluation", "Evaluation results"


class TrustedSigner(Governed):
    """What keys and roots have in common: for what, about what, and how long their signatures count."""

    name = models.CharField(max_length=120, unique=True)
    purposes = models.JSONField(default=list, help_text="What may be signed: provenance, model-signing, evaluation.")
    builders = models.JSONField(default=list, blank=True, help_text="The builder ids that may be spoken for.")
    assets = models.JSONField(
        default=list, blank=True, help_text="The names of the assets that may be spoken about; none means all."
    )
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoke_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        abstract = True
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def is_valid_at(self, at: datetime) -> bool:
        """Return whether signatures count at an instant."""
        return self.valid_from <= at < self.valid_until and (self.revoked_at is None or at < self.revoked_at)

    def speaks_about(self, asset: Asset) -> bool:
        """Return whether an asset is in the scope."""
        return not self.assets or asset.slug in self.assets


class TrustedKey(TrustedSigner):
    """One public key. A signature counts while the key is valid and not revoked, for the builders it speaks for."""

    public_pem = models.TextField("public key (PEM)")
    fingerprint = models.CharField(max_length=64, unique=True, editable=False)
    history = History()

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this key."""
        return ("key", self.name, self.fingerprint)


class TrustedRoot(TrustedSigner):
    """The trust root of one Sigstore instance, as an operator supplied it, and the identities that count under it.

    `identities` are exact pairs: {"issuer": the OIDC issuer, "identity": the certificate's subject alternative name}.
    """

    text = models.TextField("trusted_root.json")
    sha256 = models.CharField(max_length=64, unique=True, editable=False)
    identities = models.JSONField(default=list)
    history = History()

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this root."""
        return ("root", self.name, self.sha256)
