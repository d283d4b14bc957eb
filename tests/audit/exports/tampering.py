"""What somebody who wants to deceive an auditor does to an unpacked bundle, and how the auditor looks at it."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from audit import notes, seal


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the bundle's own verifier in a Python that sees neither this project nor its environment."""
    command = [sys.executable, "-I", str(folder / "verify.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")


def rewrite_manifest(folder: Path) -> None:
    """Write the manifest anew, as a careful forger does: it fits whatever lies in the folder."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    files = sorted(each for each in folder.rglob("*") if each.is_file() and each != path)
    manifest["files"] = {
        each.relative_to(folder).as_posix(): {
            "sha256": hashlib.sha256(each.read_bytes()).hexdigest(),
            "size": each.stat().st_size,
        }
        for each in files
    }
    path.write_text(json.dumps(manifest), encoding="utf-8")


def change_json(path: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON file in place."""
    value = json.loads(path.read_bytes())
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def approval(folder: Path) -> Path:
    """Return the envelope of the approval."""
    for path in sorted((folder / "decisions").glob("*.dsse.json")):
        payload = json.loads(base64.b64decode(json.loads(path.read_bytes())["payload"]))
        if payload["predicate"]["verdict"] == "APPROVED":
            return path
    raise LookupError("There is no approval in the bundle.")


def write_envelope(path: Path, envelope: dict[str, Any]) -> None:
    """Write an envelope in both forms."""
    path.write_text(json.dumps(envelope), encoding="utf-8")
    twin = path.with_name(path.name.replace(".dsse.", ".sigstore."))
    change_json(twin, lambda form: form.update(dsseEnvelope=envelope))


def forge_decision(folder: Path, key: ec.EllipticCurvePrivateKey, **predicate: Any) -> None:
    """Change what the approval says and sign it with a key of one's own."""
    path = approval(folder)
    envelope = json.loads(path.read_bytes())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"].update(predicate)
    payload = json.dumps(statement).encode()
    signature = key.sign(seal.pae(envelope["payloadType"], payload), ec.ECDSA(hashes.SHA256()))
    envelope["payload"] = base64.b64encode(payload).decode()
    envelope["signatures"] = [{"keyid": "", "sig": base64.b64encode(signature).decode()}]
    write_envelope(path, envelope)


def resign_decision(folder: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Sign every decision anew with a key of one's own, and change nothing else."""
    for path in (folder / "decisions").glob("*.dsse.json"):
        envelope = json.loads(path.read_bytes())
        message = seal.pae(envelope["payloadType"], base64.b64decode(envelope["payload"]))
        signature = base64.b64encode(key.sign(message, ec.ECDSA(hashes.SHA256()))).decode()
        write_envelope(path, {**envelope, "signatures": [{"keyid": "", "sig": signature}]})


def put_decision_key(folder: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Put one's own key into the bundle."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, spki)
    (folder / "keys" / "decision.pem").write_bytes(pem)


def put_ledger_key(folder: Path, key: ed25519.Ed25519PrivateKey) -> None:
    """Put one's own ledger key into the bundle."""
    origin = json.loads((folder / "manifest.json").read_bytes())["ledger"]
    (folder / "keys" / "ledger.vkey").write_text(notes.note_key(origin, key.public_key()).vkey + "\n")


def resign_checkpoint(folder: Path, key: ed25519.Ed25519PrivateKey) -> None:
    """Sign the checkpoint anew with a ledger key of one's own, in the proofs too."""
    path = folder / "ledger" / "checkpoint"
    old = path.read_text(encoding="utf-8")
    text = old.rpartition("\n\n")[0] + "\n"
    new = notes.sign_note(text, text.split("\n")[0], key)
    for each in [path, *(folder / "ledger" / "proofs").iterdir()]:
        each.write_text(each.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def entry_file(folder: Path, kind: str) -> Path:
    """Return the file of the first entry of a kind."""
    found = [
        path for path in (folder / "ledger" / "entries").iterdir() if json.loads(path.read_bytes())["kind"] == kind
    ]
    return sorted(found)[0]


def replace_text(path: Path, old: str, new: str) -> None:
    """Replace text in a file. Raises ValueError when it is not there."""
    text = path.read_text(encoding="utf-8")
    if old not in text:
        raise ValueError(f"{path.name} does not say {old!r}.")
    path.write_text(text.replace(old, new), encoding="utf-8")
