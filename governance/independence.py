"""Who had a hand in what: nobody approves their own work, nobody is exempt. Roles are asked about elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import QuerySet

from audit.events import Event
from governance.models import Submission
from portal.errors import Reason, Refused
from registry.models import Evidence, ReportSignature, User, Version

# The events under which a version's row is written by somebody who had a hand in its content.
WRITING = (Event.VERSION_REGISTERED, Event.VERSION_EDITED, Event.VERSION_NOMINATED)


def expect_independent(submission: Submission, actor: User) -> None:
    """Raise Refused with every reason why the actor had a hand in what is being reviewed. Nobody is exempt."""
    found = involvement(submission, actor)
    if found:
        raise Refused(
            "not_independent",
            f"{actor} cannot review {submission}: nobody approves their own work.",
            reasons=[
                Reason(
                    "independence", each, "Somebody else with this role has to review.", submission.get_absolute_url()
                )
                for each in found
            ],
        )


def involvement(submission: Submission, person: User, documents: Iterable[Evidence] | None = None) -> list[str]:
    """Return each way in which a person had a hand in what a submission asks for."""
    found = [f"{person} submitted it."] if submission.submitted_by_id == person.pk else []
    if documents is not None and person.pk in getattr(submission, "signers", ()):
        found.append(f"{person} signed a report of it.")
    return found + hand_in(submission.version, person, documents)


def hand_in(version: Version, person: User, documents: Iterable[Evidence] | None = None) -> list[str]:
    """Return each way in which a person had a hand in a version or its evidence, CI runs included.

    Lists that hand their `documents` in, to stay flat in queries, leave out who edited the draft and who signed its
    reports; a verdict never does.
    """
    rows = list(version.evidence.all() if documents is None else documents)
    found = []
    if version.registered_by_id == person.pk:
        found.append(f"{person} registered it.")
    if any(person.is_known_as(name) for name in version.authors):
        found.append(f"{person} is named as an author.")
    if any(person.is_known_as(name) for name in behind_builds(rows)):
        found.append(f"{person} is a commit author behind the build.")
    if any(
        row.attached_by_id == person.pk or person.is_known_as(row.author) for row in rows if row.kind == "evaluation"
    ):
        found.append(f"{person} is responsible for an evaluation of it.")
    if documents is None and signers(version).filter(signed_by=person).exists():
        found.append(f"{person} signed a report of it.")
    if documents is None and version.history.filter(history_user=person, history_change_reason__in=WRITING).exists():
        found.append(f"{person} wrote or nominated its draft.")
    return found


def independent(submission: Submission, people: Iterable[User]) -> list[User]:
    """Return those of some people who had no hand in a submission, in as many queries for many as for one."""
    version = submission.version
    documents = list(version.evidence.all())
    writers = version.history.filter(history_change_reason__in=WRITING).values_list("history_user", flat=True)
    involved = {*signers(version).values_list("signed_by", flat=True), *writers}
    return [each for each in people if each.pk not in involved and not involvement(submission, each, documents)]


def signers(version: Version) -> QuerySet[ReportSignature]:
    """Return the signatures of people under a version's reports."""
    return ReportSignature.objects.filter(evidence__version=version)


def behind_builds(documents: Iterable[Evidence]) -> set[str]:
    """Return the commit authors that attestations name: they count as authors, signed or not."""
    return {name for row in documents if row.kind == "provenance" for name in row.summary.get("people", [])}
