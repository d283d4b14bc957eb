"""What the templates of governance print: queue rows, posture bars, review sections. Formatting only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Count, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from governance import dues, lifecycle, promotions, queries, reviews, standing, submissions
from governance.checks.verdicts import RuleVerdict, red
from governance.models import Decision, Policy, Review, Submission
from governance.permissions import lent_to, seats_of
from governance.web import seals, sheets
from governance.web.timeline import VERBS
from portal.charts import Part, StackedBar, stacked_bar
from portal.errors import Reason
from registry.models import User, Version
from registry.models.assets import Risk, State

STATE_TONES = {"draft": "neutral", "candidate": "info", "approved": "ok", "deprecated": "warn", "retired": "neutral"}
RISK_TONES = {"": "neutral", "low": "ok", "medium": "info", "high": "warn", "critical": "bad"}
PENDING = {"queued", "stale"}
ATTACHED = {"sbom", "provenance", "evaluations"}
WAITING = (
    "violations",
    "waivers_waiting",
    "triage_waiting",
    "challenged",
    "proposals",
    "conditions_to_agree",
    "conditions_to_meet",
)
FACETS = {"role": "Waits for", "environment": "Environment", "risk": "Risk"}


def crumbs(version: Version, *more: dict[str, str]) -> list[dict[str, str]]:
    """Return the way to a page about a version."""
    return [
        {"label": "Catalogue", "url": reverse("registry:catalogue")},
        {"label": version.asset.slug, "url": version.asset.get_absolute_url()},
        {"label": version.number, "url": version.get_absolute_url()},
        *more,
    ]


def submitting(version: Version, rules: Policy) -> dict[str, Any]:
    """Return what the page of a new submission prints beside its form: what each environment will ask for."""
    opened = {row.environment: row for row in version.submissions.filter(state="open")}
    return {
        "title": f"Submit {version.label}",
        "crumbs": crumbs(version),
        "asked": [
            {
                "label": name.capitalize(),
                "items": sheets.environment_items(rules, name),
                "open": opened[name].get_absolute_url() if name in opened else "",
            }
            for name in rules.environments
        ],
    }


def rolling_back(version: Version, environment: str) -> dict[str, Any]:
    """Return what the page of a rollback prints: what serves now, what would serve, and whether it may."""
    now = promotions.current(version.asset, environment)
    before = now.previous if now else None
    verdict = None
    if before is not None:
        answer = standing.of(before, environment)
        verdict = {
            "environment": environment,
            "allow": answer.allow,
            "says": f"{before.number} {'may serve' if answer.allow else 'may not serve'}",
            "reasons": answer.reasons,
            "expires_at": answer.expires_at if answer.allow else None,
        }
    return {"crumbs": crumbs(version), "now": now, "before": before, "verdict": verdict}


def queue_row(row: queries.QueueRow) -> dict[str, Any]:
    """Return one row as the queue partial prints it."""
    submission = row.submission
    waits = f"waits for {listed(list(row.missing))}" if row.missing else "all roles have approved"
    if row.wants_changes:
        waits = f"{listed(list(row.wants_changes))} requested changes"
    if row.handed:
        waits += "; " + listed([f"{role} was handed to {person}" for role, person in row.handed.items()])
    if row.involvement and row.my_roles:
        waits = "you had a hand in it; " + waits
    elif row.my_verdict is not None:
        did = f"{row.my_voice} {VERBS[row.my_verdict.verdict]}"
        waits = did if row.wants_changes else f"{did}; {waits}"
    elif row.is_my_turn and row.deputy_roles:
        waits += "; you can answer " + listed([f"as {role} for {giver}" for role, giver in row.deputy_roles])
    return {
        "label": submission.version.label,
        "url": submission.get_absolute_url(),
        "sub": f"{submission.version.asset.get_kind_display()}, {waits}",
        "environment": submission.environment,
        "blockers": len(row.blockers),
        "risk": submission.version.risk,
        "since": submission.submitted_at,
        "due": submission.ends_at,
        "changed": "changed" if row.has_changed else "",
        "unchanged": "no change" if row.my_verdict else "not answered",
        "is_my_turn": row.is_my_turn,
    }


def seats(user: User) -> list[str]:
    """Return the roles in which a person can answer, and for whom where it is not for themselves."""
    return [*(seat.role for seat in seats_of(user)), *(f"{seat.role} for {seat.user}" for seat in lent_to(user))]


def choose(rows: list[queries.QueueRow], chosen: dict[str, str]) -> list[queries.QueueRow]:
    """Return the rows that match the filters of the address."""
    return [
        row
        for row in rows
        if chosen["role"] in {"", *row.missing}
        and chosen["environment"] in {"", row.submission.environment}
        and chosen["risk"] in {"", row.submission.version.risk}
    ]


def queue_facets(rows: list[queries.QueueRow], chosen: dict[str, str]) -> list[dict[str, Any]]:
    """Return the filters of the queue by what is in it, each value as the link that sets or removes it."""
    values: dict[str, set[str]] = {
        "role": {role for row in rows for role in row.missing},
        "environment": {row.submission.environment for row in rows},
        "risk": {row.submission.version.risk for row in rows},
    }
    return [
        {
            "label": FACETS[name],
            "options": [option(name, value, chosen) for value in sorted(found | {chosen[name]} - {""})],
        }
        for name, found in values.items()
    ]


def option(name: str, value: str, chosen: dict[str, str]) -> dict[str, Any]:
    """Return one value of a filter and the link to the queue with it, or without it when it is set."""
    selected = chosen[name] == value
    asked = {key: text for key, text in {**chosen, name: "" if selected else value}.items() if text}
    return {"label": value, "selected": selected, "url": f"{reverse('governance:queue')}?{urlencode(asked)}"}


def turns(rows: list[queries.QueueRow], *, teams: set[int]) -> list[queries.QueueRow]:
    """Return the rows where a person is next: as a reviewer, or for a team whose submission cannot go on as it is."""
    return [
        row
        for row in rows
        if row.is_my_turn or (row.submission.version.asset.team_id in teams and (row.blockers or row.wants_changes))
    ]


def draft_rows(drafts: Iterable[Version]) -> list[dict[str, Any]]:
    """Return drafts with what they wait for: still open, being checked, or stopped by a check."""
    rows = list(drafts)
    stopped = queries.failing(rows)
    return [draft_row(row, stopped.get(row.pk, [])) for row in rows]


def draft_row(version: Version, stopped: list[str]) -> dict[str, Any]:
    """Return one draft with its state in a word, and the page where it goes on."""
    address = [version.asset.slug, version.number]
    row = {"label": version.label, "at": version.frozen_at or version.registered_at, "tone": "neutral", "icon": "draft"}
    if not version.is_frozen:
        return row | {"word": "open", "url": reverse("registry:version-edit", args=address)}
    row["url"] = reverse("registry:version-tab", args=[*address, "checks"])
    if stopped:
        return row | {"word": f"stopped by {listed(stopped)}", "tone": "bad", "icon": "fail"}
    return row | {"word": "being checked", "tone": "info", "icon": "running"}


def tiles(mine: list[queries.QueueRow], found: dict[str, Any], tolerated: list[Any]) -> list[dict[str, Any]]:
    """Return the numbers on top of the home page."""
    late = sum(row.is_overdue for row in mine)
    stopped = sum(row["tone"] == "bad" for row in found["drafts"])
    others = sum(len(found[name]) for name in WAITING)
    count, ending = len(mine) + others + stopped, found["ending"]
    return [
        {
            "label": "Your turn",
            "value": count,
            "note": f"{late} due within two days" if late else "the most urgent on top" if count else "all answered",
            "tone": "bad" if late else "accent" if count else "ok",
            "icon": "queue",
        },
        {
            "label": "In review",
            "value": len(found["in_review"]),
            "note": "waits for others",
            "icon": "wait",
            "url": reverse("governance:queue"),
        },
        {
            "label": "Ends within 30 days",
            "value": len(ending),
            "note": f"the first on {day(ending[0].until)}" if ending else "no decision runs out",
            "tone": "warn" if ending else "ok",
            "icon": "clock",
        },
        {
            "label": "Tolerated today",
            "value": len(tolerated),
            "note": "in force" if tolerated else "no waiver is in force",
            "tone": "warn" if tolerated else "ok",
            "icon": "waiver",
            "url": reverse("governance:waivers"),
        },
    ]


def posture(versions: QuerySet[Version], decisions: QuerySet[Decision]) -> dict[str, Any]:
    """Return the bars of versions by state, by risk, and by where a decision in force lets them serve."""
    counted = versions.order_by().values_list("state", "risk").annotate(number=Count("pk"))
    states, risks = Counter[str](), Counter[str]()
    for state, risk, number in counted:
        states[state] += number
        risks[risk] += 0 if state == State.RETIRED else number
    return {
        "standings": standing_bar(decisions, sum(states.values()) - states[State.RETIRED]),
        "states": posture_bar("state", states, State.choices, STATE_TONES),
        "risks": posture_bar("risk", risks, [*Risk.choices, ("", "Not rated")], RISK_TONES),
        "total": sum(states.values()),
    }


def standing_bar(decisions: QuerySet[Decision], total: int) -> StackedBar:
    """Return the bar of versions by where they may serve, of `total` that are not retired."""
    in_production = Q(environment=lifecycle.PRODUCTION)
    found = decisions.order_by().aggregate(
        production=Count("version", distinct=True, filter=in_production), somewhere=Count("version", distinct=True)
    )
    production, somewhere = found["production"], found["somewhere"]
    parts = [
        Part("In production", production, "ok"),
        Part("Elsewhere only", somewhere - production, "info"),
        Part("Nowhere", max(0, total - somewhere), "neutral"),
    ]
    return stacked_bar([part for part in parts if part.count])


def posture_bar(
    name: str, counted: Counter[str], choices: Iterable[tuple[str, str]], tones: dict[str, str]
) -> StackedBar:
    """Return one bar whose parts lead into the catalogue."""
    catalogue = reverse("registry:catalogue")
    return stacked_bar(
        [
            Part(label, counted[value], tones[value], f"{catalogue}?{name}={value}")
            for value, label in choices
            if counted[value]
        ]
    )


def approvals(submission: Submission, digest: str, reader: User) -> list[dict[str, Any]]:
    """Return each needed role with what it has answered on the present dossier, and what a change has voided.

    A closed submission shows what was answered on the dossier it was closed on.
    """
    rows = submission.reviews.filter(withdrawal=None).select_related("reviewer", "on_behalf_of")
    given = list(rows.order_by("pk"))
    if given and not submission.is_open:
        digest = given[-1].dossier_digest
    wanted, marks = submissions.required_roles(submission), seals.of(given, reader)
    return [answer_of(role, [review for review in given if review.role == role], digest, marks) for role in wanted]


def answer_of(role: str, given: list[Review], digest: str, marks: dict[UUID, seals.Seal]) -> dict[str, Any]:
    """Return what one role has answered: on this dossier, on an older one, or not yet."""
    if not given:
        return {"role": role, "verdict": "waiting"}
    current = [review for review in given if review.dossier_digest == digest]
    last = (current or given)[-1]
    verdict = last.verdict if current else "voided"
    return {
        "role": role,
        "verdict": verdict,
        "by": reviews.voice(last),
        "at": last.given_at,
        "note": last.note,
        "seal": marks[last.recorded_in],
    }


def verdict_strip(submission: Submission, found: list[RuleVerdict], got: list[dict[str, Any]]) -> dict[str, Any]:
    """Return whether the submission can be approved now, as the verdict partial prints it."""
    blocking = red(found)
    waived = sum(each.outcome == "waived" for each in found)
    done = sum(each["verdict"] == "approve" for each in got)
    counted = {"in the way": len(blocking), "waived": waived, "passed": len(found) - len(blocking) - waived}
    rules = ", ".join(f"{count} {words}" for words, count in counted.items() if count)
    strip = {
        "environment": submission.environment,
        "summary": f"{done} of {len(got)} approvals; rules: {rules}",
        "approvals": got,
    }
    if not submission.is_open:
        return strip | closed_strip(submission)
    if timezone.now() >= submission.ends_at:
        says = f"Unanswered is no: its time ran out on {day(submission.ends_at)}"
        return strip | {"allow": False, "says": says}
    if blocking and all(each.outcome in PENDING for each in blocking):
        says = f"Waits for {listed([each.title.lower() for each in blocking])} to be checked"
        return strip | {"allow": False, "tone": "info", "icon": "running", "says": says}
    if blocking:
        rules = "1 rule" if len(blocking) == 1 else f"{len(blocking)} rules"
        reasons = [each.as_reason(fixed_at(submission.version, each.rule)) for each in blocking]
        return strip | {"allow": False, "says": f"Cannot be approved: {rules} in the way", "reasons": reasons}
    wanting = [each for each in got if each["verdict"] == "request_changes"]
    if wanting:
        says = f"Changes requested by {listed([each['role'] for each in wanting])}"
        asked = [change_asked(submission, each) for each in wanting]
        return strip | {"allow": True, "tone": "warn", "icon": "rollback", "says": says, "reasons": asked}
    missing = [each["role"] for each in got if each["verdict"] != "approve"]
    return strip | {"allow": True, "says": f"Can be approved; waits for {listed(missing)}"}


def change_asked(submission: Submission, answer: dict[str, Any]) -> Reason:
    """Return what one role wants to be changed, and what closes the request."""
    team = submission.version.asset.team
    fix = f"The team {team} attaches what is missing, or registers a new version; then every role is asked anew."
    where = reverse("registry:version-tab", args=[submission.version.asset.slug, submission.version.number, "evidence"])
    return Reason("request_changes", f"{answer['by']} for {answer['role']}: {answer['note']}", fix, where)


def closed_strip(submission: Submission) -> dict[str, Any]:
    """Return how a submission ended."""
    decided = submission.decisions.exclude(verdict="revoked").first()
    ended: dict[str, Any] = {"allow": submission.state == "approved", "says": submission.get_state_display()}
    if submission.state not in {"approved", "rejected"}:
        ended |= {"tone": "neutral", "icon": "archive"}
    if submission.closed_because:
        ended["reasons"] = [Reason(submission.state, submission.closed_because)]
    count = dues.counting(timezone.now()).filter(review__submission=submission).count()
    if submission.state == "approved" and count:
        ended["says"] += f", with {count} condition{'' if count == 1 else 's'}"
    if decided is not None:
        ended |= {"url": decided.get_absolute_url(), "link": "Decision", "expires_at": decided.expires_at}
    return ended


def fixed_at(version: Version, rule: str) -> str:
    """Return the page where a rule's no becomes a yes."""
    if rule == "owners":
        return reverse("registry:asset-edit", args=[version.asset.slug])
    tab = {"vulnerabilities": "findings"}.get(rule, "evidence" if rule in ATTACHED else "checks")
    return reverse("registry:version-tab", args=[version.asset.slug, version.number, tab])


def listed(words: list[str]) -> str:
    """Return words as people list them: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def day(at: datetime) -> str:
    """Return an instant's day as people write it."""
    return f"{at.day} {at:%b %Y}"
