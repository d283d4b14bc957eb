"""What `governance.standing` says about digests that served, over the time in which they did.

`governance.standing` stays the only judge. It is asked once for each stretch of time in which no answer about these
digests can change, and all stretches together, so any number of windows costs three queries.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from django.db.models import QuerySet, Value

from governance import standing
from governance.models import Challenge, CheckRun, ConsumerGrant, Decision, Obligation, Transition, Waiver
from governance.standing import Standing
from registry.models import State, Version

# How many stretches one query asks about.
MOST_TOGETHER = 50

# A stretch of time by its number, an environment, and who asks.
Question = tuple[int, str, str]


class Served(Protocol):
    """What is judged: a digest that served over [start, end), where, and for which consumer."""

    @property
    def digest(self) -> str:
        """Return the identity digest that served."""
        ...

    @property
    def environment(self) -> str:
        """Return where it served."""
        ...

    @property
    def consumer(self) -> str:
        """Return for which consumer, if any."""
        ...

    @property
    def start(self) -> datetime:
        """Return when it began."""
        ...

    @property
    def end(self) -> datetime:
        """Return when it was over."""
        ...


class StandingsOverTime:
    """What `governance.standing` says about the digests of some windows at every instant that they lived through."""

    def __init__(self, windows: Sequence[Served]) -> None:
        self._digests = {window.digest for window in windows}
        self._edges = sorted({instant for instants in changes(self._digests).values() for instant in instants})
        self._known: dict[Question, dict[str, Standing]] = {}
        self._learn((at, window.environment, "") for window in windows for at in self._instants(window))
        self._learn(
            (at, window.environment, window.consumer)
            for window in windows
            for at in self._instants(window)
            if self._asks_for_consumer(at, window)
        )

    def during(self, window: Served) -> list[Standing | None]:
        """Return the standings that a window lived through, oldest first; None before anything was registered."""
        return [
            self._answer(at, window, window.consumer if self._asks_for_consumer(at, window) else "")
            for at in self._instants(window)
        ]

    def _instants(self, window: Served) -> list[datetime]:
        """Return the start of a window, and every instant within it at which something may have changed."""
        first, last = bisect_right(self._edges, window.start), bisect_left(self._edges, window.end)
        return [window.start, *self._edges[first:last]]

    def _asks_for_consumer(self, at: datetime, window: Served) -> bool:
        """Return whether the answer depends on who asks: only deprecated versions look at that."""
        answer = self._answer(at, window, "")
        return bool(window.consumer) and answer is not None and answer.state == State.DEPRECATED

    def _answer(self, at: datetime, window: Served, consumer: str) -> Standing | None:
        """Return the standing of a window's digest at an instant."""
        return self._known[self._stretch(at), window.environment, consumer].get(window.digest)

    def _stretch(self, at: datetime) -> int:
        """Return the number of the stretch of time that an instant lies in; within one, no answer changes."""
        return bisect_right(self._edges, at)

    def _learn(self, wanted: Iterable[tuple[datetime, str, str]]) -> None:
        """Ask each stretch, environment and consumer once, all together."""
        asked = {(self._stretch(at), environment, consumer): at for at, environment, consumer in wanted}
        self._known |= standings(self._digests, asked)


def standings(digests: set[str], asked: Mapping[Question, datetime]) -> dict[Question, dict[str, Standing]]:
    """Return, for each question with its instant, the standing of each digest that was registered by then.

    Where several versions have one digest, the choice among them is that of `standing.of_digest`.
    """
    found: dict[Question, dict[str, Standing]] = {question: {} for question in asked}
    questions = list(asked.items())
    for start in range(0, len(questions), MOST_TOGETHER):
        part = questions[start : start + MOST_TOGETHER]
        first, *others = [facts_at(digests, number, *question) for number, question in enumerate(part)]
        for row in first.union(*others, all=True) if others else first:
            question, at = part[row.asked]
            _, environment, consumer = question
            answer, known = standing.judge(row, environment, at, consumer), found[question].get(row.identity_digest)
            found[question][row.identity_digest] = answer if known is None else max(known, answer, key=preference)
    return found


def facts_at(digests: set[str], number: int, question: Question, at: datetime) -> QuerySet[Any]:
    """Return what the judge needs about the versions of some digests as of an instant, marked with a number."""
    _, environment, consumer = question
    versions = Version.objects.filter(identity_digest__in=digests, registered_at__lte=at).select_related("asset")
    needed = versions.only("number", "identity_digest", "registered_at", "asset__slug").order_by()
    known = standing.facts(needed, environment, at, consumer)
    return known.annotate(asked=Value(number), was_admitted=standing.admitted(at))


def preference(answer: Standing) -> tuple[bool, bool, datetime, int]:
    """Return what makes one of several versions answer for their digest: a yes, having been a candidate, or its age."""
    version: Any = answer.version
    if version is None:
        raise AssertionError("unreachable: judged versions have a version")
    return answer.allow, version.was_admitted, version.registered_at, version.pk


def changes(digests: set[str]) -> dict[str, list[datetime]]:
    """Return every instant at which a standing of each digest may have changed, in one query, in order."""
    of: dict[str, list[datetime]] = {}
    versions = Version.objects.filter(identity_digest__in=digests)
    decisions = Decision.objects.filter(version__identity_digest__in=digests)
    moves = Transition.objects.filter(version__identity_digest__in=digests)
    grants = ConsumerGrant.objects.filter(version__identity_digest__in=digests)
    doubts = Challenge.objects.filter(version__identity_digest__in=digests)
    waivers = Waiver.objects.filter(version__identity_digest__in=digests)
    # A challenge by another licence is over when the licence check that read it has passed.
    answers = CheckRun.objects.filter(version__identity_digest__in=digests, version__challenges__cause="relicensed")
    conditions = Obligation.objects.filter(review__submission__version__identity_digest__in=digests)
    sources: list[tuple[QuerySet, str]] = [
        (decisions, "made_at"),
        (decisions, "expires_at"),
        (decisions, "signature__signed_at"),
        (decisions, "reliances__waiver__revoked_at"),
        (moves, "at"),
        (moves, "sunset_at"),
        (grants, "granted_at"),
        (doubts, "opened_at"),
        (doubts, "due_at"),
        (doubts, "end__ended_at"),
        (answers.filter(check_slug="licence"), "ended_at"),
        (waivers, "decided_at"),
        (waivers, "expires_at"),
        (waivers, "revoked_at"),
    ]
    listed = [rows.order_by().values_list("version__identity_digest", field) for rows, field in sources]
    listed.append(conditions.order_by().values_list("review__submission__version__identity_digest", "due_at"))
    first = versions.order_by().values_list("identity_digest", "registered_at")
    for digest, instant in first.union(*listed) if digests else ():
        if instant is not None:
            of.setdefault(digest, []).append(instant)
    return {digest: sorted(instants) for digest, instants in of.items()}
