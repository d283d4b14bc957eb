"""Who is calling: a secret that is shown once, kept as a hash, and worth nothing after its time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from audit.models import Entry
from portal.errors import Invalid, Refused
from registry import people, tokens
from registry.models import AccessToken
from tests.factories import Walk
from tests.web.services import count_rows


@pytest.fixture
def issued(walk: Walk) -> tuple[AccessToken, str]:
    return tokens.issue(walk.cast.otto, actor=walk.cast.alma, label="gate", scopes=["serving", "gate"], days=30)


def test_a_secret_brings_the_service_with_its_scopes(walk: Walk, issued: tuple[AccessToken, str]) -> None:
    service = tokens.authenticate(issued[1], "gate")
    assert service == walk.cast.otto
    assert getattr(service, "token_scopes", ()) == {"gate", "serving"}


def test_the_secret_is_kept_nowhere(issued: tuple[AccessToken, str]) -> None:
    token, secret = issued
    kept = [str(value) for value in vars(AccessToken.objects.get(pk=token.pk)).values()]
    kept += [bytes(entry.body).decode() for entry in Entry.objects.all()]
    kept += [str(row) for row in AccessToken.history.values()]
    own = secret.split("_")[2]
    assert not [text for text in kept if own in text]
    assert token.prefix in "".join(kept)


def test_a_token_is_worth_something_from_its_first_instant_until_just_before_its_last(
    issued: tuple[AccessToken, str],
) -> None:
    token, secret = issued
    moment = timedelta(microseconds=1)
    answers = {
        at: tokens.authenticate(secret, "gate", at=at) is not None
        for at in (token.issued_at - moment, token.issued_at, token.expires_at - moment, token.expires_at)
    }
    assert list(answers.values()) == [False, True, True, False]
    assert token.expires_at - token.issued_at == timedelta(days=30)


def test_a_revoked_token_ends_at_once_and_is_revoked_once(walk: Walk, issued: tuple[AccessToken, str]) -> None:
    token, secret = issued
    tokens.revoke(token, actor=walk.cast.alma)
    assert tokens.authenticate(secret, "gate") is None
    before = count_rows()
    assert tokens.revoke(token, actor=walk.cast.alma).revoked_at is not None
    assert count_rows() == before


def test_closing_the_account_ends_its_tokens(walk: Walk, issued: tuple[AccessToken, str]) -> None:
    people.close_account(walk.cast.otto, actor=walk.cast.alma)
    assert tokens.authenticate(issued[1], "gate") is None


def test_another_scope_is_refused_by_name_and_only_to_the_holder(issued: tuple[AccessToken, str]) -> None:
    with pytest.raises(PermissionDenied, match="has the scopes gate, serving; 'register' is needed"):
        tokens.authenticate(issued[1], "register")
    wrong = issued[1][:-1] + ("a" if issued[1][-1] != "a" else "b")
    assert tokens.authenticate(wrong, "register") is None


def test_whatever_is_no_secret_of_ours_is_nobody(issued: tuple[AccessToken, str]) -> None:
    secret = issued[1]
    own = secret.split("_")[2]
    for wrong in (
        "",
        "csn",
        "csn__",
        secret[4:],
        secret.upper(),
        secret + " ",
        secret + "_",
        f"csn_{'x' * 8}_{own}",
        f"csn_{issued[0].prefix}_",
        f"csn_{issued[0].prefix}_{issued[0].secret_sha256}",
        f"csn_\x00_{own}",
        f"csn_\ud800_{own}",
        f"csn_' OR 1=1 --_{own}",
        "csn_" + "x" * 10_000,
    ):
        assert tokens.authenticate(wrong, "gate") is None, wrong[:40]


def test_only_administrators_issue_and_revoke(walk: Walk, issued: tuple[AccessToken, str]) -> None:
    before = count_rows()
    for actor in (walk.cast.ada, walk.cast.rhea, walk.cast.iris, walk.cast.otto):
        with pytest.raises(PermissionDenied):
            tokens.issue(walk.cast.otto, actor=actor, label="more", scopes=["promote"])
        with pytest.raises(PermissionDenied):
            tokens.revoke(issued[0], actor=actor)
    assert count_rows() == before


def test_only_an_auditor_issues_a_token_that_reads_the_ledger(walk: Walk) -> None:
    before = count_rows()
    for scopes in (["audit"], ["audit", "gate"]):
        with pytest.raises((Refused, PermissionDenied)) as refusal:
            tokens.issue(walk.cast.otto, actor=walk.cast.alma, label="monitor", scopes=scopes)
        assert "An auditor issues it" in str(refusal.value)
    for actor, scopes in ((walk.cast.iris, ["audit", "gate"]), (walk.cast.iris, ["gate"])):
        with pytest.raises(PermissionDenied):
            tokens.issue(walk.cast.otto, actor=actor, label="monitor", scopes=scopes)
    with pytest.raises(Refused, match="does not sit in the role auditor"):
        tokens.issue(walk.cast.otto, actor=walk.cast.mallory, label="monitor", scopes=["audit"])
    assert count_rows() == before
    _, secret = tokens.issue(walk.cast.otto, actor=walk.cast.iris, label="monitor", scopes=["audit"])
    assert tokens.authenticate(secret, "audit") == walk.cast.otto
    people.give_seat(walk.cast.alma, "auditor", actor=walk.cast.abel)
    alma = type(walk.cast.alma).objects.get(pk=walk.cast.alma.pk)
    tokens.issue(walk.cast.otto, actor=alma, label="both", scopes=["audit", "gate"])


def test_a_wrong_token_is_refused_by_the_field(walk: Walk) -> None:
    before = count_rows()
    right: dict[str, Any] = {"label": "gate", "scopes": ["gate"], "days": 30}
    wrong: dict[str, list[Any]] = {
        "scopes": [[], ["gate", "root"], ["*"]],
        "days": [0, 91, -1],
        "label": ["", "x" * 81, "a\x00b"],
    }
    for field, values in wrong.items():
        for value in values:
            with pytest.raises(Invalid) as refusal:
                tokens.issue(walk.cast.otto, actor=walk.cast.alma, **{**right, field: value})
            assert refusal.value.faults[0].field == field
    with pytest.raises(Invalid, match="a service account: people sign in instead"):
        tokens.issue(walk.cast.ada, actor=walk.cast.alma, label="gate", scopes=["gate"])
    assert count_rows() == before


def test_a_default_token_lives_for_ninety_days(walk: Walk) -> None:
    token, _ = tokens.issue(walk.cast.otto, actor=walk.cast.alma, label="gate", scopes=["gate"])
    assert abs(token.expires_at - timezone.now() - timedelta(days=90)) < timedelta(minutes=1)
