"""Was it governed? Serving windows held against the standing that their digest had while they lasted.

`governance.standing` stays the only judge. It is asked once for each stretch of time in which no answer about these
digests can change, so a page of windows, or a chunk of an export, costs a few queries and not one a window.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from audit.models import ServingWindow
from governance import standing
from governance.models import ConsumerGrant, Decision, Transition
from governance.standing import Standing
from registry.models import State, Version


@dataclass(frozen=True)
class Judgement:
    """What is said about one window: governed, partly governed, ungoverned or unregistered, by which decision, why."""

    verdict: str
    version: str = ""
    decision: str = ""
    why: str = ""


def judge(windows: Sequence[ServingWindow]) -> list[Judgement]:
    """Return the judgement on each window.

    A window is governed when its digest was allowed to serve, in its environment and for its consumer, at every
    instant of it; partly governed when it was at some.
    """
    over_time = StandingsOverTime({window.digest for window in windows})
    return [summed_up(over_time.during(window), window) for window in windows]


def summed_up(answers: list[Standing | None], window: ServingWindow) -> Judgement:
    """Return one judgement from the standings that a window lived through."""
    known = [answer for answer in answers if answer is not None and answer.version is not None]
    if not known:
        return Judgement(
            "unregistered", why=f"Nothing with the identity digest {window.digest[:12]}… was registered then."
        )
    allowed = [answer for answer in known if answer.allow]
    refused = [answer for answer in known if not answer.allow]
    label = known[0].version.label if known[0].version else ""
    if len(allowed) == len(answers):
        return Judgement("governed", label, allowed[0].decision_id)
    why = refused[0].says if refused else "It was registered only while the window lasted."
    if allowed:
        return Judgement("partly governed", label, allowed[0].decision_id, f"For a part of the window: {why}")
    return Judgement("ungoverned", label, refused[0].decision_id, why)


class StandingsOverTime:
    """What `governance.standing` says about some digests at any instant, asked once for each stretch of time."""

    def __init__(self, digests: set[str]) -> None:
        self._digests = digests
        self._edges = changes(digests)
        self._asked: dict[tuple[int, str, str], dict[str, Standing]] = {}

    def during(self, window: ServingWindow) -> list[Standing | None]:
        """Return the standings that a window lived through, oldest first; None before anything was registered."""
        edges = self._edges[bisect_right(self._edges, window.start) : bisect_left(self._edges, window.end)]
        return [self._at(instant, window) for instant in (window.start, *edges)]

    def _at(self, instant: datetime, window: ServingWindow) -> Standing | None:
        """Return the standing at an instant. Only deprecated versions look at who asks."""
        answer = self._ask(instant, window.environment, "").get(window.digest)
        if answer is not None and answer.state == State.DEPRECATED and window.consumer:
            answer = self._ask(instant, window.environment, window.consumer).get(window.digest)
        return answer

    def _ask(self, instant: datetime, environment: str, consumer: str) -> dict[str, Standing]:
        """Return the standing of every digest at an instant, from memory within one stretch."""
        key = (bisect_right(self._edges, instant), environment, consumer)
        if key not in self._asked:
            self._asked[key] = standings(self._digests, environment, instant, consumer)
        return self._asked[key]


def standings(digests: set[str], environment: str, at: datetime, consumer: str) -> dict[str, Standing]:
    """Return the standing of each registered digest, chosen among its versions as `standing.of_digest` does."""
    rows = Version.objects.filter(identity_digest__in=digests, registered_at__lte=at).select_related("asset")
    found: dict[str, Standing] = {}
    for row in standing.facts(rows, environment, at, consumer):
        answer = standing.judge(row, environment, at, consumer)
        if row.identity_digest not in found or (answer.allow and not found[row.identity_digest].allow):
            found[row.identity_digest] = answer
    return found


def changes(digests: set[str]) -> list[datetime]:
    """Return every instant at which a standing of these digests may have changed, in one query, in order."""
    versions = Version.objects.filter(identity_digest__in=digests)
    decisions = Decision.objects.filter(version__identity_digest__in=digests)
    moves = Transition.objects.filter(version__identity_digest__in=digests)
    grants = ConsumerGrant.objects.filter(version__identity_digest__in=digests)
    sources: list[tuple[QuerySet, str]] = [
        (decisions, "made_at"),
        (decisions, "expires_at"),
        (decisions, "signature__signed_at"),
        (moves, "at"),
        (moves, "sunset_at"),
        (grants, "granted_at"),
    ]
    listed = [rows.order_by().values_list(field, flat=True) for rows, field in sources]
    instants = versions.order_by().values_list("registered_at", flat=True).union(*listed)
    return sorted(instant for instant in instants if instant is not None)
