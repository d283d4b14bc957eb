"""The gate, promotions, and decisions that prove themselves with the published key."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit import notes, seal
from governance import decisions, lifecycle
from governance.models import ConsumerGrant, Decision, Promotion
from registry.models import Version
from tests.factories import Walk, artifacts, import_advisories, osv
from tests.web.services import API, Service, count_rows, fields_of, make_service

FRAUD = "/versions/fraud-scorer/1.0.0"


def ask(service: Service, version: Version, environment: str = "production", consumer: str = "billing") -> Any:
    answer = service.get(
        "/gate", digest=f"sha256:{version.identity_digest}", environment=environment, consumer=consumer
    )
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_the_gate_says_yes_with_the_decision_it_rests_on(walk: Walk, candidate: Version, deployer: Service) -> None:
    decision = walk.approved(candidate)
    assert decision.expires_at
    answer = ask(deployer, candidate)
    assert answer == {
        "allow": True,
        "version": "fraud-scorer@1.0.0",
        "state": "approved",
        "reasons": [],
        "decision": {
            "id": str(decision.public_id),
            "dsse": f"http://localhost:8000{API}/decisions/{decision.public_id}.dsse.json",
            "sigstore": f"http://localhost:8000{API}/decisions/{decision.public_id}.sigstore.json",
        },
        "expires_at": seal.instant(decision.expires_at),
        "challenges": [],
    }
    assert ConsumerGrant.objects.get().consumer == "billing"


def test_an_unregistered_digest_may_not_serve(deployer: Service) -> None:
    answer = deployer.get("/gate", digest="sha256:" + "0" * 64, environment="production", consumer="billing").json()
    assert (answer["allow"], answer["version"], answer["decision"]) == (False, None, None)
    assert answer["reasons"][0]["rule"] == "unregistered"
    assert answer["reasons"][0]["fix"]


def test_every_no_names_its_rule_and_what_would_make_it_a_yes(candidate: Version, deployer: Service) -> None:
    answer = ask(deployer, candidate)
    assert answer["allow"] is False
    [reason] = answer["reasons"]
    assert reason == {
        "rule": "no_decision",
        "says": "fraud-scorer@1.0.0 has no decision for production.",
        "fix": "Submit it for production and have it approved.",
        "where": candidate.get_absolute_url(),
    }
    assert ConsumerGrant.objects.count() == 0


def test_a_decision_for_staging_is_none_for_production(walk: Walk, candidate: Version, deployer: Service) -> None:
    walk.approved(candidate, "staging")
    assert ask(deployer, candidate, "staging")["allow"] is True
    assert ask(deployer, candidate, "production")["allow"] is False


def test_an_expired_decision_is_a_no_although_no_clock_has_run(
    walk: Walk, candidate: Version, deployer: Service
) -> None:
    decision = walk.approved(candidate)
    assert decision.expires_at
    _, late = make_service("late-deployer", "gate")
    with time_machine.travel(timezone.now() + timedelta(days=89)):
        assert ask(late, candidate)["allow"] is True
    token = late.secret
    with time_machine.travel(decision.expires_at + timedelta(seconds=1)):
        _, fresh = make_service("fresh-deployer", "gate")
        answer = ask(fresh, candidate)
        assert Service(token).get("/gate", digest="0" * 64, environment="production", consumer="x").status_code == 401
    assert answer["allow"] is False
    assert answer["reasons"][0]["rule"] == "expired"
    candidate.refresh_from_db()
    assert candidate.state == "approved"


def test_a_deprecated_version_serves_known_consumers_only(walk: Walk, candidate: Version, deployer: Service) -> None:
    walk.approved(candidate)
    ask(deployer, candidate, consumer="billing")
    lifecycle.deprecate(
        candidate,
        actor=walk.cast.ada,
        successor=None,
        sunset_at=timezone.now() + timedelta(days=30),
        reason="Replaced soon.",
    )
    assert ask(deployer, candidate, consumer="billing")["allow"] is True
    refused = ask(deployer, candidate, consumer="newcomer")
    assert (refused["allow"], refused["reasons"][0]["rule"]) == (False, "deprecated")


def test_a_challenged_version_serves_until_its_time_runs_out_and_the_answer_says_so(
    walk: Walk, candidate: Version, deployer: Service, tmp_path: Path
) -> None:
    walk.approved(candidate)
    import_advisories(walk.cast, tmp_path, osv("GHSA-1111-1111-1111", "numpy", fixed="2.3.0"))
    walk.work()
    for consumer in ("billing", "newcomer"):
        answer = ask(deployer, candidate, consumer=consumer)
        assert answer["allow"] is True
    [challenge] = answer["challenges"]
    assert challenge == {
        "cause": "finding",
        "says": challenge["says"],
        "fix": challenge["fix"],
        "vulnerability": "GHSA-1111-1111-1111",
        "severity": "critical",
        "version": "fraud-scorer@1.0.0",
        "since": challenge["since"],
        "due": answer["expires_at"],
    }
    with CaptureQueriesContext(connection) as queries:
        ask(deployer, candidate)
    assert len(queries) == 2
    with time_machine.travel(timezone.now() + timedelta(days=14)):
        late = ask(deployer, candidate)
    assert (late["allow"], late["reasons"][0]["rule"]) == (False, "challenged")
    assert late["challenges"] == [challenge]


def test_a_retired_version_serves_nobody(walk: Walk, candidate: Version, deployer: Service) -> None:
    walk.approved(candidate)
    lifecycle.retire(candidate, actor=walk.cast.ada, reason="It is old.")
    assert ask(deployer, candidate)["reasons"][0]["rule"] == "retired"


WRONG: list[tuple[dict[str, str], str]] = [
    ({"digest": "sha256:xyz"}, "digest"),
    ({"digest": "A" * 64}, "digest"),
    ({"digest": ""}, "digest"),
    ({"environment": "prod\x00"}, "environment"),
    ({"environment": "PRODUCTION"}, "environment"),
    ({"consumer": ""}, "consumer"),
    ({"consumer": " "}, "consumer"),
    ({"consumer": "x" * 121}, "consumer"),
    ({"consumer": "bill\x00ing"}, "consumer"),
    ({"consumer": "bill\ning"}, "consumer"),
]


def test_a_wrong_question_is_no_answer(deployer: Service, subtests: pytest.Subtests) -> None:
    for changes, field in WRONG:
        with subtests.test(changes=changes):
            question = {"digest": "sha256:" + "0" * 64, "environment": "production", "consumer": "billing", **changes}
            assert fields_of(deployer.get("/gate", **question)) == [field]


def test_only_a_token_for_the_gate_may_ask(candidate: Version, ci: Service) -> None:
    question = {"digest": candidate.identity_digest, "environment": "production", "consumer": "billing"}
    assert ci.get("/gate", **question).status_code == 403
    assert Service("").get("/gate", **question).status_code == 401


def test_a_question_costs_one_query_beside_the_token(walk: Walk, candidate: Version, deployer: Service) -> None:
    walk.approved(candidate)
    ask(deployer, candidate)
    with CaptureQueriesContext(connection) as queries:
        ask(deployer, candidate)
    assert len(queries) == 2


def test_a_promotion_moves_the_pointer_once(walk: Walk, candidate: Version, deployer: Service) -> None:
    walk.approved(candidate)
    answer = deployer.post(f"{FRAUD}/promotions", {"environment": "production", "reason": "Go."})
    assert answer.status_code == 200, answer.content
    assert answer.json()["version"] == "fraud-scorer@1.0.0"
    again = deployer.post(f"{FRAUD}/promotions", {"environment": "production", "reason": "Go again."})
    assert again.json() == answer.json()
    assert Promotion.objects.count() == 1
    assert deployer.get(FRAUD).json()["standing"]["production"]["promoted"] is True


def test_what_may_not_serve_is_not_promoted(candidate: Version, deployer: Service) -> None:
    before = count_rows()
    answer = deployer.post(f"{FRAUD}/promotions", {"environment": "production"})
    assert (answer.status_code, answer.json()["error"]) == (409, "may_not_serve")
    assert answer.json()["reasons"][0]["rule"] == "no_decision"
    assert count_rows() == before


def test_another_environment_than_the_policys_is_named(candidate: Version, deployer: Service) -> None:
    assert fields_of(deployer.post(f"{FRAUD}/promotions", {"environment": "moon"})) == ["environment"]


def test_a_decision_verifies_with_nothing_but_the_published_key(
    walk: Walk, candidate: Version, deployer: Service
) -> None:
    walk.approved(candidate)
    links = ask(deployer, candidate)["decision"]
    answer = deployer.get(links["dsse"].partition(API)[2])
    assert answer["Content-Type"] == "application/vnd.dsse.envelope.v1+json"
    assert answer["Content-Disposition"] == 'attachment; filename="fraud-scorer-1.0.0-production-approved.dsse.json"'
    envelope = json.loads(answer.content)
    [key] = Client().get(f"{API}/keys").json()["decision"]
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"].encode()
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    public = serialization.load_pem_public_key(key["pem"].encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    [signature] = envelope["signatures"]
    public.verify(base64.b64decode(signature["sig"]), signed, ec.ECDSA(hashes.SHA256()))
    assert signature["keyid"] == key["keyid"]
    statement = json.loads(payload)
    assert statement["subject"][0]["digest"]["sha256"] == candidate.identity_digest


def test_the_bundle_holds_the_same_envelope(walk: Walk, candidate: Version, deployer: Service) -> None:
    decision = walk.approved(candidate)
    bundle = deployer.get(f"/decisions/{decision.public_id}.sigstore.json")
    assert bundle.json()["mediaType"] == bundle["Content-Type"]
    assert bundle.json()["dsseEnvelope"] == deployer.get(f"/decisions/{decision.public_id}.dsse.json").json()


def test_an_unsigned_decision_is_not_handed_out(walk: Walk, candidate: Version, deployer: Service) -> None:
    submission = walk.submit(candidate, "production")
    decision = decisions.decide(submission, "rejected", actor=walk.cast.rhea, reason="No.")
    answer = deployer.get(f"/decisions/{decision.public_id}.dsse.json")
    assert (answer.status_code, answer.json()["error"]) == (409, "unsigned")


def test_a_decision_is_kept_from_other_teams_but_not_from_deployers(walk: Walk, candidate: Version) -> None:
    decision = walk.approved(candidate)
    path = f"/decisions/{decision.public_id}.dsse.json"
    _, foreign = make_service("foreign-dashboard", "read", team=walk.cast.assistants)
    _, cluster = make_service("cluster", "gate")
    assert foreign.get(path).status_code == 404
    assert cluster.get(path).status_code == 200
    assert Decision.objects.count() == 1


def test_the_keys_are_public_and_private_parts_are_not_among_them(walk: Walk) -> None:
    answer = Client().get(f"{API}/keys")
    assert answer.status_code == 200
    assert "PRIVATE" not in answer.content.decode()
    [ledger] = answer.json()["ledger"]
    assert notes.parse_vkey(ledger["vkey"]).name == ledger["origin"]


def test_a_version_whose_content_changed_after_approval_is_no_yes(walk: Walk, deployer: Service) -> None:
    first = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    walk.approved(first)
    other = walk.candidate("fraud-scorer", "1.0.1", artifacts.scorer(2))
    assert ask(deployer, other)["allow"] is False
    assert ask(deployer, first)["allow"] is True
