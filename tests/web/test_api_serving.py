"""Serving reports in, who served whom out: JSON lines, CSV, gzip, and everything that is wrong with them."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.models import ServingBatch, ServingConflict, ServingWindow
from audit.sealer import seal_due
from governance import lifecycle
from registry.models import Version
from tests.factories import Walk, artifacts
from tests.web.services import Service, count_rows, fields_of, make_service
from tests.web.visitors import read, visit

LINES = "application/x-ndjson"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def window(**changes: Any) -> dict[str, Any]:
    return {
        "deployment": "eu-1",
        "customer": "acme",
        "digest": "sha256:" + "a" * 64,
        "environment": "production",
        "consumer": "billing",
        "start": NOON.isoformat(),
        "end": (NOON + timedelta(minutes=5)).isoformat(),
        "requests": 12,
        **changes,
    }


def lines(*windows: object) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in windows)


def report(service: Service, body: bytes, batch: str = "hour-12", media_type: str = LINES, **headers: str) -> Any:
    return service.send(f"/serving/batches?batch_id={batch}", body, media_type, **headers)


def test_a_batch_is_recorded_under_the_name_of_its_reporter(deployer: Service) -> None:
    answer = report(deployer, lines(window(), window(customer="globex", requests=3)))
    assert answer.status_code == 200, answer.content
    assert (answer.json()["source"], answer.json()["windows"], answer.json()["requests"]) == ("otto", 2, 15)
    assert ServingWindow.objects.count() == 2


def test_the_same_batch_again_is_the_same_and_another_one_is_a_conflict_that_is_kept(deployer: Service) -> None:
    first = report(deployer, lines(window()))
    before = count_rows()
    assert report(deployer, lines(window())).json() == first.json()
    assert count_rows() == before
    altered = report(deployer, lines(window(requests=13)))
    assert altered.status_code == 409
    assert altered.json()["details"]["expected"] == first.json()["rows_root"]
    assert ServingConflict.objects.count() == 1
    assert ServingWindow.objects.get().requests == 12


def test_two_services_may_use_the_same_batch_id(walk: Walk, deployer: Service) -> None:
    _, other = make_service("second-cluster", "serving")
    assert report(deployer, lines(window())).status_code == 200
    assert report(other, lines(window(requests=1))).status_code == 200
    assert {str(batch) for batch in ServingBatch.objects.all()} == {"otto/hour-12", "second-cluster/hour-12"}


def test_csv_says_the_same_as_json_lines(deployer: Service) -> None:
    header = ",".join(window())
    row = ",".join(str(value) for value in window().values())
    sheet = f"{header},errors,sequence\r\n{row},,\r\n".encode()
    assert report(deployer, lines(window()), "a").json()["windows"] == 1
    for batch, body, media_type, headers in (
        ("b", sheet, "text/csv", {}),
        ("c", gzip.compress(lines(window())), LINES, {"Content-Encoding": "gzip"}),
        ("d", gzip.compress(sheet), "text/csv", {}),
    ):
        same = report(deployer, body, batch, media_type, **headers).json()
        assert (same["windows"], same["replayed"], same["conflicts"]) == (0, 1, 0), batch


def test_a_row_that_contradicts_another_batch_is_counted_and_not_written(deployer: Service) -> None:
    report(deployer, lines(window()), "a")
    answer = report(deployer, lines(window(requests=13), window(customer="globex")), "b")
    assert answer.status_code == 200
    assert (answer.json()["windows"], answer.json()["conflicts"]) == (1, 1)
    assert ServingWindow.objects.get(customer="acme").requests == 12


def test_a_window_is_proven_to_those_who_may_see_its_version(
    candidate: Version, deployer: Service, ci: Service, outsider: Service
) -> None:
    report(deployer, lines(window(digest=candidate.identity_digest), window(customer="secret-customer")))
    place = {"source": "otto", "batch_id": "hour-12"}
    assert ci.get("/serving/proof", **place, line=1).json()["error"] == "unsealed"
    seal_due()
    proof = ci.get("/serving/proof", **place, line=1).json()
    assert json.loads(proof["row"])["customer"] == "acme"
    assert json.loads(proof["entry"])["details"]["rowsRoot"] == proof["rowsProof"]["root"]
    for service, wanted in ((ci, {**place, "line": 2}), (ci, {**place, "line": 3}), (outsider, {**place, "line": 1})):
        answer = service.get("/serving/proof", **wanted)
        assert answer.status_code == 404
        assert b"secret-customer" not in answer.content


def test_a_formula_in_a_name_stays_the_text_it_is(deployer: Service) -> None:
    assert report(deployer, lines(window(customer="=cmd()"))).status_code == 200
    assert ServingWindow.objects.get().customer == "=cmd()"


WRONG_LINES = [
    (lines(window(), window(requests=-1)), "line 2, requests"),
    (lines(window(), window(requests="12")), "line 2, requests"),
    (lines(window(digest="fraud-scorer")), "line 1, digest"),
    (lines(window(colour="blue")), "line 1, colour"),
    (lines(window(customer="a\u0000b")), "line 1, customer"),
    (lines(window(errors=13)), "line 1, errors"),
    (lines(window(start=(NOON + timedelta(minutes=1)).isoformat())), "line 1, start"),
    (lines(window(customer={"a": 1})), "line 1, customer"),
    (lines(window(requests=1.5)), "line 1, requests"),
    (lines(window(requests=12)).replace(b"12}", b'12, "requests": 12}'), "document"),
    (lines(window(end=NOON.isoformat())), "line 1, end"),
    (lines(window(end=(timezone.now() + timedelta(hours=1)).isoformat())), "line 1, end"),
    (lines(window(start="2026-11-20T12:00:00")), "line 1, start"),
    (lines(window(), [1]), "line 2"),
    (lines(window()) + b"\n" + lines(window()), "document"),
    (b'{"deployment": NaN}\n', "document"),
    (b'{"a": 1, "a": 2}\n', "document"),
    (b"[" * 10_000 + b"\n", "document"),
    (b"\xff\xfe\n", "document"),
    (b"{}, {}\n{}\n", "body"),
    (b"", "body"),
]


def test_what_is_wrong_is_named_with_its_line_and_nothing_is_kept(deployer: Service, subtests: pytest.Subtests) -> None:
    before = count_rows()
    for body, place in WRONG_LINES:
        with subtests.test(place=place, body=body[-40:]):
            assert place in fields_of(report(deployer, body))
    assert count_rows() == before


def test_a_broken_line_is_found_by_its_number(deployer: Service) -> None:
    answer = report(deployer, lines(window(), window()) + b'{"deployment": \n' + lines(window()))
    assert "line 4" in answer.json()["says"] or "line 3" in answer.json()["says"]


WRONG_CSV = [
    (b"deployment,deployment\n", "header"),
    (b"deployment,customer\na\n", "line 1"),
    (b'deployment,customer\n"a,b\n', "line 1"),
    (b"deployment,customer\na,b\n", "line 1, digest"),
    (b"\xff\xfe", "document"),
    (b"deployment\n", "windows"),
]


def test_what_is_wrong_with_csv_is_named_too(deployer: Service, subtests: pytest.Subtests) -> None:
    before = count_rows()
    for body, place in WRONG_CSV:
        with subtests.test(body=body):
            assert place in fields_of(report(deployer, body, media_type="text/csv"))
    assert count_rows() == before


def test_a_zip_bomb_stops_at_the_limit(deployer: Service) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < 100_000
    answer = report(deployer, bomb, "hour-12", LINES, **{"Content-Encoding": "gzip"})
    assert "once decompressed" in answer.json()["faults"][0]["seen"]


def test_a_damaged_stream_is_refused(deployer: Service, subtests: pytest.Subtests) -> None:
    for body in (b"plain", gzip.compress(b"{}")[:-4], gzip.compress(b"{}") * 2):
        with subtests.test(body=body):
            assert fields_of(report(deployer, body, "hour-12", LINES, **{"Content-Encoding": "gzip"})) == ["body"]


def test_another_coding_or_media_type_is_named(deployer: Service) -> None:
    assert fields_of(report(deployer, b"x", "b", LINES, **{"Content-Encoding": "br"})) == ["Content-Encoding"]
    assert fields_of(report(deployer, b"x", "b", "application/x-www-form-urlencoded")) == ["Content-Type"]


def test_more_windows_than_a_batch_may_hold_are_refused(deployer: Service) -> None:
    before = count_rows()
    answer = report(deployer, lines(window()) * 50_001)
    assert fields_of(answer) == ["windows"]
    assert count_rows() == before


def test_a_batch_id_is_a_plain_name(deployer: Service, subtests: pytest.Subtests) -> None:
    for batch in ("", "a%00b", "a%20b", "x" * 121):
        with subtests.test(batch=batch):
            assert fields_of(report(deployer, lines(window()), batch)) == ["batch_id"]


def test_only_a_token_for_serving_reports(ci: Service) -> None:
    assert report(ci, lines(window())).status_code == 403
    assert ServingBatch.objects.count() == 0


def who(service: Service, at: datetime, customer: str = "acme") -> Any:
    answer = service.get("/serving/who", customer=customer, at=at.isoformat())
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_who_served_a_customer_is_answered_to_the_instant(candidate: Version, deployer: Service, ci: Service) -> None:
    report(deployer, lines(window(digest=candidate.identity_digest)))
    [found] = who(ci, NOON)["windows"]
    assert found["versions"] == ["fraud-scorer@1.0.0"]
    assert found["digest"] == f"sha256:{candidate.identity_digest}"
    assert (found["source"], found["batch_id"]) == ("otto", "hour-12")
    assert who(ci, NOON + timedelta(minutes=5))["windows"] == []
    assert who(ci, NOON - timedelta(seconds=1))["windows"] == []
    assert who(ci, NOON, "globex")["windows"] == []


def test_a_team_sees_the_windows_of_its_own_versions_only(
    walk: Walk, candidate: Version, deployer: Service, outsider: Service
) -> None:
    report(deployer, lines(window(digest=candidate.identity_digest), window(deployment="rogue")))
    _, foreign = make_service("foreign-dashboard", "read", team=walk.cast.assistants)
    assert [each["deployment"] for each in who(deployer, NOON)["windows"]] == ["eu-1"]
    assert who(foreign, NOON)["windows"] == who(outsider, NOON)["windows"] == []


def test_a_draft_of_the_same_bytes_opens_nothing_that_was_served(
    walk: Walk, candidate: Version, deployer: Service
) -> None:
    report(deployer, lines(window(digest=candidate.identity_digest, customer="secret-customer")))
    seal_due()
    _, copier = make_service("copier", "read", team=walk.cast.assistants)
    _, owner = make_service("owner", "read", team=walk.cast.risk_models)
    copy = walk.register("copycat", "1.0.0", artifacts.scorer(1), team="assistants", owner="carl")
    assert copy.identity_digest == candidate.identity_digest
    place = {"source": "otto", "batch_id": "hour-12"}
    for is_retired in (False, True):
        if is_retired:
            lifecycle.retire(copy, actor=walk.cast.carl, reason="It was never meant to be used.")
        assert who(copier, NOON, "secret-customer")["windows"] == []
        answer = copier.get("/serving/proof", **place, line=1)
        assert (answer.status_code, b"secret-customer" in answer.content) == (404, False)
        page = read(visit(walk.cast.carl).get(f"{copy.get_absolute_url()}serving/"))
        assert "secret-customer" not in page
    [found] = who(owner, NOON, "secret-customer")["windows"]
    assert found["versions"] == [candidate.label]
    assert owner.get("/serving/proof", **place, line=1).status_code == 200
    page = read(visit(walk.cast.ada).get(f"{candidate.get_absolute_url()}serving/"))
    assert "secret-customer" in page


WRONG_QUESTIONS = [
    ("acme", "yesterday", "at"),
    ("acme", "2026-11-20T12:00:00", "at"),
    ("acme", "0001-01-01T00:00:00Z", "at"),
    ("acme", "9999-12-31T23:59:59-12:00", "at"),
    ("", "2026-11-20T12:00:00Z", "customer"),
    ("a\x00b", "2026-11-20T12:00:00Z", "customer"),
]


def test_a_wrong_question_names_its_field(ci: Service, subtests: pytest.Subtests) -> None:
    for customer, at, field in WRONG_QUESTIONS:
        with subtests.test(customer=customer, at=at):
            assert fields_of(ci.get("/serving/who", customer=customer, at=at)) == [field]
