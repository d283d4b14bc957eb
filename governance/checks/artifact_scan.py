"""Is every file in the artifact safe to load? The engines stand in governance.scanning; they only read bytes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from django.contrib.postgres.aggregates import JSONBAgg
from django.db.models import JSONField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, JSONObject
from django.utils import timezone

from audit import seal
from governance import scanning
from governance.checks.base import Answer, Dossier, errored, failed, not_applicable, passed
from governance.models import AllowedGlobal, CheckRun
from registry import storage
from registry.models import Asset, Version

SHOWN = 3
LONGEST = CheckRun._meta.get_field("tool_version").max_length


class ArtifactScan:
    """Asks the scanner, which runs in a child process with limits and without network."""

    slug = "artifact-scan"
    title = "Artifact scan"
    asks = "Is every file in the artifact safe to load?"
    sections: tuple[str, ...] = ("artifact",)

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Depend on the engines, their allow-list and the globals allowed for the asset; a change asks again."""
        return tools() | {"allowances": [str(row.public_id) for row in in_force(version.asset, timezone.now())]}

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Answer by the scanner's verdict; held is not passed, and an error is never green."""
        version = dossier.version
        # What is allowed now, not when the question was put: whatever changes in between makes the answer stale.
        rows = in_force(version.asset, timezone.now())
        facts = tools() | {"allowances": [str(row.public_id) for row in rows]}
        if version.asset.kind == "bundle" and not version.artifact_sha256:
            says = "A bundle without an artifact of its own holds no file; its parts are scanned."
            return not_applicable(says, facts=facts)
        try:
            with storage.artifact_path(version.storage_uri) as path:
                report = scanning.scan_in_child(
                    path, name=declared_name(version.storage_uri), allowed=[named(row) for row in rows]
                )
        except storage.Unreadable as error:
            return errored(
                f"The artifact could not be read: {error}",
                "Put it where the portal can read it: below an artifact root, or in S3.",
                facts=facts,
            )
        return judge(report, version, rows)


def tools() -> dict[str, Any]:
    """Return what judges artifacts today, in the words of a report."""
    return {"engines": dict(scanning.engines()), "allowlist_digest": scanning.read_allowlist().digest}


def in_force(asset: Asset, at: datetime) -> list[AllowedGlobal]:
    """Return the globals that are allowed in artifacts of an asset at an instant, oldest first."""
    return list(AllowedGlobal.objects.filter(valid_at(at), asset=asset).order_by("pk"))


def valid_at(at: datetime) -> Q:
    """Return the condition that an allowance is in force at an instant."""
    return Q(allowed_at__lte=at, expires_at__gt=at) & (Q(revoked_at=None) | Q(revoked_at__gt=at))


def named(row: AllowedGlobal) -> scanning.NamedGlobal:
    """Return an allowance in the scanner's words."""
    return scanning.NamedGlobal(row.module, row.name, scanning.Kind(row.use))


def outdated(versions: QuerySet[Version]) -> QuerySet[Version]:
    """Return the versions whose newest scan was made with other engines, allow-list or allowances than today's.

    Answers that do not say what they were made with, because the check itself broke, are left alone.
    """
    made = {name: f"facts__{name}" for name in (*tools(), "allowances")}
    newest = CheckRun.objects.filter(version=OuterRef("pk"), check_slug=ArtifactScan.slug).order_by("-pk")
    allowed = AllowedGlobal.objects.filter(valid_at(timezone.now()), asset=OuterRef("asset")).order_by().values("asset")
    ids = Subquery(allowed.annotate(ids=JSONBAgg("public_id", order_by="pk")).values("ids"))
    today = {name: Value(value, JSONField()) for name, value in tools().items()}
    return (
        versions.annotate(scan=Subquery(newest.values(row=JSONObject(**made))[:1], output_field=JSONField()))
        .filter(scan__engines__isnull=False)
        .exclude(scan__engines=None)
        .exclude(scan=JSONObject(**today, allowances=Coalesce(ids, Value([], JSONField()))))
    )


def declared_name(uri: str) -> str:
    """Return the file name of a storage URI: a downloaded copy has another name, and the extension has to be judged."""
    return PurePosixPath(unquote(urlsplit(uri).path)).name


def judge(report: scanning.Report, version: Version, rows: list[AllowedGlobal]) -> Answer:
    """Return the answer that a scan report gives for a version, counting on what is allowed for its asset."""
    used = find_used(report, rows)
    facts = {"allowances": [str(row.public_id) for row in rows], "allowances_used": [describe(row) for row in used]}
    about = {
        "facts": report.as_dict() | facts,
        "tool": "countersign scan",
        "tool_version": ", ".join(f"{name} {number}" for name, number in sorted(report.engines.items()))[:LONGEST],
        # Without the allowance the answer would be another one, so it ends with the first of them.
        "valid_until": min((row.expires_at for row in used), default=None),
    }
    why = " ".join(reason.says for reason in report.reasons[:5])
    made_with = {"engines": dict(report.engines), "allowlist_digest": report.allowlist_digest}
    if made_with != tools():
        # The files were replaced under a running worker; its answers would never fit what it believes to be today's.
        says = "The scan was made by another release of the scanner than this worker's."
        return errored(
            says, "Ask an operator to restart the workers.", facts={**facts, **tools(), "made_with": made_with}
        )
    if report.verdict == "error":
        return errored(f"The scan did not finish: {why}", "An unreadable artifact is never green; repair it.", **about)
    if report.sha256 != version.artifact_sha256:
        return failed(
            f"The scanned bytes hash to {report.sha256}, not to the registered sha256.",
            "Put the registered bytes back, or register these bytes as a new version.",
            **about,
        )
    if report.verdict == "pass":
        return passed(f"{report.format} with nothing that runs when it is loaded{tell_used(used)}.", **about)
    if report.verdict == "held":
        return failed(f"Held for a person to look at: {why}", tell_way_out(report), **about)
    return failed(f"Dangerous: {why}", "Do not load this file. Build it again from clean sources.", **about)


def find_used(report: scanning.Report, rows: list[AllowedGlobal]) -> list[AllowedGlobal]:
    """Return the allowance behind each global that nothing else let through; of several, the one that ends last."""
    used = []
    for each in report.allowances_used:
        fitting = [row for row in rows if named(row) == each]
        used += sorted(fitting, key=lambda row: row.expires_at)[-1:]
    return used


def describe(row: AllowedGlobal) -> dict[str, str]:
    """Return what an answer says about an allowance that it counts on."""
    return {
        "id": str(row.public_id),
        "module": row.module,
        "name": row.name,
        "use": row.use,
        "expires_at": seal.instant(row.expires_at),
    }


def tell_used(used: list[AllowedGlobal]) -> str:
    """Return which allowances an answer counts on, as the end of a sentence."""
    if not used:
        return ""
    names = ", ".join(f"{row.module}.{row.name}" for row in used[:SHOWN])
    more = f" and {len(used) - SHOWN} more" if len(used) > SHOWN else ""
    until = min(row.expires_at for row in used)
    return f", counting on what security allowed for this asset until {until:%Y-%m-%d}: {names}{more}"


def tell_way_out(report: scanning.Report) -> str:
    """Return what would make a held artifact pass."""
    safe = "Use a format without code, such as safetensors or ONNX, or only classes on the allow-list"
    if not report.held_globals:
        return f"{safe}."
    names = ", ".join(str(each) for each in report.held_globals[:SHOWN])
    return f"{safe}; or have security allow exactly what it names, for this asset and for a while: {names}."
