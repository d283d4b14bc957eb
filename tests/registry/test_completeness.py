"""What must be in a record before it can be nominated: one rule for the form's meter, the refusal and the check."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from governance import submissions
from governance.checks.base import Dossier
from governance.checks.metadata import Metadata
from portal.errors import Refused
from registry import completeness, dossier, drafts, intake
from registry.models import Version
from tests.factories import Walk, artifacts

FIELDS = [name for names in completeness.REQUIRED.values() for name in names]


def complete(walk: Walk, **changes: Any) -> Version:
    return walk.register("fraud-scorer", "1.0.0", artifacts.scorer(1), **changes)


def fields(version: Version) -> list[str]:
    """Return what the meter misses, after making sure that the check misses the same."""
    found = completeness.measure(version)
    answer = Metadata().examine(Dossier(version, dossier.picture(version), timezone.now()), {})
    assert answer.facts["faults"] == [fault.as_dict() for fault in found.faults]
    assert (answer.outcome == "passed") == found.is_complete == (found.percent == 100)
    return [fault.field for fault in found.faults]


def test_what_ci_registers_whole_is_complete(walk: Walk) -> None:
    version = complete(walk)
    assert fields(version) == []
    assert completeness.measure(version).total == len(FIELDS) + 3


def test_each_required_field_is_missed_by_its_name(walk: Walk) -> None:
    version = complete(walk)
    for name in FIELDS:
        kept = getattr(version, name)
        setattr(version, name, type(kept)() if not isinstance(kept, int) else None)
        assert fields(version) == [name]
        setattr(version, name, kept)


def test_the_refusal_to_nominate_names_what_the_meter_names(walk: Walk) -> None:
    version = drafts.edit(complete(walk), actor=walk.cast.ada, licence="", risk_rationale="", authors=[])
    with pytest.raises(Refused) as refusal:
        submissions.nominate(version, actor=walk.cast.ada)
    assert refusal.value.code == "incomplete"
    assert [reason.rule for reason in refusal.value.reasons] == ["metadata"] * 3
    assert [reason.says.split(":")[0] for reason in refusal.value.reasons] == fields(version)
    assert all(reason.where == version.get_absolute_url() for reason in refusal.value.reasons)
    version.refresh_from_db()
    assert not version.is_frozen
    version = drafts.edit(version, actor=walk.cast.ada, licence="MIT", risk_rationale="Small.", authors=["ada"])
    assert submissions.nominate(version, actor=walk.cast.ada).is_frozen


@pytest.mark.parametrize(
    "licence", ["MIT", "Apache-2.0 OR MIT", "(GPL-2.0-or-later WITH Classpath-exception-2.0)", "LicenseRef-acme"]
)
def test_licences_are_spdx_expressions_or_references(walk: Walk, licence: str) -> None:
    assert fields(drafts.edit(complete(walk), actor=walk.cast.ada, licence=licence)) == []


@pytest.mark.parametrize("licence", ["free", "MIT AND", "AND", "Apache 2", "=cmd()", "(MIT", "MIT OR free-beer"])
def test_anything_else_is_no_licence(walk: Walk, licence: str) -> None:
    assert fields(drafts.edit(complete(walk), actor=walk.cast.ada, licence=licence)) == ["licence"]


@pytest.mark.parametrize(
    "uri",
    ["ftp://host/model", "model.joblib", "file:///etc/passwd", "file:///../../etc", "s3://bucket/../x",
     "https://user:secret@host/x", "s3://", "https://host/a b"],
)  # fmt: skip
def test_a_place_that_cannot_be_followed_is_no_place(walk: Walk, uri: str) -> None:
    assert len(fields(drafts.edit(complete(walk), actor=walk.cast.ada, storage_uri=uri))) == 1


@pytest.mark.parametrize("method", sorted(completeness.NEEDS_BASE))
def test_what_was_made_from_a_base_names_the_base(walk: Walk, method: str) -> None:
    version = complete(walk, finetune_method=method)
    assert fields(version) == ["components"]
    assert completeness.measure(version).faults[0].seen == "no base"


def test_models_and_adapters_name_their_data_and_prompts_need_none(walk: Walk) -> None:
    assert fields(complete(walk, datasets=[])) == ["datasets"]
    prompt = walk.register("prompt", "1.0.0", b"Be kind.", kind="prompt", suffix="txt", finetune_method="prompt")
    assert fields(prompt) == []


def test_a_bundle_is_its_parts_and_needs_no_artifact_of_its_own(walk: Walk) -> None:
    empty = walk.register("bundle", "1.0.0", None, kind="bundle")
    assert fields(empty) == ["components"]
    part = submissions.nominate(complete(walk), actor=walk.cast.cee_i)
    drafts.add_component(empty, actor=walk.cast.cee_i, role="base", part=part)
    assert fields(empty) == ["components"]
    drafts.add_component(empty, actor=walk.cast.cee_i, role="member", part=part)
    assert fields(empty) == []
    # With an artifact of its own it has to be described like any other.
    assert fields(drafts.edit(empty, actor=walk.cast.ada, artifact_sha256="ab" * 32)) == [
        "artifact_size",
        "storage_uri",
        "format",
    ]


def test_the_assets_people_are_part_of_the_record(walk: Walk) -> None:
    version = complete(walk)
    intake.change_asset(version.asset, actor=walk.cast.ada, backup_owner=None)
    version = Version.objects.get(pk=version.pk)
    assert fields(version) == ["backup_owner"]
    intake.change_asset(version.asset, actor=walk.cast.ada, owner=None, escalation_contact="")
    assert fields(Version.objects.get(pk=version.pk)) == ["owner"]
