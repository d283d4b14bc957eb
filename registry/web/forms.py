"""What people type about assets and drafts, parsed. Meaning and completeness are judged by the verbs."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet

from registry.models import Asset, Team, User, Version
from registry.models.assets import AssetKind, ComponentRole
from registry.models.datasets import Purpose
from registry.models.evidence import EvidenceKind
from registry.registration import DatasetPart

SECTIONS = {
    # Each section by its name: its title and its fields.
    "artifact": ("Artifact", ("artifact_sha256", "artifact_size", "storage_uri", "format")),
    "source": (
        "Source and build",
        ("source_repository", "source_commit", "build_id", "lockfile_sha256", "finetune_method"),
    ),
    "licence": ("Licence and uses", ("licence", "allowed_uses", "prohibited_uses")),
    "risk": ("Security risk", ("risk", "risk_rationale", "mitigations")),
    "people": ("Authors", ("authors",)),
    "notes": ("Release notes", ("release_notes",)),
}
LONG = ("allowed_uses", "prohibited_uses", "risk_rationale", "mitigations", "release_notes")


class LinesField(forms.CharField):
    """A list of short texts, one a line."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        """Show a list as lines."""
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        """Return the lines without empty ones."""
        return [line.strip() for line in super().clean(value).splitlines() if line.strip()][:50]


class DraftForm(forms.ModelForm):
    """One section of a draft. A draft may be saved with gaps, so nothing is required here."""

    authors = LinesField(
        required=False, help_text="The humans behind it: one user name or address a line. They cannot approve it."
    )

    class Meta:
        model = Version
        fields = tuple(name for _, names in SECTIONS.values() for name in names)
        widgets = {name: forms.Textarea(attrs={"rows": 4}) for name in LONG}

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "prefix": section})
        for name in list(self.fields):
            if name not in SECTIONS[section][1]:
                del self.fields[name]
            else:
                self.fields[name].required = False

    def values(self) -> dict[str, Any]:
        """Return what was typed."""
        return {name: self.cleaned_data[name] for name in self.fields}


class PrefillForm(forms.Form):
    """A document that says what the fields of a draft ask for."""

    document = forms.FileField(
        help_text="A model card, an SBOM (CycloneDX or SPDX) or a signed provenance. It is attached as evidence, too."
    )

    def upload(self) -> dict[str, Any]:
        """Return the name and the bytes of the document."""
        document = self.cleaned_data["document"]
        return {"filename": document.name, "body": document.read()}


class StartForm(PrefillForm):
    """Which asset gets a new version, and from what the draft is prefilled."""

    asset = forms.ModelChoiceField(Asset.objects.none(), to_field_name="slug")
    number = forms.CharField(
        label="Version", max_length=64, help_text="A semantic version such as 2.1.0. A number is never used twice."
    )
    copy_previous = forms.BooleanField(
        label="Start from the previous version",
        required=False,
        initial=True,
        help_text="Then only what is new needs typing.",
    )
    field_order = ("asset", "number", "copy_previous", "document")

    def __init__(self, *args: Any, assets: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["asset"].queryset = assets  # type: ignore[attr-defined]
        self.fields["document"].label = "Fill in from a document"
        self.fields["document"].required = False


class AssetForm(forms.Form):
    """A new asset."""

    slug = forms.CharField(label="Name", max_length=64, help_text="Lower-case letters, digits, dots and dashes.")
    kind = forms.ChoiceField(choices=AssetKind)
    description = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), max_length=4000)
    team = forms.ModelChoiceField(Team.objects.none(), to_field_name="slug")
    owner = forms.ModelChoiceField(User.objects.none(), to_field_name="username", required=False)
    backup_owner = forms.ModelChoiceField(User.objects.none(), to_field_name="username", required=False)
    escalation_contact = forms.EmailField(required=False, help_text="An address that is not a person, such as a rota.")

    def __init__(self, *args: Any, teams: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = User.objects.filter(kind="person", is_active=True)
        for name in ("owner", "backup_owner"):
            self.fields[name].queryset = people  # type: ignore[attr-defined]
        if "team" in self.fields:
            self.fields["team"].queryset = teams  # type: ignore[attr-defined]


class AssetChangeForm(AssetForm):
    """What may change about an asset."""

    slug = None  # type: ignore[assignment]
    kind = None  # type: ignore[assignment]
    team = None  # type: ignore[assignment]


class ComponentForm(forms.Form):
    """A version to take into a draft."""

    role = forms.ChoiceField(choices=ComponentRole)
    part = forms.CharField(label="Version", max_length=130, help_text="As asset@number, for example credit-llm@1.0.0.")

    def __init__(self, *args: Any, parts: QuerySet[Version] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parts = parts

    def clean_part(self) -> Version:
        """Return the version that was named, among those the person may see."""
        slug, _, number = self.cleaned_data["part"].strip().partition("@")
        rows = Version.objects.none() if self.parts is None else self.parts
        found = rows.filter(asset__slug=slug, number=number).select_related("asset").first()
        if found is None:
            raise forms.ValidationError("No version of this name is registered that you may see.")
        return found


class DatasetForm(forms.Form):
    """A data set that a draft used."""

    name = forms.CharField(max_length=200)
    uri = forms.CharField(label="URI", max_length=1000)
    sha256 = forms.RegexField(r"^[0-9a-f]{64}$", label="sha256", help_text="64 lower-case hexadecimal digits.")
    licence = forms.CharField(max_length=200)
    personal_data = forms.BooleanField(required=False, label="Holds personal data")
    purpose = forms.ChoiceField(choices=Purpose)
    window_from = forms.DateField(label="Records from", widget=forms.DateInput(attrs={"type": "date"}))
    window_to = forms.DateField(label="Records before", widget=forms.DateInput(attrs={"type": "date"}))

    def part(self) -> DatasetPart:
        """Return what was typed as a part of a registration."""
        typed = dict(self.cleaned_data)
        return DatasetPart(**{"from": typed.pop("window_from"), "to": typed.pop("window_to"), **typed})


class EvidenceForm(forms.Form):
    """A document about a version."""

    kind = forms.ChoiceField(choices=EvidenceKind)
    document = forms.FileField()
    identity_digest = forms.RegexField(
        r"^[0-9a-f]{64}$",
        required=False,
        label="Measured on",
        help_text="For evaluation reports that do not name it themselves: the identity digest they were measured on.",
    )

    def attachment(self) -> dict[str, Any]:
        """Return what was chosen, with the bytes of the document."""
        typed = self.cleaned_data
        return {
            "kind": typed["kind"],
            "filename": typed["document"].name,
            "body": typed["document"].read(),
            "identity_digest": typed["identity_digest"],
        }
