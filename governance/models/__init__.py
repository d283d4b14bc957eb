"""The judgements as tables, in reading order. A module here may import only those named above it."""

from governance.models.policies import Policy, PolicyProposal
from governance.models.keys import TrustedKey, TrustedRoot
from governance.models.allowances import AllowedGlobal
from governance.models.runs import CheckRequest, CheckRun
from governance.models.advisories import Advisory, AdvisoryImport, AffectedPackage, TouchedPackage
from governance.models.findings import Finding, TriageAnswer, TriageStatement
from governance.models.challenges import Challenge, ChallengeEnd
from governance.models.submissions import Submission
from governance.models.reviews import Delegation, Handover, Obligation, ObligationEnd, Review, ReviewWithdrawal
from governance.models.waivers import Waiver
from governance.models.decisions import Decision, Reliance, RevocationList, Signature
from governance.models.promotions import ConsumerGrant, Promotion, Transition
from governance.models.violations import AffectedCustomer, Violation
from governance.models.notices import DeliveryAttempt, Notice, NoticePreference, Webhook

__all__ = [
    "Advisory",
    "AdvisoryImport",
    "AffectedCustomer",
    "AffectedPackage",
    "AllowedGlobal",
    "Challenge",
    "ChallengeEnd",
    "CheckRequest",
    "CheckRun",
    "ConsumerGrant",
    "Decision",
    "Delegation",
    "DeliveryAttempt",
    "Finding",
    "Handover",
    "Notice",
    "NoticePreference",
    "Obligation",
    "ObligationEnd",
    "Policy",
    "PolicyProposal",
    "Promotion",
    "Reliance",
    "Review",
    "ReviewWithdrawal",
    "RevocationList",
    "Signature",
    "Submission",
    "TouchedPackage",
    "Transition",
    "TriageAnswer",
    "TriageStatement",
    "TrustedKey",
    "TrustedRoot",
    "Violation",
    "Waiver",
    "Webhook",
]
