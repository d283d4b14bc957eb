"""Who decided what, when, until when, and under which signature."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from audit.reports.base import Column, Filters, Report, Row, key_of, narrowed
from audit.reports.names import names_of
from governance import dues
from governance.models import Decision, Reliance


class Decisions(Report):
    """Every approval, rejection and revocation, with what its signed statement says."""

    slug = "decisions"
    title = "Decisions"
    question = "Who decided what, when, and until when does it hold?"
    filters = ("asset", "environment", "since", "until")
    columns = (
        Column("Decided", "time", brief=True),
        Column("Verdict", "word", brief=True),
        Column("Reason", "note", brief=True),
        Column("Version", "version", brief=True),
        Column("Environment", brief=True),
        Column("Decided by", brief=True),
        Column("Account"),
        Column("Approvals", "note", brief=True),
        Column("Valid until", "time", brief=True),
        Column("Stands", "word", brief=True),
        Column("Signed", "time"),
        Column("Signing key", "digest"),
        Column("Identity digest", "digest"),
        Column("Dossier digest", "digest"),
        Column("Policy"),
        Column("Policy digest", "digest"),
        Column("Rests on waivers"),
        Column("Decision", "decision"),
        Column("Revokes", "decision"),
        Column("Ledger entry", "entry", brief=True),
    )

    def select(self, filters: Filters, as_of: datetime) -> QuerySet[Decision]:
        """Return the decisions made by then, newest first."""
        rows = narrowed(Decision.objects.all(), filters, as_of, at="made_at", environment="environment")
        related = rows.select_related("version__asset", "made_by", "signature", "revocation", "revokes")
        bared = Reliance.objects.filter(decision=OuterRef("pk"), waiver__revoked_at__lte=as_of)
        related = related.annotate(is_late=Exists(dues.late(as_of)), is_bared=Exists(bared))
        return related.order_by("-made_at", "-pk")

    def tell(self, found: Sequence[Decision], as_of: datetime) -> Iterator[Row]:
        """Yield a row for each decision; what it says comes out of the exact bytes that are signed."""
        statements = [json.loads(bytes(decision.payload))["predicate"] for decision in found]
        named = [each for said in statements for each in said["approvals"]]
        names = names_of(each.get(key) or each["principal"] for each in named for key in ("principal", "onBehalfOf"))
        for decision, said in zip(found, statements, strict=True):
            signature = signature_at(decision, as_of)
            yield (
                decision.made_at,
                decision.verdict,
                decision.reason,
                decision.version.label,
                decision.environment,
                str(decision.made_by),
                decision.made_by.ledger_name,
                "; ".join(f"{each['role']}: {voice(each, names)}" for each in said["approvals"]),
                decision.expires_at,
                stands(decision, as_of),
                signature.signed_at if signature else None,
                signature.keyid if signature else None,
                decision.identity_digest,
                said["dossier"]["sha256"],
                f"{said['policy']['name']} v{said['policy']['version']}",
                said["policy"]["digest"]["sha256"],
                "; ".join(f"{each['control']} until {each['expiresAt']}" for each in said["exceptions"]),
                str(decision.public_id),
                str(decision.revokes.public_id) if decision.revokes else None,
                key_of(decision),
            )

    def say(self, row: Row) -> str:
        """Return "Rhea approved fraud-scorer@2.1.0 for production"."""
        _, verdict, _, version, environment, by, *_ = row
        return f"{by} {verdict} {version} for {environment}"


def voice(told: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return who gave a verdict, and on whose behalf, if any."""
    behalf = told.get("onBehalfOf")
    return names[told["principal"]] + (f" for {names[behalf]}" if behalf else "")


def stands(decision: Any, as_of: datetime) -> str | None:
    """Return whether a selected approval was in force at an instant, or what had ended it; None for other verdicts.

    This is about the decision alone. Whether a version may serve is judged by `governance.standing`.
    """
    if decision.verdict != "approved":
        return None
    revocation = getattr(decision, "revocation", None)
    if revocation is not None and revocation.made_at <= as_of:
        return "revoked"
    if decision.expires_at is not None and decision.expires_at <= as_of:
        return "expired"
    if decision.is_late:
        return "condition late"
    if decision.is_bared:
        return "waiver revoked"
    return "in force" if signature_at(decision, as_of) else "unsigned"


def signature_at(decision: Decision, as_of: datetime) -> Any:
    """Return the signature, if it was there at an instant."""
    signature = getattr(decision, "signature", None)
    return signature if signature is not None and signature.signed_at <= as_of else None
