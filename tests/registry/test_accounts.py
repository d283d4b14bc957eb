"""Accounts and grants that were changed behind the portal's back, though no history keeps what they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.db import connection
from guardian.shortcuts import assign_perm, remove_perm

from audit import drift, log
from audit.events import Event
from audit.models import Entry, UnrecordedChange
from registry import people, sharing
from registry.models import Asset, AssetGroupGrant, User
from tests.factories import PASSWORD, Cast, Walk, artifacts

pytestmark = pytest.mark.django_db


def run(statement: str, *parameters: Any) -> None:
    """Act as somebody at the database's own command line."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


@pytest.fixture
def asset(walk: Walk) -> Asset:
    """An asset of Ada's team."""
    return walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1)).asset


def test_a_cast_that_was_seated_by_verbs_is_no_drift(cast: Cast) -> None:
    people.set_password(cast.ben, "another good phrase", actor=cast.alma)
    people.change_account(cast.ben, actor=cast.alma, name="Ben", email="benjamin@example.com")
    people.close_account(cast.carl, actor=cast.alma)
    assert list(drift.find()) == []


@pytest.mark.parametrize(
    ("statement", "fields"),
    [
        ("UPDATE registry_user SET is_superuser = true WHERE id = %s", ("superuser",)),
        ("UPDATE registry_user SET is_staff = true, is_active = false WHERE id = %s", ("active", "administrator")),
        ("UPDATE registry_user SET password = 'scrypt$known' WHERE id = %s", ("password",)),
        ("UPDATE registry_user SET email = 'mallory@example.org' WHERE id = %s", ("names",)),
        ("UPDATE registry_user SET kind = 'system' WHERE id = %s", ("kind",)),
        ("UPDATE registry_user SET last_login = now() WHERE id = %s", ()),
    ],
)
def test_raw_sql_on_an_account_is_found(cast: Cast, statement: str, fields: tuple[str, ...]) -> None:
    run(statement, cast.mallory.pk)
    found = list(drift.find())
    assert [each.fields for each in found] == ([fields] if fields else [])
    for each in found:
        assert each.id == str(cast.mallory.pk)
        assert Entry.objects.get(event_id=each.last_entry).subject_id == str(cast.mallory.ledger_id)
        assert "mallory@" not in str(each)
        assert "scrypt" not in str(each)


def test_an_account_that_nobody_opened_is_found(cast: Cast) -> None:
    User.objects.bulk_create([User(username="eve", name="Eve"), User(username="system-eve", kind="system")])
    User.objects.filter(username="system-eve").update(password=make_password("known"))
    assert [("added" in each.what, each.last_entry) for each in drift.find()] == [(True, "")] * 2


def test_an_account_that_somebody_deleted_is_found(db: None) -> None:
    eve = people.open_account("eve", actor=User.objects.system("setup"), name="Eve")
    run("DELETE FROM registry_user WHERE id = %s", eve.pk)
    (found,) = drift.find()
    assert (found.id, "deleted" in found.what) == (str(eve.ledger_id), True)


def test_an_account_is_not_saved_without_an_entry_about_it(cast: Cast) -> None:
    with pytest.raises(UnrecordedChange):
        cast.ada.save()
    with pytest.raises(UnrecordedChange), log.record(Event.PERSON_CHANGED, actor=cast.alma, subject=cast.ben):
        cast.ada.save()


def test_an_entry_about_an_account_holds_no_name_address_or_password(cast: Cast) -> None:
    body = bytes(log.entries(subject=cast.ada)[0].body).decode()
    assert '"state":{"active":true' in body
    for secret in ("Ada", "ada@", cast.ada.password, PASSWORD):
        assert secret not in body


def test_people_change_their_own_password_on_the_record(cast: Cast, client: Any) -> None:
    client.force_login(cast.ben, "allauth.account.auth_backends.AuthenticationBackend")
    new = {"oldpassword": PASSWORD, "password1": "another good phrase", "password2": "another good phrase"}
    assert client.post("/account/password/change/", new).status_code == 302
    cast.ben.refresh_from_db()
    assert cast.ben.check_password("another good phrase")
    assert log.entries(subject=cast.ben)[0].details["change"] == "own password"
    assert list(drift.find()) == []


def test_a_password_hashed_in_an_older_way_is_hashed_anew_on_the_record(cast: Cast, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher", *settings.PASSWORD_HASHERS]
    assert cast.ben.check_password(PASSWORD)
    cast.ben.refresh_from_db()
    assert cast.ben.password.startswith("scrypt$")
    assert not cast.ben.check_password("wrong")
    assert list(drift.find()) == []


def test_a_grant_that_no_entry_gave_is_found(cast: Cast, asset: Asset) -> None:
    sharing.share(asset, cast.carl, "contribute_asset", actor=cast.ada)
    sharing.share(asset, cast.petra, "contribute_asset", actor=cast.ada)
    sharing.unshare(asset, cast.petra, "contribute_asset", actor=cast.ada)
    assert list(drift.find()) == []
    assign_perm("review_asset", cast.mallory, asset)
    assign_perm("contribute_asset", cast.petra, asset)
    remove_perm("contribute_asset", cast.carl, asset)
    found = [str(each) for each in drift.find()]
    assert len(found) == 3
    assert sum("was added without an entry" in each for each in found) == 2
    assert sum(f"one gives {cast.carl.ledger_name} the right contribute_asset" in each for each in found) == 1


def test_a_grant_to_a_group_is_nobodys_verb(cast: Cast, asset: Asset, django_user_model: Callable[..., Any]) -> None:
    run("INSERT INTO auth_group (name) VALUES ('friends')")
    run(
        "INSERT INTO registry_assetgroupgrant (content_object_id, group_id, permission_id) SELECT %s, g.id, p.id"
        " FROM auth_group g, auth_permission p WHERE p.codename = 'contribute_asset'",
        asset.pk,
    )
    (found,) = drift.find()
    assert found.table == AssetGroupGrant._meta.db_table
