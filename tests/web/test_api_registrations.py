"""Registering through the API: once, again, differently, wrongly, and without leaving anything behind."""

from __future__ import annotations

import base64
import copy
import json
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from portal.demo import documents
from registry import tokens
from registry.models import AccessToken, Evidence, User, Version
from tests.factories import PASSWORD, Walk, artifacts
from tests.web.services import API, Service, count_rows, fields_of, make_service

Body = dict[str, Any]


@pytest.fixture
def body(walk: Walk) -> Body:
    return copy.deepcopy(walk.registration("fraud-scorer", "2.1.0", artifacts.scorer(1)))


def sbom(body: Body, name: str = "sbom.cdx.json") -> dict[str, str]:
    document = documents.sbom("fraud-scorer", "2.1.0", body["version"]["artifact"]["sha256"])
    return {"kind": "sbom", "filename": name, "content_base64": base64.b64encode(document).decode()}


def test_a_new_version_is_201_and_the_same_again_is_200(ci: Service, body: Body) -> None:
    first = ci.post("/registrations", body)
    assert first.status_code == 201, first.content
    assert first.json()["version"] == "fraud-scorer@2.1.0"
    assert first.json()["identity_digest"] == "sha256:" + body["version"]["artifact"]["sha256"]
    before = count_rows()
    again = ci.post("/registrations", body)
    assert again.status_code == 200
    assert again.json() == {**first.json(), "created": False}
    assert count_rows() == before


def test_another_build_of_the_same_content_is_the_same_registration(ci: Service, body: Body) -> None:
    ci.post("/registrations", body)
    body["version"]["source"]["build_id"] = "another-run"
    assert ci.post("/registrations", body).status_code == 200


def test_everything_comes_in_one_request_and_the_answer_lists_it(ci: Service, body: Body) -> None:
    answer = ci.post("/registrations", {**body, "evidence": [sbom(body)]})
    assert answer.status_code == 201, answer.content
    [attached] = answer.json()["evidence"]
    assert attached["kind"] == "sbom"
    assert attached["sha256"] == sha256(base64.b64decode(sbom(body)["content_base64"])).hexdigest()
    assert attached["about"] == [answer.json()["identity_digest"]]


def test_what_nomination_would_still_ask_for_is_said(ci: Service, body: Body) -> None:
    del body["version"]["licence"]
    assert any("licence" in each for each in ci.post("/registrations", body).json()["missing"])


def test_another_checksum_for_the_same_version_is_409_with_both_hashes(ci: Service, body: Body) -> None:
    ci.post("/registrations", body)
    before, old = count_rows(), body["version"]["artifact"]["sha256"]
    body["version"]["artifact"]["sha256"] = "f" * 64
    answer = ci.post("/registrations", {**body, "evidence": [sbom(body)]})
    assert answer.status_code == 409
    assert answer.json()["error"] == "checksum_differs"
    assert answer.json()["details"] == {"expected": old, "seen": "f" * 64}
    assert old in answer.json()["says"]
    assert count_rows() == before


def test_another_record_for_the_same_version_is_409_with_both_hashes(ci: Service, body: Body) -> None:
    ci.post("/registrations", body)
    body["version"]["licence"] = "MIT"
    answer = ci.post("/registrations", body)
    assert answer.status_code == 409
    assert answer.json()["error"] == "content_differs"
    stored = Version.objects.get().registration_digest
    assert answer.json()["details"]["expected"] == stored != answer.json()["details"]["seen"]


def test_a_registration_with_one_bad_document_leaves_nothing(ci: Service, body: Body) -> None:
    before = count_rows()
    bad = {**sbom(body, "second.json"), "content_base64": base64.b64encode(b'{"bomFormat": "CycloneDX"').decode()}
    answer = ci.post("/registrations", {**body, "evidence": [sbom(body), bad]})
    assert fields_of(answer) == ["document"]
    assert count_rows() == before


def test_a_missing_component_leaves_nothing(ci: Service, body: Body) -> None:
    before = count_rows()
    answer = ci.post("/registrations", {**body, "components": [{"role": "base", "version": "nobody@1.0.0"}]})
    assert fields_of(answer) == ["components.version"]
    assert count_rows() == before


WRONG: list[tuple[str, Any]] = [
    ("asset.name", "=cmd()"),
    ("asset.name", "Fraud Scorer"),
    ("asset.name", None),
    ("asset.colour", "blue"),
    ("version.number", "v2"),
    ("version.number", 2),
    ("version.artifact", "sha256:ab"),
    ("version.artifact.sha256", "F" * 64),
    ("version.artifact.size", -1),
    ("version.artifact.size", 1.5),
    ("version.artifact.size", 10**30),
    ("version.risk.rating", "none"),
    ("version.authors", "ada"),
    ("version.release_notes", "x" * 20_001),
    ("datasets.0.personal_data", "perhaps"),
    ("datasets.0.from", "yesterday"),
    ("components", [{"role": "base", "version": "no-number"}]),
    ("evidence", [{"kind": "sbom"}]),
    ("evidence", {"sbom": "…"}),
]


def put(body: Body, path: str, value: Any) -> None:
    """Write one field, which is named as the answer names it."""
    *way, last = path.split(".")
    for step in way:
        body = body[int(step) if step.isdigit() else step]  # type: ignore[index]
    body[last] = value


def test_a_wrong_field_is_named_with_what_was_seen_and_nothing_is_kept(
    ci: Service, body: Body, subtests: pytest.Subtests
) -> None:
    before = count_rows()
    for field, value in WRONG:
        with subtests.test(field=field, value=str(value)[:20]):
            wrong = copy.deepcopy(body)
            put(wrong, field, value)
            named = fields_of(ci.post("/registrations", wrong))
            assert any(each.startswith(field) for each in named), named
    assert count_rows() == before


UNREADABLE = [
    (b'{"asset": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "nesting deeper"),
    (b'{"asset": NaN}', "NaN"),
    (b'{"asset": 1e999}', "1e999"),
    (b'{"asset": {}, "asset": {}}', "more than once"),
    (b'{"asset": "\xff\xfe"}', "not UTF-8"),
    (b'{"asset": "\\ud800"}', "ud800"),
    (b'{"asset": "a\\u0000b"}', "x00"),
    (b'{"asset": ', "line 1"),
    (b"not json", "line 1"),
    (b"[]", "[]"),
    (b"null", "None"),
    (b"7", "7"),
    (b"", "nothing"),
]


def test_a_body_that_cannot_be_read_is_422_with_the_place(ci: Service, subtests: pytest.Subtests) -> None:
    before = count_rows()
    for raw, seen in UNREADABLE:
        with subtests.test(seen=seen):
            answer = ci.send("/registrations", raw)
            assert answer.status_code == 422, answer.content
            assert seen in answer.json()["faults"][0]["seen"]
    assert count_rows() == before


def test_a_50_mb_sbom_is_refused_before_it_is_read(ci: Service, body: Body) -> None:
    before = count_rows()
    document = {**sbom(body), "content_base64": "A" * 50_000_000}
    answer = ci.post("/registrations", {**body, "evidence": [document]})
    assert answer.status_code == 422
    assert answer.json()["faults"][0]["field"] == "body"
    assert "at most" in answer.json()["faults"][0]["expected"]
    assert count_rows() == before


def test_a_body_of_unknown_length_is_refused(ci: Service, body: Body) -> None:
    client = Client()
    headers = {"Authorization": f"Bearer {ci.secret}", "Transfer-Encoding": "chunked"}
    answer = client.generic("POST", f"{API}/registrations", json.dumps(body), headers=headers, CONTENT_LENGTH="")
    assert fields_of(answer) == ["body"]


def test_names_that_look_like_formulas_are_kept_as_they_are_where_any_text_may_stand(ci: Service, body: Body) -> None:
    body["datasets"][0]["name"] = "=cmd()"
    answer = ci.post("/registrations", {**body, "evidence": [sbom(body, "=cmd().json")]})
    assert answer.status_code == 201, answer.content
    assert answer.json()["evidence"][0]["filename"] == "=cmd().json"
    assert Version.objects.get().dataset_uses.get().dataset.name == "=cmd()"


def test_a_file_name_cannot_climb_out_of_its_folder(ci: Service, body: Body) -> None:
    answer = ci.post("/registrations", {**body, "evidence": [sbom(body, "../../etc/passwd")]})
    assert answer.json()["evidence"][0]["filename"] == "passwd"


def test_without_a_token_nobody_registers(walk: Walk, body: Body) -> None:
    client = Client()
    client.login(username="ada", password=PASSWORD)
    for answer in (
        Service("").post("/registrations", body),
        client.post(f"{API}/registrations", body, "application/json"),
    ):
        assert answer.status_code == 401
        assert set(answer.json()) == {"error", "says", "reasons"}
    assert Service("csn_wrong_" + "x" * 43).post("/registrations", body).status_code == 401


def test_a_revoked_and_an_expired_token_are_no_tokens(walk: Walk, body: Body) -> None:
    account, service = make_service("late", "register", team=walk.cast.risk_models)
    token = AccessToken.objects.get(user=account)
    assert tokens.authenticate(service.secret, "register", at=timezone.now() + timedelta(days=91)) is None
    tokens.revoke(token, actor=walk.cast.alma)
    assert service.post("/registrations", body).status_code == 401


def test_a_deactivated_service_is_let_in_no_more(walk: Walk, body: Body) -> None:
    account, service = make_service("gone", "register", team=walk.cast.risk_models)
    User.objects.filter(pk=account.pk).update(is_active=False)
    assert service.post("/registrations", body).status_code == 401


def test_a_token_without_the_scope_is_told_which_one_is_needed(deployer: Service, body: Body) -> None:
    answer = deployer.post("/registrations", body)
    assert answer.status_code == 403
    assert "'register' is needed" in answer.json()["says"]


def test_a_service_of_another_team_registers_nothing_for_this_one(walk: Walk, ci: Service, body: Body) -> None:
    _, foreign = make_service("foreign-ci", "register", "read", team=walk.cast.assistants)
    before = count_rows()
    assert foreign.post("/registrations", body).status_code == 403
    assert count_rows() == before
    ci.post("/registrations", body)
    body["version"]["number"] = "2.2.0"
    assert foreign.post("/registrations", body).status_code == 403
    assert Version.objects.count() == 1


def test_the_same_document_twice_is_kept_once(ci: Service, body: Body) -> None:
    ci.post("/registrations", {**body, "evidence": [sbom(body)]})
    path = "/versions/fraud-scorer/2.1.0/evidence"
    again = ci.post(path, sbom(body))
    assert again.status_code == 200
    assert Evidence.objects.count() == 1
    assert again.json()["id"] == str(Evidence.objects.get().public_id)


def test_evidence_with_a_metric_that_is_not_a_number_leaves_nothing(ci: Service, body: Body) -> None:
    ci.post("/registrations", body)
    before = count_rows()
    document = documents.evaluation(
        body["version"]["artifact"]["sha256"], at=timezone.now(), author="x@example.com", metrics=documents.GOOD
    )
    assert b'"0.934"' in document
    for value in (b"NaN", b"1e400", b'"NaN"', b'"=cmd()"', b"[]"):
        part = {
            "kind": "evaluation",
            "filename": "evaluation.json",
            "content_base64": base64.b64encode(document.replace(b'"0.934"', value)).decode(),
        }
        assert ci.post("/versions/fraud-scorer/2.1.0/evidence", part).status_code == 422, value
    assert count_rows() == before


def test_evidence_that_is_not_base64_is_named(ci: Service, body: Body) -> None:
    ci.post("/registrations", body)
    part = {"kind": "other", "filename": "a.txt", "content_base64": "not base64!"}
    assert fields_of(ci.post("/versions/fraud-scorer/2.1.0/evidence", part)) == ["evidence.content_base64"]


def test_evidence_for_a_version_of_another_team_is_404(walk: Walk, ci: Service, body: Body) -> None:
    ci.post("/registrations", body)
    _, foreign = make_service("foreign-ci", "register", "read", team=walk.cast.assistants)
    answer = foreign.post("/versions/fraud-scorer/2.1.0/evidence", sbom(body))
    absent = foreign.post("/versions/fraud-scorer/9.9.9/evidence", sbom(body))
    assert (answer.status_code, absent.status_code) == (404, 404)
    assert answer.json()["says"].replace("2.1.0", "9.9.9") == absent.json()["says"]
    assert json.dumps(answer.json()).count("risk-models") == 0


def test_a_fault_says_what_was_seen_and_what_is_expected_in_words(ci: Service, body: Body) -> None:
    body["asset"]["name"] = "=cmd()"
    body["version"]["number"] = "v2"
    body["version"]["colour"] = "blue"
    body["version"]["artifact"]["sha256"] = "F00"
    body["datasets"][0]["personal_data"] = "perhaps"
    del body["datasets"][0]["licence"]
    answer = ci.post("/registrations", body)
    assert {(fault["field"], fault["seen"], fault["expected"]) for fault in answer.json()["faults"]} == {
        ("asset.name", "'=cmd()'", "1 to 64 lower-case letters, digits, dots, dashes or underscores"),
        ("version.number", "'v2'", "a semantic version such as 2.1.0"),
        ("version.colour", "'blue'", "no field of this name"),
        ("version.artifact.sha256", "'F00'", "64 lower-case hexadecimal digits"),
        ("datasets.0.personal_data", "'perhaps'", "a valid boolean"),
        ("datasets.0.licence", "nothing", "a value"),
    }
