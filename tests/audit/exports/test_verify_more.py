"""The verifier on one decision, one proof and the bundle of a period, and with an older checkpoint that was kept."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.exports import verify
from tests.audit.exports import ceremony, tampering
from tests.audit.exports.ceremony import ORIGIN, WITNESS_NAME, Ceremony
from tests.audit.exports.tampering import entry_file, replace_text, run
from tests.audit.exports.test_verify import (
    edit_entry,
    edit_payload,
    edit_review_table,
    forge_without_the_key,
    leave_out_a_check,
)

pytestmark = pytest.mark.django_db


def only(folder: Path, keys: Path, what: str, *more: str) -> Any:
    """Check one file of a bundle with keys that somebody kept."""
    return run(folder, str(folder / what), "--keys", str(keys), *more)


def test_one_decision_is_checked_by_itself(bundle: Path) -> None:
    name = f"decisions/{tampering.approval(bundle).name}"
    for each in (name, name.replace(".dsse.", ".sigstore.")):
        verdict = only(bundle, bundle / "keys", each)
        assert (verdict.returncode, "APPROVED for staging on" in verdict.stdout) == (0, True), verdict.stdout
        assert "What this does not show: that it counts here and now; ask the gate" in verdict.stdout
    edit_payload(bundle)
    verdict = only(bundle, bundle / "keys", name)
    assert (verdict.returncode, "is not signed by any of the given decision keys." in verdict.stdout) == (1, True)


def test_one_proof_is_checked_by_itself_with_the_entry_in_it_or_beside_it(bundle: Path) -> None:
    entry = entry_file(bundle, "review.given")
    name = f"ledger/proofs/{entry.stem}.tlog-proof"
    assert "its proof leads to another checkpoint" in only(bundle, bundle / "keys", name).stdout
    verdict = only(bundle, bundle / "keys", name, "--entry", str(entry))
    assert (verdict.returncode, '"kind": "review.given"' in verdict.stdout) == (0, True), verdict.stdout
    other = entry_file(bundle, "decision.made")
    assert only(bundle, bundle / "keys", name, "--entry", str(other)).returncode == 1
    carried = f"extra {base64.b64encode(entry.read_bytes()).decode()}\nindex"
    replace_text(bundle / name, "index", carried)
    assert only(bundle, bundle / "keys", name).returncode == 0
    replace_text(bundle / name, "tlog-proof@v1", "tlog-proof@v2")
    assert only(bundle, bundle / "keys", name).returncode == 1


@pytest.fixture(scope="module")
def made() -> Ceremony:
    """A ledger of thirteen entries, made by hand."""
    return Ceremony(leaves=ceremony.filler(13))


def written(made: Ceremony, folder: Path, size: int) -> list[str]:
    """Write a proof, the keys, a checkpoint of `size` entries that was kept, and what leads from it to the present."""
    (folder / "keys").mkdir()
    keys = [ceremony.vkey(ORIGIN, made.ledger, b"\x01"), ceremony.vkey(WITNESS_NAME, made.witness, b"\x04")]
    (folder / "keys" / "some.vkey").write_text("\n".join(keys))
    (folder / "verify.py").write_bytes(Path(verify.__file__).read_bytes())
    (folder / "one.tlog-proof").write_bytes(made.proof(5))
    (folder / "kept").write_text(made.checkpoint(size=size), encoding="utf-8")
    (folder / "grown").write_bytes(made.consistency(size, 13))
    return [str(folder / "one.tlog-proof"), "--keys", str(folder / "keys"), "--checkpoint", str(folder / "kept")]


@pytest.mark.parametrize("size", range(1, 14))
def test_an_older_checkpoint_that_was_kept_shows_that_the_ledger_only_grew(
    made: Ceremony, tmp_path: Path, size: int
) -> None:
    options = written(made, tmp_path, size)
    verdict = run(tmp_path, *options, "--consistency", str(tmp_path / "grown"))
    assert verdict.returncode == 0, verdict.stdout
    assert f"ok     The ledger of 13 entries begins with the ledger of {size} entries." in verdict.stdout
    assert f"{WITNESS_NAME} cosigned it on 2026-11-23 08:00:00+00:00." in verdict.stdout
    assert "never written anew" not in verdict.stdout
    without = run(tmp_path, *options)
    assert without.returncode == (0 if size == 13 else 1)
    assert size == 13 or f"/api/v1/ledger/consistency?old={size}&new=13" in without.stdout


@pytest.mark.parametrize("size", [1, 4, 7, 13])
def test_a_ledger_that_was_written_anew_is_found_by_whoever_kept_a_checkpoint(
    made: Ceremony, tmp_path: Path, size: int
) -> None:
    options = written(made, tmp_path, size)
    anew = dataclasses.replace(made, leaves=[b"{}", *made.leaves[1:]])
    (tmp_path / "one.tlog-proof").write_bytes(anew.proof(5))
    assert run(tmp_path, *options[:3]).returncode == 0
    for proof in (made.consistency(size, 13), anew.consistency(size, 13)):
        (tmp_path / "grown").write_bytes(proof)
        verdict = run(tmp_path, *options, "--consistency", str(tmp_path / "grown"))
        assert (verdict.returncode, f"only grew from {size} to 13 entries" in verdict.stdout) == (1, True)


def lose_an_entry(folder: Path) -> None:
    entry = sorted((folder / "ledger" / "entries").iterdir())[3]
    (folder / "ledger" / "proofs" / f"{entry.stem}.tlog-proof").unlink()
    entry.unlink()


def test_the_bundle_of_a_period_holds_and_one_entry_less_does_not(period: Path) -> None:
    verdict = run(period)
    assert verdict.returncode == 0, verdict.stdout
    assert "no entry between the first and the last is left out" in verdict.stdout
    lose_an_entry(period)
    tampering.rewrite_manifest(period)
    verdict = run(period)
    assert (verdict.returncode, "of the ledger was left out." in verdict.stdout) == (1, True)


@pytest.mark.parametrize("tamper", [edit_entry, edit_review_table, leave_out_a_check, forge_without_the_key])
def test_whoever_changes_the_bundle_of_a_period_is_found_out(period: Path, tamper: Callable[[Path], None]) -> None:
    tamper(period)
    tampering.rewrite_manifest(period)
    assert run(period).returncode == 1
