"""What waits for whose answer, read for lists: the same rules as the verbs ask, without a query for each row.

Who edited a draft is left out here, as everywhere in lists; the verb asks that, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Prefetch

from governance import independence
from governance.models import Submission, TriageStatement
from governance.permissions import seats_of, visible
from governance.triage import rules
from governance.triage.statements import waiting
from registry.models import Asset, Evidence, User

MAX_ROWS = 200
PAPERS = ("provenance", "evaluation")


@dataclass(frozen=True)
class Standpoint:
    """What a person brings to triage, read once for a page."""

    user: User
    is_security: bool
    everywhere: bool
    teams: frozenset[int]
    grants: frozenset[tuple[int, str]]

    def works_for(self, asset: Asset) -> bool:
        """Return whether the person is on the asset's team, or was granted a place beside it."""
        return asset.team_id in self.teams or (asset.pk, "contribute_asset") in self.grants

    def secures(self, asset: Asset) -> bool:
        """Return whether the person sits in the role security for the asset."""
        return self.is_security and (self.everywhere or (asset.pk, "review_asset") in self.grants)

    def may_state(self, asset: Asset) -> bool:
        """Return whether the person may state something about the asset's findings."""
        return self.user.kind == "person" and (self.works_for(asset) or self.secures(asset))


def standpoint(user: User, teams: Iterable[int] | None = None) -> Standpoint:
    """Return what a person brings, in one query, two where the teams are not known yet."""
    seat = next((seat for seat in seats_of(user) if seat.role == "security"), None)
    grants = user.assetusergrant_set.values_list("content_object_id", "permission__codename")
    known = user.memberships.values_list("team_id", flat=True) if teams is None else teams
    return Standpoint(user, seat is not None, seat is not None and seat.everywhere, frozenset(known), frozenset(grants))


def waiting_for(point: Standpoint, vulnerability: str = "") -> list[TriageStatement]:
    """Return the statements that wait for a person's answer as the second person, oldest first."""
    user = point.user
    if not point.is_security or user.kind != "person":
        return []
    rows = waiting().filter(finding__vulnerability=vulnerability) if vulnerability else waiting()
    submitted = Submission.objects.filter(version=OuterRef("finding__version"), submitted_by=user)
    papers = Prefetch("finding__version__evidence", Evidence.objects.filter(kind__in=PAPERS), to_attr="papers")
    found = (
        visible(user, rows, asset="finding__version__asset")
        .exclude(stated_by=user)
        .annotate(is_submitter=Exists(submitted))
        .select_related("finding__version__asset__team", "stated_by", "evidence", "answer")
        .prefetch_related(papers)
    )
    return [row for row in found[:MAX_ROWS] if can_answer(point, row)]


def turns(user: User, teams: Iterable[int]) -> list[list[TriageStatement]]:
    """Return what waits for a person's answer, in groups; only whoever sits in security costs a query."""
    if all(seat.role != "security" for seat in seats_of(user)):
        return []
    return grouped(waiting_for(standpoint(user, teams)))


def can_answer(point: Standpoint, row: Any) -> bool:
    """Return whether a person can answer a statement that was read with its version's papers."""
    version = row.finding.version
    if not point.secures(version.asset) or rules.is_own(row, point.user):
        return False
    hand = independence.hand_in(version, point.user, version.papers)
    return not rules.described(point.user, hand, submitted=row.is_submitter, team=point.works_for(version.asset))


def grouped(rows: Iterable[TriageStatement]) -> list[list[TriageStatement]]:
    """Return statements in groups that say the same about one vulnerability, in the order of their first ones."""
    groups: defaultdict[tuple[Any, ...], list[TriageStatement]] = defaultdict(list)
    for row in rows:
        groups[
            (row.finding.vulnerability, row.stated_by_id, row.status, row.justification, row.reason, row.until)
        ].append(row)
    return list(groups.values())
