"""Every address asks who is there, or is on the list of those that do not; no POST works without its CSRF token."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from django.urls import resolve
from pytest_django import Settings

from audit import seal
from registry import people
from registry.models import User
from tests.architecture.addresses import addresses

# The only addresses that answer somebody who has not signed in and brings no token.
PUBLIC = {
    "/healthz",  # for alarms: says what is wrong with database, broker and clock, and nothing else
    "/readyz",  # for load balancers
    "/cli/countersign",  # the command for CI: one file without secrets
    "/cli/gate.py",  # gate, verifier and witness, which need no portal
    "/cli/verify.py",
    "/cli/witness.py",
    "/api/v1/",
    "/api/v1/docs",  # the API's description: shapes, no data
    "/api/v1/openapi.json",
    "/.well-known/countersign/keyset.json",  # signed documents: public keys, ids of decisions, a size and a hash
    "/.well-known/countersign/keysets/<int:number>.json",
    "/.well-known/countersign/revocations.json",
    "/.well-known/countersign/checkpoint",
    "/api/v1/keys",  # public keys: whoever holds a decision may verify it
    "/admin/login/",  # leads to the portal's own sign-in
    "/account/login/",
    "/account/logout/",
    "/account/signup/",  # says that sign-up is closed
    "/account/inactive/",
    "/account/password/reset/",
    "/account/password/reset/done/",
    "/account/password/reset/key/done/",
    "/account/^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
    "/account/login/code/confirm/",  # the following are steps of signing in
    "/account/mfa/authenticate/",
    "/account/mfa/webauthn/login/",
}
# What machines read answers GET alone, without looking for a session.
FOR_MACHINES = ("/healthz", "/readyz", "/cli/", "/.well-known/")
MACHINES = {(address, 405) for address in PUBLIC if address.startswith(FOR_MACHINES)}
ALL = tuple(addresses())


@pytest.fixture(autouse=True)
def keys(settings: Settings, tmp_path: Path) -> None:
    """Give the portal its keys, as every portal has them."""
    settings.KEYS_DIR = tmp_path / "keys"
    seal.ensure_keys()


def test_there_are_addresses_and_the_list_names_only_such() -> None:
    assert len(ALL) > 200
    assert {address.pattern for address in ALL} >= PUBLIC


def is_guarded(client: Client, path: str, method: str) -> bool:
    """Return whether a stranger is sent to the sign-in, or told that a token is needed."""
    answer = client.generic(method, path)
    if answer.status_code == 302:
        return answer.headers["Location"].startswith(("/account/login/", "/admin/login/"))
    # 405 says that the API has no such operation there, before it could ask for a token.
    return answer.status_code == 401 or (path.startswith("/api/") and answer.status_code == 405)


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_address_asks_who_is_there(client: Client, method: str) -> None:
    opened = [each.pattern for each in ALL if each.pattern not in PUBLIC and not is_guarded(client, each.path, method)]
    assert opened == []


@pytest.mark.django_db
def test_every_public_address_says_so_itself() -> None:
    """A view is public by `login_not_required`, and by nothing else."""
    declared = {
        address.pattern
        for address in ALL
        # A page that stands behind another one of the same address is out of reach.
        if not getattr(address.view, "login_required", True) and resolve(address.path).func is address.view
    }
    tokens = {address.pattern for address in ALL if address.pattern.startswith("/api/v1/")}
    assert declared - tokens == PUBLIC - tokens


@pytest.mark.django_db
def test_no_page_takes_a_post_without_its_csrf_token() -> None:
    browser = Client(enforce_csrf_checks=True, raise_request_exception=False)
    ada = people.open_account("ada", actor=User.objects.system("setup"), name="Ada")
    taken = []
    for address in ALL:
        if address.path.startswith("/api/v1/"):
            continue
        browser.force_login(ada, "allauth.account.auth_backends.AuthenticationBackend")
        answer = browser.post(address.path)
        if (address.pattern, answer.status_code) not in MACHINES and answer.status_code != 403:
            taken.append((address.pattern, answer.status_code))
    assert taken == []


@pytest.mark.django_db
def test_the_api_takes_no_session_instead_of_a_token() -> None:
    """Its views need no CSRF token, so a signed-in browser must be as much of a stranger as any other."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(
        people.open_account("ada", actor=User.objects.system("setup"), name="Ada"),
        "allauth.account.auth_backends.AuthenticationBackend",
    )
    for address in ALL:
        if address.path.startswith("/api/v1/") and address.pattern not in PUBLIC:
            assert browser.get(address.path).status_code in {401, 405}, address
            assert browser.post(address.path).status_code in {401, 405}, address


def test_only_the_api_is_exempt_from_csrf() -> None:
    exempt = {address.pattern for address in ALL if getattr(address.view, "csrf_exempt", False)}
    assert {pattern for pattern in exempt if not pattern.startswith("/api/v1/")} == set()
