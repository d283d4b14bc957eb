"""A version's way through the API: nominate, look, submit, and what is kept from those it does not concern."""

from __future__ import annotations

from hashlib import sha256

import pytest

from governance import reviews
from governance.models import Submission
from registry import composition
from registry.models import Version
from tests.factories import Walk, artifacts
from tests.web.services import Service, count_rows, fields_of, make_service

FRAUD = "/versions/fraud-scorer/1.0.0"


def by_rule(answer: dict, environment: str) -> dict[str, dict]:
    return {check["rule"]: check for check in answer["checks"] if check["environment"] == environment}


def test_an_incomplete_draft_is_not_nominated_and_every_missing_part_is_named(walk: Walk, ci: Service) -> None:
    body = walk.registration("fraud-scorer", "1.0.0", artifacts.scorer(1))
    for name in ("licence", "risk"):
        del body["version"][name]
    ci.post("/registrations", body)
    before = count_rows()
    answer = ci.post(f"{FRAUD}/nominate")
    assert answer.status_code == 409
    assert answer.json()["error"] == "incomplete"
    said = " ".join(reason["says"] for reason in answer.json()["reasons"])
    assert "licence" in said
    assert "risk" in said
    assert all(set(reason) == {"rule", "says", "fix", "where"} for reason in answer.json()["reasons"])
    assert count_rows() == before


def test_nomination_queues_the_checks_and_the_version_says_how_each_stands(walk: Walk, ci: Service) -> None:
    version = walk.attach_all(walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1)))
    answer = ci.post(f"{FRAUD}/nominate")
    assert answer.status_code == 200, answer.content
    assert answer.json()["state"] == "draft"
    outcomes = {check["rule"]: check["outcome"] for check in answer.json()["checks"]}
    # The policy's own rule looks at the record and waits for nobody.
    assert outcomes.pop("no-personal-data-in-low-risk") == "passed"
    assert set(outcomes.values()) == {"queued"}
    walk.work()
    now = ci.get(FRAUD).json()
    assert now["state"] == "candidate"
    assert now["identity_digest"] == f"sha256:{version.identity_digest}"
    assert {check["outcome"] for check in by_rule(now, "baseline").values()} == {"passed"}
    assert now["standing"]["production"]["allow"] is False
    assert now["standing"]["production"]["reasons"][0]["rule"] == "no_decision"
    assert now["missing"] == []


def test_a_missing_sbom_keeps_the_version_a_draft_and_says_what_would_make_it_green(walk: Walk, ci: Service) -> None:
    walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1), without=("sbom",))
    now = ci.get(FRAUD).json()
    assert now["state"] == "draft"
    sbom = by_rule(now, "baseline")["sbom"]
    assert (sbom["outcome"], sbom["green"], sbom["critical"]) == ("failed", False, True)
    assert sbom["says"]
    assert sbom["fix"]


def test_nominating_twice_changes_nothing(candidate: Version, ci: Service) -> None:
    before = count_rows()
    assert ci.post(f"{FRAUD}/nominate").status_code == 409
    assert count_rows() == before


def test_a_draft_is_not_submitted(walk: Walk, ci: Service) -> None:
    walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1))
    answer = ci.post(f"{FRAUD}/submissions", {"environment": "production"})
    assert answer.status_code == 409
    assert answer.json()["error"] == "not_a_candidate"
    assert answer.json()["reasons"][0]["fix"]
    assert Submission.objects.count() == 0


def test_a_submission_says_which_roles_it_has_and_which_it_needs(walk: Walk, candidate: Version, ci: Service) -> None:
    opened = ci.post(f"{FRAUD}/submissions", {"environment": "production", "note": "Please."})
    assert opened.status_code == 201, opened.content
    assert opened.json()["missing_roles"] == ["platform", "product", "security"]
    walk.work()
    path = f"/submissions/{opened.json()['id']}"
    walk.approve(Submission.objects.get(), "platform")
    half = ci.get(path).json()
    assert half["missing_roles"] == ["product", "security"]
    assert half["roles"][0]["by"] == "Petra Platform"
    assert half["blocking"] == []
    assert half["decision"] is None
    walk.approve(Submission.objects.get(), "product", "security")
    done = ci.get(path).json()
    assert done["state"] == "approved"
    assert done["missing_roles"] == []
    assert done["decision"]["dsse"].endswith(f"/api/v1/decisions/{done['decision']['id']}.dsse.json")


def test_a_rejection_says_why(walk: Walk, candidate: Version, ci: Service) -> None:
    submission = walk.submit(candidate, "production")
    reviews.reject(submission, actor=walk.cast.rhea, role="security", note="The card is thin.", proof=walk.proof())
    answer = ci.get(f"/submissions/{submission.public_id}").json()
    assert (answer["state"], answer["closed_because"]) == ("rejected", "The card is thin.")


def test_a_blocking_rule_is_a_reason_with_a_fix(walk: Walk, ci: Service) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1), without=("evaluation",))
    submission = walk.submit(version, "production")
    [reason] = ci.get(f"/submissions/{submission.public_id}").json()["blocking"]
    assert reason["rule"] == "evaluations"
    assert reason["says"]
    assert reason["fix"]
    assert reason["where"] == submission.get_absolute_url()


def test_a_second_submission_for_the_same_environment_is_refused(candidate: Version, ci: Service) -> None:
    ci.post(f"{FRAUD}/submissions", {"environment": "staging"})
    again = ci.post(f"{FRAUD}/submissions", {"environment": "staging"})
    assert (again.status_code, again.json()["error"]) == (409, "submission_open")
    assert Submission.objects.count() == 1


WRONG: list[tuple[dict, str]] = [
    ({"environment": "moon"}, "environment"),
    ({"environment": "Production "}, "environment"),
    ({"environment": 7}, "environment"),
    ({}, "environment"),
    ({"environment": "staging", "note": "x" * 4001}, "note"),
    ({"environment": "staging", "colour": "blue"}, "colour"),
]


def test_a_wrong_submission_is_named_and_not_kept(candidate: Version, ci: Service, subtests: pytest.Subtests) -> None:
    for body, field in WRONG:
        with subtests.test(body=str(body)[:60]):
            assert fields_of(ci.post(f"{FRAUD}/submissions", body)) == [field]
    assert Submission.objects.count() == 0


def test_the_composition_is_the_bytes_whose_sha256_is_the_identity(walk: Walk, ci: Service) -> None:
    base = walk.candidate("small-llm", "1.0.0", artifacts.language_model(1), suffix="safetensors")
    bundle = walk.register(
        "assistant",
        "1.0.0",
        None,
        kind="bundle",
        components=[{"role": "member", "version": base.label}],
    )
    answer = ci.get("/versions/assistant/1.0.0/composition")
    assert answer.status_code == 200
    assert sha256(answer.content).hexdigest() == bundle.identity_digest
    assert answer.content == composition.manifest(bundle)


def test_an_artifact_alone_has_no_composition_and_the_answer_says_what_its_identity_is(
    candidate: Version, ci: Service
) -> None:
    answer = ci.get(f"{FRAUD}/composition")
    assert answer.status_code == 404
    assert "sha256 of its artifact is its identity" in answer.json()["says"]


@pytest.mark.parametrize("path", [FRAUD, f"{FRAUD}/composition"])
def test_a_service_of_no_team_cannot_tell_a_version_from_nothing(
    candidate: Version, outsider: Service, path: str
) -> None:
    answer, absent = outsider.get(path), outsider.get(path.replace("1.0.0", "7.7.7"))
    assert (answer.status_code, absent.status_code) == (404, 404)
    assert answer.json()["says"].replace("1.0.0", "7.7.7") == absent.json()["says"]


def test_a_service_of_no_team_moves_nothing(walk: Walk, candidate: Version, outsider: Service) -> None:
    submission = walk.submit(candidate, "staging")
    before = count_rows()
    assert outsider.post(f"{FRAUD}/nominate").status_code == 404
    assert outsider.post(f"{FRAUD}/submissions", {"environment": "production"}).status_code == 404
    assert outsider.post(f"{FRAUD}/promotions", {"environment": "production"}).status_code == 404
    assert outsider.get(f"/submissions/{submission.public_id}").status_code == 404
    assert count_rows() == before


def test_a_token_that_may_only_read_moves_nothing(walk: Walk, candidate: Version) -> None:
    _, reader = make_service("dashboard", "read", team=walk.cast.risk_models)
    assert reader.get(FRAUD).status_code == 200
    before = count_rows()
    assert reader.post(f"{FRAUD}/nominate").status_code == 403
    assert reader.post(f"{FRAUD}/submissions", {"environment": "production"}).status_code == 403
    assert reader.post(f"{FRAUD}/promotions", {"environment": "production"}).status_code == 403
    assert count_rows() == before


def test_a_path_that_names_nothing_is_never_a_500(ci: Service, subtests: pytest.Subtests) -> None:
    for path in ("/versions/a%00b/1.0.0", "/versions/fraud-scorer/1", "/submissions/7", "/nothing"):
        with subtests.test(path=path):
            assert ci.client.get(f"/api/v1{path}", headers=ci.headers()).status_code in {404, 422}
