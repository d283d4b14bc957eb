"""The API about findings: what a service reads, what it may say, and that security has the last word."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker

from governance import triage
from governance.models import Finding, TriageStatement
from registry.models import Evidence, Version
from tests.factories import Walk, artifacts
from tests.governance.findings import CVE, GHSA, NUMPY, UNREACHED, find, fresh, openvex, saying
from tests.scene import Scene, staged
from tests.web.services import Service, count_rows, fields_of

LIST = "/versions/fraud-scorer/1.0.0/findings"


@pytest.fixture(scope="module")
def stage(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Walk to a candidate once for the whole module."""
    with django_db_blocker.unblock(), staged(tmp_path_factory.mktemp("findings")) as walk:
        yield Scene(walk, walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)))


@pytest.fixture
def scene(stage: Scene, db: None) -> Scene:
    """Return a walk and a candidate that a test may change as it likes."""
    return deepcopy(stage)


@pytest.fixture
def walk(scene: Scene) -> Walk:
    return scene.walk


@pytest.fixture
def candidate(scene: Scene) -> Version:
    return scene.version


@pytest.fixture
def high(walk: Walk, candidate: Version, tmp_path: Path) -> Finding:
    """Return a finding of high severity in fraud-scorer's numpy."""
    return find(walk, candidate, tmp_path)


def statements(finding: Finding) -> str:
    return f"{LIST}/{finding.public_id}/statements"


def test_a_service_reads_findings_and_how_they_are_answered(walk: Walk, ci: Service, high: Finding) -> None:
    [found] = ci.get(LIST).json()
    assert {key: found[key] for key in ("vulnerability", "package", "severity", "open", "advisories")} == {
        "vulnerability": CVE,
        "package": NUMPY,
        "severity": "high",
        "open": True,
        "advisories": [GHSA],
    }
    assert (found["counted"], found["waiting"], found["due"]) == (None, None, None)
    triage.state(high, actor=walk.cast.ada, **UNREACHED)
    [found] = ci.get(LIST).json()
    assert (found["open"], found["counted"], found["waiting"]["status"]) == (True, None, "not_affected")
    triage.state(high, actor=walk.cast.rhea, **UNREACHED)
    [found] = ci.get(LIST).json()
    assert (found["open"], found["waiting"], found["triage"]) == (False, None, "not_affected")
    assert found["counted"]["counts"] == found["counted"]["stated_at"]


def test_a_service_states_and_security_answers(walk: Walk, ci: Service, high: Finding) -> None:
    answer = ci.post(statements(high), UNREACHED)
    assert answer.status_code == 201
    body = answer.json()
    assert (body["status"], body["counts"], body["document"]) == ("not_affected", None, f"{CVE}.openvex.json")
    assert ci.post(statements(high), UNREACHED).json()["id"] == body["id"]
    assert Evidence.objects.filter(kind="vex").count() == 1
    triage.answer(TriageStatement.objects.get(), actor=walk.cast.rhea, agreed=True)
    assert fresh(high).triage == "not_affected"
    assert ci.post(statements(high), {"status": "open", "reason": "Reached after all."}).json()["counts"]
    assert fresh(high).triage == "open"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"status": "accepted"}, "body.status"),
        ({"justification": ""}, "justification"),
        ({"justification": "trust me"}, "justification"),
        ({"reason": ""}, "body.reason"),
        ({"reason": "a \x00 in it"}, "document"),
        ({"until": "2027-01-01T00:00:00Z"}, "body.until"),
    ],
)
def test_what_a_service_cannot_say(ci: Service, high: Finding, body: dict[str, Any], field: str) -> None:
    before = count_rows()
    found = fields_of(ci.post(statements(high), {**UNREACHED, **body}))
    assert [name.rpartition(".")[2] for name in found] == [field.rpartition(".")[2]]
    assert count_rows() == before


def test_others_find_nothing_there(ci: Service, deployer: Service, outsider: Service, high: Finding) -> None:
    assert outsider.get(LIST).status_code == 404
    assert outsider.post(statements(high), UNREACHED).status_code == 404
    assert deployer.get(LIST).status_code == 200
    assert deployer.post(statements(high), UNREACHED).status_code == 403
    missing = ci.post(f"{LIST}/00000000-0000-4000-8000-000000000000/statements", UNREACHED)
    assert missing.status_code == 404
    assert not TriageStatement.objects.exists()


def test_a_vex_document_comes_in_as_evidence(walk: Walk, ci: Service, high: Finding) -> None:
    content = base64.b64encode(json.dumps(openvex(saying())).encode()).decode()
    part = {"kind": "vex", "filename": "vex.json", "content_base64": content}
    answer = ci.post("/versions/fraud-scorer/1.0.0/evidence", part)
    assert (answer.status_code, answer.json()["reader"]) == (200, "openvex")
    walk.work()
    [found] = ci.get(LIST).json()
    assert found["waiting"]["document"] == "vex.json"
