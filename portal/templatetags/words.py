"""How each word of the domain looks: its label, its tone and its icon. Who may do what is decided elsewhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """The picture of one word: what to print, in which meaning colour, beside which icon."""

    label: str
    tone: str
    icon: str


LOOKS: dict[str, Look] = {
    # Version states
    "draft": Look("Draft", "neutral", "draft"),
    "candidate": Look("Candidate", "info", "half"),
    "approved": Look("Approved", "ok", "decision"),
    "deprecated": Look("Deprecated", "warn", "sunset"),
    "retired": Look("Retired", "neutral", "archive"),
    # Submission states and decisions
    "open": Look("Open", "info", "open"),
    "rejected": Look("Rejected", "bad", "fail"),
    "revoked": Look("Revoked", "bad", "fail"),
    "withdrawn": Look("Withdrawn", "neutral", "withdraw"),
    "superseded": Look("Superseded", "neutral", "next"),
    "lapsed": Look("Lapsed", "neutral", "stale"),
    "expired": Look("Expired", "bad", "stale"),
    # Risks and severities
    "low": Look("Low", "neutral", "flag"),
    "medium": Look("Medium", "info", "flag"),
    "high": Look("High", "warn", "warn"),
    "critical": Look("Critical", "bad", "error"),
    "unknown": Look("Unknown", "warn", "warn"),
    # Outcomes of check runs
    "passed": Look("Passed", "ok", "pass"),
    "failed": Look("Failed", "bad", "fail"),
    "error": Look("Error", "bad", "error"),
    "not_applicable": Look("Not applicable", "neutral", "none"),
    "waived": Look("Waived", "warn", "waiver"),
    "queued": Look("Queued", "neutral", "wait"),
    "running": Look("Running", "info", "running"),
    "stale": Look("Stale", "warn", "stale"),
    "missing": Look("Missing", "bad", "none"),
    # Verdicts of reviews
    "approve": Look("Approved", "ok", "pass"),
    "request_changes": Look("Changes requested", "warn", "rollback"),
    "changes_requested": Look("Changes requested", "warn", "rollback"),
    "reject": Look("Rejected", "bad", "fail"),
    "waiting": Look("Waiting", "neutral", "wait"),
    "voided": Look("Voided", "warn", "history"),
    # May it serve?
    "yes": Look("Yes", "ok", "pass"),
    "no": Look("No", "bad", "fail"),
    "challenged": Look("Under challenge", "warn", "warn"),
    "serving": Look("Serving", "ok", "serving"),
    # Triage of findings, life of waivers
    "fixed": Look("Fixed", "ok", "pass"),
    "not_affected": Look("Not affected", "neutral", "none"),
    "accepted": Look("Accepted", "warn", "waiver"),
    "requested": Look("Requested", "info", "wait"),
    "granted": Look("Granted", "ok", "waiver"),
    "refused": Look("Refused", "bad", "fail"),
    # How far a notice has come
    "delivered": Look("Delivered", "ok", "pass"),
    "undelivered": Look("Not delivered", "bad", "error"),
    "kept": Look("Only here", "neutral", "bell"),
    # Kinds of asset
    "model": Look("Model", "neutral", "model"),
    "adapter": Look("Adapter", "neutral", "adapter"),
    "prompt": Look("Prompt", "neutral", "prompt"),
    "bundle": Look("Bundle", "neutral", "bundle"),
    # Ledger and work
    "sealed": Look("Sealed", "ok", "lock"),
    # Copies of checkpoints outside
    "copied": Look("Kept", "ok", "lock"),
    "behind": Look("Behind", "bad", "error"),
    "contradicts": Look("Another history", "bad", "error"),
    "pending": Look("Pending", "neutral", "wait"),
    "ready": Look("Ready", "ok", "pass"),
}

# Where a value came from: the chip's word and icon.
ORIGINS: dict[str, Look] = {
    "ci": Look("CI", "neutral", "ci"),
    "sbom": Look("SBOM", "neutral", "evidence"),
    "model_card": Look("Model card", "neutral", "policy"),
    "provenance": Look("Provenance", "neutral", "link"),
    "evaluation": Look("Evaluation", "neutral", "chart"),
    "previous": Look("Previous version", "neutral", "history"),
    "person": Look("Person", "neutral", "person"),
    "computed": Look("Computed", "neutral", "model"),
}

# Django's message levels in our tones.
MESSAGE_TONES: dict[str, Look] = {
    "debug": Look("Note", "neutral", "info"),
    "info": Look("Note", "info", "info"),
    "success": Look("Done", "ok", "pass"),
    "warning": Look("Careful", "warn", "warn"),
    "error": Look("Not done", "bad", "error"),
}


def look_up(word: object, table: dict[str, Look] = LOOKS) -> Look:
    """Return the look of a word; an unknown word is printed as it is, in neutral."""
    if isinstance(word, bool):
        return table["yes" if word else "no"]
    key = str(getattr(word, "value", word)).strip()
    normal = key.lower().replace("-", "_").replace(" ", "_")
    return table.get(normal) or Look(key.replace("_", " ").capitalize(), "neutral", "info")
