"""What may serve where, and what a person can do next with a version, for its page and its asset's. Formatting only."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from governance import lifecycle, policy, standing
from governance.models import Promotion, Submission
from governance.permissions import may
from portal.errors import Reason, Refused
from registry import completeness
from registry.models import Asset, State, User, Version

Action = dict[str, Any]
UNDECIDED = {"draft", "no_decision"}


def environments(asset: Asset) -> list[str]:
    """Return the environments that the governing policy knows, none when no policy applies."""
    try:
        return policy.governing(Version(asset=asset)).environments
    except Refused:
        return []


def pointers(asset: Asset) -> dict[str, Promotion]:
    """Return where each environment points now, by its name."""
    rows = Promotion.objects.filter(asset=asset).order_by("environment", "-promoted_at", "-pk").distinct("environment")
    found = rows.select_related("version__asset", "previous__asset", "decision", "promoted_by")
    return {row.environment: row for row in found}


def standings(version: Version, names: list[str]) -> dict[str, standing.Standing]:
    """Return the standing of one version in every environment."""
    found = standing.of_all([version.pk], names)
    return {name: found[(version.pk, name)] for name in names}


def open_submissions(version: Version) -> dict[str, Submission]:
    """Return the submissions of a version that wait for an answer, by environment."""
    return {row.environment: row for row in version.submissions.filter(state="open")}


def strip(
    answer: standing.Standing, now: Promotion | None, opened: Submission | None, version: Version, *, may_submit: bool
) -> dict[str, Any]:
    """Return the answer to "may it serve there?", as the verdict partial prints it."""
    rules = {reason.rule for reason in answer.reasons}
    shown: dict[str, Any] = {
        "environment": answer.environment,
        "allow": answer.allow,
        "says": "May serve" if answer.allow else "May not serve",
        "summary": pointed_at(now, version),
        "expires_at": answer.expires_at if answer.allow else None,
        "url": reverse("governance:decision", args=[answer.decision_id]) if answer.decision_id else "",
        "link": "Decision",
        "reasons": [placed(reason, version, may_submit) for reason in answer.reasons],
    }
    if answer.allow and answer.challenges:
        names = ", ".join(dict.fromkeys(each.name for each in answer.challenges))
        return shown | {"tone": "warn", "icon": "warn", "says": f"May serve, but is challenged: {names}"}
    if opened is not None and not answer.allow:
        url = opened.get_absolute_url()
        return shown | {
            "tone": "info",
            "icon": "wait",
            "says": "In review",
            "reasons": [],
            "url": url,
            "link": "Review page",
        }
    if rules and rules <= UNDECIDED:
        return shown | {"tone": "neutral", "says": "May not serve yet", "reasons": shown["reasons"][:1]}
    return shown


def pointed_at(now: Promotion | None, version: Version) -> str:
    """Return where an environment points, seen from one version."""
    if now is None:
        return "nothing was promoted there yet"
    return "it is what serves there" if now.version_id == version.pk else f"{now.version.number} serves there"


def placed(reason: Reason, version: Version, may_submit: bool) -> Reason:
    """Return a reason with the page where it is really answered, for whoever may answer it there."""
    address = [version.asset.slug, version.number]
    if reason.rule == "draft":
        where = reverse("registry:version-tab", args=[*address, "checks"])
        return Reason(reason.rule, reason.says, reason.fix, where)
    if reason.rule in {"retired", "sunset", "deprecated"}:
        return Reason(reason.rule, reason.says, reason.fix, version.asset.get_absolute_url())
    if reason.rule == "challenged":
        return reason
    if reason.rule == "unsigned" or not may_submit:
        return Reason(reason.rule, reason.says, reason.fix)
    return Reason(reason.rule, reason.says, reason.fix, reverse("governance:submit", args=address))


def actions(
    version: Version,
    user: User,
    answers: dict[str, standing.Standing],
    now: dict[str, Promotion],
    opened: dict[str, Submission],
) -> dict[str, list[Action]]:
    """Return the ways on: `next` as buttons with the obvious one first, `more` for the rare ones."""
    address = [version.asset.slug, version.number]
    contributes = may(user, "version.edit", version)
    found = first_steps(version, address) if contributes and version.state == State.DRAFT else []
    if may(user, "version.promote", version):
        found += [
            {"label": f"Promote to {name}", "url": reverse("governance:promote", args=address), "environment": name}
            for name, answer in answers.items()
            if answer.allow and (name not in now or now[name].version_id != version.pk)
        ]
    if contributes and version.state in {State.CANDIDATE, State.APPROVED} and set(answers) - set(opened):
        is_next = not opened and not any(answer.allow for answer in answers.values())
        found.append(
            {"label": "Submit", "url": reverse("governance:submit", args=address), "is_link": True, "is_next": is_next}
        )
    for place, action in enumerate(found):
        action["css"] = "btn-primary" if place == 0 and action.pop("is_next", True) else ""
    return {"next": found, "more": rare_steps(version, user, address, now)}


def first_steps(version: Version, address: list[str]) -> list[Action]:
    """Return what a draft needs next: to be filled, to be nominated, or to be asked again."""
    nominate = {"label": "Nominate", "url": reverse("governance:nominate", args=address)}
    if version.is_frozen:
        return [{**nominate, "label": "Ask the checks again"}]
    edit = {"label": "Edit the draft", "url": reverse("registry:version-edit", args=address), "is_link": True}
    return [nominate, edit] if completeness.measure(version).is_complete else [edit]


def rare_steps(version: Version, user: User, address: list[str], now: dict[str, Promotion]) -> list[Action]:
    """Return what is done now and then: roll back, ask for a waiver, deprecate, retire."""
    found = [
        {
            "label": f"Roll {name} back to {row.previous.number}",
            "url": reverse("governance:roll-back", args=address) + f"?environment={name}",
            "icon": "rollback",
        }
        for name, row in now.items()
        if row.version_id == version.pk and row.previous is not None and may(user, "version.promote", version)
    ]
    if version.is_frozen and version.state != State.RETIRED and may(user, "waiver.request", version):
        found.append(
            {"label": "Request a waiver", "url": reverse("governance:waiver-request", args=address), "icon": "waiver"}
        )
    if version.is_frozen and may(user, "version.relicense", version):
        url = reverse("governance:relicense", args=address)
        found.append({"label": "Record another licence", "url": url, "icon": "policy"})
    icons = {"deprecate": "sunset", "retire": "archive"}
    return found + [
        {
            "label": move.title,
            "url": reverse("governance:move", args=[*address, move.name]),
            "icon": icons.get(move.name),
        }
        for move in lifecycle.open_to(user, version)
    ]


def serving_now(asset: Asset, names: list[str], user: User) -> list[dict[str, Any]]:
    """Return what each environment points at, whether that may serve, and the way back where there is one."""
    now, may_move = pointers(asset), may(user, "version.promote", asset)
    answers = standing.of_all([row.version_id for row in now.values()], names)
    return [pointer_row(name, now.get(name), answers, may_move=may_move) for name in names]


def pointer_row(
    name: str, row: Promotion | None, answers: dict[tuple[int, str], standing.Standing], *, may_move: bool
) -> dict[str, Any]:
    """Return one environment of an asset with what it points at."""
    if row is None:
        return {"environment": name, "version": None}
    answer = answers[(row.version_id, name)]
    back = row.previous if may_move else None
    address = [row.version.asset.slug, row.version.number]
    return {
        "environment": name,
        "version": row.version,
        "at": row.promoted_at,
        "by": row.promoted_by,
        "allow": answer.allow,
        "until": answer.expires_at if answer.allow else None,
        "reasons": answer.reasons,
        "back": f"Roll back to {back.number}" if back else "",
        "back_url": reverse("governance:roll-back", args=address) + f"?environment={name}",
    }
