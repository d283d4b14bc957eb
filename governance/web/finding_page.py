"""The page of one vulnerability: what it is, where it is, what was said about it, and the forms to say more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Page
from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils import timezone

from governance.models import Advisory, Challenge, Finding, TriageStatement
from governance.models.advisories import Severity
from governance.triage import answering, sentences, tasks
from governance.triage.answering import Standpoint
from governance.triage.statements import MAX_AT_ONCE
from governance.web.finding_forms import StatementForm, TriageAnswerForm
from portal.http import paginate
from registry.models import State

# How words of triage look in a timeline: (icon, tone).
LOOKS = {
    "open": ("open", "warn"),
    "fixed": ("pass", "ok"),
    "not_affected": ("none", "neutral"),
    "accepted": ("waiver", "warn"),
}
MOST_FACTS = 12


@dataclass(frozen=True)
class Sheet:
    """Everything that was read for one page. `typed` is the form that was sent, None when the page is looked at."""

    vulnerability: str
    page: Page[Any]
    challenged: list[Challenge]
    point: Standpoint
    answers: list[TriageAnswerForm]
    stating: StatementForm | None
    typed: Any = None


def read(request: HttpRequest, vulnerability: str) -> Sheet:
    """Read a vulnerability for a person. Raises Http404 when they may see none of the versions it is in."""
    user: Any = request.user
    page = paginate(request, tasks.touched(user, vulnerability))
    challenged = tasks.challenged(user, vulnerability)
    if not page.paginator.count and not challenged:
        raise Http404(f"No finding {vulnerability} is there that you may see.")
    point = answering.standpoint(user)
    sent = request.POST if request.method == "POST" else None
    group = sent.get("group", "") if sent is not None else None
    answers = [
        TriageAnswerForm(sent if group == str(rows[0].public_id) else None, rows=rows)
        for rows in answering.grouped(answering.waiting_for(point, vulnerability))
    ]
    sayable = [each for each in page.object_list if may_state(each, point)]
    stating = StatementForm(sent if group == "" else None, rows=sayable) if sayable else None
    typed = next((form for form in [*answers, stating] if form is not None and form.is_bound), None)
    if sent is not None and typed is None:
        raise Http404(f"What was said about {vulnerability} waits for nobody's answer any more.")
    return Sheet(vulnerability, page, challenged, point, answers, stating, typed)


def may_state(finding: Finding, point: Standpoint) -> bool:
    """Return whether a person may state something about a finding now."""
    alive = finding.closed_at is None and finding.version.state != State.RETIRED
    return alive and point.may_state(finding.version.asset)


def context(sheet: Sheet) -> dict[str, Any]:
    """Return what the template prints."""
    rows: list[Finding] = list(sheet.page.object_list)
    now = timezone.now()
    severities = [Severity(each.severity) for each in rows] + [Severity(each.severity) for each in sheet.challenged]
    return {
        "vulnerability": sheet.vulnerability,
        "summary": next((each.summary for each in rows if each.summary), "") or summary_below(sheet),
        "severity": max(severities, key=lambda severity: tasks.RANKS[severity]),
        "open": sum(each.is_open_at(now) and each.version.state != State.RETIRED for each in rows),
        "crumbs": [{"label": "Findings", "url": reverse("governance:findings")}],
        "facts": facts(sheet.vulnerability, rows),
        "page": sheet.page,
        "rows": version_rows(sheet, rows, now),
        "from_below": [below(each, rows) for each in sheet.challenged if each.version_id != each.root_id],
        "answers": [{"form": form, **group(form.rows)} for form in sheet.answers],
        "form": sheet.typed,
        "stating": sheet.stating,
        "second_person": second_person(sheet.point),
        "events": events(rows),
        "most": MAX_AT_ONCE,
    }


def summary_below(sheet: Sheet) -> str:
    """Return the summary where only a version below is affected, which is public knowledge."""
    return next((each.finding.summary for each in sheet.challenged if each.finding), "")


def facts(vulnerability: str, rows: Sequence[Finding]) -> list[dict[str, Any]]:
    """Return what the imported advisories say about a vulnerability, as labels and values."""
    known = list(Advisory.objects.filter(group=vulnerability).order_by("pk")[:MOST_FACTS])
    aliases = dict.fromkeys(alias for each in known for alias in each.aliases)
    names = [name for name in aliases if name not in {vulnerability, *(each.id for each in known)}]
    packages = dict.fromkeys(sentences.package(each.purl) for each in rows)
    fixes = dict.fromkeys(version for each in rows for version in each.fixed_in)
    scores = [each.score for each in known if each.score is not None]
    items = [
        {"label": "Packages", "value": sentences.shortened(list(packages))},
        {"label": "Fixed in", "value": sentences.shortened(list(fixes)) or "no fix known"},
        *({"label": "Advisory", "value": advisory_word(each), "url": advisory_url(each)} for each in known),
    ]
    if names:
        items.append({"label": "Also known as", "value": ", ".join(names[:MOST_FACTS])})
    if scores:
        items.append({"label": "CVSS score", "value": f"{max(scores):.1f}"})
    published = [each.published for each in known if each.published]
    return items + ([{"label": "Published", "value": min(published), "kind": "when"}] if published else [])


def advisory_word(advisory: Advisory) -> str:
    """Return an advisory's name, and that it was withdrawn if it was."""
    return f"{advisory.id} (withdrawn)" if advisory.withdrawn else advisory.id


def advisory_url(advisory: Advisory) -> str:
    """Return where the public reads an advisory of OSV."""
    return f"https://osv.dev/vulnerability/{advisory.id}"


def version_rows(sheet: Sheet, rows: Sequence[Finding], at: datetime) -> list[dict[str, Any]]:
    """Return each finding with its version, its place in the SBOM, where it may serve, and how it is answered."""
    places, standings = tasks.places(rows), tasks.standings([each.version for each in rows])
    due = {each.version_id: each.due_at for each in reversed(sheet.challenged)}
    chosen = chosen_ids(sheet)
    return [
        {
            "id": str(each.public_id),
            "version": each.version,
            "package": sentences.package(each.purl),
            "places": places[each.pk][:3],
            "certain": each.certain,
            "serves": [serves(answer) for answer in standings[each.version_id]] if each.version_id in standings else [],
            "due": due.get(each.version_id),
            "word": sentences.standing_word(each, at),
            "counted": sentences.said(sentences.counted(each)),
            "waits": sentences.said(sentences.waits(each)),
            "may_choose": sheet.stating is not None and each in sheet.stating.rows,
            "waive": waive_address(each, sheet.point, at),
            "chosen": each.is_open_at(at) if chosen is None else str(each.public_id) in chosen,
        }
        for each in rows
    ]


def waive_address(finding: Finding, point: Standpoint, at: datetime) -> str:
    """Return where a person asks for a waiver of this finding alone, or nothing when they cannot."""
    version = finding.version
    is_asked = version.is_frozen and version.state != State.RETIRED and finding.is_open_at(at)
    if not is_asked or point.user.kind != "person" or not point.works_for(version.asset):
        return ""
    address = reverse("governance:waiver-request", args=[version.asset.slug, version.number])
    return f"{address}?{urlencode({'rule': 'vulnerabilities', 'finding': finding.public_id})}"


def chosen_ids(sheet: Sheet) -> set[str] | None:
    """Return the findings that were ticked when the form was sent, None when it was not."""
    form = sheet.stating
    return set(form.data.getlist("findings")) if form is not None and form.is_bound else None  # type: ignore[attr-defined]


def serves(answer: Any) -> dict[str, Any]:
    """Return whether a version may serve in one environment."""
    return {"environment": answer.environment, "allow": answer.allow, "until": answer.expires_at}


def below(challenge: Challenge, rows: Sequence[Finding]) -> dict[str, Any]:
    """Return a version that is challenged because of one below; of another team's only that it is one."""
    root = challenge.root
    is_seen = any(each.version_id == root.pk for each in rows)
    return {
        "version": challenge.version,
        "root": root.label if is_seen else "a version of another team",
        "root_url": root.get_absolute_url() if is_seen else "",
        "due": challenge.due_at,
        "since": challenge.opened_at,
    }


def group(rows: Sequence[TriageStatement]) -> dict[str, Any]:
    """Return statements that wait for one answer: what they say, and about which versions."""
    return {
        "key": str(rows[0].public_id),
        "said": sentences.said(rows[0]),
        "versions": [
            {
                "id": str(each.public_id),
                "label": each.finding.version.label,
                "url": each.finding.version.get_absolute_url(),
                "package": sentences.package(each.finding.purl),
                "severity": each.finding.severity,
            }
            for each in rows
        ],
    }


def second_person(point: Standpoint) -> str:
    """Return who has to agree to what a person states, in a sentence."""
    if point.is_security:
        return (
            "A critical one counts once a second person from security has agreed; so does what you have a hand in. "
            "Anything else counts at once."
        )
    return "It counts once security has agreed. Opening again counts at once."


def events(rows: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return what was said and answered about all findings of a page, newest first; the same words once."""
    statements: defaultdict[tuple[Any, ...], list[TriageStatement]] = defaultdict(list)
    answers: defaultdict[tuple[Any, ...], list[TriageStatement]] = defaultdict(list)
    for each in (statement for finding in rows for statement in finding.statements.all()):
        said = (each.stated_by_id, each.status, each.justification, each.reason, each.until)
        statements[(*said, each.stated_at)].append(each)
        if (given := getattr(each, "answer", None)) is not None:
            answers[(*said, given.answered_by_id, given.agreed, given.note)].append(each)
    found = [stated(group) for group in statements.values()] + [answered(group) for group in answers.values()]
    return sorted(found, key=lambda event: event["at"], reverse=True)


def stated(rows: Sequence[TriageStatement]) -> dict[str, Any]:
    """Return one thing that was said, about however many versions."""
    first = rows[0]
    icon, tone = LOOKS[first.status]
    until = f", until {first.until:%d %b %Y}" if first.until else ""
    source = f" ({first.evidence.filename})" if first.evidence else ""
    return {
        "at": first.stated_at,
        "actor": str(first.stated_by),
        "says": f"stated {sentences.words(first)}{until}{source}: {sentences.labels(rows)}.",
        "note": first.reason,
        "icon": icon,
        "tone": tone,
    }


def answered(rows: Sequence[TriageStatement]) -> dict[str, Any]:
    """Return one answer, to however many statements."""
    first, given = rows[0], rows[0].answer
    verb = "agreed" if given.agreed else "disagreed"
    return {
        "at": max(each.answer.answered_at for each in rows),
        "actor": str(given.answered_by),
        "says": f"{verb} that it is {sentences.words(first)}: {sentences.labels(rows)}.",
        "note": given.note,
        "icon": "decision" if given.agreed else "fail",
        "tone": "ok" if given.agreed else "bad",
    }
