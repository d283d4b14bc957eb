"""The rows of a replay for whoever looks: what is about versions that they may not see is counted, and no more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from governance.models import Decision, Submission
from governance.permissions import visible
from governance.replay import Flip
from registry.models import User

Row = dict[str, Any]


def shown_to(user: User, told: Iterable[Row]) -> list[Row]:
    """Return the rows about versions that a person or a service may see, and a last one that counts the others."""
    rows = list(told)
    submitted = [each["id"] for each in rows if each["kind"] == "submission"]
    decided = [each["id"] for each in rows if each["kind"] == "version"]
    seen = seen_by(user, submitted)
    made = visible(user, Decision.objects.filter(public_id__in=decided), asset="version__asset")
    seen |= {str(each) for each in made.values_list("public_id", flat=True)}
    found = [each for each in rows if each["kind"] == "rest" or each["id"] in seen]
    hidden = len(rows) - len(found)
    return [*found, unseen(hidden)] if hidden else found


def seen_by(user: User, ids: Iterable[str]) -> set[str]:
    """Return which submissions, by their public ids, are about versions that a person may see."""
    rows = visible(user, Submission.objects.filter(public_id__in=list(ids)), asset="version__asset")
    return {str(each) for each in rows.values_list("public_id", flat=True)}


def unseen(count: int) -> Row:
    """Return the row that says how many are not shown."""
    return Flip("rest", f"unseen-{count}", f"{count:,} more", "", "", "", sentences=(beyond(count),)).as_dict()


def beyond(count: int) -> str:
    """Return how many are not shown, and why, in a sentence."""
    return f"{count:,} more of versions that you may not see."
