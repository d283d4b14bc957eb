"""The page of grants on one asset: the team shares and takes away, strangers do not even see it."""

from __future__ import annotations

import pytest
from django.test import Client

from registry import sharing
from registry.models import User
from tests.factories import Walk, artifacts

pytestmark = pytest.mark.django_db
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person, backend=BACKEND)
    return client


def test_ada_shares_her_asset_and_takes_it_back(walk: Walk) -> None:
    asset = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1)).asset
    ada, address = signed_in(walk.cast.ada), f"/assets/{asset.slug}/sharing/"
    assert "Only the team" in ada.get(address).content.decode()
    grant = {"user": "carl", "right": "contribute_asset"}
    assert ada.post(address, grant).status_code == 302
    assert sharing.shared_with(asset, "contribute_asset") == [walk.cast.carl]
    assert "Carl Prompt" in ada.get(address).content.decode()
    assert ada.post(address, {**grant, "take": "1"}).status_code == 302
    assert sharing.shared_with(asset, "contribute_asset") == []


def test_ada_is_not_offered_to_widen_a_reviewers_reach(walk: Walk) -> None:
    asset = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1)).asset
    answer = signed_in(walk.cast.ada).post(f"/assets/{asset.slug}/sharing/", {"user": "carl", "right": "review_asset"})
    assert answer.status_code == 422
    assert sharing.shared_with(asset, "review_asset") == []


def test_mallory_does_not_see_the_page(walk: Walk) -> None:
    asset = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1)).asset
    assert signed_in(walk.cast.mallory).get(f"/assets/{asset.slug}/sharing/").status_code == 404
