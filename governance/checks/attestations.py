"""Who signed a statement: trusted keys, or an identity under a trusted root, that may sign it about this version.

Signature first, over the exact bytes; only then is the statement believed, by whoever asked. A key id is a hint and
never a proof, and one key counts once. What statements say is compared by `provenance` and `model_signing`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from audit import seal
from governance.models import TrustedKey, TrustedRoot
from governance.models.keys import Purpose
from portal.errors import Invalid, Refused
from registry.models import Version
from registry.readers.in_toto import PAYLOAD_TYPE, BundledStatement
from registry.readers.reading import Statement

Trusted = TrustedKey | TrustedRoot
MEANS = {
    Purpose.PROVENANCE: "build provenance",
    Purpose.MODEL_SIGNING: "files of models",
    Purpose.EVALUATION: "evaluation results",
}


@dataclass(frozen=True)
class Signer:
    """Somebody trusted who signed: a key, or an identity under a root.

    `fingerprint` is the hex sha256 of the key's SPKI, or the digest of the trusted root; `issuer` and `identity` are
    those of the certificate and empty for a key.
    """

    name: str
    fingerprint: str
    builders: tuple[str, ...]
    valid_until: datetime
    issuer: str = ""
    identity: str = ""

    @property
    def title(self) -> str:
        """Return who that is, for a sentence."""
        if self.identity:
            return f"{self.identity} (certified by {self.issuer}) under the trusted root {self.name}"
        return f"the trusted key {self.name}"

    def as_facts(self) -> dict[str, str]:
        """Return what a check's facts keep of a signer."""
        told = {"name": self.name, "fingerprint": self.fingerprint, "issuer": self.issuer, "identity": self.identity}
        return {key: value for key, value in told.items() if value}


@dataclass(frozen=True)
class Verification:
    """What the signatures of one statement are worth: `ok`, or the code and the sentence of what is wrong.

    The codes are ok, bad_signature, untrusted_key, revoked_key and unsupported. `signers` is empty unless it is ok;
    `until` is the instant from which a signer counts that does not count yet.
    """

    code: str
    says: str
    signers: tuple[Signer, ...] = ()
    until: datetime | None = None

    @property
    def signer(self) -> Signer | None:
        """Return the first of the signers."""
        return self.signers[0] if self.signers else None


def find_signer(
    statement: Statement, version: Version, purpose: str, *, at: datetime, threshold: int = 1
) -> Verification:
    """Return the different trusted signers of a statement, or why there are fewer than `threshold`.

    Only those count that are trusted for the purpose, may speak about the version's asset, and are valid at the
    instant.
    """
    if isinstance(statement, BundledStatement) and "certificate" in statement.material:
        return find_identity(statement, version, purpose, at=at, threshold=threshold)
    keys = {key.fingerprint: key for key in TrustedKey.objects.all()}
    try:
        opened = seal.verify(statement.envelope, [seal.load_public_key(key.public_pem) for key in keys.values()])
    except Invalid as error:
        return Verification("unsupported", str(error))
    except Refused as error:
        return Verification(error.code.replace("-", "_"), error.says)
    if opened.payload != statement.payload or opened.payload_type != PAYLOAD_TYPE:
        return Verification("bad_signature", "What was signed is not the statement that is shown.")
    signed = sorted((keys[fingerprint] for fingerprint in opened.fingerprints), key=lambda key: key.name)
    found = [(key, Signer(key.name, key.fingerprint, tuple(key.builders), key.valid_until)) for key in signed]
    return weigh(found, version, purpose, at=at, threshold=threshold)


def find_identity(
    statement: BundledStatement, version: Version, purpose: str, *, at: datetime, threshold: int
) -> Verification:
    """Return the identity that signed a bundle with a certificate, asked under every trusted root."""
    # The library behind it takes a second to import, which nobody should pay who meets no such bundle.
    from governance.checks import keyless  # noqa: PLC0415

    found = Verification("untrusted_key", "Its certificate was issued under no trusted root.")
    for root in TrustedRoot.objects.all():
        seen = keyless.verify(statement, root.text, [(each["issuer"], each["identity"]) for each in root.identities])
        if seen.code == "ok":
            signer = Signer(root.name, root.sha256, tuple(root.builders), root.valid_until, seen.issuer, seen.identity)
            found = weigh([(root, signer)], version, purpose, at=at, threshold=threshold)
            if found.code == "ok":
                break
        elif seen.code != "foreign":
            found = Verification(seen.code, seen.says)
    return found


def weigh(
    found: Sequence[tuple[Trusted, Signer]], version: Version, purpose: str, *, at: datetime, threshold: int
) -> Verification:
    """Return what genuine signatures by registered signers are worth for this version, purpose and instant."""
    faults = [(signer, why_not(trusted, version, purpose, at)) for trusted, signer in found]
    counting = tuple(signer for signer, fault in faults if fault is None)
    if len(counting) >= threshold > 0:
        return Verification("ok", "", counting)
    reasons = [fault for _, fault in faults if fault is not None]
    code = "revoked_key" if any(code == "revoked_key" for code, _ in reasons) else "untrusted_key"
    says = " ".join(dict.fromkeys(said for _, said in reasons))
    if threshold > 1:
        names = " and ".join(signer.title for signer in counting) or "nobody who counts"
        says = f"It is signed by {names}; {threshold} different trusted signers are needed. {says}".strip()
    later = min((trusted.valid_from for trusted, _ in found if trusted.valid_from > at), default=None)
    return Verification(code, says, until=later)


def why_not(trusted: Trusted, version: Version, purpose: str, at: datetime) -> tuple[str, str] | None:
    """Return (code, sentence) why a registered signer does not count, or None.

    One that is out of scope is not named: who may speak about other assets is nobody's business here.
    """
    if not trusted.speaks_about(version.asset):
        return "untrusted_key", f"It is signed by a key that may not speak about {version.asset.slug}."
    if purpose not in trusted.purposes:
        meant = MEANS[Purpose(purpose)]
        return "untrusted_key", f"It is signed by {trusted.name}, which is not trusted to sign {meant}."
    if trusted.is_valid_at(at):
        return None
    if trusted.revoked_at is not None and at >= trusted.revoked_at:
        return "revoked_key", f"It is signed by {trusted.name}, which was revoked on {trusted.revoked_at:%Y-%m-%d}."
    window = f"{trusted.valid_from:%Y-%m-%d} to {trusted.valid_until:%Y-%m-%d}"
    return "revoked_key", f"It is signed by {trusted.name}, which is out of its validity ({window})."


def depends_on(
    version: Version, purpose: str, *, builders: Collection[str] | None = None, roots: bool = True
) -> list[list[Any]]:
    """Return the keys and roots that may sign for a purpose about a version, for what an answer depends on.

    Those trusted for other assets or purposes, or with `builders` only for other builders, are left out, so that
    trusting or revoking them makes no answer stale. Without `roots` the trusted roots are not asked for.
    """
    asked: list[Any] = [TrustedKey.objects.order_by("fingerprint")]
    asked += [TrustedRoot.objects.order_by("sha256")] if roots else []
    meant = Q(assets=[]) | Q(assets__contains=[version.asset.slug])
    return [
        list(picture(row))
        for rows in asked
        for row in rows.filter(meant, purposes__contains=[purpose])
        if builders is None or set(builders) & set(row.builders)
    ]


def picture(trusted: Trusted) -> Iterator[Any]:
    """Yield everything about a trusted signer that changes what its signatures are worth."""
    yield from (trusted.ledger_ref[2], trusted.builders, trusted.valid_from, trusted.valid_until, trusted.revoked_at)
    if isinstance(trusted, TrustedRoot):
        yield trusted.identities
