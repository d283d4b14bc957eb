"""What a version's page prints: the verdict strip for every environment, and one tab. Formatting only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone

from audit import log, serving
from governance import lifecycle, policy, promotions, standing
from governance.checks import evaluations, verdicts
from governance.models import Promotion
from governance.permissions import may
from portal.charts import threshold_bar, trend
from portal.errors import Refused
from portal.lineage import Edge, Node, lineage
from registry import catalog, completeness, composition
from registry.models import Asset, User, Version
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
SERVED = timedelta(days=90)
TONES = {"draft": "neutral", "candidate": "info", "approved": "ok", "deprecated": "warn", "retired": "neutral"}


def environments(asset: Asset) -> list[str]:
    """Return the environments that the governing policy knows, none when no policy applies."""
    try:
        return policy.governing(Version(asset=asset)).environments
    except Refused:
        return []


def with_standing(rows: list[Version]) -> list[dict[str, Any]]:
    """Return each version with its standing in every environment, one query an environment."""
    if not rows:
        return []
    names = environments(rows[0].asset)
    found = standing.of_all(Version.objects.filter(pk__in=[row.pk for row in rows]).select_related("asset"), names)
    return [{"version": row, "standings": [found[(row.pk, name)] for name in names]} for row in rows]


def page(version: Version, user: User, tab: str, *, evidence_form: EvidenceForm | None = None) -> dict[str, Any]:
    """Return the whole page of a version on one of its tabs."""
    names = environments(version.asset)
    address = [version.asset.slug, version.number]
    context = {
        "version": version,
        "asset": version.asset,
        "tab": tab,
        "tabs": [
            {
                "label": title,
                "url": reverse("registry:version-tab", args=[*address, name]) if name != "overview" else version.get_absolute_url(),
                "current": name == tab,
            }
            for name, title in TABS.items()
        ],
        "verdicts": [strip(version, name) for name in names],
        "moves": lifecycle.open_to(user, version),
        "ways": ways(version, user, names),
        "template": f"registry/_tab_{tab}.html",
    }
    return context | PANELS[tab](version, user) | ({"evidence_form": evidence_form} if evidence_form else {})


def strip(version: Version, environment: str) -> dict[str, Any]:
    """Return the answer to "may it serve there?", as the verdict partial prints it."""
    answer = standing.of(version, environment)
    return {
        "environment": environment,
        "allow": answer.allow,
        "says": "May serve" if answer.allow else "May not serve",
        "reasons": answer.reasons,
        "expires_at": answer.expires_at if answer.allow else None,
        "url": reverse("governance:decision", args=[answer.decision_id]) if answer.decision_id else "",
        "link": "Decision",
    }


def ways(version: Version, user: User, names: list[str]) -> dict[str, Any]:
    """Return what this person can do next with the version, each only when the verb would let them try."""
    contributes = may(user, "version.edit", version)
    serving_now = {name: promotions.current(version.asset, name) for name in names}
    may_promote = may(user, "version.promote", version)
    return {
        "edit": contributes and not version.is_frozen,
        "nominate": contributes and version.state == "draft",
        "is_complete": version.is_frozen or completeness.measure(version).is_complete,
        "submit": [name for name in names if contributes and version.state in {"candidate", "approved"}],
        "promote": [
            name
            for name in names
            if may_promote and points_elsewhere(serving_now[name], version) and standing.of(version, name).allow
        ],
        "waive": contributes and version.state != "retired" and version.is_frozen,
        "attach": contributes and version.state != "retired",
    }


def points_elsewhere(now: Promotion | None, version: Version) -> bool:
    """Return whether an environment's pointer is not on this version."""
    return now is None or now.version_id != version.pk


def overview(version: Version, user: User) -> dict[str, Any]:
    """Return the record as lists of labels and values, each with where it came from."""

    def row(name: str, label: str, kind: str = "") -> dict[str, Any]:
        shown = getattr(version, f"get_{name}_display", None)
        value = shown() if shown else getattr(version, name)
        value = ", ".join(value) if isinstance(value, list) else value
        return {"label": label, "value": value, "kind": kind, "origin": origin_word(version, name)}

    asset = version.asset
    return {
        "identity": [
            {"label": "Identity digest", "value": version.identity_digest, "kind": "digest"},
            row("artifact_sha256", "Artifact sha256", "digest"),
            row("artifact_size", "Size", "bytes"),
            row("storage_uri", "Storage URI", "mono"),
            row("format", "Format"),
            row("finetune_method", "Fine-tune method"),
        ],
        "source": [
            row("source_repository", "Repository", "mono"),
            row("source_commit", "Commit", "mono"),
            row("build_id", "Build"),
            row("lockfile_sha256", "Lockfile sha256", "digest"),
            row("authors", "Authors"),
            {"label": "Registered", "value": version.registered_at, "kind": "when"},
            {"label": "Registered by", "value": version.registered_by},
        ],
        "terms": [
            row("licence", "Licence"),
            row("allowed_uses", "Allowed uses"),
            row("prohibited_uses", "Prohibited uses"),
            row("risk", "Security risk", "badge"),
            row("risk_rationale", "Why"),
            row("mitigations", "Mitigations"),
        ],
        "people": [
            {"label": "Owner", "value": asset.owner},
            {"label": "Backup owner", "value": asset.backup_owner},
            {"label": "Escalation", "value": asset.escalation_contact},
            {"label": "Team", "value": asset.team},
        ],
        "datasets": version.dataset_uses.select_related("dataset"),
        "components": version.components.select_related("part__asset"),
        "is_composed": composition.manifest(version) is not None,
    }


def documents(version: Version, user: User) -> dict[str, Any]:
    """Return the evidence, newest first."""
    return {"documents": version.evidence.select_related("attached_by"), "evidence_form": EvidenceForm()}


def answers(version: Version, user: User) -> dict[str, Any]:
    """Return how the version stands against every rule of the governing policy, failed first."""
    rules = policy.governing(version)
    now = timezone.now()
    groups = [("baseline", verdicts.judge(version, rules.content["baseline"]["rules"], rules, "baseline", at=now))]
    groups += [
        (name, verdicts.judge(version, rules.environment(name)["rules"], rules, name, at=now))
        for name in rules.environments
    ]
    return {
        "policy": rules,
        "groups": [(name, sorted(found, key=lambda each: each.is_green)) for name, found in groups],
        "runs": version.check_runs.select_related("policy")[:50],
    }


def measured(version: Version, user: User) -> dict[str, Any]:
    """Return every required metric against its threshold, and its trend over the asset's versions."""
    rules = policy.governing(version)
    rule = rules.rule("evaluations")
    readings = evaluations.measure(version, rule, at=timezone.now()) if rule else []
    trends = catalog.metric_trends(version)
    return {
        "policy": rules,
        "metrics": [
            {
                "reading": reading,
                "bar": threshold_bar(
                    float(reading.value),
                    minimum=as_float(reading.minimum),
                    maximum=as_float(reading.maximum),
                    unit=reading.unit,
                )
                if reading.value is not None
                else None,
                "trend": trend([(label, float(value)) for label, value in trends.get(reading.metric, [])]),
            }
            for reading in readings
        ],
        "reports": version.evidence.filter(kind="evaluation").select_related("attached_by"),
    }


def as_float(value: Any) -> float | None:
    """Return a decimal as a float for drawing, which needs no exactness."""
    return None if value is None else float(value)


def found_vulnerabilities(version: Version, user: User) -> dict[str, Any]:
    """Return the findings, open and severe first."""
    order = {"critical": 0, "high": 1, "unknown": 2, "medium": 3, "low": 4}
    rows = list(version.findings.all())
    rows.sort(key=lambda row: (row.closed_at is not None, row.triage != "open", order[row.severity], row.vulnerability))
    return {"findings": rows}


def family(version: Version, user: User) -> dict[str, Any]:
    """Return the picture of what the version is made from and what is made from it."""
    edges = [*composition.ancestors(version), *composition.descendants(version)]
    known: dict[str, Version] = {version.label: version}
    for edge in edges:
        known |= {edge.part.label: edge.part, edge.version.label: edge.version}
    nodes = [
        Node(
            key=label,
            label=label,
            sub=f"{row.asset.get_kind_display()}, {row.get_state_display().lower()}",
            url=row.get_absolute_url(),
            tone=TONES[row.state],
        )
        for label, row in known.items()
    ]
    lines = [Edge(edge.part.label, edge.version.label, edge.get_role_display().lower()) for edge in edges]
    return {"lineage": lineage(nodes, lines, focus=version.label), "has_family": bool(edges)}


def asked(version: Version, user: User) -> dict[str, Any]:
    """Return the submissions with their decisions, and the moves of the pointer to this version."""
    return {
        "submissions": version.submissions.select_related("submitted_by", "policy").prefetch_related("decisions"),
        "promotions": version.promotions.select_related("promoted_by", "decision"),
        "waivers": version.waivers.select_related("requested_by", "decided_by"),
    }


def served(version: Version, user: User) -> dict[str, Any]:
    """Return the newest serving windows of the identity digest in the last 90 days, and the consumers the gate has let in."""
    now = timezone.now()
    found = serving.windows_of(version.identity_digest, now - SERVED, now) if version.identity_digest else None
    windows = list(found.order_by("-start", "-id")[:50]) if found is not None else []
    return {"windows": windows, "consumers": version.consumer_grants.all()}


def told(version: Version, user: User) -> dict[str, Any]:
    """Return what the ledger and the version's own history say, newest first."""
    entries = log.entries(subject=version)[:100]
    names = {person.ledger_name: str(person) for person in User.objects.all()}
    return {
        "events": [describe(entry, names) for entry in entries],
        "states": version.transitions.select_related("actor", "successor").order_by("-pk"),
    }


def describe(entry: Any, names: dict[str, str]) -> dict[str, Any]:
    """Return one entry as the timeline prints it."""
    return {
        "at": entry.recorded_at,
        "actor": "",
        "says": entry.say(names.get(entry.actor, "")),
        "url": reverse("audit:entry", args=[entry.event_id]),
        "link": "Entry",
    }


PANELS: dict[str, Any] = {
    "overview": overview,
    "evidence": documents,
    "checks": answers,
    "evaluations": measured,
    "findings": found_vulnerabilities,
    "lineage": family,
    "submissions": asked,
    "serving": served,
    "history": told,
}

