"""What a version's page prints: the verdict strip for every environment, and one tab. Formatting only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Count, Max, Sum
from django.urls import reverse
from django.utils import timezone

from audit import log, serving
from governance import challenges, doubts, dues, forecast, policy, requirements, standing
from governance.checks import verdicts
from governance.permissions import may, visible
from governance.web import timeline
from portal.lineage import Edge, Node, lineage
from registry import composition, licensing
from registry.models import Asset, User, Version
from registry.web import attached, found, measured, ways
from registry.web.forms import EvidenceForm
from registry.web.panels import origin_word

TABS = {
    "overview": "Overview",
    "evidence": "Evidence",
    "checks": "Checks",
    "evaluations": "Evaluations",
    "findings": "Findings",
    "lineage": "Lineage",
    "submissions": "Submissions",
    "serving": "Serving",
    "history": "History",
}
RECORD = {
    "identity": (
        ("artifact_sha256", "Artifact sha256", "digest"),
        ("artifact_size", "Size", "bytes"),
        ("format", "Format"),
        ("storage_uri", "Storage URI", "mono"),
        ("finetune_method", "Fine-tune method"),
    ),
    "source": (
        ("source_repository", "Repository", "mono"),
        ("source_commit", "Commit", "digest"),
        ("build_id", "Build"),
        ("lockfile_sha256", "Lockfile sha256", "digest"),
    ),
    "terms": (
        ("licence", "Licence"),
        ("allowed_uses", "Allowed uses"),
        ("prohibited_uses", "Prohibited uses"),
        ("risk", "Security risk", "badge"),
        ("risk_rationale", "Why"),
        ("mitigations", "Mitigations"),
    ),
}
SERVED = timedelta(days=90)
TONES = {"draft": "neutral", "candidate": "info", "approved": "ok", "deprecated": "warn", "retired": "neutral"}


def with_standing(rows: list[Version], names: list[str]) -> list[dict[str, Any]]:
    """Return each version with its standing in every environment, one query an environment."""
    found = standing.of_all([row.pk for row in rows], names)
    return [{"version": row, "standings": [found[(row.pk, name)] for name in names]} for row in rows]


def page(version: Version, user: User, tab: str, *, evidence_form: EvidenceForm | None = None) -> dict[str, Any]:
    """Return the whole page of a version on one of its tabs."""
    names = ways.environments(version.asset)
    answers, now = ways.standings(version, names), ways.pointers(version.asset)
    opened = ways.open_submissions(version)
    told = {"may_submit": may(user, "submission.open", version)}
    context = {
        "version": version,
        "asset": version.asset,
        "tabs": tabs(version, tab),
        "verdicts": [ways.strip(answers[name], now.get(name), opened.get(name), version, **told) for name in names],
        "ways": ways.actions(version, user, answers, now, opened),
        "may_attach": version.state != "retired" and may(user, "evidence.attach", version),
        "template": f"registry/_tab_{tab}.html",
    }
    return context | PANELS[tab](version, user) | ({"evidence_form": evidence_form} if evidence_form else {})


def tabs(version: Version, chosen: str) -> list[dict[str, Any]]:
    """Return the tabs as links."""
    address = [version.asset.slug, version.number]
    urls = {name: reverse("registry:version-tab", args=[*address, name]) for name in TABS}
    urls["overview"] = version.get_absolute_url()
    return [{"label": title, "url": urls[name], "current": name == chosen} for name, title in TABS.items()]


def overview(version: Version, user: User) -> dict[str, Any]:
    """Return the record as lists of labels and values, each with where it came from."""
    record = {group: [item(version, *row) for row in rows] for group, rows in RECORD.items()}
    record["terms"][1:1] = relicensed(version)
    record["identity"].insert(0, {"label": "Identity digest", "value": version.identity_digest, "kind": "digest"})
    return record | {
        "people": [
            *people(version.asset),
            item(version, "authors", "Authors"),
            {"label": "Registered by", "value": version.registered_by},
        ],
        "datasets": version.dataset_uses.select_related("dataset"),
        "components": version.components.select_related("part__asset"),
        "is_composed": composition.manifest(version) is not None,
        "foreseen": forecast.soon(version, at=timezone.now()),
        "my_teams": set(user.memberships.values_list("team_id", flat=True)),
    }


def relicensed(version: Version) -> list[dict[str, Any]]:
    """Return the licence that the version has now and who says so, where it is not the one it was registered with."""
    return [
        {"label": "Licence now", "value": f"{row.licence}, since {row.recorded_at:%d %b %Y} ({row.source})"}
        for row in licensing.newest([version]).values()
    ]


def people(asset: Asset) -> list[dict[str, Any]]:
    """Return who answers for an asset."""
    return [
        {"label": "Owner", "value": asset.owner},
        {"label": "Backup owner", "value": asset.backup_owner},
        {"label": "Escalation", "value": asset.escalation_contact},
        {"label": "Team", "value": asset.team},
    ]


def item(version: Version, name: str, label: str, kind: str = "") -> dict[str, Any]:
    """Return one field of the record with where its value came from."""
    shown = getattr(version, f"get_{name}_display", None)
    value = shown() if shown and kind != "badge" else getattr(version, name)
    value = ", ".join(value) if isinstance(value, list) else value
    return {"label": label, "value": value, "kind": kind if value else "", "origin": origin_word(version, name)}


def documents(version: Version, user: User) -> dict[str, Any]:
    """Return the evidence, newest first, and what the newest SBOM says."""
    return attached.panel(version, user)


def answers(version: Version, user: User) -> dict[str, Any]:
    """Return how the version stands against every rule of the governing policy, failed first."""
    rules = policy.governing(version)
    now = timezone.now()
    asked = requirements.rules_by_place(version, rules, at=now)
    groups = []
    for name, slugs in asked.items():
        found = verdicts.judge(version, slugs, rules, name, at=now)
        label = "Baseline, to become a candidate" if name == "baseline" else f"For {name}"
        rows = [*verdicts.red(found), *(each for each in found if each.is_green)]
        groups.append({"label": label, "environment": name, "checks": rows})
    return {
        "policy": rules,
        "groups": groups,
        "may_waive": version.is_frozen and version.state != "retired" and may(user, "waiver.request", version),
        "runs": version.check_runs.select_related("policy")[:50],
    }


def found_vulnerabilities(version: Version, user: User) -> dict[str, Any]:
    """Return the findings, how they are answered, and the VEX documents."""
    return found.vulnerabilities(version)


def family(version: Version, user: User) -> dict[str, Any]:
    """Return the picture of what the version is made from and what is made from it."""
    edges = [*composition.ancestors(version), *composition.descendants(version)]
    known: dict[str, Version] = {version.label: version}
    for edge in edges:
        known |= {edge.part.label: edge.part, edge.version.label: edge.version}
    rows = visible(user, Version.objects.filter(pk__in=[row.pk for row in known.values()]))
    seen = set(rows.values_list("pk", flat=True))
    nodes = [node(row, is_seen=row.pk in seen) for row in known.values()]
    lines = [Edge(edge.part.label, edge.version.label, edge.get_role_display().lower()) for edge in edges]
    return {
        "lineage": lineage(nodes, lines, focus=version.label),
        "has_family": bool(edges),
        "doubts": [doubts.of(each) for each in challenges.open_of(version) if each.finding_id is None],
    }


def node(row: Version, *, is_seen: bool) -> Node:
    """Return one version of the picture; of another team's only its kind is told."""
    kind = row.asset.get_kind_display()
    if not is_seen:
        return Node(key=row.label, label=f"{kind} of another team", sub="not yours to see")
    state = row.get_state_display().lower()
    return Node(row.label, row.label, f"{kind}, {state}", TONES[row.state], row.get_absolute_url())


def asked(version: Version, user: User) -> dict[str, Any]:
    """Return the submissions with their decisions, and the moves of the pointer to this version."""
    return {
        "submissions": version.submissions.select_related("submitted_by", "policy").prefetch_related("decisions"),
        "promotions": version.promotions.select_related("promoted_by", "decision"),
        "waivers": version.waivers.select_related("requested_by", "decided_by"),
        "conditions": dues.pending(timezone.now())
        .filter(review__submission__version=version)
        .select_related("review__submission__version__asset"),
    }


def served(version: Version, user: User) -> dict[str, Any]:
    """Return what was served by the identity digest in the last 90 days, and the consumers the gate has let in."""
    now = timezone.now()
    is_open = may(user, "report.read") or Version.objects.filter(standing.admitted(now), pk=version.pk).exists()
    # A draft has the digest that its author typed: it does not open what was served by the version of others.
    is_open = is_open and bool(version.identity_digest)
    found = serving.windows_of(version.identity_digest, now - SERVED, now) if is_open else None
    totals = (
        found.aggregate(
            customers=Count("customer", distinct=True), requests=Sum("requests"), windows=Count("*"), last=Max("end")
        )
        if found is not None
        else {}
    )
    windows = list(found.order_by("-start", "customer", "deployment")[:50]) if found is not None else []
    return {"windows": windows, "totals": totals, "consumers": version.consumer_grants.all()}


def told(version: Version, user: User) -> dict[str, Any]:
    """Return what the ledger and the version's own history say, newest first."""
    return {
        "events": timeline.events(log.entries(subject=version)[:100], user),
        "states": version.transitions.select_related("actor", "successor").order_by("-pk"),
    }


PANELS: dict[str, Any] = {
    "overview": overview,
    "evidence": documents,
    "checks": answers,
    "evaluations": measured.panel,
    "findings": found_vulnerabilities,
    "lineage": family,
    "submissions": asked,
    "serving": served,
    "history": told,
}
