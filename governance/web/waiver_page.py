"""What the pages of waivers print: one waiver and its answer, the request, and what is tolerated. Formatting only."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from governance import tolerances, waivers
from governance.checks import BY_SLUG
from governance.models import Policy, Waiver
from governance.models.waivers import WaiverState
from governance.permissions import may, sits_for
from governance.triage import sentences
from governance.web import panels, sheets
from governance.web.forms import ToleratedForm, WaiverForm
from portal.errors import Reason
from registry.models import State, User, Version

Item = sheets.Item
HYGIENE = {
    "stale": "Keep it from being deprecated or retired because nobody serves or evaluates it.",
    "vulnerable": "Keep it from being deprecated or retired because a challenge was not answered in time.",
    "unowned": "Keep it from being deprecated or retired because nobody owns it.",
    "sunset": "Keep it from being retired when its announced sunset has passed.",
}
# What a new request takes over from the waiver that it extends.
TAKEN_OVER = ("rule", "environment", "reason", "compensating_control")


def waiver(found: Waiver, user: User) -> dict[str, Any]:
    """Return the page of a waiver: what is asked, the answer, what rests on it, and what this person can do."""
    cannot = cannot_answer(found, user)
    return {
        "waiver": found,
        "crumbs": [{"label": "Waivers", "url": reverse("governance:waivers")}],
        "facts": facts(found),
        "answer": answer_items(found),
        "in_force": found.is_in_force(timezone.now()),
        "is_over": found.state == WaiverState.GRANTED and timezone.now() >= found.expires_at,
        "rests": [row.decision for row in found.reliances.select_related("decision__version__asset").order_by("pk")],
        "extensions": found.extensions.select_related("version__asset").order_by("pk"),
        "extend": extend_address(found, user),
        "cannot": cannot,
        "ways": [] if cannot else ways(found),
    }


def facts(found: Waiver) -> list[Item]:
    """Return what is asked, as labels and values."""
    items: list[Item] = [
        {"label": "Rule", "value": rule_words(found.rule, found.environment)},
        {"label": "Version", "value": found.version.label, "url": found.version.get_absolute_url()},
        {"label": "Where", "value": found.environment.capitalize()},
        {"label": "Why", "value": found.reason},
        {"label": "Meanwhile", "value": found.compensating_control},
        {"label": "Requested by", "value": found.requested_by},
        {"label": "Requested", "value": found.requested_at, "kind": "when"},
        {"label": "Ends", "value": found.expires_at, "kind": "when"},
        sheets.policy_item(found.policy),
    ]
    if found.finding is not None:
        url = sentences.address(found.finding.vulnerability)
        items.insert(1, {"label": "Finding", "value": f"{found.finding}, and nothing else", "url": url})
    if found.extends is not None:
        said = f"The waiver until {panels.day(found.extends.expires_at)}, granted by {found.extends.decided_by}"
        items.append({"label": "Extends", "value": said, "url": waivers.where(found.extends)})
    return items


def answer_items(found: Waiver) -> list[Item]:
    """Return the second person's answer, as labels and values."""
    answer: list[Item] = [
        {"label": "Answered by", "value": found.decided_by},
        {"label": "Answered", "value": found.decided_at, "kind": "when"},
        {"label": "Note", "value": found.decision_note},
    ]
    if found.revoked_at:
        answer.append({"label": "Revoked", "value": found.revoked_at, "kind": "when"})
    return answer


def rule_words(rule: str, environment: str) -> str:
    """Return a rule with what it asks, or with what a waiver of a hygiene rule does."""
    if environment == waivers.HYGIENE:
        return f"{rule.capitalize()}: {HYGIENE.get(rule, '')}"
    check = BY_SLUG.get(rule)
    return f"{check.title}: {check.asks}" if check else rule


def extend_address(found: Waiver, user: User) -> str:
    """Return where this person asks for more time, or nothing when they cannot."""
    is_living = found.is_in_force(timezone.now()) and found.version.state != State.RETIRED
    if not is_living or not may(user, "waiver.request", found.version):
        return ""
    return f"{request_address(found.version)}?{urlencode({'extends': found.public_id})}"


def request_address(version: Version) -> str:
    """Return where a waiver for a version is asked for."""
    return reverse("governance:waiver-request", args=[version.asset.slug, version.number])


def ways(found: Waiver) -> list[dict[str, str]]:
    """Return the answers that a waiver's state leaves open, with the consequence on each button."""
    if found.state == WaiverState.GRANTED:
        return [{"value": "revoke", "label": "Revoke it now", "css": "btn-danger"}]
    return [
        {"value": "grant", "label": f"Grant it until {panels.day(found.expires_at)}", "css": "btn-primary"},
        {"value": "refuse", "label": "Refuse it", "css": "btn-danger"},
    ]


def cannot_answer(found: Waiver, user: User) -> list[Reason]:
    """Return why this person cannot answer a waiver now; empty when they can try."""
    roles = found.policy.content["waivers"]["roles"]
    if found.state in {WaiverState.REFUSED, WaiverState.REVOKED}:
        return [Reason("state", f"It is {found.get_state_display().lower()}.", "A new request starts again.")]
    if timezone.now() >= found.expires_at:
        return [Reason("state", "Its time is over.", "A new request starts again.")]
    if not any(sits_for(user, role, found) for role in roles):
        return [Reason("seat", f"Waivers are answered by {' or '.join(roles)}.", "")]
    return not_independent(found, user) if found.state == WaiverState.REQUESTED else []


def not_independent(found: Waiver, user: User) -> list[Reason]:
    """Return why this person is no second person for a requested waiver; empty when they are."""
    if hand := waivers.involvement(found, user):
        said = " ".join(["You had a hand in it.", *hand])
        return [Reason("independence", said, "Somebody else has to answer the request.")]
    if user.pk in waivers.earlier_granters(found):
        says = "You granted a waiver that this one continues."
        return [Reason("same_granter", says, "Another person has to answer the request.")]
    return []


def request(version: Version, rules: Policy, form: WaiverForm, extended: Waiver | None) -> dict[str, Any]:
    """Return the page on which a waiver is asked for."""
    return {
        "version": version,
        "form": form,
        "policy": rules,
        "critical": critical_rules(rules),
        "extended": extended,
        "extended_url": waivers.where(extended) if extended else "",
        "extended_says": extended_words(extended) if extended else "",
        "title": f"{'Extend' if extended else 'Request'} a waiver for {version.label}",
        "crumbs": panels.crumbs(version),
    }


def critical_rules(rules: Policy) -> list[str]:
    """Return the rules that a policy asks somewhere and lets nobody waive."""
    places = waivers.environments_of(rules)
    asked = dict.fromkeys(slug for place in places for slug in waivers.rules_of(rules, place))
    return [slug for slug in asked if rules.is_critical(slug)]


def place_of(rules: Policy, slug: str | None) -> str | None:
    """Return where a rule is asked, when that is one place; else people choose."""
    asking = [place for place in waivers.environments_of(rules) if slug in waivers.rules_of(rules, place)]
    return asking[0] if len(asking) == 1 else None


def extended_words(extended: Waiver) -> str:
    """Return until when the waiver lasts that is to be extended, and who cannot grant the extension."""
    until = f"The waiver is granted until {panels.day(extended.expires_at)}."
    return f"{until} {extended.decided_by} granted it and cannot grant this one." if extended.decided_by else until


def start(rules: Policy, asked: Any, extended: Waiver | None) -> dict[str, Any]:
    """Return what the form starts with: what the address asks for, or what the extended waiver was of."""
    if extended is None:
        told = {name: asked.get(name) for name in ("rule", "environment", "finding")}
        return {**told, "environment": told["environment"] or place_of(rules, told["rule"])}
    taken = {name: getattr(extended, name) for name in TAKEN_OVER}
    finding = extended.finding.public_id if extended.finding else None
    return {**taken, "finding": finding, "extends": extended.public_id}


def tolerated(user: User, form: ToleratedForm) -> dict[str, Any]:
    """Return what is tolerated at the instant that was asked for, with the filters and the way to the report."""
    asked = form.asked()
    rows, more = tolerances.found(tolerances.Asked(user, **asked))
    report = reverse("audit:report", args=["waivers"]) if may_report(user) else ""
    return {
        "tolerated": rows,
        "more": more,
        "form": form,
        "at": asked["at"],
        "is_past": bool(form.is_valid() and form.cleaned_data["as_of"]),
        "is_filtered": bool(asked["asset"] or asked["rule"]),
        "rules": sorted({row.rule for row in rows}),
        "assets": sorted({row.asset.slug for row in rows}),
        "chosen": asked,
        "ending": sum(row.ends_soon for row in rows),
        "report": f"{report}?{urlencode({'as_of': asked['at'].isoformat()})}" if report else "",
    }


def may_report(user: User) -> bool:
    """Return whether this person may read the auditors' reports."""
    return may(user, "report.read")
