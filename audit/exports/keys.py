"""The public keys that a bundle carries: those of decisions and of the ledger, the keyset, and what was revoked."""

from __future__ import annotations

from audit import keyset, sealer
from audit.exports.archive import Archive
from audit.models import Keyset
from governance.models import RevocationList


def write(archive: Archive) -> None:
    """Write decision keys as PEM and ledger keys as verifier keys of signed notes, older ones after the present one.

    Once there are any, also the newest keyset and the newest revocation list, each as its DSSE envelope.
    """
    for number, key in enumerate(keyset.decision_keys()):
        archive.add(f"keys/decision-{key.fingerprint[:16]}.pem" if number else "keys/decision.pem", key.pem)
    archive.add("keys/ledger.vkey", "".join(f"{key.vkey}\n" for key in sealer.ledger_keys()))
    listed = Keyset.objects.order_by("-number").first()
    if listed is not None:
        archive.add_json("keys/keyset.json", listed.envelope)
    revoked = RevocationList.objects.order_by("-number").first()
    if revoked is not None:
        archive.add_json("keys/revocations.json", revoked.envelope)
