"""What people type about judgements, parsed. Rules are judged by the verbs."""

from __future__ import annotations

from typing import Any

from django import forms

from registry.models import Version

WHEN = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")


class ReviewForm(forms.Form):
    """One verdict."""

    verdict = forms.ChoiceField(
        choices=[("approve", "Approve"), ("request_changes", "Request changes"), ("reject", "Reject")]
    )
    role = forms.CharField(max_length=40)
    dossier_digest = forms.RegexField(r"^[0-9a-f]{64}$", widget=forms.HiddenInput)
    note = forms.CharField(
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="Needed when you reject or request changes.",
    )


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


class WaiverForm(forms.Form):
    """Which rule is asked to be waived, where, why, what makes up for it, and until when."""

    rule = forms.ChoiceField(help_text="Critical rules cannot be waived and are not listed.")
    environment = forms.ChoiceField()
    reason = forms.CharField(max_length=4000, widget=forms.Textarea(attrs={"rows": 3}))
    compensating_control = forms.CharField(
        max_length=4000, widget=forms.Textarea(attrs={"rows": 3}), help_text="What protects people meanwhile."
    )
    expires_at = forms.DateTimeField(label="Until (UTC)", widget=WHEN)

    def __init__(self, *args: Any, rules: list[str], environments: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["rule"].choices = [(slug, slug) for slug in rules]  # type: ignore[attr-defined]
        self.fields["environment"].choices = [(name, name.capitalize()) for name in environments]  # type: ignore[attr-defined]


class AnswerForm(forms.Form):
    """The second person's answer to a requested waiver."""

    answer = forms.ChoiceField(choices=[("grant", "Grant"), ("refuse", "Refuse"), ("revoke", "Revoke")])
    note = forms.CharField(required=False, max_length=4000, widget=forms.Textarea(attrs={"rows": 3}))
