"""`countersign findings` against a real portal: what is open, what waits, and VEX on the way in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from tests.cli.command import run
from tests.factories import Walk, artifacts
from tests.governance.findings import CVE, NUMPY, find, openvex, saying

pytestmark = pytest.mark.django_db(transaction=True)
FRAUD = "fraud-scorer@1.0.0"


def test_a_service_reads_findings_and_brings_vex(live_server: LiveServer, walk: Walk, tmp_path: Path) -> None:
    version = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1))
    walk.attach_all(version, without=("provenance", "evaluation", "model-card"))

    def ci(*arguments: str) -> tuple[int, str, str]:
        return run(live_server.url, walk.cast.ci_token, *arguments)

    assert ci("findings", FRAUD) == (0, f"{FRAUD} has no known vulnerability.\n", "")
    find(walk, version, tmp_path)
    line = f"open         high     {CVE} in {NUMPY}, fixed in: 99.0"
    assert ci("findings", FRAUD)[1] == f"{line}\n"
    document = tmp_path / "vex.json"
    document.write_text(json.dumps(openvex(saying())))
    assert ci("attach", FRAUD, f"vex={document}")[0] == 0
    walk.work()
    assert ci("findings", FRAUD)[1] == f"{line}; a statement waits for security\n"
    code, out, _ = ci("findings", FRAUD, "--json")
    assert (code, json.loads(out)[0]["vulnerability"]) == (0, CVE)
