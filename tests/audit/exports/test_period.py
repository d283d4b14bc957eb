"""The evidence bundle of a period: the whole stretch of the ledger, and everything that happened in it."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from audit.exports import builder, requests
from audit.exports import period as bundles
from audit.reports import REPORTS
from portal.errors import Invalid, Refused
from tests.factories import Walk

pytestmark = pytest.mark.django_db

FOLDERS = {"decisions", "keys", "ledger", "policies"}
CSVS = {"reviews.csv", "checks.csv", "waivers.csv", "decisions.csv", "serving.csv", "access.csv", "ledger.csv"}


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_it_holds_every_entry_of_the_stretch_with_its_proof(period: Path) -> None:
    manifest = json.loads((period / "manifest.json").read_bytes())
    assert manifest["kind"] == "period"
    assert manifest["since"] < manifest["until"] <= manifest["as_of"]
    stretch = range(manifest["entries"]["first"], manifest["entries"]["end"])
    assert len(stretch) > 50
    assert {path.name for path in (period / "ledger" / "entries").iterdir()} == {f"{each}.json" for each in stretch}
    proofs = {path.name for path in (period / "ledger" / "proofs").iterdir()}
    assert proofs == {f"{each}.tlog-proof" for each in stretch}


def test_the_manifest_names_every_file(period: Path) -> None:
    manifest = json.loads((period / "manifest.json").read_bytes())
    here = {path.relative_to(period).as_posix() for path in period.rglob("*") if path.is_file()}
    assert set(manifest["files"]) == here - {"manifest.json"}
    assert {path.name for path in period.iterdir()} >= {"README.txt", "verify.py", *FOLDERS, *CSVS}
    told = [report.slug for report in REPORTS if {"since", "until"} <= set(report.filters)]
    assert len([name for name in here if name.endswith(".csv")]) == len(told)


def test_every_row_in_it_is_named_by_an_entry_in_it_and_no_account_is_among_them(period: Path) -> None:
    named, grouped = set(), set()
    for path in (period / "ledger" / "entries").iterdir():
        for row in json.loads(path.read_bytes())["rows"]:
            if "sha256" in row:
                named.add((row["table"], row["id"], row["sha256"]))
            else:
                grouped.add(row["table"])
    stored = list((period / "ledger" / "rows").rglob("*.json"))
    tables = {path.parent.name for path in stored}
    assert tables >= {"governance_review", "governance_decision", "governance_transition", "governance_checkrun"}
    assert not tables & {"registry_historicaluser", "registry_historicalaccesstoken", "registry_historicalversion"}
    for path in stored:
        key = (path.parent.name, path.stem, hashlib.sha256(path.read_bytes()).hexdigest())
        assert key in named or path.parent.name in grouped


def test_its_tables_and_signed_decisions_are_those_of_the_period(period: Path) -> None:
    assert [row["Verdict"] for row in rows(period / "decisions.csv")] == ["revoked", "approved"]
    assert len(list((period / "decisions").glob("*.dsse.json"))) == 2
    assert rows(period / "access.csv")
    assert rows(period / "waivers.csv")[0]["Version"] == "credit-desk@2.0.0"
    assert {path.suffix for path in (period / "policies").iterdir()} == {".yaml", ".json"}
    assert len({row["Row"] for row in rows(period / "ledger.csv")}) == len(rows(period / "ledger.csv"))


def test_the_readme_says_what_it_is_about(period: Path) -> None:
    text = (period / "README.txt").read_text()
    assert "{" not in text
    assert "ALL entries of the ledger" in text


def test_a_period_that_is_none_or_too_long_is_refused_with_a_sentence(
    walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, day = timezone.now(), timedelta(days=1)
    with pytest.raises(Invalid, match=r"until: saw .*, expected an instant after"):
        requests.request_period(now, now - day, actor=walk.cast.iris)
    with pytest.raises(Invalid, match=r"until: saw .*, expected an instant that has passed by"):
        requests.request_period(now, now + day, actor=walk.cast.iris)
    monkeypatch.setattr(bundles, "MOST_ENTRIES", 3)
    walk.work()
    with pytest.raises(Refused, match=r"a bundle holds 3 at most. Ask for shorter periods"):
        bundles.stretch_of(now - day, now + day, 1_000_000)


def test_a_period_in_which_nothing_happened_is_a_bundle_all_the_same(walk: Walk) -> None:
    then = timezone.now() - timedelta(days=900)
    asked = requests.request_period(then, then + timedelta(days=1), actor=walk.cast.iris)
    export = builder.build_now(asked)
    assert (export.state, export.error) == ("done", "")
    assert export.file.startswith("period-")
