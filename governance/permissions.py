"""THE table of who may do what, and the only backend that answers it. Unknown names are refused loudly.

Lists are filtered by `visible()`. There is no superuser shortcut and no settings switch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.auth.backends import BaseBackend
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from guardian.core import ObjectPermissionChecker

from registry.models import Asset, User, Version

Predicate = Callable[[User, Any], bool]
Row = TypeVar("Row", bound=Model)
READERS = frozenset({"auditor", "administrator"})
BEGINNING = "Return whether the actor "


def asset_of(subject: Any) -> Asset:
    """Return the asset that an asset, a version or anything with a version belongs to."""
    if isinstance(subject, Asset):
        return subject
    if isinstance(subject, Version):
        return subject.asset
    return asset_of(subject.version)


def roles_of(user: User) -> frozenset[str]:
    """Return the roles a person sits in, asked once per request."""
    return frozenset(seat.role for seat in seats_of(user))


def seats_of(user: User) -> tuple[Any, ...]:
    """Return the person's seats, remembered on the instance that the request carries."""
    if not hasattr(user, "_seats"):
        user._seats = tuple(user.seats.all()) if user.is_authenticated else ()  # type: ignore[attr-defined]
    return user._seats  # type: ignore[attr-defined]


def meaning(rule: Predicate) -> str:
    """Return what a rule asks of the actor, for docs/permissions.md: the docstring without its beginning."""
    return (rule.__doc__ or "").removeprefix(BEGINNING).rstrip(".")


def meant(words: str, rule: Predicate) -> Predicate:
    """Return a rule that says in words what it asks of the actor."""
    rule.__doc__ = f"{BEGINNING}{words}."
    return rule


def holds(role: str) -> Predicate:
    """Return the rule that the actor sits in a role, whatever the subject."""
    return meant(f"sits in the role {role}", lambda user, subject: role in roles_of(user))


def on_team(user: User, subject: Any) -> bool:
    """Return whether the actor is on the asset's team (or was granted a place beside it)."""
    asset = asset_of(subject)
    if user.memberships.filter(team_id=asset.team_id).exists():
        return True
    return ObjectPermissionChecker(user).has_perm("contribute_asset", asset)


def reviews(user: User, subject: Any) -> bool:
    """Return whether the actor sits in a role that reviews the asset."""
    return any(sits_for(user, seat.role, subject) for seat in seats_of(user) if seat.role not in READERS)


def sits_for(user: User, role: str, subject: Any) -> bool:
    """Return whether a person's seat in a role covers the subject's asset."""
    for seat in seats_of(user):
        if seat.role == role:
            return seat.everywhere or ObjectPermissionChecker(user).has_perm("review_asset", asset_of(subject))
    return False


def secures(user: User, subject: Any) -> bool:
    """Return whether the actor sits in the role security for the asset."""
    return sits_for(user, "security", subject)


def may_view(user: User, subject: Any) -> bool:
    """Return whether the actor is an auditor or administrator, is on the asset's team, or reviews the asset."""
    return bool(READERS & roles_of(user)) or on_team(user, subject) or reviews(user, subject)


def has_scope(scope: str) -> Predicate:
    """Return the rule that a service came with a token of a scope; the door puts the token's scopes on the account."""
    return meant(
        f"is a service whose token has the scope {scope}",
        lambda user, subject: user.kind == "service" and scope in getattr(user, "token_scopes", ()),
    )


def in_team(user: User, team: Any) -> bool:
    """Return whether a person is on a team."""
    return user.memberships.filter(team=team).exists()


def is_person(user: User, subject: Any) -> bool:
    """Return whether the actor is a person."""
    return user.kind == "person"


def is_portal(user: User, subject: Any) -> bool:
    """Return whether the actor is the portal itself."""
    return user.kind == "system"


def any_of(*rules: Predicate) -> Predicate:
    """Return the rule that one of these holds."""
    words = ", or ".join(meaning(rule) for rule in rules)
    return meant(words, lambda user, subject: any(rule(user, subject) for rule in rules))


def all_of(*rules: Predicate) -> Predicate:
    """Return the rule that all of these hold."""
    words = " and ".join(meaning(rule) for rule in rules)
    return meant(words, lambda user, subject: all(rule(user, subject) for rule in rules))


def contributes(user: User, subject: Any) -> bool:
    """Return whether the actor is on the asset's team; a service needs a token with the scope register as well."""
    if user.kind == "service" and "register" not in getattr(user, "token_scopes", ()):
        return False
    return on_team(user, subject)


def joins(user: User, team: Any) -> bool:
    """Return whether the actor is on the team; a service needs a token with the scope register as well."""
    if user.kind == "service" and "register" not in getattr(user, "token_scopes", ()):
        return False
    return in_team(user, team)


auditor, administrator, security = holds("auditor"), holds("administrator"), holds("security")

RULES: dict[str, Predicate] = {
    # registry, what exists
    "asset.view": may_view,
    "asset.register": joins,
    "asset.change": all_of(is_person, on_team),
    "version.register": contributes,
    "version.edit": contributes,
    "version.nominate": contributes,
    "evidence.attach": contributes,
    "token.issue": any_of(administrator, is_portal),
    "people.change": any_of(administrator, is_portal),
    # governance, what is allowed
    "submission.open": contributes,
    "submission.withdraw": contributes,
    "review.give": reviews,
    "report.sign": all_of(is_person, any_of(on_team, reviews)),
    "finding.triage": all_of(is_person, any_of(on_team, secures)),
    "finding.answer": all_of(is_person, secures),
    "global.allow": all_of(is_person, secures),
    "waiver.request": all_of(is_person, on_team),
    "waiver.decide": all_of(is_person, reviews),
    "decision.revoke": all_of(is_person, security),
    "decision.sign": is_portal,
    "version.deprecate": all_of(is_person, on_team),
    "version.retire": all_of(is_person, on_team),
    "version.promote": any_of(all_of(is_person, on_team), all_of(has_scope("promote"), on_team)),
    "policy.publish": any_of(administrator, is_portal),
    "policy.read": is_person,
    "key.trust": any_of(administrator, is_portal),
    "advisories.import": any_of(administrator, security, is_portal),
    "gate.ask": has_scope("gate"),
    "check.run": is_portal,
    "sweep": is_portal,
    # audit, what happened
    "ledger.read": auditor,
    "report.read": auditor,
    "report.export": auditor,
    "serving.report": has_scope("serving"),
    # portal, the admin of Django
    "portal.administer": all_of(is_person, administrator),
}


class Backend(BaseBackend):
    """Answers every question from RULES. A known rule that says no is a veto: later backends are not asked."""

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        """Return whether a rule allows this. Raises PermissionDenied when it does not, LookupError when unknown."""
        if perm in RULES:
            if user_obj.is_active and user_obj.is_authenticated and RULES[perm](user_obj, obj):
                return True
            raise PermissionDenied(f"{user_obj} may not do this: {perm}.")
        if is_admin_permission(perm):
            # The admin shows and calls verbs, which ask again. Nothing is ever deleted there.
            return ".delete_" not in perm and user_obj.has_perm("portal.administer")
        raise LookupError(f"{perm!r} is not in the permission table (governance/permissions.py).")


def is_admin_permission(perm: str) -> bool:
    """Return whether Django's admin asks for one of its own model permissions, such as `registry.view_team`."""
    label, _, action = perm.partition(".")
    verb = action.partition("_")[0]
    return label in {"registry", "governance", "audit"} and verb in {"view", "add", "change", "delete"}


def may(user: User, rule: str, subject: Any = None) -> bool:
    """Return whether a rule allows this, for pages that show or hide a way to ask."""
    return user.has_perm(rule, subject)


def visible(user: User, rows: QuerySet[Row], *, asset: str = "asset") -> QuerySet[Row]:
    """Return the rows whose asset the person may see; `asset` is the path from a row to its asset, "" for assets."""
    roles = roles_of(user)
    if READERS & roles or any(seat.everywhere for seat in seats_of(user)):
        return rows
    path = f"{asset}__" if asset else ""
    teams = user.memberships.values("team_id")
    granted = user.assetusergrant_set.values("content_object_id")
    return rows.filter(Q(**{f"{path}team__in": teams}) | Q(**{f"{path}pk__in": granted}))
