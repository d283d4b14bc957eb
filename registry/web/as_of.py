"""The door to a version's past: what was so at an instant, on one page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from governance import hindsight
from governance.hindsight import Hindsight
from governance.standing import Standing
from portal.errors import Invalid, Reason
from portal.fields import AsOfForm
from portal.http import show_errors, status_of
from registry.web.register import find

SHOWN = (
    ("Identity digest", "identity_digest", "digest"),
    ("Artifact sha256", "artifact_sha256", "digest"),
    ("Storage URI", "storage_uri", "mono"),
    ("Source commit", "source_commit", "digest"),
    ("Licence", "licence", ""),
    ("Allowed uses", "allowed_uses", ""),
    ("Prohibited uses", "prohibited_uses", ""),
    ("Security risk", "risk", "badge"),
    ("Why", "risk_rationale", ""),
    ("Mitigations", "mitigations", ""),
)
PEOPLE = (("Owner", "owner"), ("Backup owner", "backup_owner"), ("Escalation", "escalation_contact"), ("Team", "team"))


def as_of(request: HttpRequest, slug: str, number: str) -> HttpResponse:
    """Show a version as it was at the instant in the address; the address is the question, so a link keeps it."""
    _, version = find(request, slug, number)
    form = AsOfForm(request.GET)
    context: dict[str, Any] = {"version": version, "asset": version.asset, "form": form}
    if form.is_valid():
        try:
            context |= present(hindsight.look(version, form.at))
        except Invalid as error:
            show_errors(form, error)
    return render(request, "registry/version_as_of.html", context, status=status_of(form))


def present(seen: Hindsight) -> dict[str, Any]:
    """Return what the page prints."""
    fields = [{"label": label, "value": words(getattr(seen.record, name)), "kind": kind} for label, name, kind in SHOWN]
    return {
        "seen": seen,
        "record": [each | {"kind": each["kind"] if each["value"] else ""} for each in fields],
        "people": [{"label": label, "value": getattr(seen.asset, name)} for label, name in PEOPLE],
        "verdicts": [strip(answer, seen) for answer in seen.standings],
        "later": seen.version.get_absolute_url(),
    }


def words(value: Any) -> Any:
    """Return a list as people write it, and everything else as it is."""
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def strip(answer: Standing, seen: Hindsight) -> dict[str, Any]:
    """Return "could it serve there?" as the verdict partial prints it."""
    pointer = next((each for each in seen.pointers if each.environment == answer.environment), None)
    here = pointer is not None and pointer.version_id == seen.version.pk
    there = "nothing had been promoted there" if pointer is None else f"{pointer.version.number} served there"
    return {
        "environment": answer.environment,
        "allow": answer.allow,
        "says": "Was allowed to serve" if answer.allow else "Was not allowed to serve",
        "summary": "; ".join(filter(None, ["it was what served there" if here else there, until(answer)])),
        "url": reverse("governance:decision", args=[answer.decision_id]) if answer.decision_id else "",
        # What would have made it yes then is nothing that anybody can do now.
        "reasons": [Reason(reason.rule, reason.says) for reason in answer.reasons],
    }


def until(answer: Standing) -> str:
    """Return until when it was allowed to serve, as far as was known."""
    return f"until {answer.expires_at:%Y-%m-%d %H:%M} UTC" if answer.allow and answer.expires_at else ""
