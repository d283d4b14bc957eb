"""The replay of a proposed policy: which open submissions and versions in force would be judged otherwise, and why.

Both texts are held against the same facts at the same instant, so that what differs comes from the text alone. Nothing
is written: checks are asked in memory, except those that read an artifact's bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db.models import Q

from audit import seal
from governance import requirements, standing, submissions
from governance.checks import BY_SLUG, Dossier, runner, verdicts
from governance.checks.verdicts import RuleVerdict
from governance.models import CheckRun, Decision, Policy, Submission
from governance.models.submissions import SubmissionState
from governance.policy import governed
from registry import dossier
from registry.models import Version

MAX_VERSIONS = 500
# They read every byte of an artifact, which takes minutes: a replay uses their answers and never asks them.
LONG = frozenset({"artifact-scan", "checksum"})
ASKED = frozenset({"missing", "queued", "stale"})


@dataclass(frozen=True)
class Change:
    """What one rule would do otherwise: `to` is red, green, asked or gone, and `says` is why."""

    rule: str
    to: str
    says: str


@dataclass(frozen=True)
class Flip:
    """One open submission, or one version in force in one environment, under its policy and under the proposed one.

    `kind` is submission, version, or rest for those beyond the bound; `id` names it for ever.
    """

    kind: str
    id: str
    label: str
    environment: str
    policy: str
    where: str
    can_move: bool = True
    changes: tuple[Change, ...] = ()
    roles_added: tuple[str, ...] = ()
    roles_gone: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()

    @property
    def stays(self) -> bool:
        """Return whether nothing would be judged otherwise."""
        return self.can_move and not (self.changes or self.roles_added or self.roles_gone)

    @property
    def effect(self) -> str:
        """Return the worst that would happen, in one word: blocked, roles, asked, eased or stays."""
        kinds = {change.to for change in self.changes}
        if not self.can_move or "red" in kinds:
            return "blocked"
        if self.roles_added:
            return "roles"
        if "asked" in kinds:
            return "asked"
        return "stays" if self.stays else "eased"

    def as_dict(self) -> dict[str, Any]:
        """Return the flip as plain data, as a proposal keeps it."""
        return {**asdict(self), "stays": self.stays, "effect": self.effect}


@dataclass
class Answers:
    """What checks answer under whatever policy: recorded where an answer fits, in memory where none does."""

    at: datetime
    pictures: Mapping[int, dict[str, Any]]
    recorded: Mapping[tuple[int, str], list[CheckRun]]
    known: dict[tuple[int, str, str], CheckRun | None] = field(default_factory=dict)

    def under(self, version: Version, rules: Policy, environment: str) -> dict[str, CheckRun]:
        """Return the answer to each rule that a policy asks for an environment; without one, it would be asked anew."""
        named = [*rules.content["baseline"]["rules"], *requirements.asked_at_most_in(rules, environment)]
        found = {slug: self.of(version, slug, rules) for slug in named if slug in BY_SLUG}
        return {slug: run for slug, run in found.items() if run is not None}

    def of(self, version: Version, slug: str, rules: Policy) -> CheckRun | None:
        """Return the answer to one rule under its parameters in a policy, asked once for each version."""
        key = (version.pk, slug, seal.digest(rules.rule(slug)))
        if key not in self.known:
            self.known[key] = self.find(version, slug, rules)
        return self.known[key]

    def find(self, version: Version, slug: str, rules: Policy) -> CheckRun | None:
        """Return a recorded answer to the same question, or ask in memory."""
        check, drawn = BY_SLUG[slug], self.pictures[version.pk]
        digest = runner.input_digest(check, version, drawn, rules)
        for run in self.recorded.get((version.pk, slug), ()):
            if run.input_digest == digest and (run.valid_until is None or self.at < run.valid_until):
                return run
        if slug in LONG:
            return None
        answer = runner.examine(check, Dossier(version, drawn, self.at), rules)
        return CheckRun(
            check_slug=slug, outcome=answer.outcome, says=answer.says, fix=answer.fix, facts=dict(answer.facts)
        )


def replay(content: Mapping[str, Any], *, at: datetime) -> list[Flip]:
    """Return what a policy's content would change, submissions first, each with the reasons; nothing is written.

    At most MAX_VERSIONS versions in force are looked at, the newest first; a last row says how many are left out.
    """
    rules = Policy(name=content["name"], content=content, digest=seal.digest(content))
    waiting = open_under(content, at=at)
    decided, left = in_force(rules, at=at)
    versions = {each.pk: each for each in [*(row.version for row in waiting), *(row.version for row in decided)]}
    answers = gather(list(versions.values()), at)
    rows = [of_submission(row, rules, answers) for row in waiting]
    rows += [of_decision(row, rules, answers) for row in decided]
    return [*rows, beyond(left)] if left else rows


def digest(content: Mapping[str, Any], flips: Iterable[Flip]) -> str:
    """Return the digest of what a replay came to and of the texts it replaces: another one means that what was shown
    is not so any more.

    Sentences are left out, because the age of a measurement in one of them changes nothing.
    """
    told = [
        {
            **{name: getattr(flip, name) for name in ("kind", "id", "environment", "policy", "can_move")},
            "changes": sorted(f"{change.rule}:{change.to}" for change in flip.changes),
            "roles": [list(flip.roles_added), list(flip.roles_gone)],
        }
        for flip in flips
    ]
    replaces = {kind: policy.digest for kind, policy in governed(content).items()}
    return seal.digest({"policy": seal.digest(content), "replaces": replaces, "flips": told})


def concerned(content: Mapping[str, Any]) -> Q:
    """Return which submissions a text is about: those under its name, and those of a kind that it will govern.

    The latter may be under a policy of another name, whose place the text would take without a word to them.
    """
    return Q(policy__name=content["name"]) | Q(version__asset__kind__in=content["applies_to"]["kinds"])


def open_under(content: Mapping[str, Any], *, at: datetime) -> list[Submission]:
    """Return the submissions that a text is about and that can still be answered, in their versions' order."""
    rows = Submission.objects.filter(concerned(content), submissions.answerable(at), state=SubmissionState.OPEN)
    related = ("version__asset__owner", "version__asset__backup_owner", "version__asset__team", "policy")
    return list(rows.select_related(*related).order_by("version_id", "pk"))


def in_force(rules: Policy, *, at: datetime) -> tuple[list[Decision], int]:
    """Return the decisions in force that a policy would govern, one a version and environment, and how many are not."""
    made = Decision.objects.filter(verdict="approved", made_at__lte=at, expires_at__gt=at)
    kinds = rules.content["applies_to"]["kinds"]
    rows = Version.objects.filter(pk__in=made.values("version"), asset__kind__in=kinds).order_by("-pk")
    places = list(made.order_by("environment").values_list("environment", flat=True).distinct())
    chosen = list(rows.values_list("pk", flat=True)[:MAX_VERSIONS])
    found = standing.of_all(chosen, places, at=at)
    named = [each.decision_id for each in found.values() if each.decision_id and each.state != "retired"]
    related = ("version__asset__owner", "version__asset__backup_owner", "version__asset__team", "submission__policy")
    decided = Decision.objects.filter(public_id__in=named).select_related(*related)
    return list(decided.order_by("version__asset__slug", "version_id", "environment")), rows.count() - len(chosen)


def gather(versions: list[Version], at: datetime) -> Answers:
    """Return what is known about versions, in a fixed number of queries."""
    recorded: defaultdict[tuple[int, str], list[CheckRun]] = defaultdict(list)
    runs = CheckRun.objects.filter(version__in=versions, ended_at__lte=at)
    each = ("version_id", "check_slug", "policy_id")
    for run in sorted(runs.order_by(*each, "-pk").distinct(*each), key=lambda run: -run.pk):
        recorded[(run.version_id, run.check_slug)].append(run)
    return Answers(at, dossier.pictures(versions), recorded)


def of_submission(submission: Submission, rules: Policy, answers: Answers) -> Flip:
    """Return what would become of an open submission."""
    place = submission.environment
    named = {"kind": "submission", "id": str(submission.public_id), "where": submission.get_absolute_url()}
    flip = compare(submission.version, place, submission.policy, rules, answers, named)
    asked = submission.reviews.filter(verdict="request_changes", withdrawal=None)
    wanted = [each.role for each in asked.filter(dossier_digest=submissions.current_digest(submission))]
    if not wanted or not flip.can_move:
        return flip
    # Only new content closes a request for changes; another policy would void it without any.
    says = f"Changes were requested for {', '.join(wanted)}: only new content, or whoever asked, closes that."
    return replace(flip, can_move=False, sentences=(*flip.sentences, says))


def of_decision(decision: Decision, rules: Policy, answers: Answers) -> Flip:
    """Return how a version in force would be judged if it were submitted again."""
    place = decision.environment
    named = {"kind": "version", "id": str(decision.public_id), "where": decision.version.get_absolute_url()}
    return compare(decision.version, place, decision.submission.policy, rules, answers, named)


def compare(version: Version, place: str, old: Policy, new: Policy, answers: Answers, named: Mapping[str, str]) -> Flip:
    """Hold a version against two policies, and say what differs."""
    told: dict[str, Any] = {**named, "label": version.label, "environment": place, "policy": str(old)}
    gap = find_gap(version, place, new)
    if gap:
        return Flip(**told, can_move=False, sentences=(gap,))
    before = verdicts.for_environment(version, old, place, at=answers.at, answers=answers.under(version, old, place))
    after = verdicts.for_environment(version, new, place, at=answers.at, answers=answers.under(version, new, place))
    changes = tuple(find_changes({each.rule: each for each in before}, {each.rule: each for each in after}))
    wanted = requirements.of(version, new, place, at=answers.at).approvals
    asked = requirements.of(version, old, place, at=answers.at).approvals
    added = tuple(role for role in wanted if role not in asked)
    gone = tuple(role for role in asked if role not in wanted)
    sentences = (*(change.says for change in changes), *say_roles(added, gone))
    return Flip(**told, changes=changes, roles_added=added, roles_gone=gone, sentences=sentences)


def find_gap(version: Version, place: str, rules: Policy) -> str:
    """Return why a policy does not speak about a version in an environment at all, or nothing."""
    if version.asset.kind not in rules.content["applies_to"]["kinds"]:
        return f"The proposed policy does not apply to {version.asset.get_kind_display().lower()}s."
    if place not in rules.environments:
        return f"The proposed policy does not know the environment {place}."
    return ""


def find_changes(before: Mapping[str, RuleVerdict], after: Mapping[str, RuleVerdict]) -> Iterable[Change]:
    """Yield what each rule would do otherwise, in the order of the proposed policy, and then what is asked no more."""
    for slug, verdict in after.items():
        old = before.get(slug)
        if verdict.outcome in ASKED:
            if old is None or old.outcome not in ASKED:
                yield Change(slug, "asked", f"{verdict.title} would be asked again: its settings are other ones.")
        elif verdict.is_green and old is not None and not old.is_green and old.outcome not in ASKED:
            yield Change(slug, "green", f"{verdict.title} would turn green: {verdict.says}")
        elif not verdict.is_green and (old is None or old.is_green or old.outcome in ASKED):
            newly = "is asked anew and would be red" if old is None else "would turn red"
            yield Change(slug, "red", f"{verdict.title} {newly}: {verdict.says}")
    for slug, old in before.items():
        if slug not in after:
            yield Change(slug, "gone", f"{old.title} would not be asked any more; it is {describe(old)} now.")


def describe(verdict: RuleVerdict) -> str:
    """Return the colour of a verdict in a word."""
    if verdict.outcome in ASKED:
        return "unanswered"
    return "green" if verdict.is_green else "red"


def say_roles(added: Iterable[str], gone: Iterable[str]) -> Iterable[str]:
    """Yield a sentence for each role that has to approve as well, and for each that has not."""
    yield from (f"{role.capitalize()} would have to approve as well." for role in added)
    yield from (f"{role.capitalize()} would not have to approve any more." for role in gone)


def beyond(left: int) -> Flip:
    """Return the row that says how much was not looked at."""
    says = f"{left:,} more versions may be in force; a replay looks at the newest {MAX_VERSIONS}."
    return Flip("rest", str(left), f"{left:,} more", "", "", "", sentences=(says,))
