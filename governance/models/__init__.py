"""The judgements as tables, in reading order. A module here may import only those named above it."""

from governance.models.policies import Policy
from governance.models.keys import TrustedKey
from governance.models.runs import CheckRequest, CheckRun
from governance.models.submissions import Submission
from governance.models.reviews import Review
from governance.models.waivers import Waiver
from governance.models.decisions import Decision, Signature
from governance.models.promotions import ConsumerGrant, Promotion, Transition
from governance.models.advisories import Advisory, AdvisoryImport, AffectedPackage, TouchedPackage
from governance.models.findings import Finding

__all__ = [
    "Advisory",
    "AdvisoryImport",
    "AffectedPackage",
    "CheckRequest",
    "CheckRun",
    "ConsumerGrant",
    "Decision",
    "Finding",
    "Policy",
    "Promotion",
    "Review",
    "Signature",
    "Submission",
    "TouchedPackage",
    "Transition",
    "TrustedKey",
    "Waiver",
]
