"""Do the bytes at the storage URI hash to the registered sha256? Streamed, or attested when they cannot be read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from governance.checks import provenance
from governance.checks.base import Answer, Dossier, errored, failed, not_applicable, passed
from registry import storage
from registry.models import Version

CHUNK = 1024 * 1024


class Checksum:
    """Asks whether the registered bytes are the bytes that are there."""

    slug = "checksum"
    title = "Checksum"
    asks = "Do the bytes at the storage URI hash to the registered sha256?"
    sections: tuple[str, ...] = ("artifact", "evidence")

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Depend on nothing."""
        return {}

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Answer by hashing the bytes, or by verified provenance where the portal cannot read them."""
        version = dossier.version
        if version.asset.kind == "bundle" and not version.artifact_sha256:
            return not_applicable("A bundle without an artifact of its own is identified by its composition.")
        try:
            with storage.open_artifact(version.storage_uri) as stream:
                seen, size = hash_stream(stream)
        except storage.Unreadable as error:
            return attest(dossier, str(error))
        facts = {"expected": version.artifact_sha256, "seen": seen, "size": size}
        if seen == version.artifact_sha256 and size == version.artifact_size:
            return passed(f"{size} bytes hash to the registered sha256 {seen[:12]}….", facts=facts, tool="sha256")
        return failed(
            f"The bytes at {version.storage_uri} hash to {seen} ({size} bytes), but {version.artifact_sha256} "
            f"({version.artifact_size} bytes) is registered.",
            "Put the registered bytes back at that address and ask again, or register what is there as a new version.",
            facts=facts,
            tool="sha256",
        )


def hash_stream(stream: Any) -> tuple[str, int]:
    """Return the sha256 and the size of a stream, in one pass and constant memory."""
    digest, size = hashlib.sha256(), 0
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def attest(dossier: Dossier, why: str) -> Answer:
    """Answer from a verified provenance statement about this very digest, when there is one."""
    found = provenance.verified_subject(dossier.version, at=dossier.at)
    if found is None:
        return errored(
            f"The bytes could not be read: {why}",
            f"Let the portal read {dossier.version.storage_uri} (a file below an artifact root, or a bucket that its "
            "account may read) and ask again, or attach provenance by a trusted key that names this sha256.",
        )
    return passed(
        f"The bytes cannot be read here, but provenance by the trusted key {found.name} names this sha256.",
        facts={"attested_by": found.name, "fingerprint": found.fingerprint, "unreadable": why},
        valid_until=found.valid_until,
    )
