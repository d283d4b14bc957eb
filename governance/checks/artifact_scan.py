"""Is every file in the artifact safe to load? The engines stand in governance.scanning; they only read bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from governance import scanning
from governance.checks.base import Answer, Dossier, errored, failed, not_applicable, passed
from registry import storage
from registry.models import Version


class ArtifactScan:
    """Asks the scanner, which runs in a child process with limits and without network."""

    slug = "artifact-scan"
    title = "Artifact scan"
    asks = "Is every file in the artifact safe to load?"
    sections: tuple[str, ...] = ("artifact",)

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Depend on the engines and their allow-list; a change of either asks again."""
        return {"engines": dict(scanning.engines()), "allowlist": scanning.read_allowlist().digest}

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Answer by the scanner's verdict; held is not passed, and an error is never green."""
        version = dossier.version
        if version.asset.kind == "bundle" and not version.artifact_sha256:
            return not_applicable("A bundle without an artifact of its own holds no file; its parts are scanned.")
        try:
            with storage.artifact_path(version.storage_uri) as path:
                report = scanning.scan_in_child(path, name=declared_name(version.storage_uri))
        except storage.Unreadable as error:
            return errored(
                f"The artifact could not be read: {error}",
                "Put it where the portal can read it: below an artifact root, or in S3.",
            )
        return judge(report, version)


def declared_name(uri: str) -> str:
    """Return the file name of a storage URI: a downloaded copy has another name, and the extension has to be judged."""
    return PurePosixPath(unquote(urlsplit(uri).path)).name


def judge(report: scanning.Report, version: Version) -> Answer:
    """Return the answer that a scan report gives for a version."""
    about = {
        "facts": report.as_dict(),
        "tool": "countersign scan",
        "tool_version": ", ".join(f"{name} {number}" for name, number in sorted(report.engines.items())),
    }
    why = " ".join(reason.says for reason in report.reasons[:5])
    if report.verdict == "error":
        return errored(f"The scan did not finish: {why}", "An unreadable artifact is never green; repair it.", **about)
    if report.sha256 != version.artifact_sha256:
        return failed(
            f"The scanned bytes hash to {report.sha256}, not to the registered sha256.",
            "Put the registered bytes back, or register these bytes as a new version.",
            **about,
        )
    if report.verdict == "pass":
        return passed(f"{report.format} with nothing that runs when it is loaded.", **about)
    if report.verdict == "held":
        return failed(
            f"Held for a person to look at: {why}",
            "Use a format without code, such as safetensors or ONNX, or only classes on the allow-list.",
            **about,
        )
    return failed(f"Dangerous: {why}", "Do not load this file. Build it again from clean sources.", **about)
