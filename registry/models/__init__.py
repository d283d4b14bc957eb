"""The facts as tables, in reading order. A module here may import only those named above it."""

from registry.models.people import AccessToken, Membership, Seat, Team, User
from registry.models.assets import Asset, AssetGroupGrant, AssetUserGrant, Component, State, Version
from registry.models.datasets import Dataset, DatasetUse
from registry.models.evidence import Evidence
from registry.models.evaluations import Evaluation, ReportSignature
from registry.models.sbom import SbomComponent
from registry.models.licences import Relicensing

__all__ = [
    "AccessToken",
    "Asset",
    "AssetGroupGrant",
    "AssetUserGrant",
    "Component",
    "Dataset",
    "DatasetUse",
    "Evaluation",
    "Evidence",
    "Membership",
    "Relicensing",
    "ReportSignature",
    "SbomComponent",
    "Seat",
    "State",
    "Team",
    "User",
    "Version",
]
