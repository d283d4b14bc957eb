"""Grants on single assets: the team shares its work, an administrator widens a reviewer's reach."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied

from audit.models import Entry
from governance.permissions import visible
from portal.errors import Invalid
from registry import people, sharing
from registry.models import Asset, User, Version
from tests.factories import Walk, artifacts

pytestmark = pytest.mark.django_db


def again(user: User) -> User:
    """Return somebody as the next request would read them."""
    return User.objects.get(pk=user.pk)


def test_somebody_outside_contributes_once_the_team_shares(walk: Walk) -> None:
    asset = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1)).asset
    carl = walk.cast.carl
    assert not visible(carl, Asset.objects.all(), asset="").exists()
    sharing.share(asset, carl, "contribute_asset", actor=walk.cast.ada)
    assert visible(again(carl), Version.objects.all()).exists()
    assert again(carl).has_perm("version.edit", asset)
    sharing.unshare(asset, carl, "contribute_asset", actor=walk.cast.ada)
    assert not visible(again(carl), Version.objects.all()).exists()


def test_sharing_twice_is_told_once(walk: Walk) -> None:
    asset = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1)).asset
    for _ in range(2):
        sharing.share(asset, walk.cast.carl, "contribute_asset", actor=walk.cast.ada)
    assert Entry.objects.filter(kind="asset.changed").count() == 1


def test_mallory_cannot_share_and_ada_cannot_choose_her_reviewers(walk: Walk) -> None:
    asset = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1)).asset
    with pytest.raises(PermissionDenied):
        sharing.share(asset, walk.cast.mallory, "contribute_asset", actor=walk.cast.mallory)
    with pytest.raises(PermissionDenied):
        sharing.share(asset, walk.cast.carl, "review_asset", actor=walk.cast.ada)
    with pytest.raises(Invalid, match="right"):
        sharing.share(asset, walk.cast.carl, "own_asset", actor=walk.cast.ada)


def test_a_limited_seat_reaches_only_the_assets_that_are_granted(walk: Walk) -> None:
    near = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1)).asset
    far = walk.register("churn-scorer", "1.0.0", artifacts.scorer(2)).asset
    people.give_seat(walk.cast.carl, "platform", actor=walk.cast.alma, everywhere=False)
    sharing.share(near, walk.cast.carl, "review_asset", actor=walk.cast.alma)
    carl = again(walk.cast.carl)
    assert carl.has_perm("review.give", near)
    assert not carl.has_perm("review.give", far)
    assert list(visible(carl, Asset.objects.all(), asset="")) == [near]
