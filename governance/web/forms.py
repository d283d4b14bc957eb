"""What people type about judgements, parsed. Rules are judged by the verbs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.utils import timezone

from governance.models import Finding, Waiver
from governance.triage.tasks import is_open
from registry.models import User, Version

WHEN = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
CONDITION_ROWS = (1, 2, 3)


class ReviewForm(forms.Form):
    """One verdict."""

    verdict = forms.ChoiceField(
        choices=[
            ("approve", "Approve"),
            ("approve_with_conditions", "Approve with conditions"),
            ("request_changes", "Request changes"),
            ("reject", "Reject"),
        ]
    )
    role = forms.CharField(max_length=110)
    dossier_digest = forms.RegexField(r"^[0-9a-f]{64}$", widget=forms.HiddenInput)
    note = forms.CharField(
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="Needed when you reject or request changes.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for place in CONDITION_ROWS:
            text = forms.Textarea(attrs={"rows": 2})
            self.fields[f"condition_{place}"] = forms.CharField(
                label=f"Condition {place}", required=False, max_length=4000, widget=text
            )
            self.fields[f"due_{place}"] = forms.DateTimeField(
                label=f"Condition {place} until (UTC)", required=False, widget=WHEN
            )

    def clean(self) -> dict[str, Any]:
        """Pair each condition with its date; a verdict that is no approval has none."""
        typed = super().clean() or self.cleaned_data
        pairs = [(typed.get(f"condition_{place}"), typed.get(f"due_{place}")) for place in CONDITION_ROWS]
        typed["conditions"] = [(says, due) for says, due in pairs if says and due]
        if any(bool(says) != bool(due) for says, due in pairs) and not self.errors:
            raise forms.ValidationError("Each condition needs what has to be done, and until when.")
        verdict = typed.get("verdict")
        if verdict == "approve_with_conditions" and not typed["conditions"] and not self.errors:
            raise forms.ValidationError("Say at least one condition, with its date, or approve without.")
        if typed["conditions"] and verdict not in {"approve", "approve_with_conditions"}:
            raise forms.ValidationError("Only an approval has conditions. Write what is wrong into the note.")
        return typed

    def clean_role(self) -> str:
        """Return the role, and keep for whom a deputy answers: the form says `security:rhea` for that."""
        role, _, username = str(self.cleaned_data["role"]).partition(":")
        giver = User.objects.filter(username=username).first() if username else None
        if username and giver is None:
            raise forms.ValidationError("Choose one of the roles in which you can answer.")
        self.cleaned_data["on_behalf_of"] = giver
        return role


class SubmitForm(forms.Form):
    """Which environment, and what the reviewers should know."""

    environment = forms.ChoiceField()
    note = forms.CharField(
        required=False, max_length=4000, widget=forms.Textarea(attrs={"rows": 4}), label="What reviewers should know"
    )

    def __init__(self, *args: Any, environments: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["environment"].choices = [(name, name.capitalize()) for name in environments]  # type: ignore[attr-defined]


class ReasonForm(forms.Form):
    """Why."""

    reason = forms.CharField(max_length=4000, widget=forms.Textarea(attrs={"rows": 3}))


class WithdrawForm(forms.Form):
    """Why a submission is taken back, if somebody cares to say."""

    reason = forms.CharField(max_length=4000, required=False, widget=forms.Textarea(attrs={"rows": 3}))


class RetireForm(ReasonForm):
    """Why, and how many versions are made from it: whoever retires a base has looked at what hangs on it."""

    field_order = ("made_from_it", "reason")
    made_from_it = forms.IntegerField(label="How many versions are made from it", min_value=0)

    def __init__(self, *args: Any, count: int, says: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.count = count
        self.fields["made_from_it"].help_text = f"{says} Type the number."

    def clean_made_from_it(self) -> int:
        """Return the number if it is the right one."""
        typed: int = self.cleaned_data["made_from_it"]
        if typed != self.count:
            raise forms.ValidationError(f"Saw {typed}; expected {self.count}: look at the list below.")
        return typed


class RelicenseForm(ReasonForm):
    """The licence that a version has from now on, where that is said, and why it is recorded."""

    field_order = ("licence", "source", "reason")
    licence = forms.CharField(max_length=200, help_text="An SPDX expression such as Apache-2.0, or LicenseRef-….")
    source = forms.CharField(max_length=1000, help_text="Where it is said, such as an address.")


class DeprecateForm(ReasonForm):
    """Which version follows, and until when this one is served."""

    field_order = ("successor", "sunset_at", "reason")
    successor = forms.ModelChoiceField(Version.objects.none(), required=False, to_field_name="number")
    sunset_at = forms.DateTimeField(
        label="Sunset (UTC)", widget=WHEN, help_text="Served to existing consumers until then."
    )

    def __init__(self, *args: Any, successors: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["successor"].queryset = successors  # type: ignore[attr-defined]


class FindingChoice(forms.ModelChoiceField):
    """One finding of a version, chosen by its public id."""

    def label_from_instance(self, obj: Any) -> str:
        """Return a finding as people choose it."""
        return f"{obj}, {obj.severity}"


class WaiverForm(forms.Form):
    """Which rule is asked to be waived, where, why, what makes up for it, and until when."""

    rule = forms.ChoiceField(help_text="Critical rules cannot be waived and are not listed.")
    environment = forms.ChoiceField()
    finding = FindingChoice(
        Finding.objects.none(),
        required=False,
        to_field_name="public_id",
        empty_label="None: the whole rule",
        help_text="For the rule about vulnerabilities: everything else that is found still stands in the way.",
    )
    reason = forms.CharField(max_length=4000, widget=forms.Textarea(attrs={"rows": 3}))
    compensating_control = forms.CharField(
        max_length=4000, widget=forms.Textarea(attrs={"rows": 3}), help_text="What protects people meanwhile."
    )
    expires_at = forms.DateTimeField(label="Until (UTC)", widget=WHEN)
    extends = forms.ModelChoiceField(
        Waiver.objects.none(), required=False, to_field_name="public_id", widget=forms.HiddenInput
    )

    def __init__(self, *args: Any, version: Version, rules: list[str], environments: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["rule"].choices = [(slug, slug) for slug in rules]  # type: ignore[attr-defined]
        self.fields["environment"].choices = [(name, name.capitalize()) for name in environments]  # type: ignore[attr-defined]
        opened = version.findings.filter(is_open(timezone.now()))
        self.fields["finding"].queryset = opened.order_by("vulnerability", "pk")  # type: ignore[attr-defined]
        self.fields["extends"].queryset = version.waivers.select_related("version__asset")  # type: ignore[attr-defined]


class ToleratedForm(forms.Form):
    """Which of what is tolerated, and as of when: nothing means all, now."""

    as_of = forms.DateTimeField(label="As of (UTC)", required=False, widget=WHEN)
    asset = forms.CharField(required=False, max_length=64)
    rule = forms.CharField(required=False, max_length=64)

    def clean_as_of(self) -> datetime | None:
        """Return the instant, which must have passed."""
        at: datetime | None = self.cleaned_data["as_of"]
        if at is not None and at > timezone.now():
            raise forms.ValidationError("Nobody knows yet; choose an instant that has passed.")
        return at

    def asked(self) -> dict[str, Any]:
        """Return the instant and the filters; what cannot be understood asks for nothing."""
        said = self.cleaned_data if self.is_valid() else {}
        return {"at": said.get("as_of") or timezone.now(), "asset": said.get("asset", ""), "rule": said.get("rule", "")}


class AnswerForm(forms.Form):
    """The second person's answer to a requested waiver."""

    answer = forms.ChoiceField(choices=[("grant", "Grant"), ("refuse", "Refuse"), ("revoke", "Revoke")])
    note = forms.CharField(required=False, max_length=4000, widget=forms.Textarea(attrs={"rows": 3}))
