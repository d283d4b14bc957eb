"""The revocation list says what no gate without a network could see: which approvals no longer count, until when."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from audit import keyset, rotation, seal, sealer
from audit.keyset import Purpose
from audit.models import Checkpoint, CheckpointCopy, Cosignature
from governance import decisions, portal_keys, revocations, standing, submissions, sweeps
from governance.models import Decision, Notice, RevocationList
from portal.demo.roots import publish_next
from portal.errors import Refused
from tests.scene import Scene

MINUTE = timedelta(minutes=1)


@pytest.fixture
def own_keys(scene: Scene, settings: Settings, tmp_path: Any) -> None:
    """Have a copy of the keys, because they are about to change."""
    shutil.copytree(settings.KEYS_DIR, tmp_path / "keys")
    settings.KEYS_DIR = tmp_path / "keys"


def said(row: RevocationList | None) -> dict[str, Any]:
    """Return what a list says, believed by the key and by nothing else."""
    assert row is not None
    opened = seal.verify(row.envelope, [seal.decision_key()])
    assert opened.payload_type == "application/vnd.countersign.revocations+json"
    found: dict[str, Any] = json.loads(opened.payload)
    return found


def test_a_list_without_revocations_still_says_until_when(scene: Scene) -> None:
    scene.walk.approved(scene.version)
    told = said(revocations.issue_due())
    assert (told["type"], told["number"], told["revoked"]) == ("https://countersign.dev/revocations/v1", 1, [])
    issued, following = (datetime.fromisoformat(told[name]) for name in ("issuedAt", "nextUpdate"))
    assert following - issued == timedelta(hours=1)


def test_nothing_new_issues_nothing_until_a_quarter_of_an_hour_has_passed(scene: Scene) -> None:
    first = revocations.issue_due()
    assert revocations.issue_due() is None
    with time_machine.travel(first.issued_at + 14 * MINUTE):
        assert revocations.issue_due() is None
    with time_machine.travel(first.issued_at + 15 * MINUTE):
        assert revocations.issue_due().number == 2


def test_a_revoked_decision_is_listed_at_once_until_it_would_have_expired(scene: Scene) -> None:
    walk, version = scene
    decision = walk.approved(version)
    revocations.issue_due()
    revocation = decisions.revoke(decision, actor=walk.cast.rhea, reason="The secret word is swordfish.")
    told = said(revocations.issue_due())
    assert told["number"] == 2
    assert told["revoked"] == [
        {
            "decisionId": str(decision.public_id),
            "at": seal.instant(revocation.made_at),
            "reason": "The decision was revoked.",
        }
    ]
    assert "swordfish" not in json.dumps(told), "what people typed stays inside"
    with time_machine.travel(decision.expires_at):
        assert said(revocations.issue_due())["revoked"] == []


def test_whatever_standing_no_longer_allows_is_listed(scene: Scene) -> None:
    walk, version = scene
    decision = walk.approved(version)
    submissions.retire(version, actor=walk.cast.ada, reason="Replaced.")
    assert not standing.of(version, "production").allow
    [line] = said(revocations.issue_due())["revoked"]
    assert (line["decisionId"], line["reason"]) == (str(decision.public_id), "The version is retired.")
    with time_machine.travel(timezone.now() + 20 * MINUTE):
        assert said(revocations.issue_due())["revoked"] == [line], "its instant does not move"


def test_what_is_not_signed_yet_is_no_matter_for_gates(scene: Scene) -> None:
    walk, version = scene
    walk.approved(version)
    signed = Decision.objects.get()
    assert list(revocations.find_ended(signed.expires_at)) == []


def test_the_predicate_says_where_the_list_is(scene: Scene, settings: Settings) -> None:
    walk, version = scene
    predicate = json.loads(bytes(walk.approved(version).payload))["predicate"]
    assert predicate["constraints"] == {}
    assert predicate["revocation"] == {"list": f"{settings.PORTAL_URL}/.well-known/countersign/revocations.json"}


def test_the_open_doors_hand_out_documents_that_caches_may_keep(scene: Scene, own_keys: None) -> None:
    client = Client()
    for name in ("keyset.json", "revocations.json", "keysets/1.json"):
        assert client.get(f"/.well-known/countersign/{name}").status_code == 404
    publish_next()
    revocations.issue_due()
    sealer.seal_due()
    for name in ("keyset.json", "keysets/1.json", "revocations.json", "checkpoint"):
        answer = client.get(f"/.well-known/countersign/{name}")
        assert answer.status_code == 200
        assert set(answer["Cache-Control"].split(", ")) == {"public", "max-age=60"}
        again = client.get(f"/.well-known/countersign/{name}", headers={"If-None-Match": answer["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.post(f"/.well-known/countersign/{name}").status_code == 405
    document = keyset.opened(client.get("/.well-known/countersign/keyset.json").json(), None)
    assert document.find(seal.decision_key().fingerprint).purpose == Purpose.DECISION
    assert client.get("/.well-known/countersign/checkpoint").content.decode() == Checkpoint.objects.first().note
    assert "private" not in client.get("/.well-known/countersign/keyset.json").content.decode().lower()


def lose(version_decision: Decision, since: datetime) -> list[Decision]:
    """Say that the decision key was lost, after preparing another one; return what that ended."""
    lost = seal.decision_key().fingerprint
    rotation.prepare(Purpose.DECISION)
    publish_next(compromised={lost: since})
    return list(Decision.objects.filter(verdict="revoked", revokes=version_decision))


@pytest.fixture
def approved(scene: Scene, own_keys: None) -> Decision:
    """An approval that is signed and sealed."""
    publish_next()
    decision = scene.walk.approved(scene.version)
    sealer.seal_due()
    return decision


def test_a_decision_by_a_lost_key_that_nothing_proves_to_be_older_ends(scene: Scene, approved: Decision) -> None:
    [revocation] = lose(approved, timezone.now())
    answer = standing.of(scene.version, "production")
    assert not answer.allow
    assert "no witness had cosigned" in revocation.reason
    assert "Submit it for production" in answer.reasons[0].fix
    assert decisions.sign_due() == 0, "the lost key signs nothing more"
    call_command("rotate_decision_key", switch=True)
    assert decisions.sign_due() == 1
    assert [line["decisionId"] for line in said(revocations.issue_due())["revoked"]] == [str(approved.public_id)]


def test_a_decision_that_a_witness_cosigned_in_time_stays(scene: Scene, approved: Decision) -> None:
    Cosignature.objects.create(size=Checkpoint.objects.first().size, witness="w", line="— w AAAA")
    assert lose(approved, timezone.now() + MINUTE) == []
    assert standing.of(scene.version, "production").allow


def test_a_row_about_a_copy_proves_nothing_because_it_can_be_dated_back(scene: Scene, approved: Decision) -> None:
    since = timezone.now()
    CheckpointCopy.objects.create(place="bucket", size=99_999, due_at=since, sent_at=since - MINUTE)
    assert len(lose(approved, since)) == 1


def test_a_cosignature_that_came_too_late_proves_nothing(scene: Scene, approved: Decision) -> None:
    since = timezone.now()
    Cosignature.objects.create(size=99_999, witness="w", line="— w AAAA")
    assert len(lose(approved, since)) == 1


def test_the_lost_key_signs_no_list(scene: Scene, approved: Decision) -> None:
    lose(approved, timezone.now())
    with pytest.raises(Refused, match="does not let the decision key"):
        revocations.issue_due()
    assert not RevocationList.objects.exists()


def test_an_ended_key_signs_no_decision(scene: Scene, own_keys: None) -> None:
    publish_next()
    with time_machine.travel(timezone.now() + timedelta(days=366)), pytest.raises(Refused, match="rotates the key"):
        keyset.expect_signing(timezone.now())


def test_only_the_portal_publishes(scene: Scene) -> None:
    with pytest.raises(PermissionDenied, match=r"keyset\.publish"):
        portal_keys.publish({}, actor=scene.walk.cast.alma)


def test_administrators_are_warned_before_a_key_ends(scene: Scene, own_keys: None) -> None:
    publish_next()
    now = timezone.now()
    assert portal_keys.warn_due() == 0
    for days, expected in ((336, 2), (337, 0), (359, 2), (364.5, 2)):
        with time_machine.travel(now + timedelta(days=days)):
            told = portal_keys.warn_due()
            assert told == expected * 2, "the keyset and the decision key end, and there are two administrators"
    assert Notice.objects.filter(kind="key_ending", subject__startswith="The decision key").count() == 6
    assert sweeps.portal_keys is portal_keys


def test_the_page_shows_keys_and_what_comes_next(scene: Scene, own_keys: None) -> None:
    client = Client()
    client.force_login(scene.walk.cast.ada, "allauth.account.auth_backends.AuthenticationBackend")
    assert client.get("/audit/keys/").status_code == 403
    client.force_login(scene.walk.cast.alma, "allauth.account.auth_backends.AuthenticationBackend")
    assert "No keyset is published" in client.get("/audit/keys/").content.decode()
    publish_next()
    rotation.prepare(Purpose.LOG)
    revocations.issue_due()
    page = client.get("/audit/keys/").content.decode()
    assert "Draft a keyset that names it" in page
    assert seal.decision_key().fingerprint in page
    assert "0 decisions" in page
    with time_machine.travel(timezone.now() + timedelta(days=364)):
        client.force_login(scene.walk.cast.alma, "allauth.account.auth_backends.AuthenticationBackend")
        page = client.get("/audit/keys/").content.decode()
        assert "Ends soon" in page
        assert "The revocation list is overdue." in page


def test_the_health_page_says_when_nothing_is_believed_any_more(scene: Scene, own_keys: None) -> None:
    publish_next()
    revocations.issue_due()
    assert (portal_keys.fault(), revocations.fault()) == ("", "")
    with time_machine.travel(timezone.now() + timedelta(days=366)):
        assert "Keyset 1 expired on" in portal_keys.fault()
        assert "gates that work offline say no" in revocations.fault()
    publish_next(days=500)
    with time_machine.travel(timezone.now() + timedelta(days=366)):
        assert "does not let the decision key" in portal_keys.fault()
