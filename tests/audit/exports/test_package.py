"""The evidence bundle of one version: complete, plain to read, and checked by nothing but Python and cryptography."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pytest

from audit.exports import verify
from audit.models import Export
from audit.reports import BY_SLUG
from tests.audit.exports.tampering import run

pytestmark = pytest.mark.django_db

FOLDERS = {"decisions", "evidence", "keys", "ledger", "policies"}
CSVS = {"checks.csv", "decisions.csv", "reviews.csv", "serving.csv", "waivers.csv"}
TOP = {"README.txt", "composition.json", "manifest.json", "record.json", "verify.py", *FOLDERS, *CSVS}


def test_a_real_bundle_holds_without_django_or_this_project(bundle: Path) -> None:
    verdict = run(bundle)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    assert "FAILED" not in verdict.stdout
    assert verdict.stdout.count("\nok     ") == 7
    assert "Evidence bundle of credit-desk@2.0.0, as of 20" in verdict.stdout
    assert "the sha256 of composition.json (parts: 1)." in verdict.stdout
    assert "APPROVED for staging on 20" in verdict.stdout
    assert "REVOKED for staging on 20" in verdict.stdout
    assert "What this does not show: that nothing was left out" in verdict.stdout
    assert "The keys came with it." in verdict.stdout


def test_a_bundle_checked_with_ones_own_keys_does_not_ask_to_compare_them(bundle: Path, tmp_path: Path) -> None:
    (bundle / "keys").rename(tmp_path / "own")
    (bundle / "keys").mkdir()
    for name in ("decision.pem", "ledger.vkey"):
        (bundle / "keys" / name).write_bytes((tmp_path / "own" / name).read_bytes())
    verdict = run(bundle, "--keys", str(tmp_path / "own"))
    assert verdict.returncode == 0
    assert "The keys came with it." not in verdict.stdout


def test_the_bundle_holds_everything_about_the_version(bundle: Path) -> None:
    assert {path.name for path in bundle.iterdir()} == TOP
    assert [path.name for path in sorted((bundle / "evidence").iterdir())] == [
        "001-sbom-sbom.cdx.json",
        "002-provenance-provenance.dsse.json",
        "003-evaluation-evaluation.json",
        "004-model-card-README.md",
    ]
    assert len(list((bundle / "decisions").glob("*.dsse.json"))) == 2
    assert len(list((bundle / "decisions").glob("*.sigstore.json"))) == 2
    assert {path.name for path in (bundle / "policies").iterdir()} == {"default-v1.yaml", "default-v1.json"}
    kinds = {json.loads(path.read_bytes())["kind"] for path in (bundle / "ledger" / "entries").iterdir()}
    assert kinds >= {
        "version.registered",
        "version.nominated",
        "evidence.attached",
        "check.answered",
        "submission.opened",
        "waiver.requested",
        "waiver.granted",
        "review.given",
        "decision.made",
        "decision.signed",
        "decision.revoked",
    }


def test_the_record_says_what_was_reviewed_what_it_is_made_from_and_whose_names_are_whose(bundle: Path) -> None:
    record = json.loads((bundle / "record.json").read_bytes())
    assert record["dossier"]["components"][0]["version"] == "credit-prompt@1.0.0"
    assert [each["version"] for each in record["made_from"]] == ["credit-prompt@1.0.0"]
    assert record["people"]["escalation_contact"] == "ml-on-call@example.com"
    assert sorted(record["people"]["names"].values()) == ["Ada Owner", "Ben Backup", "CI pipeline", "Petra Platform"]
    assert hashlib.sha256((bundle / "composition.json").read_bytes()).hexdigest() == record["identity"]


def test_the_tables_are_about_this_version_alone(bundle: Path) -> None:
    def rows(name: str) -> list[dict[str, str]]:
        with (bundle / name).open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))

    for name in ("checks.csv", "reviews.csv", "waivers.csv", "decisions.csv", "serving.csv"):
        assert {row["Version"] for row in rows(name)} <= {"credit-desk@2.0.0", ""}, name
        assert rows(name), name
    assert rows("waivers.csv")[0]["Reason"] == "'=The new set is due next week."
    assert [row["Verdict"] for row in rows("decisions.csv")] == ["revoked", "approved"]
    assert rows("serving.csv")[0]["Customer"] == "acme"


def test_the_manifest_names_every_file_and_the_ledger_names_the_zip(bundle: Path, built: tuple[Path, Export]) -> None:
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    here = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert set(manifest["files"]) == here - {"manifest.json"}
    for name, stated in manifest["files"].items():
        body = (bundle / name).read_bytes()
        assert stated == {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}
    assert built[1].file.startswith("credit-desk-2.0.0-")
    assert built[1].file.endswith(".zip")
    assert len(built[1].sha256) == 64


def test_the_readme_says_how_to_check_and_what_that_cannot_show(bundle: Path) -> None:
    text = (bundle / "README.txt").read_text(encoding="utf-8")
    assert "python3 verify.py" in text
    assert "What this cannot show" in text
    assert (bundle / "keys" / "ledger.vkey").read_text().strip() in text


def test_the_columns_that_the_verifier_reads_are_columns_of_the_reports() -> None:
    slugs = {"reviews.csv": "approvals", "checks.csv": "checks", "decisions.csv": "decisions", "waivers.csv": "waivers"}
    for name, (_, key, _, columns) in verify.TABLES.items():
        titles = {column.title for column in BY_SLUG[slugs[name]].columns}
        assert {key, *columns} <= titles


def test_the_verifier_is_one_short_file_of_the_standard_library_and_cryptography() -> None:
    lines = Path(verify.__file__).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 300
    assert max(map(len, lines)) <= 120
    imported = {
        line.split()[1].split(".")[0] for line in map(str.strip, lines) if line.startswith(("import ", "from "))
    }
    assert not imported & {"django", "audit", "governance", "registry", "portal", "rfc8785", "securesystemslib"}
