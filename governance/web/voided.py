"""The verdicts that a change has voided: what has changed since each, and whether the policy calls it material."""

from __future__ import annotations

from typing import Any

from governance import reviews, submissions
from governance.models import Review, Submission
from governance.web import changes, panels
from governance.web.timeline import VERBS
from registry import dossier


def page(submission: Submission) -> dict[str, Any] | None:
    """Return the section about voided verdicts, the newest first, or None where there are none."""
    gone = reviews.stale(submission)
    if not gone:
        return None
    drawn = submissions.whole_picture(submission)
    told = [describe(review, submission, drawn) for review in reversed(gone)]
    count = "1 verdict no longer counts:" if len(gone) == 1 else f"{len(gone)} verdicts no longer count:"
    people = panels.listed([each["who"] for each in told])
    return {"title": count, "text": f"{people}; since then {since(told)}.", "verdicts": told}


def describe(review: Review, submission: Submission, drawn: dict[str, Any]) -> dict[str, Any]:
    """Return one verdict with every field that has changed since it was given, what is material first."""
    known = {name: section for name, section in drawn.items() if name in review.dossier}
    found = tuple(dossier.changes(review.dossier, known))
    rows = policy_row(review, drawn) + changes.fields(found, set(submission.policy.content["material"]))
    material = [row for row in rows if row["material"]]
    quiet = [row for row in rows if not row["material"]]
    return {
        "who": f"{reviews.voice(review)} {VERBS[review.verdict]} for {review.role}",
        "at": review.given_at,
        "changes": material + quiet,
        "words": sentences(found, submission) + (["the policy changed"] if policy_row(review, drawn) else []),
        "summary": f"{len(material)} material, {len(quiet)} changed but not material" if quiet else "",
    }


def policy_row(review: Review, drawn: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the line about the policy when the submission is judged under another one now, which voids verdicts."""
    then, now = review.dossier.get("asked"), drawn["asked"]
    if then is None or then["policy"] == now["policy"]:
        return []
    return [{"field": "Policy", "before": then["name"], "after": now["name"], "material": True}]


def sentences(found: tuple[tuple[str, str, Any, Any], ...], submission: Submission) -> list[str]:
    """Return the material changes in words."""
    return [
        f"{changes.words(new or old)} was {name}" if name in {"added", "removed"} else f"{section} {name} changed"
        for section, name, old, new in found
        if section in submission.policy.content["material"]
    ]


def since(told: list[dict[str, Any]]) -> str:
    """Return what has changed since any of the verdicts, each change once."""
    return panels.listed(list(dict.fromkeys(words for each in told for words in each["words"]))) or "it changed"
