"""Recording that a version is licensed otherwise from now on. What was registered stays as it is.

Its licence check, and that of everything made from it, is asked again; what is in force is challenged until it passes.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from audit import log
from audit.events import Event
from governance import challenges, lifecycle, policy
from governance.checks import runner
from governance.models import Challenge, CheckRequest, Submission
from governance.models.challenges import Cause
from governance.models.submissions import SubmissionState
from portal.errors import Fault, Invalid, Refused
from registry import completeness, drafts, licensing
from registry.models import Relicensing, State, User, Version
from registry.readers.licences import spdx_expression

RULE = challenges.RULES[Cause.RELICENSED]
NOT_TYPED = ("version", "before", "recorded_by")


def record(version: Version, licence: str, *, source: str, reason: str, actor: User) -> Relicensing | None:
    """Record the licence that a version has from now on, with where that is said and why it is recorded.

    Returns None when that is its licence already: once more changes nothing. Raises Invalid when it is no licence
    expression, Refused for a draft that can still be edited.
    """
    licence = spdx_expression(licence) or licence.strip()
    with log.record(Event.VERSION_RELICENSED, actor=actor, subject=version, licence=licence) as entry:
        members = {member.pk: member for member in challenges.lock(version)}
        version = members[version.pk]
        actor.require("version.relicense", version)
        expect_relicensable(version, licence)
        lifecycle.expect_reason(reason)
        now, before = timezone.now(), licensing.effective(version)
        if licence in {before, spdx_expression(before)}:
            entry.skip()
            return None
        told = Relicensing(version=version, licence=licence, before=before, source=source.strip(), reason=reason)
        told.recorded_by, told.recorded_at = actor, now
        drafts.validated(told, exclude=NOT_TYPED)
        told.save()
        entry.note(before=before, source=told.source)
        doubted = challenges.follow(version, Cause.RELICENSED, members, at=now, actor=actor)
        ask(members.values(), doubted, actor=actor)
    return told


def expect_relicensable(version: Version, licence: str) -> None:
    """Raise unless a version's content is frozen and the licence can be read."""
    if not version.is_frozen:
        says = f"{version.label} is an open draft: its licence is changed on its form."
        raise Refused("not_relicensable", says)
    if not licence:
        raise Invalid(Fault("licence", "nothing", "an SPDX licence expression or LicenseRef-…"))
    if faults := completeness.check_licence(licence):
        raise Invalid(*faults)


def ask(members: Iterable[Version], doubted: Iterable[Challenge], *, actor: User) -> int:
    """Queue the licence check of locked versions under every policy that asks it of them. Returns how many."""
    living = {each.pk: each for each in members if runner.can_be_asked(each)}
    governing = {each.asset.kind: policy.governing(each) for each in living.values()}
    opened = Submission.objects.filter(version__in=living, state=SubmissionState.OPEN).select_related("policy")
    asking = [(each, governing[each.asset.kind]) for each in living.values()]
    asking += [(living[row.version_id], row.policy) for row in opened]
    asking += [(living[row.version_id], row.policy) for row in doubted if row.version_id in living]
    wanted = {(each.pk, rules.pk): (each, rules) for each, rules in asking if RULE in runner.slugs_of(rules)}
    return sum(runner.request(each, [RULE], rules, actor=actor) for each, rules in wanted.values())


def ask_due() -> int:
    """Queue the licence check again of what is challenged and has no answer that knows the other licence.

    A check that was being answered while the licence was recorded took its request away with it. Returns how many.
    """
    runner_account = User.objects.system("runner")
    knowing = Q(read_until__gte=OuterRef("opened_at")) | Q(outcome="error", ended_at__gt=OuterRef("opened_at"))
    waiting = CheckRequest.objects.filter(version=OuterRef("version"), policy=OuterRef("policy"), check_slug=RULE)
    rows = challenges.opened(timezone.now()).filter(cause=Cause.RELICENSED).exclude(version__state=State.RETIRED)
    rows = rows.exclude(Exists(challenges.licence_answers().filter(knowing)) | Exists(waiting))
    found = {(row.version_id, row.policy_id): row for row in rows.select_related("version__asset", "policy")}
    return sum(runner.request(row.version, [RULE], row.policy, actor=runner_account) for row in found.values())
