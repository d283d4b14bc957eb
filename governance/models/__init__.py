"""The judgements as tables, in reading order. A module here may import only those named above it."""

from governance.models.policies import Policy
from governance.models.keys import TrustedKey, TrustedRoot
from governance.models.allowances import AllowedGlobal
from governance.models.runs import CheckRequest, CheckRun
from governance.models.advisories import Advisory, AdvisoryImport, AffectedPackage, TouchedPackage
from governance.models.findings import Finding, TriageAnswer, TriageStatement
from governance.models.challenges import Challenge, ChallengeEnd
from governance.models.submissions import Submission
from governance.models.reviews import Review
from governance.models.waivers import Waiver
from governance.models.decisions import Decision, Reliance, Signature
from governance.models.promotions import ConsumerGrant, Promotion, Transition

__all__ = [
    "Advisory",
    "AdvisoryImport",
    "AffectedPackage",
    "AllowedGlobal",
    "Challenge",
    "ChallengeEnd",
    "CheckRequest",
    "CheckRun",
    "ConsumerGrant",
    "Decision",
    "Finding",
    "Policy",
    "Promotion",
    "Reliance",
    "Review",
    "Signature",
    "Submission",
    "TouchedPackage",
    "Transition",
    "TriageAnswer",
    "TriageStatement",
    "TrustedKey",
    "TrustedRoot",
    "Waiver",
]
