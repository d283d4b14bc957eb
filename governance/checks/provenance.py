"""Is there signed provenance by a trusted key for this artifact, from an allowed builder and the registered source?

A DSSE envelope or a Sigstore bundle v0.3 is taken, with an in-toto Statement v1 in it. Its signatures come first, over
the exact bytes: by keys, or by listed identities under a trusted root, that are trusted for the purpose and for the
asset and are valid now. A key id is a hint, never a proof, and one key counts once. Only then is the statement read:
the artifact is one of its subjects; the builder is on the list and its signers may speak for it; build type and level
are allowed; the sources of its external parameters are the registered repository, and all commits that its
dependencies name for it are the registered one; its times make sense. A level is what the policy takes the builder to
reach. An OpenSSF model signature is compared file by file and shown beside; it does not say who built the bytes.

The answer's code is ok, no_attestation, unsupported, bad_signature, untrusted_key, revoked_key, subject_mismatch,
builder_not_allowed or source_mismatch. Every attestation is tried and told; one that holds is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from governance.checks import attestations, model_signing
from governance.checks.attestations import Signer
from governance.checks.base import Answer, Dossier, errored, failed, passed
from governance.checks.sources import bases_of, compare_source
from governance.models.keys import Purpose
from portal.errors import Invalid, show
from registry import evidence, storage
from registry.models import Evidence, Version
from registry.readers.in_toto import MODEL_SIGNING_V1, SLSA_V1
from registry.readers.reading import Statement
from registry.readers.slsa import unknown_parameters

SKEW = timedelta(minutes=5)
MAX_ATTESTATIONS = 50
# The codes of an answer, from what is furthest from a yes to what is nearest.
FIXES = {
    "no_attestation": "Attach an in-toto SLSA v1 provenance in a DSSE envelope or Sigstore bundle.",
    "unsupported": "Attach SLSA provenance v1 whose times, parameters and build type the policy accepts.",
    "bad_signature": "Sign the attestation again: its content is not what was signed.",
    "untrusted_key": "Ask an administrator to trust the builder's key for this asset, or sign with one that is.",
    "revoked_key": "Build and sign again with a key that is still trusted.",
    "subject_mismatch": "Attach the attestation of the build that made these very bytes.",
    "builder_not_allowed": "Build with a builder that the policy allows, under a key that may speak for it.",
    "source_mismatch": "Register the repository and commit that the attestation names, or attach the right one.",
}
RANK = list(FIXES)


@dataclass(frozen=True)
class Attempt:
    """What one attestation turned out to be: `ok` or a key of FIXES, a sentence, and what was seen on the way."""

    row: Evidence
    code: str
    says: str
    statement: Statement | None = None
    signers: tuple[Signer, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    until: datetime | None = None

    @property
    def nearness(self) -> tuple[bool, bool, int]:
        """Return how near to a yes it came; a model signature never comes as near as provenance."""
        is_build = self.statement is None or self.statement.predicate_type == SLSA_V1
        return self.code == "ok", is_build, RANK.index(self.code) if self.code in RANK else -1

    def as_facts(self) -> dict[str, Any]:
        """Return the attempt as the facts keep it."""
        told = {"evidence": self.row.sha256, "filename": self.row.filename, "code": self.code, "says": self.says}
        return {**told, "signers": [signer.as_facts() for signer in self.signers]}


class Provenance:
    """Asks every attached attestation; one that holds is enough."""

    slug = "provenance"
    title = "Provenance"
    asks = "Is there signed provenance by a trusted key for this artifact, from an allowed builder and this source?"
    sections: tuple[str, ...] = ("artifact", "source", "components", "evidence")

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Depend on the trusted keys and roots that could have signed what is attached: revoking one asks again."""
        names = ("summary__predicate_type", "summary__builder", "summary__verified_with")
        found = list(version.evidence.filter(kind="provenance").values_list(*names))
        builders = {builder for predicate, builder, _ in found if predicate == SLSA_V1}
        roots = any(way != "key" for _, _, way in found)
        signers = []
        if builders:
            signers += attestations.depends_on(version, Purpose.PROVENANCE, builders=builders, roots=roots)
        if any(predicate == MODEL_SIGNING_V1 for predicate, _, _ in found):
            signers += attestations.depends_on(version, Purpose.MODEL_SIGNING, roots=roots)
        return {"signers": signers}

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Answer by the attestation that comes nearest to a yes, the newest of several."""
        version = dossier.version
        rows = list(version.evidence.filter(kind="provenance")[:MAX_ATTESTATIONS])
        if not rows:
            return failed("No provenance is attached.", FIXES["no_attestation"], facts={"code": "no_attestation"})
        attempts = [verify(row, version, rule, at=dossier.at) for row in rows]
        best = max(attempts, key=lambda attempt: attempt.nearness)
        facts: dict[str, Any] = {"code": best.code, "evidence": best.row.sha256, **best.facts}
        facts["attempts"] = [attempt.as_facts() for attempt in attempts]
        signed = [attempt for attempt in attempts if "signed_files" in attempt.facts]
        if signed:
            facts["model_signatures"] = [{**each.as_facts(), **each.facts} for each in signed]
        if best.code == "ok":
            return passed(best.says, facts=facts, valid_until=lasts_until(best.signers, rule))
        if best.code not in FIXES:
            return errored(best.says, "Ask an operator to look at the evidence storage.", facts=facts)
        until = min((attempt.until for attempt in attempts if attempt.until), default=None)
        return failed(best.says, FIXES[best.code], facts=facts, valid_until=until)


def lasts_until(signers: tuple[Signer, ...], rule: Mapping[str, Any]) -> datetime:
    """Return the first instant at which too few of the signers are left."""
    return sorted((signer.valid_until for signer in signers), reverse=True)[int(rule.get("signatures", 1)) - 1]


def verify(row: Evidence, version: Version, rule: Mapping[str, Any], *, at: datetime) -> Attempt:
    """Return what one attestation is worth for one version under a rule."""
    statement = reopen(row)
    if isinstance(statement, Attempt):
        return statement
    if statement.predicate_type == MODEL_SIGNING_V1:
        return verify_model(row, statement, version, at=at)
    if statement.predicate_type == SLSA_V1:
        return verify_build(row, statement, version, rule, at=at)
    says = f"{row.filename}: The predicate {show(statement.predicate_type)} says nothing about a build."
    return Attempt(row, "unsupported", says, statement)


def reopen(row: Evidence) -> Statement | Attempt:
    """Return the statement in a stored document, or the attempt that ends here because there is none."""
    try:
        statement = evidence.reread(row).statement
    except Invalid as error:
        return Attempt(row, "unsupported", f"{row.filename} is not read any more: {error}")
    except storage.Unreadable as error:
        return Attempt(row, "unreadable", f"{row.filename} could not be read: {error}")
    return statement or Attempt(row, "unsupported", f"{row.filename} holds no in-toto statement.")


def verify_build(
    row: Evidence, statement: Statement, version: Version, rule: Mapping[str, Any], *, at: datetime
) -> Attempt:
    """Return what SLSA provenance is worth: its signatures first, then all that it says."""
    threshold = int(rule.get("signatures", 1))
    signed = attestations.find_signer(statement, version, Purpose.PROVENANCE, at=at, threshold=threshold)
    facts = picture(statement, version, rule)
    if signed.code != "ok":
        return Attempt(row, signed.code, f"{row.filename}: {signed.says}", statement, facts=facts, until=signed.until)
    speaking = tuple(signer for signer in signed.signers if statement.builder_id in signer.builders)
    mute = [signer.title for signer in signed.signers if signer not in speaking]
    faults = differences(statement, version, rule, mute if len(speaking) < threshold else [], at)
    if (found := next(faults, None)) is not None:
        return Attempt(row, found[0], f"{row.filename}: {found[1]}", statement, signed.signers, facts)
    names = " and ".join(signer.title for signer in speaking)
    level = "" if facts["level"] is None else f" (SLSA build level {facts['level']})"
    says = (
        f"Built by {statement.builder_id}{level} from {statement.source_uri} at {version.source_commit[:12]}, "
        f"signed by {names}."
    )
    first = speaking[0]
    prints = [signer.fingerprint for signer in speaking]
    facts = {**facts, "key": first.name, "fingerprint": first.fingerprint, "fingerprints": prints}
    facts["signers"] = [signer.as_facts() for signer in speaking]
    return Attempt(row, "ok", says, statement, speaking, facts)


def verify_model(row: Evidence, statement: Statement, version: Version, *, at: datetime) -> Attempt:
    """Return what a model signature is worth: it proves who signed the bytes, and never who built them from what."""
    signed = attestations.find_signer(statement, version, Purpose.MODEL_SIGNING, at=at)
    if signed.signer is None:
        return Attempt(row, signed.code, f"{row.filename}: {signed.says}", statement)
    found = model_signing.compare(statement, version)
    if found is not None:
        return Attempt(row, found[0], f"{row.filename}: {found[1]}", statement, signed.signers)
    facts = {"signed_files": len(statement.resources)}
    says = f"{row.filename}: The bytes are signed by {signed.signer.title}, but that does not say who built them."
    return Attempt(row, "builder_not_allowed", says, statement, signed.signers, facts)


def differences(
    statement: Statement, version: Version, rule: Mapping[str, Any], mute: list[str], at: datetime
) -> Iterator[tuple[str, str]]:
    """Yield (code, sentence) for each thing in a signed statement that does not fit version and rule, worst first.

    `mute` names the signers that would be needed and may not speak for the builder.
    """
    started, finished = statement.started_at, statement.finished_at
    if started and finished and finished < started:
        yield "unsupported", f"It says the build finished at {finished.isoformat()}, before it started."
    if any(moment and moment > at + SKEW for moment in (started, finished)):
        yield "unsupported", f"It says the build ran until {(finished or at).isoformat()}, which is in the future."
    if matched_subject(statement, version) is None:
        named = ", ".join(digest[:12] + "…" for _, digest in statement.subjects[:3])
        yield "subject_mismatch", f"It is about {named}, not about {expected_subject(version)[:12]}…."
    yield from builder_differences(statement, rule)
    if mute:
        yield "builder_not_allowed", f"{' and '.join(mute)} may not speak for the builder {statement.builder_id}."
    yield from compare_source(statement, version)
    unknown = unknown_parameters(statement)
    if unknown and rule.get("unknown_parameters") == "fail":
        names = ", ".join(show(name, 60) for name in unknown[:5])
        yield "unsupported", f"It was built with parameters that the policy does not know: {names}."


def builder_differences(statement: Statement, rule: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (code, sentence) for a builder, a build type or a level that the rule does not allow."""
    builder = statement.builder_id
    if builder not in rule.get("builders", []):
        yield "builder_not_allowed", f"The builder {show(builder, 200)} is not on the policy's list."
    if "build_types" in rule and statement.build_type not in rule["build_types"]:
        yield "builder_not_allowed", f"The build type {show(statement.build_type, 200)} is not on the policy's list."
    level, least = level_of(statement, rule) or 0, rule.get("min_level", 0)
    if level < least:
        yield "builder_not_allowed", f"The builder reaches SLSA build level {level}; the policy asks for {least}."


def level_of(statement: Statement, rule: Mapping[str, Any]) -> int | None:
    """Return the build level that the policy takes the builder to reach, whatever the statement says about itself."""
    level: int | None = rule.get("levels", {}).get(statement.builder_id)
    return level


def expected_subject(version: Version) -> str:
    """Return the digest that provenance has to name: the artifact's, or the composition's where there is none."""
    return version.artifact_sha256 or version.identity_digest


def matched_subject(statement: Statement, version: Version) -> dict[str, str] | None:
    """Return the subject that is the registered artifact, with the name it has there; names never decide."""
    expected = expected_subject(version)
    for name, digest in statement.subjects:
        if expected and digest == expected:
            return {"name": name, "sha256": digest}
    return None


def picture(statement: Statement, version: Version, rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a page shows of a build, signed or not."""
    times = {"started_at": statement.started_at, "finished_at": statement.finished_at}
    return {
        "builder": statement.builder_id,
        "build_type": statement.build_type,
        "level": level_of(statement, rule),
        "source": statement.source_uri,
        "commit": statement.source_commit,
        "invocation": statement.invocation_id,
        **{name: at.isoformat() if at else "" for name, at in times.items()},
        "subject": matched_subject(statement, version),
        "unknown_parameters": [name[:100] for name in unknown_parameters(statement)[:50]],
        "bases": list(bases_of(statement, version)),
    }


def verified_subject(version: Version, *, at: datetime) -> Signer | None:
    """Return the trusted signer of a statement that names this version's artifact, whoever built it from whatever."""
    for row in version.evidence.filter(kind="provenance")[:MAX_ATTESTATIONS]:
        statement = reopen(row)
        if isinstance(statement, Attempt):
            continue
        is_model = statement.predicate_type == MODEL_SIGNING_V1
        named = [digest for _, digest in (statement.resources if is_model else statement.subjects)]
        if not version.artifact_sha256 or version.artifact_sha256 not in named:
            continue
        purpose = Purpose.MODEL_SIGNING if is_model else Purpose.PROVENANCE
        if (signer := attestations.find_signer(statement, version, purpose, at=at).signer) is not None:
            return signer
    return None
