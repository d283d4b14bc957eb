"""THE table of who may do what, and the only backend that answers it. Unknown names are refused loudly.

Lists are filtered by `visible()`. There is no superuser shortcut and no settings switch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.auth.backends import BaseBackend
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.utils import timezone
from guardian.core import ObjectPermissionChecker

from governance.models import Delegation
from registry.models import Asset, AssetUserGrant, Seat, User, Version

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
    return tuple(seat for seat in reach_of(user) if seat.user_id == user.pk)


def lent_to(user: User) -> tuple[Seat, ...]:
    """Return the seats of others in which a person stands in for them now; auditors and administrators never do."""
    if READERS & roles_of(user):
        return ()
    return tuple(seat for seat in reach_of(user) if seat.user_id != user.pk and seat.role not in READERS)


def reach_of(user: User) -> tuple[Seat, ...]:
    """Return the person's seats and those lent to them, in one query, remembered on the instance of the request.

    A delegation counts only while its giver is active and still sits in the role.
    """
    if not hasattr(user, "_reach"):
        user._reach = tuple(read_reach(user)) if user.is_authenticated else ()  # type: ignore[attr-defined]
    return user._reach  # type: ignore[attr-defined]


def read_reach(user: User) -> QuerySet[Seat]:
    """Return the seats that a person has or is lent at this instant, each with whose it is."""
    now = timezone.now()
    lending = Delegation.objects.filter(
        Q(ended_at=None) | Q(ended_at__gt=now), deputy=user, starts_at__lte=now, ends_at__gt=now
    )
    lent = Exists(lending.filter(giver=OuterRef("user"), role=OuterRef("role")))
    return Seat.objects.filter(Q(user=user) | Q(lent, user__is_active=True)).select_related("user")


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


def sits_somewhere(user: User, subject: Any) -> bool:
    """Return whether the actor sits in a role that reviews."""
    return any(seat.role not in READERS for seat in seats_of(user))


def sits_for(user: User, role: str, subject: Any) -> bool:
    """Return whether a person's seat in a role covers the subject's asset."""
    for seat in seats_of(user):
        if seat.role == role:
            return covers(seat, user, subject)
    return False


def covers(seat: Seat, user: User, subject: Any) -> bool:
    """Return whether a seat of a person reaches the subject's asset: everywhere, or where it was granted."""
    return seat.everywhere or ObjectPermissionChecker(user).has_perm("review_asset", asset_of(subject))


def principals(user: User, role: str, subject: Any) -> list[User]:
    """Return the people for whom a person may answer in a role about the subject's asset, as their deputy."""
    return [seat.user for seat in lent_to(user) if seat.role == role and covers(seat, seat.user, subject)]


def stands_in(user: User, subject: Any) -> bool:
    """Return whether the actor stands in for somebody who reviews the asset."""
    return any(covers(seat, seat.user, subject) for seat in lent_to(user))


def secures(user: User, subject: Any) -> bool:
    """Return whether the actor sits in the role security for the asset."""
    return sits_for(user, "security", subject)


def answers_for(user: User, violation: Any) -> bool:
    """Return whether the actor is on the team of what was served or in platform or security, or administers."""
    if violation.version is None:
        return bool({"platform", "security", "administrator"} & roles_of(user))
    return on_team(user, violation) or any(sits_for(user, role, violation) for role in ("platform", "security"))


def may_view(user: User, subject: Any) -> bool:
    """Return whether the actor is auditor or administrator, is on the asset's team, or reviews it, also as a deputy."""
    return (
        bool(READERS & roles_of(user)) or on_team(user, subject) or reviews(user, subject) or stands_in(user, subject)
    )


def has_scope(scope: str) -> Predicate:
    """Return the rule that a service came with a token of a scope; the door puts the token's scopes on the account."""
    return meant(
        f"is a service whose token has the scope {scope}",
        lambda user, subject: user.kind == "service" and scope in getattr(user, "token_scopes", ()),
    )


def in_team(user: User, team: Any) -> bool:
    """Return whether a person is on a team."""
    return user.memberships.filter(team=team).exists()


def in_delegation(user: User, delegation: Any) -> bool:
    """Return whether the actor gave the delegation or is the deputy in it."""
    return user.pk in {delegation.giver_id, delegation.deputy_id}


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
    "token.issue_audit": any_of(auditor, is_portal),
    "people.change": any_of(administrator, is_portal),
    # governance, what is allowed
    "submission.open": contributes,
    "submission.withdraw": contributes,
    "review.give": any_of(reviews, all_of(is_person, stands_in)),
    "review.withdraw": all_of(is_person, any_of(reviews, stands_in)),
    "review.hand_over": all_of(is_person, reviews),
    "obligation.meet": all_of(is_person, reviews),
    "delegation.make": all_of(is_person, sits_somewhere),
    "delegation.end": any_of(in_delegation, administrator, is_portal),
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
    "version.relicense": all_of(is_person, any_of(on_team, secures)),
    "version.promote": any_of(all_of(is_person, on_team), all_of(has_scope("promote"), on_team)),
    "policy.propose": any_of(all_of(is_person, administrator), has_scope("policy")),
    "policy.publish": all_of(is_person, administrator),
    "policy.install": is_portal,
    "policy.read": is_person,
    "conflicts.read": any_of(auditor, administrator, holds("platform")),
    "violation.answer": all_of(is_person, answers_for),
    "key.trust": any_of(administrator, is_portal),
    "keyset.publish": is_portal,
    "keyset.read": any_of(administrator, auditor),
    "advisories.import": any_of(administrator, security, is_portal),
    "gate.ask": has_scope("gate"),
    "check.run": is_portal,
    "sweep": is_portal,
    # audit, what happened
    "ledger.read": any_of(auditor, has_scope("audit")),
    "report.read": auditor,
    "record.verify": auditor,
    "verification.read": any_of(auditor, administrator),
    "report.export": auditor,
    "serving.report": has_scope("serving"),
    # governance, who is told
    "notices.choose": is_person,
    "webhook.change": all_of(is_person, administrator),
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
    if READERS & roles or any(seat.everywhere for seat in (*seats_of(user), *lent_to(user))):
        return rows
    path = f"{asset}__" if asset else ""
    teams = user.memberships.values("team_id")
    givers = [seat.user_id for seat in lent_to(user)]
    lent = Q(user__in=givers, permission__codename="review_asset")
    granted = AssetUserGrant.objects.filter(Q(user=user) | lent).values("content_object_id")
    return rows.filter(Q(**{f"{path}team__in": teams}) | Q(**{f"{path}pk__in": granted}))
