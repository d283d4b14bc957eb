"""Grants on single assets, kept by django-guardian: a place beside the team, or a seat's reach over one asset."""

from __future__ import annotations

from guardian.shortcuts import assign_perm, get_users_with_perms, remove_perm

from audit import log
from audit.events import Event
from portal.errors import Fault, Invalid, show
from registry.models import Asset, User

# right -> the rule of the permission table that whoever grants it has to meet
RIGHTS = {"contribute_asset": "asset.change", "review_asset": "people.change"}


def share(asset: Asset, user: User, right: str, *, actor: User) -> None:
    """Let somebody contribute to one asset as its team does, or let their limited seat reach it.

    The team shares its work; only an administrator widens a reviewer's reach. Sharing again changes nothing.
    """
    with log.record(Event.ASSET_CHANGED, actor=actor, subject=asset, shared=right, account=user.ledger_name) as entry:
        asset = Asset.objects.select_for_update().get(pk=asset.pk)
        actor.require(rule_of(right), asset)
        if not user.is_active or (right == "review_asset" and user.kind != "person"):
            raise Invalid(Fault("user", show(user.username), "an active person"))
        if user in shared_with(asset, right):
            entry.skip()
            return
        assign_perm(right, user, asset)


def unshare(asset: Asset, user: User, right: str, *, actor: User) -> None:
    """Take a grant away again; taking away what is not there changes nothing."""
    with log.record(Event.ASSET_CHANGED, actor=actor, subject=asset, unshared=right, account=user.ledger_name) as entry:
        asset = Asset.objects.select_for_update().get(pk=asset.pk)
        actor.require(rule_of(right), asset)
        if user not in shared_with(asset, right):
            entry.skip()
            return
        remove_perm(right, user, asset)


def rule_of(right: str) -> str:
    """Return the rule that guards a right. Raises Invalid for a right that does not exist."""
    if right not in RIGHTS:
        raise Invalid(Fault("right", show(right), f"one of {', '.join(RIGHTS)}"))
    return RIGHTS[right]


def shared_with(asset: Asset, right: str) -> list[User]:
    """Return who holds a grant on an asset."""
    return list(get_users_with_perms(asset, only_with_perms_in=[right], with_group_users=False))
