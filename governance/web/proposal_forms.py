"""What people type about a change of policy, parsed: a text, and a choice for each open submission."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from typing import Any

from django import forms

from governance import policy
from governance.models import Submission
from governance.web.forms import WHEN
from portal.errors import Fault, Invalid, Refused
from portal.http import show_errors


class ProposeForm(forms.Form):
    """A policy text, why, and whether it is only tried."""

    text = forms.CharField(
        label="Policy text (YAML)",
        strip=False,
        max_length=policy.MAX_BYTES,
        widget=forms.Textarea(attrs={"rows": 30, "spellcheck": "false"}),
    )
    note = forms.CharField(label="Why", required=False, max_length=4000, widget=forms.Textarea(attrs={"rows": 3}))
    do = forms.ChoiceField(choices=[("test", "Try it"), ("propose", "Propose it")], widget=forms.HiddenInput)

    def clean_text(self) -> str:
        """Return the text with the line ends of a text file: a browser sends those of mail."""
        return str(self.cleaned_data["text"]).replace("\r\n", "\n")


class AnswerForm(forms.Form):
    """The second person's answer, with a choice and a date for each submission that is open under an older version."""

    answer = forms.ChoiceField(
        choices=[("publish", "Publish"), ("decline", "Decline"), ("withdraw", "Withdraw")], widget=forms.HiddenInput
    )
    seen_replay = forms.RegexField(r"^[0-9a-f]{64}$", required=False, widget=forms.HiddenInput)
    note = forms.CharField(
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Needed when you decline.",
    )

    def __init__(self, *args: Any, waiting: Iterable[Submission], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting = list(waiting)
        for each in self.waiting:
            ways = [("finish", f"Finish under {each.policy} until the date"), ("move", "Move to the new version")]
            self.fields[f"do_{each.public_id.hex}"] = forms.ChoiceField(
                label=str(each), choices=ways, required=False, widget=forms.RadioSelect
            )
            self.fields[f"until_{each.public_id.hex}"] = forms.DateTimeField(
                label="Until (UTC)", required=False, widget=WHEN, initial=latest(each)
            )

    def choices(self) -> dict[str, dict[str, Any]]:
        """Return what was chosen, by the ids of the submissions; what was left open is not in it."""
        found = {}
        for each in self.waiting:
            do, until = (self.cleaned_data.get(f"{name}_{each.public_id.hex}") for name in ("do", "until"))
            if do:
                found[str(each.public_id)] = {"do": do} | (
                    {"until": until.astimezone(UTC)} if do == "finish" and until else {}
                )
        return found

    def show_no(self, error: Refused | Invalid) -> None:
        """Put a verb's no on the form, at the submission that it is about."""
        if isinstance(error, Refused):
            return show_errors(self, error)
        for fault in error.faults:
            name = self.field_of(fault)
            text = f"Saw {fault.seen}; expected {fault.expected}."
            self.add_error(name, text if name else str(fault))
        return None

    def field_of(self, fault: Fault) -> str | None:
        """Return the field that a fault is about, None for the whole form."""
        _, _, rest = fault.field.partition("choices.")
        key, _, name = rest.partition(".")
        found = f"{name}_{key.replace('-', '')}" if name else fault.field
        return found if found in self.fields else None

    def rows(self) -> list[dict[str, Any]]:
        """Return each submission with its two fields, for a table."""
        return [
            {"submission": each, "do": self[f"do_{each.public_id.hex}"], "until": self[f"until_{each.public_id.hex}"]}
            for each in self.waiting
        ]


def latest(submission: Submission) -> Any:
    """Return the last whole minute in which a submission can still be answered."""
    return submission.ends_at.replace(second=0, microsecond=0)
