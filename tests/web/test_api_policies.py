"""Policies from a repository: CI tries a text and proposes it; only people publish."""

from __future__ import annotations

from governance import policy, proposals
from governance.models import PolicyProposal
from registry.models import Team, User
from tests.factories import Walk, artifacts
from tests.policies import choose, seen, shipped, with_cases
from tests.web.services import Service, count_rows, fields_of, make_service

STRICTER = with_cases(shipped("environments.staging.approvals", ["platform", "security"]))


def pipeline() -> tuple[User, Service]:
    return make_service("policy-ci", "policy", team=Team.objects.get(slug="risk-models"))


def test_the_newest_text_is_read(walk: Walk, ci: Service) -> None:
    [found] = ci.get("/policies").json()
    assert (found["name"], found["number"], found["text"]) == ("default", 1, policy.shipped())
    assert found == pipeline()[1].get("/policies/default").json()
    assert found["digest"] == f"sha256:{walk.cast.policy.digest}"
    assert ci.get("/policies/nothing").status_code == 404


def test_a_text_is_tried_and_nothing_is_kept(walk: Walk) -> None:
    walk.submit(walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)), "staging")
    _, service = pipeline()
    before = count_rows()
    tried = service.post("/policies/test", {"text": STRICTER})
    assert tried.status_code == 200, tried.content
    found = tried.json()
    assert (found["name"], found["green"]) == ("default", True)
    [flip] = found["replay"]
    assert (flip["label"], flip["effect"], flip["sentences"]) == (
        "fraud-scorer@1.0.0",
        "roles",
        ["Security would have to approve as well."],
    )
    red = service.post("/policies/test", {"text": policy.shipped().replace('{min: "0.85"}', '{min: "0.95"}')}).json()
    assert not red["green"]
    assert any("quality/accuracy" in says for says in red["sentences"])
    assert count_rows() == before


def test_what_a_token_may_not_see_is_counted_and_not_named(walk: Walk, ci: Service, outsider: Service) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    walk.approved(version, "production")
    walk.submit(version, "staging")
    _, foreign = make_service("policy-elsewhere", "policy")
    tried = foreign.post("/policies/test", {"text": STRICTER})
    made = foreign.post("/policies/proposals", {"text": STRICTER})
    path = f"/policies/proposals/{PolicyProposal.objects.get().public_id}"
    for answer in (tried, made, foreign.get(path), outsider.get(path)):
        [row] = answer.json()["replay"]
        assert (row["kind"], row["sentences"]) == ("rest", ["2 more of versions that you may not see."])
        assert "fraud" not in answer.content.decode()
    for service in (ci, pipeline()[1]):
        assert {row["label"] for row in service.get(path).json()["replay"]} == {"fraud-scorer@1.0.0"}


def test_a_wrong_text_is_refused_by_its_places(walk: Walk) -> None:
    _, service = pipeline()
    wrong = STRICTER.replace("valid_days: 180", "valid_days: 9999")
    for path in ("/policies/test", "/policies/proposals"):
        assert fields_of(service.post(path, {"text": wrong})) == ["policy.environments.staging.valid_days"]
        assert fields_of(service.post(path, {"texts": wrong})) == ["text", "texts"]
        assert fields_of(service.post(path, {"text": 1})) == ["text"]
    assert not PolicyProposal.objects.exists()


def test_ci_proposes_and_a_person_publishes(walk: Walk) -> None:
    account, service = pipeline()
    answer = service.post("/policies/proposals", {"text": STRICTER, "note": "Merge 481"})
    assert answer.status_code == 201, answer.content
    made = answer.json()
    proposal = PolicyProposal.objects.get()
    assert (proposal.proposed_by, proposal.note, proposal.text) == (account, "Merge 481", STRICTER)
    assert (made["state"], made["published"], made["url"].endswith(proposal.get_absolute_url())) == ("open", None, True)
    again = service.post("/policies/proposals", {"text": STRICTER})
    assert (again.status_code, again.json()["error"]) == (409, "proposal_open")
    proposals.publish(proposal, actor=walk.cast.abel, choices=choose(proposal), seen_replay=seen(proposal))
    found = service.get(f"/policies/proposals/{proposal.public_id}").json()
    assert (found["state"], found["published"]) == ("published", 2)
    again = service.post("/policies/proposals", {"text": STRICTER})
    assert (again.status_code, again.json()["error"]) == (409, "policy_is_newest")


def test_other_tokens_do_neither(walk: Walk, ci: Service, deployer: Service, outsider: Service) -> None:
    before = count_rows()
    for service in (ci, deployer, outsider):
        for path in ("/policies/test", "/policies/proposals"):
            assert service.post(path, {"text": STRICTER}).status_code == 403
    assert Service("").post("/policies/proposals", {"text": STRICTER}).status_code == 401
    assert count_rows() == before
