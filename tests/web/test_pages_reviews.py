"""The review page around the verdict: conditions, taking back, handing over, and what has changed since an answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.models import Leaf
from governance import reviews, submissions
from governance.models import Handover, Obligation, ObligationEnd, ReviewWithdrawal, Submission
from governance.web import panels
from registry import evidence
from registry.models import User
from tests.factories import Walk, artifacts
from tests.web.visitors import read, visit

SAYS = "Attach the report for weekends."


def staged(walk: Walk, environment: str = "staging") -> Submission:
    return walk.submit(walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)), environment)


def soon(days: int) -> str:
    return f"{timezone.now() + timedelta(days=days):%Y-%m-%dT%H:%M}"


def verdict(submission: Submission, **typed: Any) -> dict[str, Any]:
    digest = submissions.current_digest(submission)
    return {"verdict": "approve_with_conditions", "role": "platform", "dossier_digest": digest, "note": "", **typed}


def test_an_approval_with_conditions_needs_no_script(walk: Walk) -> None:
    submission = staged(walk)
    petra = visit(walk.cast.petra)
    address = f"{submission.get_absolute_url()}review/"
    for typed, said in (
        ({}, "Say at least one condition"),
        ({"condition_1": SAYS}, "until when"),
        ({"condition_1": SAYS, "due_1": soon(-1)}, "conditions[0].due_at"),
        ({"condition_1": SAYS, "due_1": soon(9), "verdict": "reject"}, "Only an approval has conditions"),
    ):
        answer = petra.post(address, verdict(submission, **typed))
        assert (answer.status_code, said in read(answer)) == (422, True)
    assert petra.post(address, verdict(submission, condition_2=SAYS, due_2=soon(9))).status_code == 302
    assert Obligation.objects.get().says == SAYS
    walk.work()
    for page in (submission.get_absolute_url(), submission.decisions.get().get_absolute_url()):
        assert SAYS in read(petra.get(page))
    assert SAYS in read(visit(walk.cast.ada).get("/"))
    assert "wait for your agreement" in read(petra.get("/"))
    mallory = visit(walk.cast.mallory)
    assert mallory.get(submission.get_absolute_url()).status_code == 404
    assert SAYS not in read(mallory.get("/"))


def test_a_condition_is_met_on_the_page_by_its_role_alone(walk: Walk) -> None:
    submission = staged(walk)
    asked = [(SAYS, timezone.now() + timedelta(days=9))]
    reviews.approve(submission, actor=walk.cast.petra, role="platform", conditions=asked)
    walk.work()
    obligation = Obligation.objects.get()
    address = f"/obligations/{obligation.public_id}/meet/"
    assert address not in visit(walk.cast.ada).get(submission.get_absolute_url()).content.decode()
    assert visit(walk.cast.ada).post(address, {"note": "It is done."}).status_code == 403
    assert visit(walk.cast.mallory).post(address, {"note": "It is done."}).status_code == 404
    petra = visit(walk.cast.petra)
    assert address in petra.get(submission.get_absolute_url()).content.decode()
    assert petra.post(address, {"note": "I read it."}).status_code == 302
    assert ObligationEnd.objects.get().note == "I read it."
    assert "Petra Platform agreed" in read(petra.get(submission.get_absolute_url()))


def test_a_verdict_is_taken_back_on_the_page_by_who_gave_it(walk: Walk) -> None:
    submission = staged(walk, "production")
    given = walk.approve(submission, "platform")
    assert given is not None
    address = f"/reviews/{given.public_id}/withdraw/"
    assert address not in visit(walk.cast.rhea).get(submission.get_absolute_url()).content.decode()
    petra = visit(walk.cast.petra)
    assert address in petra.get(submission.get_absolute_url()).content.decode()
    assert visit(walk.cast.rhea).post(address, {"reason": "I do not like it."}).status_code == 403
    assert petra.post(address, {"reason": "The wrong table."}).status_code == 302
    assert ReviewWithdrawal.objects.get().reason == "The wrong table."
    page = petra.get(submission.get_absolute_url())
    assert "0 of 3 approvals" in read(page)
    assert 'value="approve"' in page.content.decode()


def test_each_verdict_says_whether_it_is_sealed_and_leads_auditors_to_its_proof(walk: Walk) -> None:
    submission = staged(walk, "production")
    given = reviews.approve(submission, actor=walk.cast.petra, role="platform", proof=walk.proof())
    address = submission.get_absolute_url()
    assert "being sealed" in read(visit(walk.cast.petra).get(address))
    walk.work()
    place = Leaf.objects.get(entry__event_id=given.recorded_in).leaf_index
    proof = f'<a href="/audit/ledger/{given.recorded_in}/">sealed as entry {place}</a>'
    for person, links in ((walk.cast.petra, False), (walk.cast.iris, True)):
        page = visit(person).get(address)
        assert f"sealed as entry {place}" in read(page)
        assert "being sealed" not in read(page)
        assert (proof in page.content.decode()) == links
    walk.approve(submission, "product", "security")
    walk.work()
    decided = visit(walk.cast.iris).get(submission.decisions.get().get_absolute_url())
    assert proof in decided.content.decode()
    assert read(decided).count("sealed as entry") == 3


def test_the_marks_of_three_verdicts_cost_the_queries_of_one(walk: Walk) -> None:
    submission, counted = staged(walk, "production"), []
    people = {"platform": walk.cast.petra, "product": walk.cast.dana, "security": walk.cast.rhea}
    for roles in (("platform",), ("product", "security")):
        for role in roles:
            reviews.request_changes(submission, actor=people[role], role=role, note="Too short.", proof=walk.proof())
        walk.work()
        digest = submissions.current_digest(submission)
        reader = User.objects.get(username="iris")
        with CaptureQueriesContext(connection) as captured:
            marked = panels.approvals(submission, digest, reader)
        counted.append((len(captured), sum("seal" in each for each in marked)))
    assert counted == [(counted[0][0], 1), (counted[0][0], 3)]


def test_a_role_is_handed_over_on_the_page_and_everybody_sees_to_whom(walk: Walk) -> None:
    submission = staged(walk, "production")
    rhea = visit(walk.cast.rhea)
    page = rhea.get(submission.get_absolute_url()).content.decode()
    assert '<option value="sol">' in page
    assert '<option value="ada">' not in page
    typed = {"role": "security", "receiver": "sol", "reason": "Sol knows it."}
    assert rhea.post(f"{submission.get_absolute_url()}hand-over/", typed).status_code == 302
    assert Handover.objects.get().receiver == walk.cast.sol
    for person in (walk.cast.rhea, walk.cast.petra):
        words = read(visit(person).get(submission.get_absolute_url()))
        assert "handed to Sol" in words
        assert "Rhea Security handed the review for security to Sol Security." in words
    assert "security was handed to Sol" in read(rhea.get("/queue/"))
    nobody = {**typed, "receiver": "nobody-here"}
    assert rhea.post(f"{submission.get_absolute_url()}hand-over/", nobody).status_code == 404


def test_a_voided_verdict_says_field_by_field_what_changed_since(walk: Walk) -> None:
    submission = staged(walk, "production")
    walk.approve(submission, "platform")
    version = submission.version
    evidence.attach(version, actor=walk.cast.cee_i, kind="other", filename="late.txt", body=b"late news")
    walk.work()
    words = read(visit(walk.cast.petra).get(submission.get_absolute_url()))
    assert (
        "1 verdict no longer counts: Petra Platform approved for platform; since then late.txt (other) was added."
        in (words)
    )
    assert "What changed since they answered" in words
    assert "Evidence added nothing late.txt (other) material" in words


def test_three_conditions_cost_as_many_questions_as_one(walk: Walk) -> None:
    counts = []
    for size in (1, 3):
        version = walk.candidate("tagger", f"{size}.0.0", artifacts.scorer(size))
        submission = walk.submit(version, "staging")
        asked = [(f"{SAYS} {number}", timezone.now() + timedelta(days=number + 1)) for number in range(size)]
        reviews.approve(submission, actor=walk.cast.petra, role="platform", conditions=asked)
        walk.work()
        dana = visit(walk.cast.dana)
        dana.get(submission.get_absolute_url())
        with CaptureQueriesContext(connection) as found:
            assert read(dana.get(submission.get_absolute_url())).count(SAYS) == size
        counts.append(len(found))
    assert counts[0] == counts[1]
