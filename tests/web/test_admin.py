"""The admin of Django: for administrators alone, shows the record, and changes it by verbs or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.apps import apps
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from audit.models import Entry, Governed, InsertOnly, ServingWindow
from governance.models import Submission, TrustedKey, TrustedRoot
from portal.administration import HistoryAdmin, site
from portal.demo import documents
from registry import people, tokens
from registry.models import AccessToken, Asset, Membership, Seat, Team, User, Version
from tests.factories import PASSWORD, Cast, Walk, artifacts
from tests.governance.checks.private_sigstore import Instance
from tests.scene import Scene, staged

MODELS = sorted(site._registry, key=lambda model: model._meta.label)


def address(model: type[Model], page: str, *arguments: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


def do(model: type[Model], row: Model, deed: str) -> str:
    return address(model, "deed", row.pk, deed)


def browser_of(user: User, *, strict: bool = False) -> Client:
    """Return a browser in which somebody is signed in; a strict one checks CSRF tokens as real ones do."""
    client = Client(enforce_csrf_checks=strict)
    client.force_login(user, "allauth.account.auth_backends.AuthenticationBackend")
    return client


@pytest.fixture(scope="module")
def office(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Walk to a promoted version once for the whole module: by then most tables hold something."""
    with django_db_blocker.unblock(), staged(tmp_path_factory.mktemp("office")) as walk:
        version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
        walk.approved(version, "staging")
        walk.promote(version, "staging")
        yield Scene(walk, version)


@pytest.fixture
def walk(office: Scene, db: None) -> Walk:
    """Return a walk that a test may change as it likes."""
    return deepcopy(office.walk)


@pytest.fixture
def full(office: Scene, db: None) -> Version:
    """Return a promoted version."""
    return deepcopy(office.version)


@pytest.fixture
def alma(cast: Cast) -> Client:
    """Return the browser of the administrator."""
    return browser_of(cast.alma)


# --- who comes in ----------------------------------------------------------------------------------------------------


def test_nobody_else_comes_in(cast: Cast) -> None:
    for username in ("ada", "petra", "rhea", "iris", "mallory"):
        client = browser_of(User.objects.get(username=username))
        assert client.get("/admin/", follow=True).status_code == 403
        assert client.get(address(User, "changelist"), follow=True).status_code == 403
        assert client.post(do(User, cast.ada, "close"), follow=True).status_code == 403
    cast.ada.refresh_from_db()
    assert cast.ada.is_active


def test_a_stranger_is_led_to_the_portals_own_sign_in(db: None, client: Client) -> None:
    answer = client.get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0] == "/account/login/?next=%2Fadmin%2F"
    assert "Sign in" in answer.content.decode()


def test_the_flag_without_the_role_opens_nothing(cast: Cast, alma: Client) -> None:
    people.take_seat(cast.alma.seats.get(), actor=User.objects.system("setup"))
    User.objects.filter(pk=cast.alma.pk).update(is_staff=True)
    assert alma.get("/admin/", follow=True).status_code == 403


def test_the_role_opens_the_admin_and_its_loss_closes_it(cast: Cast, alma: Client) -> None:
    alma.post(address(Seat, "add"), {"user": cast.ben.pk, "role": "administrator", "everywhere": "on"})
    ben = browser_of(User.objects.get(username="ben"))
    assert ben.get("/admin/").status_code == 200
    alma.post(do(Seat, Seat.objects.get(user=cast.ben), "take"))
    assert ben.get("/admin/", follow=True).status_code == 403


def test_a_superuser_is_no_administrator(cast: Cast) -> None:
    User.objects.filter(username="mallory").update(is_superuser=True, is_staff=True)
    assert browser_of(User.objects.get(username="mallory")).get("/admin/", follow=True).status_code == 403


def test_the_stock_password_page_leads_to_the_portals_own(alma: Client) -> None:
    assert alma.get("/admin/password_change/").headers["Location"] == reverse("account_change_password")


# --- everything is shown, nothing is changed -------------------------------------------------------------------------


def test_every_table_of_the_record_is_shown() -> None:
    record = {
        model
        for label in ("registry", "governance", "audit")
        for model in apps.get_app_config(label).get_models()
        if issubclass(model, Governed | InsertOnly) and not model.__name__.startswith("Historical")
    }
    # Django's admin knows no composite keys; windows have pages of their own among the reports.
    assert record - {ServingWindow} <= set(MODELS)
    assert User in MODELS


def test_every_model_with_a_history_shows_it() -> None:
    without = [
        model for model in MODELS if hasattr(model, "history") and not isinstance(site._registry[model], HistoryAdmin)
    ]
    assert without == []


def test_lists_and_rows_are_shown(alma: Client, full: Version) -> None:
    shown = set()
    assert alma.get("/admin/").status_code == 200
    for model in MODELS:
        assert alma.get(address(model, "changelist")).status_code == 200, model
        assert alma.get(address(model, "changelist"), {"q": "fraud"}).status_code == 200, model
        row = model._default_manager.first()
        if row is not None:
            page = alma.get(address(model, "change", row.pk))
            assert page.status_code == 200, model
            assert b'name="_save"' not in page.content, model
            shown.add(model.__name__)
    assert {"Version", "Submission", "Review", "Decision", "Promotion", "CheckRun", "Entry", "Checkpoint"} <= shown


def test_no_row_can_be_added_changed_or_deleted_by_the_stock_forms(alma: Client, full: Version) -> None:
    before = {model: model._default_manager.count() for model in MODELS}
    for model in MODELS:
        row = model._default_manager.first()
        if site._registry[model].opening is None:  # type: ignore[attr-defined]
            assert alma.post(address(model, "add"), {}).status_code == 403, model
        if row is not None:
            assert alma.post(address(model, "change", row.pk), {"_save": "Save"}).status_code == 403, model
            assert alma.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403, model
            chosen = {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"}
            alma.post(address(model, "changelist"), chosen)
    assert {model: model._default_manager.count() for model in MODELS} == before


def test_the_history_is_shown_and_not_brought_back(alma: Client, full: Version) -> None:
    submission = Submission.objects.get()
    page = alma.get(address(Submission, "history", submission.pk)).content.decode()
    assert "submission.opened" in page
    assert "submission.closed" in page
    assert "style=" not in page
    first = submission.history.earliest("history_date")
    old = address(Submission, "simple_history", submission.pk, first.pk)
    assert alma.get(old).status_code == 200
    assert alma.post(old, {"state": "open", "_save": "Revert"}).status_code == 403
    submission.refresh_from_db()
    assert submission.state == "approved"


def test_secrets_are_not_shown(alma: Client, cast: Cast) -> None:
    token = AccessToken.objects.first()
    assert token is not None
    page = alma.get(address(AccessToken, "change", token.pk)).content.decode()
    assert token.prefix in page
    assert token.secret_sha256 not in page
    cast.ada.refresh_from_db()
    assert cast.ada.password not in alma.get(address(User, "change", cast.ada.pk)).content.decode()


# --- deeds -----------------------------------------------------------------------------------------------------------


def newest(kind: str) -> Entry:
    entry = Entry.objects.filter(kind=kind).first()
    assert entry is not None
    return entry


def test_an_account_is_opened_and_closed(alma: Client, cast: Cast) -> None:
    told = {"username": "nora", "name": "Nora New", "email": "nora@example.com", "kind": "person"}
    answer = alma.post(address(User, "add"), {**told, "password": PASSWORD})
    nora = User.objects.get(username="nora")
    assert answer.headers["Location"] == address(User, "change", nora.pk)
    assert nora.check_password(PASSWORD)
    assert not nora.is_staff
    assert newest("person.changed").actor == cast.alma.ledger_name
    alma.post(do(User, nora, "close"))
    nora.refresh_from_db()
    assert not nora.is_active
    assert newest("person.changed").details["change"] == "closed"


def test_a_no_of_the_verb_comes_back_on_the_form(alma: Client) -> None:
    answer = alma.post(address(User, "add"), {"username": "ada", "name": "Ada Again", "kind": "person"})
    assert answer.status_code == 422
    assert "An account named ada is there already." in answer.content.decode()
    weak = alma.post(address(User, "add"), {"username": "nora", "name": "N", "kind": "person", "password": "password"})
    assert weak.status_code == 422
    assert "too short" in weak.content.decode()
    assert not User.objects.filter(username="nora").exists()


def test_an_address_is_changed_by_an_administrator_alone(alma: Client, cast: Cast) -> None:
    """Reviews recognise the authors of a commit by it, so whoever could change their own would hide what they made."""
    petra = browser_of(cast.petra)
    for path in ("/account/email/", "/account/confirm-email/", "/account/confirm-email/abc/"):
        assert petra.get(path).status_code == 403
        assert petra.post(path, {"action_add": "", "email": "other@example.com"}).status_code == 403
    taken = alma.post(do(User, cast.petra, "address"), {"name": "Petra", "email": "ADA@example.com"})
    assert taken.status_code == 422
    assert "Another account has the address" in taken.content.decode()
    alma.post(do(User, cast.petra, "address"), {"name": "Petra Platform", "email": "p.platform@example.com"})
    cast.petra.refresh_from_db()
    assert cast.petra.email == "p.platform@example.com"
    told = newest("person.changed").details
    assert told["change"] == "name or address"
    assert told["state"]["administrator"] is False
    assert b"example.com" not in bytes(newest("person.changed").body)


def test_a_new_password_ends_the_sessions_of_the_old_one(alma: Client, cast: Cast) -> None:
    ada = Client()
    assert ada.login(username="ada", password=PASSWORD)
    assert ada.get("/").status_code == 200
    assert alma.post(do(User, cast.ada, "password"), {"password": "short"}).status_code == 422
    assert ada.get("/").status_code == 200
    assert alma.post(do(User, cast.ada, "password"), {"password": "a much better phrase"}).status_code == 302
    assert ada.get("/").status_code == 302
    assert newest("person.changed").details["change"] == "password"
    assert b"a much better phrase" not in bytes(newest("person.changed").body)


def test_a_service_gets_no_password(alma: Client, cast: Cast) -> None:
    answer = alma.post(do(User, cast.otto, "password"), {"password": PASSWORD})
    assert answer.status_code == 422
    assert "services have tokens" in answer.content.decode()


def test_a_team_is_founded_joined_and_left(alma: Client, cast: Cast) -> None:
    alma.post(address(Team, "add"), {"slug": "vision", "name": "Vision"})
    team = Team.objects.get(slug="vision")
    alma.post(address(Membership, "add"), {"team": team.pk, "user": cast.mallory.pk})
    membership = Membership.objects.get(team=team)
    assert membership.user == cast.mallory
    answer = alma.post(do(Membership, membership, "leave"))
    assert answer.headers["Location"] == address(Membership, "changelist")
    assert not Membership.objects.filter(team=team).exists()
    assert [row.history_type for row in Membership.history.filter(team=team)] == ["-", "+"]


def test_a_seat_is_given_and_taken(alma: Client, cast: Cast) -> None:
    alma.post(address(Seat, "add"), {"user": cast.ben.pk, "role": "platform", "everywhere": "on"})
    seat = Seat.objects.get(user=cast.ben)
    assert (seat.role, seat.everywhere) == ("platform", True)
    alma.post(do(Seat, seat, "take"))
    assert not Seat.objects.filter(user=cast.ben).exists()


def test_a_limited_seat_reaches_the_assets_that_it_is_let_to(alma: Client, cast: Cast, full: Version) -> None:
    alma.post(address(Seat, "add"), {"user": cast.mallory.pk, "role": "platform"})
    mallory = User.objects.get(username="mallory")
    assert not mallory.has_perm("review.give", full)
    alma.post(do(Asset, full.asset, "let-review"), {"user": mallory.pk})
    assert User.objects.get(username="mallory").has_perm("review.give", full)
    alma.post(do(Asset, full.asset, "stop-review"), {"user": mallory.pk})
    assert not User.objects.get(username="mallory").has_perm("review.give", full)


def test_an_administrator_gives_herself_no_seat(alma: Client, cast: Cast) -> None:
    answer = alma.post(address(Seat, "add"), {"user": cast.alma.pk, "role": "security", "everywhere": "on"})
    assert answer.status_code == 422
    assert "Nobody gives themselves a role" in answer.content.decode()
    assert not Seat.objects.filter(user=cast.alma, role="security").exists()


def test_the_secret_of_a_token_is_shown_once(alma: Client, cast: Cast) -> None:
    told = {"user": cast.otto.pk, "label": "second", "scopes": ["gate", "read"], "days": 30}
    page = alma.post(address(AccessToken, "add"), told)
    token = AccessToken.objects.get(label="second")
    secret = page.context["secret"]
    assert secret in page.content.decode()
    assert "no-store" in page.headers["Cache-Control"]
    assert tokens.authenticate(secret, "gate") == cast.otto
    for address_of_it in (address(AccessToken, "change", token.pk), address(AccessToken, "history", token.pk)):
        assert secret not in alma.get(address_of_it).content.decode()
    assert secret.encode() not in b"".join(bytes(entry.body) for entry in Entry.objects.all())
    alma.post(do(AccessToken, token, "revoke"))
    assert tokens.authenticate(secret, "gate") is None


def test_a_token_is_for_a_service_and_for_known_scopes(alma: Client, cast: Cast) -> None:
    told: dict[str, Any] = {"user": cast.ada.pk, "label": "mine", "scopes": ["everything"], "days": 900}
    answer = alma.post(address(AccessToken, "add"), told)
    assert answer.status_code == 422
    assert set(answer.context["form"].errors) == {"user", "scopes", "days"}
    assert not AccessToken.objects.filter(label="mine").exists()


def scope_of(cast: Cast) -> dict[str, Any]:
    """Return the fields that the forms of keys and of roots have in common."""
    now = timezone.now()
    return {
        "owner": cast.petra.pk,
        "purposes": ["provenance", "evaluation"],
        "builders": f"{documents.BUILDER}\n\n  https://builds.example/other\n",
        "assets": "fraud-scorer",
        "valid_from": f"{now - timedelta(minutes=1):%Y-%m-%dT%H:%M}",
        "valid_until": f"{now + timedelta(days=30):%Y-%m-%dT%H:%M}",
    }


def expect_revocable(alma: Client, row: TrustedKey | TrustedRoot) -> None:
    """Stop trusting a key or a root in the admin, and find that nothing else can be done to it."""
    model = type(row)
    page = alma.get(address(model, "change", row.pk)).content.decode()
    assert "Stop trusting" in page
    assert alma.post(do(model, row, "revoke"), {"reason": ""}).status_code == 422
    alma.post(do(model, row, "revoke"), {"reason": "The builder was rebuilt."})
    row.refresh_from_db()
    assert row.revoked_at is not None
    assert newest(f"{row.ledger_ref[0]}.revoked").details["reason"] == "The builder was rebuilt."
    assert "Stop trusting" not in alma.get(address(model, "change", row.pk)).content.decode()
    assert alma.post(do(model, row, "revoke"), {"reason": "Once more."}).status_code == 422
    history = alma.get(address(model, "history", row.pk)).content.decode()
    assert "key.trusted" in history or "root.trusted" in history


def test_a_key_is_trusted_and_revoked_with_a_reason(alma: Client, cast: Cast) -> None:
    public = documents.public_pem(ec.generate_private_key(ec.SECP256R1()))
    told = {"name": "Second builder", "public_pem": public, **scope_of(cast)}
    for wrong, said in (
        ({"public_pem": "-----BEGIN NONSENSE-----"}, "ECDSA P-256"),
        ({"builders": ""}, "one or more builder ids"),
        ({"purposes": ["everything"]}, "not one of the available choices"),
        ({"assets": "*"}, "names of assets"),
    ):
        broken = alma.post(address(TrustedKey, "add"), told | wrong)
        assert (broken.status_code, said in broken.content.decode()) == (422, True), wrong
    alma.post(address(TrustedKey, "add"), told)
    key = TrustedKey.objects.get(name="Second builder")
    assert key.builders == [documents.BUILDER, "https://builds.example/other"]
    assert (key.purposes, key.assets, key.owner) == (["provenance", "evaluation"], ["fraud-scorer"], cast.petra)
    expect_revocable(alma, key)


def test_a_root_is_trusted_and_revoked_with_a_reason(alma: Client, cast: Cast) -> None:
    told = {"name": "Our Sigstore", "text": Instance().trusted_root(), **scope_of(cast)}
    told["identities"] = "https://accounts.example cee-i@example.com\r\nhttps://ci.example https://ci.example/train.yml"
    for wrong, said in (
        ({"text": "{}"}, "no certificate authority"),
        ({"identities": "cee-i@example.com"}, "expected an issuer, one space and an identity"),
    ):
        broken = alma.post(address(TrustedRoot, "add"), told | wrong)
        assert (broken.status_code, said in broken.content.decode()) == (422, True), wrong
    alma.post(address(TrustedRoot, "add"), told)
    root = TrustedRoot.objects.get()
    assert root.identities == [
        {"issuer": "https://accounts.example", "identity": "cee-i@example.com"},
        {"issuer": "https://ci.example", "identity": "https://ci.example/train.yml"},
    ]
    expect_revocable(alma, root)


def test_a_deed_that_is_not_there_is_404(alma: Client, full: Version) -> None:
    assert alma.post(do(Version, full, "approve")).status_code == 404
    assert alma.post(address(User, "deed", 0, "close")).status_code == 404


def test_deeds_ask_for_the_csrf_token(cast: Cast) -> None:
    assert browser_of(cast.alma, strict=True).post(do(User, cast.ada, "close")).status_code == 403
    cast.ada.refresh_from_db()
    assert cast.ada.is_active
