"""Who issues tokens that read the ledger: administrators are not auditors, in the admin as elsewhere."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from registry import people, tokens
from registry.models import AccessToken
from tests.factories import Cast
from tests.web.test_admin import address, browser_of


@pytest.fixture
def alma(cast: Cast) -> Client:
    """Return the browser of the administrator."""
    return browser_of(cast.alma)


def test_the_scope_that_reads_the_ledger_is_not_offered_and_refused_with_who_can(alma: Client, cast: Cast) -> None:
    page = alma.get(address(AccessToken, "add")).content.decode()
    assert 'value="gate"' in page
    assert 'value="audit"' not in page
    told = {"user": cast.otto.pk, "label": "spy", "scopes": ["audit"], "days": 30}
    answer = alma.post(address(AccessToken, "add"), told)
    assert answer.status_code == 422
    assert "An auditor issues it" in answer.content.decode()
    assert 'value="audit"' not in answer.content.decode()
    assert not AccessToken.objects.filter(label="spy").exists()
    people.give_seat(cast.alma, "auditor", actor=cast.abel)
    assert 'value="audit"' in alma.get(address(AccessToken, "add")).content.decode()


def test_an_auditor_issues_it_on_a_page_of_the_audit_and_sees_its_secret_once(alma: Client, cast: Cast) -> None:
    iris, page = browser_of(cast.iris), reverse("audit:tokens")
    assert alma.get(page).status_code == 403
    answer = iris.post(page, {"user": cast.otto.pk, "label": "monitor", "days": 30})
    secret = answer.context["secret"]
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert secret in answer.content.decode()
    assert tokens.authenticate(secret, "audit") == cast.otto
    assert AccessToken.objects.get(label="monitor").scopes == ["audit"]
    listed = iris.get(page).content.decode()
    assert "monitor" in listed
    assert secret not in listed
    wrong = iris.post(page, {"user": cast.ada.pk, "label": "person", "days": 900})
    assert wrong.status_code == 422
    assert not AccessToken.objects.filter(label="person").exists()
