"""Whoever changes a bundle is found out, with a sentence, even when the manifest was written anew to fit."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tests.audit.exports import tampering
from tests.audit.exports.tampering import change_json, entry_file, replace_text, run

pytestmark = pytest.mark.django_db

OWN_DECISION_KEY = ec.generate_private_key(ec.SECP256R1())
OWN_LEDGER_KEY = ed25519.Ed25519PrivateKey.generate()


def edit_evidence(folder: Path) -> None:
    replace_text(folder / "evidence" / "001-sbom-sbom.cdx.json", "jinja2", "jinja3")


def forge_with_own_key(folder: Path) -> None:
    tampering.forge_decision(folder, OWN_DECISION_KEY, expiresAt="2099-01-01T00:00:00.000000Z")
    tampering.put_decision_key(folder, OWN_DECISION_KEY)


def forge_without_the_key(folder: Path) -> None:
    tampering.forge_decision(folder, OWN_DECISION_KEY, expiresAt="2099-01-01T00:00:00.000000Z")


def edit_payload(folder: Path) -> None:
    path = tampering.approval(folder)
    envelope = json.loads(path.read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(b"APPROVED", b"REJECTED")
    tampering.write_envelope(path, {**envelope, "payload": base64.b64encode(payload).decode()})


def differ_between_forms(folder: Path) -> None:
    path = tampering.approval(folder)
    twin = path.with_name(path.name.replace(".dsse.", ".sigstore."))
    change_json(twin, lambda form: form["dsseEnvelope"].update(payload=""))


def swap_entries(folder: Path) -> None:
    first, second = sorted((folder / "ledger" / "entries").iterdir())[:2]
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


def edit_entry(folder: Path) -> None:
    replace_text(entry_file(folder, "review.given"), '"approve"', '"reject"')


def edit_row(folder: Path) -> None:
    [path] = (folder / "ledger" / "rows" / "governance_review").iterdir()
    replace_text(path, '"approve"', '"reject"')


def edit_review_table(folder: Path) -> None:
    replace_text(folder / "reviews.csv", ",approve,", ",reject,")


def tell_it_twice(folder: Path) -> None:
    path = folder / "reviews.csv"
    head, *lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([head, *(line.replace(b",approve,", b",reject,") for line in lines), *lines]))


def blame_somebody_else(folder: Path) -> None:
    record = json.loads((folder / "record.json").read_bytes())
    names = {name: account for account, name in record["people"]["names"].items()}
    replace_text(folder / "reviews.csv", names["Petra Platform"], names["Ada Owner"])


def leave_out_a_check(folder: Path) -> None:
    path = folder / "checks.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1] + lines[2:]))


def lengthen_a_waiver(folder: Path) -> None:
    text = (folder / "waivers.csv").read_text(encoding="utf-8")
    year = text.split("\n")[1].split("Z,")[-2][-26:-22]
    replace_text(folder / "waivers.csv", f"{year}-", "2099-")


def revoke_the_revocation(folder: Path) -> None:
    path = folder / "decisions.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1] + lines[2:]))


def replace_the_artifact(folder: Path) -> None:
    change_json(folder / "record.json", lambda record: record["dossier"]["components"][0].update(identity="0" * 64))


def claim_another_identity(folder: Path) -> None:
    change_json(folder / "manifest.json", lambda manifest: manifest.update(identity="0" * 64))


def loosen_the_policy(folder: Path) -> None:
    replace_text(folder / "policies" / "default-v1.json", '"0.05"', '"0.50"')


def put_own_ledger_key(folder: Path) -> None:
    tampering.put_ledger_key(folder, OWN_LEDGER_KEY)


def shrink_the_ledger(folder: Path) -> None:
    path = folder / "ledger" / "checkpoint"
    lines = path.read_text(encoding="utf-8").split("\n")
    path.write_text("\n".join([lines[0], str(int(lines[1]) - 1), *lines[2:]]), encoding="utf-8")


def name_another_ledger(folder: Path) -> None:
    change_json(folder / "manifest.json", lambda manifest: manifest.update(ledger="elsewhere.example/ledger"))


def add_a_document(folder: Path) -> None:
    (folder / "evidence" / "999-evaluation-better.json").write_text("{}")


def lose_a_document(folder: Path) -> None:
    (folder / "evidence" / "003-evaluation-evaluation.json").unlink()


CAREFUL: list[tuple[Callable[[Path], None], str]] = [
    (edit_evidence, "evidence/001-sbom-sbom.cdx.json is not a document that was attached, says the ledger."),
    (forge_with_own_key, "is not the one that was made, says the ledger."),
    (forge_without_the_key, "is not signed by any of the given decision keys."),
    (edit_payload, "is not signed by any of the given decision keys."),
    (differ_between_forms, "and its Sigstore form differ."),
    (swap_entries, "of the ledger: its proof leads to another checkpoint."),
    (edit_entry, "of the ledger: its proof leads to another checkpoint."),
    (edit_row, "is not what the ledger's entry"),
    (edit_review_table, "reviews.csv says something else about"),
    (tell_it_twice, "reviews.csv says something else about"),
    (blame_somebody_else, "reviews.csv says something else about"),
    (leave_out_a_check, "checks.csv leaves out"),
    (lengthen_a_waiver, "waivers.csv says something else about"),
    (revoke_the_revocation, "decisions.csv leaves out"),
    (replace_the_artifact, "composition.json and record.json name other parts."),
    (claim_another_identity, f"The identity digest in manifest.json is {'0' * 64}; computed it is"),
    (loosen_the_policy, "which is not in policies/."),
    (put_own_ledger_key, "The checkpoint is not signed by any of the given ledger keys."),
    (shrink_the_ledger, "The checkpoint is not signed by any of the given ledger keys."),
    (name_another_ledger, "The checkpoint is one of another ledger:"),
    (add_a_document, "evidence/999-evaluation-better.json is not a document that was attached, says the ledger."),
    (lose_a_document, "was attached and is not in evidence/."),
]


@pytest.mark.parametrize(("tamper", "sentence"), CAREFUL, ids=[tamper.__name__ for tamper, _ in CAREFUL])
def test_a_careful_forger_is_found_out(bundle: Path, tamper: Callable[[Path], None], sentence: str) -> None:
    tamper(bundle)
    tampering.rewrite_manifest(bundle)
    verdict = run(bundle)
    assert verdict.returncode == 1
    assert sentence in verdict.stdout
    assert "This does not hold:" in verdict.stdout
    assert "Traceback" not in verdict.stderr


@pytest.mark.parametrize(
    ("tamper", "sentence"),
    [
        (edit_evidence, "evidence/001-sbom-sbom.cdx.json was changed: manifest.json states the sha256"),
        (add_a_document, "evidence/999-evaluation-better.json does not belong to the bundle"),
        (lose_a_document, "evidence/003-evaluation-evaluation.json is missing."),
        (lambda folder: replace_text(folder / "serving.csv", ",7,", ",0,"), "serving.csv was changed"),
        (lambda folder: replace_text(folder / "README.txt", "python3", "python2"), "README.txt was changed"),
    ],
)
def test_a_careless_change_of_any_file_is_found_out(
    bundle: Path, tamper: Callable[[Path], None], sentence: str
) -> None:
    tamper(bundle)
    verdict = run(bundle)
    assert verdict.returncode == 1
    assert sentence in verdict.stdout


def test_somebody_with_keys_of_his_own_is_found_out_by_whoever_kept_the_real_ones(bundle: Path, tmp_path: Path) -> None:
    real = Path(shutil.copytree(bundle / "keys", tmp_path / "real"))
    tampering.resign_decision(bundle, OWN_DECISION_KEY)
    tampering.put_decision_key(bundle, OWN_DECISION_KEY)
    tampering.resign_checkpoint(bundle, OWN_LEDGER_KEY)
    tampering.put_ledger_key(bundle, OWN_LEDGER_KEY)
    tampering.rewrite_manifest(bundle)
    trusting = run(bundle)
    assert (trusting.returncode, "Compare them" in trusting.stdout) == (0, True)
    careful = run(bundle, "--keys", str(real))
    assert careful.returncode == 1
    assert "is not signed by any of the given decision keys." in careful.stdout
    assert "The checkpoint is not signed by any of the given ledger keys." in careful.stdout


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.json", b"not json"),
        ("manifest.json", b"[]"),
        ("manifest.json", b'{"files": {"../../etc/passwd": {"sha256": ""}}, "identity": ""}'),
        ("record.json", b"[" * 100_000),
        ("record.json", b"\xff\xfe"),
        ("ledger/checkpoint", b""),
        ("ledger/checkpoint", b"a\nb\nc\n\n\xe2\x80\x94 x y\n"),
        ("keys/decision.pem", b"-----BEGIN PUBLIC KEY-----\n"),
        ("keys/ledger.vkey", b"a+b\n"),
        ("reviews.csv", b'a,b\n"'),
        ("reviews.csv", b"\x00"),
    ],
)
def test_a_broken_file_is_a_sentence_and_no_traceback(bundle: Path, name: str, content: bytes) -> None:
    (bundle / name).write_bytes(content)
    verdict = run(bundle)
    assert verdict.returncode == 1
    assert "FAILED" in verdict.stdout + verdict.stderr
    assert "Traceback" not in verdict.stderr


def test_a_link_out_of_the_bundle_is_not_followed(bundle: Path) -> None:
    (bundle / "README.txt").unlink()
    (bundle / "README.txt").symlink_to("/etc/hostname")
    verdict = run(bundle)
    assert (verdict.returncode, "README.txt is missing." in verdict.stdout) == (1, True)
