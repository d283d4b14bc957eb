"""Is there signed provenance by a trusted key for this artifact, from an allowed builder and the registered source?

Signature first, over the exact bytes; only then is the statement believed. A key id is a hint, never a proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from audit import seal
from governance.checks.base import Answer, Dossier, failed, passed
from governance.models import TrustedKey
from portal.errors import Invalid, Refused
from registry import evidence
from registry.models import Evidence, Version
from registry.readers.reading import Statement
from registry.readers.slsa import repository_of

SLSA = "https://slsa.dev/provenance/v1"
SKEW = timedelta(minutes=5)
FIXES = {
    "no_attestation": "Attach an in-toto SLSA v1 provenance in a DSSE envelope or Sigstore bundle.",
    "bad_signature": "Sign the attestation again: its content is not what was signed.",
    "untrusted_key": "Ask an administrator to add the builder's key to the trusted keys.",
    "revoked_key": "Build and sign again with a key that is still trusted.",
    "subject_mismatch": "Attach the attestation of the build that made these very bytes.",
    "builder_not_allowed": "Build with a builder that the policy allows, under a key that may speak for it.",
    "source_mismatch": "Register the repository and commit that the attestation names, or attach the right one.",
    "unsupported": "Attach SLSA provenance v1; other predicates do not say who built this from what.",
}


@dataclass(frozen=True)
class Verification:
    """What one attestation turned out to be: a code (`ok` or a key of FIXES), a sentence, and the key behind it."""

    code: str
    says: str
    key: TrustedKey | None = None


class Provenance:
    """Asks every attached attestation, newest first, until one holds."""

    slug = "provenance"
    title = "Provenance"
    asks = "Is there signed provenance by a trusted key for this artifact, from an allowed builder and this source?"
    sections: tuple[str, ...] = ("artifact", "source", "evidence")

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Depend on the trusted keys: revoking one asks again."""
        keys = TrustedKey.objects.order_by("fingerprint")
        return {
            "keys": [[key.fingerprint, key.builders, key.valid_from, key.valid_until, key.revoked_at] for key in keys]
        }

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Answer by the best attestation there is."""
        rows = list(dossier.version.evidence.filter(kind="provenance"))
        if not rows:
            return failed("No provenance is attached.", FIXES["no_attestation"], facts={"code": "no_attestation"})
        results = [verify(row, dossier.version, rule.get("builders", []), at=dossier.at) for row in rows]
        for row, result in zip(rows, results, strict=True):
            if result.key is not None and result.code == "ok":
                facts = {
                    "code": "ok",
                    "evidence": row.sha256,
                    "key": result.key.name,
                    "fingerprint": result.key.fingerprint,
                }
                return passed(result.says, facts=facts, valid_until=result.key.valid_until)
        first = results[0]
        facts = {"code": first.code, "evidence": rows[0].sha256}
        return failed(first.says, FIXES[first.code], facts=facts)


def verify(row: Evidence, version: Version, builders: list[str], *, at: datetime) -> Verification:
    """Return what one attestation is worth for one version under a list of allowed builders."""
    statement = evidence.reread(row).statement
    if statement is None:
        return Verification("unsupported", f"{row.filename} holds no in-toto statement.")
    signed = find_signer(statement, at=at)
    if signed.key is None:
        return Verification(signed.code, f"{row.filename}: {signed.says}")
    says = compare(statement, version, builders, signed.key, at=at)
    if says is not None:
        return Verification(says[0], f"{row.filename}: {says[1]}", signed.key)
    return Verification(
        "ok",
        f"Built by {statement.builder_id} from {statement.source_uri} at {statement.source_commit[:12]}, "
        f"signed by the trusted key {signed.key.name}.",
        signed.key,
    )


def find_signer(statement: Statement, *, at: datetime) -> Verification:
    """Return the trusted key that signed a statement, or why there is none."""
    keys = {key.fingerprint: key for key in TrustedKey.objects.all()}
    try:
        opened = seal.verify(statement.envelope, [seal.load_public_key(key.public_pem) for key in keys.values()])
    except Invalid as error:
        return Verification("unsupported", str(error))
    except Refused as error:
        return Verification(error.code.replace("-", "_"), error.says)
    signers = [keys[fingerprint] for fingerprint in opened.fingerprints]
    for key in signers:
        if key.is_valid_at(at):
            return Verification("ok", "", key)
    names = ", ".join(key.name for key in signers)
    return Verification("revoked_key", f"It is signed by {names}, which is revoked or out of its validity.")


def compare(
    statement: Statement, version: Version, builders: list[str], key: TrustedKey, *, at: datetime
) -> tuple[str, str] | None:
    """Return (code, sentence) for the first thing in a signed statement that does not fit the version."""
    return next(differences(statement, version, builders, key, at), None)


def differences(
    statement: Statement, version: Version, builders: list[str], key: TrustedKey, at: datetime
) -> Iterator[tuple[str, str]]:
    """Yield (code, sentence) for each thing in a signed statement that does not fit the version, the worst first."""
    if statement.predicate_type != SLSA:
        yield "unsupported", f"The predicate {statement.predicate_type} is not SLSA provenance v1."
    expected = version.artifact_sha256 or version.identity_digest
    subjects = [digest for _, digest in statement.subjects]
    if expected not in subjects:
        named = ", ".join(digest[:12] + "…" for digest in subjects[:3])
        yield "subject_mismatch", f"It is about {named}, not about {expected[:12]}…."
    if statement.builder_id not in builders:
        yield "builder_not_allowed", f"The builder {statement.builder_id} is not on the policy's list."
    if statement.builder_id not in key.builders:
        yield "builder_not_allowed", f"The key {key.name} may not speak for the builder {statement.builder_id}."
    if repository(statement.source_uri) != repository(version.source_repository):
        yield "source_mismatch", f"It was built from {statement.source_uri}, not from {version.source_repository}."
    if statement.source_commit != version.source_commit:
        yield "source_mismatch", f"It was built at {statement.source_commit}, not at {version.source_commit}."
    if statement.finished_at is not None and statement.finished_at > at + SKEW:
        yield "unsupported", f"It says the build finished at {statement.finished_at.isoformat()}, in the future."


def repository(uri: str) -> str:
    """Return a repository's host and path, so that spellings compare; what stands before the host is no part of it."""
    bare = repository_of(uri.split("#", 1)[0])
    host, slash, path = bare.partition("://")[2].partition("/")
    # Only the host part may drop a user name: an `@` in the path must never make another host of it.
    return host.rpartition("@")[2].lower() + slash + path if host else bare


def verified_subject(version: Version, *, at: datetime) -> TrustedKey | None:
    """Return the trusted key whose signed statement names this version's artifact, whoever built it."""
    for row in version.evidence.filter(kind="provenance"):
        statement = evidence.reread(row).statement
        if statement is None or version.artifact_sha256 not in [digest for _, digest in statement.subjects]:
            continue
        key = find_signer(statement, at=at).key
        if key is not None:
            return key
    return None
