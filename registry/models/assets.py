"""Assets, their versions and the edges between versions. State is written by `governance.lifecycle` alone."""

from __future__ import annotations

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.urls import reverse
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from audit.history import History
from audit.models import Governed
from registry.models.people import Team, User, slug_validator

SEMVER = (
    r"\A(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(?:-((?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?\Z"
)
semver_validator = RegexValidator(SEMVER, "Use a semantic version such as 2.1.0 or 2.1.0-rc.1 (semver.org).")
sha256_validator = RegexValidator(r"\A[0-9a-f]{64}\Z", "Use the 64 lower-case hexadecimal digits of a sha256.")


class AssetKind(models.TextChoices):
    """What kind of thing is governed."""

    MODEL = "model", "Model"
    ADAPTER = "adapter", "Adapter"
    PROMPT = "prompt", "Prompt"
    BUNDLE = "bundle", "Bundle"


class State(models.TextChoices):
    """Where a version stands in its life; DESIGN's one table of moves is `governance.lifecycle`."""

    DRAFT = "draft", "Draft"
    CANDIDATE = "candidate", "Candidate"
    APPROVED = "approved", "Approved"
    DEPRECATED = "deprecated", "Deprecated"
    RETIRED = "retired", "Retired"


class Risk(models.TextChoices):
    """The security risk rating."""

    LOW = "low", "Low"
    MEDIUM = "medium", "Medium"
    HIGH = "high", "High"
    CRITICAL = "critical", "Critical"


class FineTune(models.TextChoices):
    """How a version was derived from its base."""

    NONE = "none", "None (trained from scratch or used as it is)"
    FULL = "full", "Full fine-tune"
    LORA = "lora", "LoRA"
    QLORA = "qlora", "QLoRA"
    PREFIX = "prefix", "Prefix tuning"
    DISTILLATION = "distillation", "Distillation"
    PREFERENCE = "preference", "RLHF or DPO"
    MERGE = "merge", "Merge"
    QUANTISATION = "quantisation", "Quantisation"
    PROMPT = "prompt", "Prompt only"


class Asset(Governed):
    """A named thing under governance."""

    slug = models.CharField("name", max_length=64, unique=True, validators=[slug_validator])
    kind = models.CharField(max_length=10, choices=AssetKind)
    description = models.TextField(max_length=4000)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="assets")
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="owned_assets", null=True, blank=True)
    backup_owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    escalation_contact = models.EmailField(blank=True, help_text="An address that is not a person, such as a rota.")
    created_at = models.DateTimeField(auto_now_add=True)
    history = History()

    class Meta:
        ordering = ["slug"]
        permissions = [
            ("contribute_asset", "May contribute to this asset as its team does"),
            ("review_asset", "May review this asset in a role that is not held everywhere"),
        ]
        constraints = [models.CheckConstraint(condition=models.Q(kind__in=AssetKind.values), name="asset_kind_known")]

    def __str__(self) -> str:
        return self.slug

    def get_absolute_url(self) -> str:
        """Return the address of the asset's page."""
        return reverse("registry:asset", args=[self.slug])

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this asset."""
        return ("asset", self.slug, str(self.pk))


class AssetUserGrant(UserObjectPermissionBase):
    """guardian's direct grants to people; a direct foreign key keeps lists of 100,000 versions fast."""

    content_object = models.ForeignKey(Asset, on_delete=models.CASCADE)


class AssetGroupGrant(GroupObjectPermissionBase):
    """guardian's direct grants to groups."""

    content_object = models.ForeignKey(Asset, on_delete=models.CASCADE)


class Version(Governed):
    """One immutable release of an asset: content is frozen at nomination, only its state moves after that."""

    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="versions")
    number = models.CharField("version", max_length=64, validators=[semver_validator])
    state = models.CharField(max_length=10, choices=State, default=State.DRAFT, editable=False)
    artifact_sha256 = models.CharField("artifact sha256", max_length=64, blank=True, validators=[sha256_validator])
    artifact_size = models.BigIntegerField(
        "artifact size", null=True, blank=True, validators=[MinValueValidator(0)], help_text="In bytes."
    )
    storage_uri = models.CharField("storage URI", max_length=1000, blank=True)
    format = models.CharField(max_length=40, blank=True, help_text="For example safetensors, joblib, onnx, text.")
    source_repository = models.CharField(max_length=500, blank=True)
    source_commit = models.CharField(max_length=64, blank=True)
    build_id = models.CharField("build id", max_length=200, blank=True)
    lockfile_sha256 = models.CharField("lockfile sha256", max_length=64, blank=True, validators=[sha256_validator])
    finetune_method = models.CharField("fine-tune method", max_length=20, choices=FineTune, blank=True)
    licence = models.CharField(max_length=200, blank=True, help_text="An SPDX expression, for example Apache-2.0.")
    allowed_uses = models.TextField(max_length=4000, blank=True)
    prohibited_uses = models.TextField(max_length=4000, blank=True)
    risk = models.CharField("security risk rating", max_length=10, choices=Risk, blank=True)
    risk_rationale = models.TextField(max_length=4000, blank=True)
    mitigations = models.TextField("mitigation controls", max_length=4000, blank=True)
    authors = models.JSONField(default=list, blank=True, help_text="The humans behind it: user names or addresses.")
    release_notes = models.TextField(max_length=20000, blank=True)
    origins = models.JSONField(default=dict, blank=True, editable=False)
    registration_digest = models.CharField(max_length=64, blank=True, editable=False)
    identity_digest = models.CharField(max_length=64, blank=True, editable=False, db_index=True)
    registered_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", editable=False)
    registered_at = models.DateTimeField(auto_now_add=True)
    frozen_at = models.DateTimeField(null=True, blank=True, editable=False)
    history = History()

    class Meta:
        ordering = ["-registered_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["asset", "number"], name="version_once"),
            models.CheckConstraint(condition=models.Q(state__in=State.values), name="version_state_known"),
        ]
        indexes = [
            models.Index(fields=["state", "-registered_at"], name="version_by_state"),
            models.Index(fields=["-registered_at", "-id"], name="version_newest"),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        """Return the name people say: asset@number."""
        return f"{self.asset.slug}@{self.number}"

    def get_absolute_url(self) -> str:
        """Return the address of the version's page."""
        return reverse("registry:version", args=[self.asset.slug, self.number])

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this version."""
        return ("version", self.label, str(self.pk))

    @property
    def ledger_digest(self) -> str:
        """Return the identity digest for entries about this version."""
        return self.identity_digest

    @property
    def is_frozen(self) -> bool:
        """Return whether the content may no longer change."""
        return self.frozen_at is not None


class ComponentRole(models.TextChoices):
    """What one version is to another."""

    BASE = "base", "Base"
    ADAPTER = "adapter", "Adapter"
    PROMPT = "prompt", "Prompt"
    TOKENIZER = "tokenizer", "Tokenizer"
    MEMBER = "member", "Member"


class Component(Governed):
    """An edge: `version` is made from `part`, which plays a role in it."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="components")
    part = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="used_in")
    role = models.CharField(max_length=10, choices=ComponentRole)
    history = History()

    class Meta:
        ordering = ["role", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["version", "part", "role"], name="component_once"),
            models.CheckConstraint(condition=~models.Q(version=models.F("part")), name="component_not_itself"),
            models.CheckConstraint(condition=models.Q(role__in=ComponentRole.values), name="component_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.part} as {self.role} of {self.version}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this edge."""
        return ("component", str(self), str(self.pk))
