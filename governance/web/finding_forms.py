"""What people say about findings, parsed. Rules are judged by the verbs of triage, which each form calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from django import forms

from governance import triage
from governance.models import Finding, TriageStatement
from governance.models.findings import Justification, Triage
from governance.web.forms import WHEN
from registry.models import User

# Open comes last: it is what a finding is by itself.
STATUSES = (Triage.NOT_AFFECTED, Triage.FIXED, Triage.ACCEPTED, Triage.OPEN)


class StatementForm(forms.Form):
    """A statement about one vulnerability in the chosen versions."""

    findings = forms.ModelMultipleChoiceField(
        Finding.objects.none(), to_field_name="public_id", error_messages={"required": "Choose at least one version."}
    )
    status = forms.ChoiceField(label="It is", choices=[(each.value, each.label) for each in STATUSES])
    justification = forms.ChoiceField(
        required=False,
        label="Not affected because",
        choices=[("", "—"), *Justification.choices],
        help_text="Needed for not affected.",
    )
    until = forms.DateTimeField(
        required=False, label="Accepted until (UTC)", widget=WHEN, help_text="Needed for accepted."
    )
    reason = forms.CharField(
        label="Why",
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="What you looked at, so that somebody else can look, too.",
    )

    def __init__(self, *args: Any, rows: Sequence[Finding], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rows = list(rows)
        known = Finding.objects.select_related("version__asset__team").filter(pk__in=[row.pk for row in self.rows])
        self.fields["findings"].queryset = known  # type: ignore[attr-defined]

    def act(self, user: User) -> str:
        """State it about the chosen versions, and return what to tell."""
        typed = dict(self.cleaned_data)
        until = typed.pop("until")
        made = triage.state_all(
            typed.pop("findings"), actor=user, until=until.astimezone(UTC) if until else None, **typed
        )
        waits = sum(each.needs_answer for each in made)
        about = f"{len(made)} finding{'' if len(made) == 1 else 's'}"
        if not waits:
            return f"Stated about {about}: it counts from now on."
        return f"Stated about {about}; {waits} of them {'waits' if waits == 1 else 'wait'} for security's answer."


class TriageAnswerForm(forms.Form):
    """The second person's answer to what was stated about some versions."""

    statements = forms.ModelMultipleChoiceField(
        TriageStatement.objects.none(),
        to_field_name="public_id",
        error_messages={"required": "Choose at least one version."},
    )
    answer = forms.ChoiceField(choices=[("agree", "Agree"), ("disagree", "Disagree")])
    note = forms.CharField(
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Needed when you disagree.",
    )

    def __init__(self, *args: Any, rows: Sequence[TriageStatement], **kwargs: Any) -> None:
        # Several of these stand on one page, so each has ids of its own.
        super().__init__(*args, **{"auto_id": f"id_{rows[0].public_id.hex[:8]}_%s", **kwargs})
        self.rows = list(rows)
        known = TriageStatement.objects.select_related("finding__version__asset__team", "stated_by", "evidence")
        self.fields["statements"].queryset = known.filter(pk__in=[row.pk for row in rows])  # type: ignore[attr-defined]

    def act(self, user: User) -> str:
        """Answer the chosen statements, and return what to tell."""
        agreed = self.cleaned_data["answer"] == "agree"
        triage.answer_all(self.cleaned_data["statements"], actor=user, agreed=agreed, note=self.cleaned_data["note"])
        return "You agreed: it counts from now on." if agreed else "You disagreed: nothing changes."
