"""Asks checks and records their answers. Requests are rows: a killed worker loses nothing and doubles nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Q, Subquery
from django.db.models.functions import Greatest
from django.utils import timezone

from audit import log, seal
from audit.events import Event
from governance import findings, policy, requirements
from governance.checks import BY_SLUG, Answer, Check, Dossier, artifact_scan
from governance.checks.base import errored
from governance.models import CheckRequest, CheckRun, Finding, Policy
from governance.models.runs import Outcome
from portal.errors import Refused
from portal.jobs import Job, ring
from registry import dossier
from registry.models import User, Version

logger = logging.getLogger(__name__)
LEASE = timedelta(minutes=15)
MAX_ATTEMPTS = 3
REVISION = "1"
# When something was told about a version: a document attached, or the report in it signed.
TOLD = ("evidence__attached_at", "evidence__signatures__signed_at")


def input_digest(check: Check, version: Version, drawn: dict[str, Any], rules: Policy) -> str:
    """Return the digest of everything an answer depends on: another value means the answer is stale."""
    return seal.digest(
        {
            "check": check.slug,
            "revision": REVISION,
            "sections": {name: drawn[name] for name in check.sections},
            "outside": seal.plain(check.outside(version)),
            "rule": rules.rule(check.slug),
        }
    )


def request(version: Version, slugs: Iterable[str], rules: Policy, *, actor: User) -> int:
    """Queue checks of a version under a policy; one that waits already is not queued twice. Returns how many."""
    now = timezone.now()
    made = 0
    for slug in slugs:
        _, created = CheckRequest.objects.get_or_create(
            version=version, check_slug=slug, policy=rules, defaults={"requested_by": actor, "requested_at": now}
        )
        made += created
    if made:
        ring(Job.RUN_CHECKS)
    return made


def request_stale(version: Version, rules: Policy, *, actor: User, errors_too: bool = False) -> int:
    """Queue every check of a policy whose newest answer is missing or stale, or an error when somebody asks again."""
    drawn = dossier.picture(version)
    newest = newest_runs(version, rules)
    now = timezone.now()
    wanted = []
    for slug in slugs_of(rules):
        run = newest.get(slug)
        again = errors_too and run is not None and run.outcome == Outcome.ERROR
        if run is None or again or not is_fresh(run, version, drawn, rules, at=now):
            wanted.append(slug)
    return request(version, wanted, rules, actor=actor)


def ask_again(version: Version, slug: str, *, actor: User) -> int:
    """Queue one check whether or not its answer is fresh: bytes at an address can change without a trace in the record.

    It is asked under the governing policy and those of open submissions. Raises Refused when none of them asks it.
    """
    with transaction.atomic():
        actor.require("version.edit", version)
        if not can_be_asked(version):
            says = f"{version.label} is {'retired' if version.is_frozen else 'an open draft'}: nothing is asked of it."
            raise Refused("not_asked", says)
        opened = Policy.objects.filter(submissions__version=version, submissions__state="open").distinct()
        asking = {rules.pk: rules for rules in (policy.governing(version), *opened) if slug in slugs_of(rules)}
        if not asking:
            raise Refused("not_asked", f"The policy of {version.label} does not ask {slug}.")
        return sum(request(version, [slug], rules, actor=actor) for rules in asking.values())


def can_be_asked(version: Version) -> bool:
    """Return whether checks can be asked of a version: its content is frozen and its record not closed."""
    return version.is_frozen and version.state != "retired"


def slugs_of(rules: Policy) -> list[str]:
    """Return every check that a policy may ask, those of its conditions too, baseline first, each once."""
    return requirements.asked_at_most(rules)


def newest_runs(version: Version, rules: Policy, *, at: datetime | None = None) -> dict[str, CheckRun]:
    """Return the newest answer to each check under a policy, as of an instant."""
    rows = CheckRun.objects.filter(version=version, policy=rules).order_by("check_slug", "-pk").distinct("check_slug")
    if at is not None:
        rows = rows.filter(ended_at__lte=at)
    return {run.check_slug: run for run in rows}


def is_fresh(run: CheckRun, version: Version, drawn: dict[str, Any], rules: Policy, *, at: datetime) -> bool:
    """Return whether an answer still speaks about what is there, at an instant."""
    if run.valid_until is not None and at >= run.valid_until:
        return False
    return run.input_digest == input_digest(BY_SLUG[run.check_slug], version, drawn, rules)


def queue_due() -> int:
    """Queue the checks of versions that got evidence or signatures after their answers. Returns how many."""
    runner = User.objects.system("runner")
    versions = (
        Version.objects.exclude(frozen_at=None)
        .exclude(state="retired")
        .annotate(told=Greatest(*map(Max, TOLD)), asked=Max("check_runs__started_at"))
        .filter(Q(told__gt=F("asked")), check_requests=None)
        .select_related("asset__owner", "asset__backup_owner")
    )
    queued = sum(request_stale(version, policy.governing(version), actor=runner) for version in versions[:200])
    return queued + requeue_scans(actor=runner) + requeue_findings(actor=runner)


def requeue_scans(*, actor: User) -> int:
    """Queue scans again that other engines, another allow-list or other allowances answered. Returns how many."""
    slug = artifact_scan.ArtifactScan.slug
    waiting = CheckRequest.objects.filter(version=OuterRef("pk"), check_slug=slug)
    living = Version.objects.exclude(frozen_at=None).exclude(state="retired").exclude(Exists(waiting))
    found = artifact_scan.outdated(living).select_related("asset")
    return sum(request(version, [slug], policy.governing(version), actor=actor) for version in found[:200])


def requeue_findings(*, actor: User) -> int:
    """Queue the check of vulnerabilities again where findings or their triage changed after it. Returns how many."""
    slug = "vulnerabilities"
    changed = Finding.history.filter(version_id=OuterRef("pk")).order_by("-history_date").values("history_date")[:1]
    answered = CheckRun.objects.filter(version=OuterRef("pk"), check_slug=slug).order_by("-pk").values("started_at")[:1]
    waiting = CheckRequest.objects.filter(version=OuterRef("pk"), check_slug=slug)
    living = Version.objects.exclude(frozen_at=None).exclude(state="retired").exclude(Exists(waiting))
    found = living.annotate(changed=Subquery(changed), answered=Subquery(answered)).filter(changed__gt=F("answered"))
    rows = found.select_related("asset")[:200]
    return sum(request(version, [slug], policy.governing(version), actor=actor) for version in rows)


def run_due(limit: int = 500) -> int:
    """Answer queued requests until none is due. Returns how many were answered. Safe to run many times at once."""
    done = 0
    while done < limit and (claimed := claim()) is not None:
        answer_request(claimed)
        done += 1
    return done


def claim() -> CheckRequest | None:
    """Take one due request under a lease, passing over what another worker holds."""
    now = timezone.now()
    with transaction.atomic():
        found = (
            CheckRequest.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(Q(lease_until=None) | Q(lease_until__lt=now))
            .select_related("version__asset__owner", "version__asset__backup_owner", "policy", "requested_by")
            .first()
        )
        if found is not None:
            found.attempts += 1
            found.lease_until = now + LEASE
            found.save(update_fields=["attempts", "lease_until"])
    return found


def answer_request(claimed: CheckRequest) -> CheckRun | None:
    """Ask one check and record the answer in one transaction with the end of its request."""
    check, version, rules = BY_SLUG[claimed.check_slug], claimed.version, claimed.policy
    runner = User.objects.system("runner")
    broken = prepare(check, version, claimed.attempts, actor=runner)
    started = timezone.now()
    drawn = dossier.picture(version)
    digest = input_digest(check, version, drawn, rules)
    answer = broken or examine(check, Dossier(version, drawn, started), rules)
    with log.record(Event.CHECK_ANSWERED, actor=runner, subject=version, check=check.slug) as entry:
        runner.require("check.run", version)
        mine = CheckRequest.objects.select_for_update().filter(pk=claimed.pk, attempts=claimed.attempts)
        if not mine.exists():
            entry.skip()
            return None
        run = CheckRun.objects.create(
            version=version,
            check_slug=check.slug,
            outcome=answer.outcome,
            says=answer.says,
            fix=answer.fix,
            facts=dict(answer.facts),
            tool=answer.tool,
            tool_version=answer.tool_version or REVISION,
            input_digest=digest,
            policy=rules,
            valid_until=answer.valid_until,
            started_at=started,
            ended_at=timezone.now(),
        )
        mine.delete()
        entry.note(outcome=str(answer.outcome), run=str(run.public_id), inputs=digest, policy=rules.digest)
    return run


def prepare(check: Check, version: Version, attempts: int, *, actor: User) -> Answer | None:
    """Bring up to date what a check reads. Returns the error to record when the check cannot even be asked."""
    if attempts > MAX_ATTEMPTS:
        return errored(
            f"The check did not finish in {MAX_ATTEMPTS} attempts: its worker was ended each time.",
            "Ask an operator to look at the worker's log, then ask for the check again.",
        )
    if check.slug == "vulnerabilities":
        try:
            findings.rematch(version, actor=actor)
        except Exception as error:
            logger.exception("Matching advisories for %s failed.", version)
            return broke(error)
    return None


def examine(check: Check, subject: Dossier, rules: Policy) -> Answer:
    """Return a check's answer; whatever goes wrong inside it is an answer too: error, never green."""
    try:
        return check.examine(subject, rules.rule(check.slug))
    except Exception as error:
        # Any failure of a check has to become a recorded answer.
        logger.exception("The check %s of %s failed.", check.slug, subject.version)
        return broke(error)


def broke(error: Exception) -> Answer:
    """Return the answer that a failure becomes: what broke is for the log, and the answers after it go on."""
    return errored(f"The check broke: {type(error).__name__}.", "Ask an operator to look at the worker's log.")
