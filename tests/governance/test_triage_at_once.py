"""Two people answer one statement at the same moment, and two workers read one document: there is one outcome."""

from __future__ import annotations

from pathlib import Path

import pytest

from governance import triage
from governance.models import Finding, TriageAnswer, TriageStatement
from governance.models.findings import Triage
from portal.errors import Refused
from tests.factories import Walk, artifacts
from tests.governance.findings import UNREACHED, attach_vex, find, fresh, openvex, saying
from tests.governance.test_concurrency import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def test_there_is_one_answer_and_one_statement(walk: Walk, tmp_path: Path) -> None:
    version = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    found = find(walk, version, tmp_path)
    said = triage.state(found, actor=walk.cast.ada, **UNREACHED)
    results = at_once(
        lambda: triage.answer(fresh(said), actor=fresh(walk.cast.rhea), agreed=True),
        lambda: triage.answer(fresh(said), actor=fresh(walk.cast.sol), agreed=False, note="It is called."),
        lambda: triage.answer(fresh(said), actor=fresh(walk.cast.sol), agreed=True),
    )
    assert sum(isinstance(each, TriageAnswer) for each in results) == 1
    assert {each.code for each in results if isinstance(each, Refused)} == {"triage_answered"}
    given = TriageAnswer.objects.get()
    assert (Finding.objects.get().triage == Triage.NOT_AFFECTED) == given.agreed

    attach_vex(version, openvex(saying()), actor=walk.cast.cee_i)
    assert sum(at_once(*(triage.take_in_due for _ in range(4)))) == 1
    assert TriageStatement.objects.filter(evidence__isnull=False).count() == 1
