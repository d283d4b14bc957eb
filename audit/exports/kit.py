"""All that a gate without the portal needs about one decision, as one zip, and the proof that a ledger only grew.

The gate itself is in it. What a gate must not take from a kit is whom to believe: the root keys come by another way.
"""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path

from django.conf import settings

from audit import keyset, log, merkle, seal
from audit.events import Event
from audit.exports import standalone
from audit.models import Checkpoint, Entry, Keyset
from audit.tiles import StoredTree
from governance import decisions, revocations
from governance.models import Decision
from portal.errors import Fault, Invalid, Reason, Refused

README = Path(__file__).with_name("readme_kit.txt")


def write(decision: Decision) -> bytes:
    """Return the zip of a decision. Raises Refused until it is signed and sealed, and while there is no keyset."""
    files = {name: content for name, content in contents(decision).items() if content}
    stream = io.BytesIO()
    at = decision.made_at.timetuple()[:6]
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            about = zipfile.ZipInfo(name, at)
            about.compress_type, about.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(about, content)
    return stream.getvalue()


def contents(decision: Decision) -> dict[str, bytes]:
    """Return the files of a kit by their names; papers that change often are fetched anew by whoever asks the gate."""
    envelope, newest, listed = decisions.envelope(decision), keyset.newest(), revocations.newest()
    if newest is None or listed is None:
        fix = Reason("keyset", "Gates without a portal believe root keys alone.", "Publish a keyset.", "/audit/keys/")
        raise Refused("no_keyset", "There is no keyset or no revocation list yet.", reasons=[fix])
    entry = entry_of(decision)
    return {
        "decision.sigstore.json": decisions.bundle(decision),
        "decision.dsse.json": written(envelope),
        "decision.tlog-proof": proof(entry).encode(),
        "entry.json": bytes(entry.body),
        "keyset.json": written(Keyset.objects.get(number=newest.version).envelope),
        "revocations.json": written(listed.envelope),
        "gate.py": standalone.gate_file(),
        "README.txt": readme(decision, newest).encode(),
    }


def written(envelope: seal.Envelope) -> bytes:
    """Return an envelope as a file."""
    return (json.dumps(envelope, indent=2) + "\n").encode()


def entry_of(decision: Decision) -> Entry:
    """Return the entry that names a decision and the sha256 of its envelope. Raises Refused until it is sealed."""
    entry = log.entries(kind=Event.DECISION_SIGNED, subject=decision).first()
    if entry is None:
        raise Refused("unsigned", f"{decision} is not signed yet; the signer works within seconds.")
    return entry


def proof(entry: Entry) -> str:
    """Return the tlog-proof of an entry that carries the entry itself, so that one file is enough (C2SP tlog-proof)."""
    header, rest = log.proof(entry).split("\n", 1)
    return f"{header}\nextra {base64.b64encode(bytes(entry.body)).decode()}\n{rest}"


def readme(decision: Decision, newest: keyset.Document) -> str:
    """Return the page that explains a kit."""
    return README.read_text(encoding="utf-8").format(
        version=decision.version.label,
        environment=decision.environment,
        identity=decision.identity_digest,
        portal=settings.PORTAL_URL,
        decision=decision.public_id,
        threshold=newest.threshold,
        roots="\n".join(f"  {root.fingerprint}" for root in newest.roots),
    )


def consistency(old: int, new: int) -> str:
    """Return the proof that the ledger of `new` entries begins with the ledger of `old` entries, one hash a line.

    Raises Invalid unless 0 < old <= new and `new` entries are sealed.
    """
    size = Checkpoint.objects.values_list("size", flat=True).first() or 0
    if not 0 < old <= new <= size:
        raise Invalid(Fault("old, new", f"{old}, {new}", f"1 to {size:,} sealed entries, the older first"))
    tree = StoredTree(size)
    path = merkle.consistency_proof(old, new, tree.node)
    roots = [merkle.frontier_at(each, tree.node).root() for each in (old, new)]
    if not merkle.verify_consistency(old, new, path, *roots):
        raise Refused("damaged", "The stored ledger contradicts itself; run `manage.py verify_ledger`.")
    return f"old {old}\n" + "".join(f"{base64.b64encode(each).decode()}\n" for each in path)
