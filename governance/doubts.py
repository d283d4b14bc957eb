"""What an open challenge says: one sentence for each cause, what would end it, and where. Wording only.

Which challenges there are is the matter of `challenges`, whether they stand in the way that of `standing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from governance.models import Challenge
from governance.models.challenges import Cause
from portal.errors import Reason

FIXES = {
    Cause.FINDING: "Build with the fixed version and register that as a new version, or answer the finding in its "
    "triage.",
    Cause.BASE_RETIRED: "Register a version of {asset} that is made from one in force, or request a waiver of "
    "base-model for {version}.",
    Cause.RELICENSED: "Wait for the licence check of {version}, which is asked by itself. Where it fails: register a "
    "version of {asset} whose licences all allow its uses, or request a waiver of licence for {version}.",
}


@dataclass(frozen=True)
class OpenChallenge:
    """What puts a version in doubt: a vulnerability, or what became of its root, which is itself or made it.

    `version` and `root` are labels. `vulnerability` and `severity` are empty unless the cause is one, `licence` is
    empty unless the cause is another licence. While a waiver covers it, it is due no earlier than the waiver ends.
    """

    version: str
    cause: str
    root: str
    since: datetime
    due: datetime
    vulnerability: str = ""
    severity: str = ""
    licence: str = ""
    tolerated_until: datetime | None = None

    @property
    def name(self) -> str:
        """Return what challenges in a few words, as a part of a sentence."""
        if self.cause == Cause.BASE_RETIRED:
            return f"the retirement of {self.root}"
        return f"the new licence of {self.root}" if self.cause == Cause.RELICENSED else self.vulnerability

    @property
    def says(self) -> str:
        """Return what challenges as a sentence without its full stop."""
        inside = "" if self.root == self.version else f", which {self.version} is made from"
        root, since = f"{self.root}{inside and inside + ','}", f"{self.since:%Y-%m-%d}"
        if self.cause == Cause.BASE_RETIRED:
            return f"{root} was retired on {since}"
        if self.cause == Cause.RELICENSED:
            return f"{root} was re-licensed as {self.licence} on {since}"
        return f"{self.vulnerability} ({self.severity}) has been open against {self.root} since {since}{inside}"

    @property
    def fix(self) -> str:
        """Return what would end it, or make up for it."""
        return FIXES[Cause(self.cause)].format(version=self.version, asset=self.version.partition("@")[0])

    @property
    def where(self) -> str:
        """Return the page where that begins: the findings of the root, or the version's own lineage and licences."""
        if self.cause == Cause.FINDING:
            return reverse("registry:version-tab", args=[*self.root.split("@", 1), "findings"])
        if self.cause == Cause.BASE_RETIRED:
            return reverse("registry:version-tab", args=[*self.version.split("@", 1), "lineage"])
        return reverse("governance:check", args=[*self.version.split("@", 1), "licence"])

    def as_reason(self) -> Reason:
        """Return the challenge as a reason for a no: its time has run out."""
        comma = "," if self.cause == Cause.FINDING and self.root != self.version else ""
        says = (
            f"{self.says}{comma} and was due on" if self.cause == Cause.FINDING else f"{self.says}, to be answered by"
        )
        return Reason("challenged", f"{says} {self.due:%Y-%m-%d %H:%M} UTC.", self.fix, self.where)


def of(challenge: Challenge) -> OpenChallenge:
    """Return what a challenge says that was read by `challenges.worded`."""
    return OpenChallenge(
        version=challenge.version.label,
        cause=challenge.cause,
        root=challenge.root.label,
        since=challenge.opened_at,
        due=challenge.due_at,
        vulnerability=challenge.vulnerability,
        severity=challenge.severity,
        licence=getattr(challenge, "licence", "") or "",
    )
