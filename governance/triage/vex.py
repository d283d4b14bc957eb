"""VEX documents become statements: by whoever attached them, about the findings that they name exactly.

Rows are the queue: a document has something to say as long as it names an open finding that has no statement out of
it. So a finding that opens long after a document was attached is covered, too, and nothing is stated twice.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db import transaction
from django.db.models import BooleanField, Exists, F, Func, JSONField, OuterRef, Q, QuerySet, Subquery
from django.db.models.fields.json import KeyTransform
from django.utils import timezone

from audit import log, seal
from audit.events import Event
from governance import challenges
from governance.models import Advisory, AdvisoryImport, Finding, TriageStatement
from governance.models.findings import Justification, Triage
from governance.triage import matching, rules, statements
from portal.errors import Fault, Invalid, Refused, show
from registry import evidence as documents
from registry import readers, storage
from registry.models import Evidence, State, User, Version
from registry.readers import Claim, Product, cyclonedx_vex

logger = logging.getLogger(__name__)
KIND = "vex"
MAX_SBOMS = 5
MAX_REMEMBERED = 20_000
# What a service says as a document; only people accept a risk.
SPOKEN = {Triage.NOT_AFFECTED: "not_affected", Triage.FIXED: "fixed", Triage.OPEN: "affected"}
# Documents that were looked at and name nothing exactly, with all that they were held against: the answer cannot change
# before one of these does. Only a memory; a process that does not have it looks again.
_fruitless: set[tuple[Any, ...]] = set()


class _Holds(Func):
    """Whether a JSON list has a member."""

    template = "(%(expressions)s)"
    arg_joiner = " @> "
    output_field = BooleanField()


class _Json(Func):
    """A value as JSON."""

    function = "to_jsonb"
    output_field = JSONField()


class _Overlaps(Func):
    """Whether a JSON list has a text of another one."""

    template = "jsonb_exists_any(%(expressions)s)"
    output_field = BooleanField()


class _Texts(Func):
    """A JSON list as an array of texts."""

    template = "ARRAY(SELECT jsonb_array_elements_text(%(expressions)s))"


def take_in_due() -> int:
    """State what the documents say about findings that they name and have not spoken about. Returns how many."""
    runner = User.objects.system("runner")
    newest = AdvisoryImport.objects.order_by("-pk").values_list("pk", flat=True).first()
    made = 0
    for row in due():
        looked = (row.public_id, newest, row.latest, row.version.identity_digest, tuple(sorted(row.named)))
        if looked in _fruitless:
            continue
        try:
            said = len(take_in(row, actor=runner))
        except (Invalid, Refused, storage.Unreadable):
            # One document that cannot be read must not keep the others waiting.
            logger.exception("The VEX document %s cannot be taken in.", row.public_id)
            said = 0
        if not said:
            if len(_fruitless) >= MAX_REMEMBERED:
                _fruitless.clear()
            _fruitless.add(looked)
        made += said
    return made


def due() -> QuerySet[Any]:
    """Return the documents that name an open finding of their version without having spoken about it, oldest first.

    Each carries `named`, the ids of these findings; whether product and package are right is found out by `take_in`.
    """
    said = TriageStatement.objects.filter(evidence=OuterRef(OuterRef("pk")), finding=OuterRef("pk"))
    known_as = Advisory.objects.filter(group=OuterRef("vulnerability"), withdrawn=None).filter(
        Q(_Holds(OuterRef(OuterRef("names")), _Json(F("id"))))
        | Q(_Overlaps(OuterRef(OuterRef("names")), _Texts(F("aliases"))))
    )
    named = Finding.objects.filter(version=OuterRef("version"), closed_at=None).filter(
        ~Exists(said), Q(_Holds(OuterRef("names"), _Json(F("vulnerability")))) | Exists(known_as)
    )
    rows = Evidence.objects.filter(kind=KIND).exclude(version__state=State.RETIRED)
    rows = rows.annotate(names=KeyTransform("vulnerabilities", "summary")).filter(Exists(named))
    latest = Evidence.objects.filter(version=OuterRef("version")).order_by("-pk").values("pk")[:1]
    rows = rows.annotate(named=ArraySubquery(named.values("public_id")), latest=Subquery(latest))
    return rows.select_related("version", "attached_by").order_by("pk")


def take_in(evidence: Evidence, *, actor: User) -> list[TriageStatement]:
    """State what a document says about the open findings of its version, in the name of whoever attached it.

    A team's own document clears nothing by itself: its statements wait for security. Taking a document in again states
    nothing twice.
    """
    with transaction.atomic():
        challenges.lock(evidence.version)
        version = Version.objects.select_related("asset__team").get(pk=evidence.version_id)
        actor.require("sweep", version)
        found = list(
            version.findings.select_for_update(of=("self",))
            .filter(closed_at=None)
            .exclude(statements__evidence=evidence)
            .order_by("pk")
        )
        if version.state == State.RETIRED or not found:
            return []
        claims = claims_of(evidence.sha256, evidence.size)
        scope, names = scope_of(version, claims), names_of(found)
        chosen = [(each, matching.claim_about(names[each.pk], each.purl, claims, scope)) for each in found]
        stater = evidence.attached_by
        return [say(each, claim, evidence, stater, actor=actor) for each, claim in chosen if claim is not None]


def say(finding: Finding, claim: Claim, evidence: Evidence, stater: User, *, actor: User) -> TriageStatement:
    """Write one claim down as a statement about a locked finding."""
    status = Triage(claim.status)
    with log.record(
        Event.FINDING_TRIAGED, actor=stater, subject=finding, status=str(status), source=f"vex:{evidence.sha256}"
    ) as entry:
        said = {
            "status": status,
            "justification": claim.justification,
            "reason": claim.reason.strip() or f"{evidence.filename} says so and gives no words.",
            "until": None,
        }
        statement = statements.write(finding, said, by=stater, evidence=evidence, actor=actor)
        entry.note(**statements.noted(statement))
    return statement


@lru_cache(maxsize=64)
def claims_of(sha256: str, size: int) -> tuple[Claim, ...]:
    """Return the claims of a stored document. The same bytes always say the same."""
    return readers.read(storage.read(sha256, max_bytes=size), kind=KIND).claims


def names_of(found: Iterable[Finding]) -> dict[int, frozenset[str]]:
    """Return every name of each finding's vulnerability, by the finding's id, in one query."""
    rows = list(found)
    groups: defaultdict[str, set[str]] = defaultdict(set)
    wanted = {row.vulnerability for row in rows}
    known = Advisory.objects.filter(group__in=wanted, withdrawn=None).values_list("group", "id", "aliases")
    for group, identifier, aliases in known:
        groups[group] |= {identifier, *aliases}
    return {row.pk: frozenset({row.vulnerability, *row.advisory_ids, *groups[row.vulnerability]}) for row in rows}


def own_purl(version: Version) -> str:
    """Return the purl under which a document may name a version that is no package of any registry."""
    return f"pkg:generic/{version.asset.slug}@{version.number.replace('+', '%2B')}"


def scope_of(version: Version, claims: Iterable[Claim]) -> matching.Scope:
    """Return what a version goes by, with every BOM-Link of some claims that leads into one of its SBOMs."""
    links = frozenset(product.link for claim in claims for product in claim.products if product.link)
    linked: dict[str, Product] = {}
    if links:
        newest = list(version.evidence.filter(kind="sbom", reader="cyclonedx")[:MAX_SBOMS])
        for row in reversed(newest):
            linked |= linked_in(row.sha256, row.size, links)
    digests = frozenset({version.artifact_sha256, version.identity_digest} - {""})
    return matching.Scope(digests, own_purl(version), linked)


@lru_cache(maxsize=32)
def linked_in(sha256: str, size: int, links: frozenset[str]) -> dict[str, Product]:
    """Return what BOM-Links lead to in one stored SBOM."""
    return cyclonedx_vex.follow(storage.read(sha256, max_bytes=size), links)


def state_by_document(
    finding: Finding, *, actor: User, status: str, justification: str = "", reason: str
) -> TriageStatement:
    """State about a finding as a service does: in an OpenVEX document of its own, which is kept as evidence.

    The same words again return the statement that is there. Only a person accepts a risk.
    """
    if status not in SPOKEN:
        raise Invalid(Fault("status", show(status), f"one of {', '.join(SPOKEN)}; only a person accepts a risk"))
    rules.expect_words(status, justification, reason, None)
    actor.require("evidence.attach", finding.version)
    rules.expect_current(finding)
    last = finding.statements.last()
    wanted = (status, justification, reason.strip(), actor.pk)
    if last is not None and (last.status, last.justification, last.reason, last.stated_by_id) == wanted:
        return last
    body = seal.canonical(as_openvex(finding, Triage(status), justification, reason.strip(), actor))
    name = f"{finding.vulnerability}.openvex.json"
    with transaction.atomic():
        # The family is locked in its order before anything locks the version alone.
        challenges.lock(finding.version)
        row = documents.attach(finding.version, actor=actor, kind=KIND, filename=name, body=body)
        take_in(row, actor=User.objects.system("runner"))
    made = TriageStatement.objects.filter(finding=finding, evidence=row).first()
    if made is None:
        raise Refused("not_stated", f"{finding} cannot be stated about by a document: its package has no version.")
    return made


def as_openvex(finding: Finding, status: Triage, justification: str, reason: str, actor: User) -> dict[str, Any]:
    """Return a statement as an OpenVEX document about the version, limited to the finding's package."""
    words = {Triage.NOT_AFFECTED: "impact_statement", Triage.OPEN: "action_statement"}.get(status, "status_notes")
    product = {"@id": own_purl(finding.version), "subcomponents": [{"@id": finding.purl}]}
    said = {
        "vulnerability": {"name": finding.vulnerability},
        "products": [product],
        "status": SPOKEN[status],
        words: reason,
    }
    document = {
        "@context": "https://openvex.dev/ns/v0.2.0",
        "author": actor.username,
        "timestamp": seal.instant(timezone.now()),
        "version": 1,
        "statements": [said | ({"justification": str(Justification(justification))} if justification else {})],
    }
    return {**document, "@id": f"urn:sha256:{seal.digest(json.loads(json.dumps(document)))}"}
