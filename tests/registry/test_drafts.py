"""How a draft is written until nomination freezes it: every value with its origin, every part with an identity."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from audit.models import Entry
from governance import submissions
from portal.errors import Invalid, Refused
from registry import drafts, intake
from registry.models import Component, Dataset, Version
from registry.registration import DatasetPart
from tests.factories import Walk, artifacts
from tests.web.services import count_rows

BODY = artifacts.scorer(1)


def draft(walk: Walk, number: str = "1.0.0", slug: str = "fraud-scorer") -> Version:
    """Return a draft of Ada's, without content, of an asset that is made when it is new."""
    asset = Version.objects.filter(asset__slug=slug).first()
    found = asset.asset if asset else None
    found = found or intake.register_asset(
        actor=walk.cast.ada, slug=slug, kind="model", description="Scores.", team=walk.cast.risk_models
    )
    return drafts.start_draft(found, number, actor=walk.cast.ada)


def dataset(**changes: Any) -> DatasetPart:
    facts = {
        "name": "cards", "uri": "s3://cards/q2", "sha256": "ab" * 32, "licence": "CC0-1.0", "personal_data": False,
        "purpose": "train", "from": date(2026, 4, 1), "to": date(2026, 7, 1), **changes,
    }  # fmt: skip
    return DatasetPart.model_validate(facts)


def test_a_new_draft_starts_from_the_version_before_and_says_so(walk: Walk) -> None:
    first = walk.register("fraud-scorer", "1.0.0", BODY)
    second = drafts.start_draft(first.asset, "1.1.0", actor=walk.cast.ada, copy_from=first)
    assert (second.licence, second.risk, second.authors) == (first.licence, first.risk, first.authors)
    assert second.origins["licence"] == "previous: 1.0.0"
    assert second.dataset_uses.get().dataset == first.dataset_uses.get().dataset
    # What only the new build knows is left open.
    assert (second.artifact_sha256, second.storage_uri, second.build_id, second.release_notes) == ("", "", "", "")
    assert second.identity_digest == ""
    with pytest.raises(Refused) as refusal:
        drafts.start_draft(first.asset, "1.1.0", actor=walk.cast.ada)
    assert refusal.value.code == "version_taken"


def test_an_edit_remembers_where_each_value_came_from(walk: Walk) -> None:
    version = draft(walk)
    version = drafts.edit(version, actor=walk.cast.ada, licence="MIT", risk="low")
    version = drafts.edit(version, actor=walk.cast.ada, origin="sbom", licence="Apache-2.0")
    assert version.origins == {"licence": "sbom", "risk": "person"}
    assert Entry.objects.latest("pk").kind == "version.edited"
    assert [row.licence for row in version.history.order_by("history_date")][-2:] == ["MIT", "Apache-2.0"]


def test_an_edit_that_changes_nothing_leaves_no_trace(walk: Walk) -> None:
    version = drafts.edit(draft(walk), actor=walk.cast.ada, licence="MIT")
    before = count_rows()
    assert drafts.edit(version, actor=walk.cast.ada, origin="sbom", licence="MIT").origins == {"licence": "person"}
    assert count_rows() == before


@pytest.mark.parametrize(
    "name", ["state", "number", "identity_digest", "frozen_at", "registered_by", "origins", "nonsense"]
)
def test_what_is_no_content_cannot_be_edited(walk: Walk, name: str) -> None:
    with pytest.raises(Invalid, match=f"{name}: saw an edit, expected one of artifact_sha256"):
        drafts.edit(draft(walk), actor=walk.cast.ada, **{name: "approved"})


WRONG: dict[str, Any] = {
    "artifact_sha256": "F" * 64,
    "artifact_size": -1,
    "lockfile_sha256": "abc",
    "risk": "none",
    "finetune_method": "magic",
    "format": "x" * 41,
    "storage_uri": "s3://" + "x" * 1000,
    "allowed_uses": "x" * 4001,
    "release_notes": "a\x00b",
    "mitigations": "a\ud800b",
    "licence": "x" * 201,
}


def test_every_wrong_value_is_named_and_nothing_is_half_written(walk: Walk) -> None:
    version = draft(walk)
    before = count_rows()
    for name, value in WRONG.items():
        with pytest.raises(Invalid) as refusal:
            drafts.edit(version, actor=walk.cast.ada, **{name: value, "build_id": "b-1"})
        assert [fault.field for fault in refusal.value.faults] == [name], name
    with pytest.raises(Invalid) as refusal:
        drafts.edit(version, actor=walk.cast.ada, **WRONG)
    assert {fault.field for fault in refusal.value.faults} == set(WRONG)
    assert count_rows() == before


@pytest.mark.parametrize("authors", ["ada", {"ada": 1}, ["ada", 7], [["ada"]], ["ada", " "], ["x" * 201], ["ada"] * 51])
def test_authors_are_a_list_of_names_because_they_decide_who_may_review(walk: Walk, authors: Any) -> None:
    with pytest.raises(Invalid, match="authors: saw"):
        drafts.edit(draft(walk), actor=walk.cast.ada, authors=authors)


def test_only_the_team_writes(walk: Walk) -> None:
    version = draft(walk)
    for outsider in (walk.cast.mallory, walk.cast.carl, walk.cast.alma, walk.cast.iris):
        with pytest.raises(PermissionDenied):
            drafts.edit(version, actor=outsider, licence="MIT")
        with pytest.raises(PermissionDenied):
            drafts.start_draft(version.asset, "9.9.9", actor=outsider)


def test_nomination_freezes_everything_for_good(walk: Walk) -> None:
    part = walk.register("base", "1.0.0", artifacts.scorer(2))
    submissions.nominate(part, actor=walk.cast.cee_i)
    version = walk.register("fraud-scorer", "1.0.0", BODY, components=[{"role": "base", "version": part.label}])
    submissions.nominate(version, actor=walk.cast.cee_i)
    before, ada = count_rows(), walk.cast.ada
    acts: list[Callable[[], Any]] = [
        lambda: drafts.edit(version, actor=ada, licence="MIT"),
        lambda: drafts.edit(version, actor=ada, artifact_sha256="ab" * 32),
        lambda: drafts.add_component(version, actor=ada, role="member", part=part),
        lambda: drafts.remove_component(version.components.get(), actor=ada),
        lambda: drafts.use_dataset(version, dataset(), actor=ada),
        lambda: drafts.remove_dataset_use(version.dataset_uses.get(), actor=ada),
    ]
    for act in acts:
        with pytest.raises(Refused) as refusal:
            act()
        assert refusal.value.code == "content_frozen"
    assert count_rows() == before


def test_a_part_changes_the_identity_and_leaves_it_as_it_was_when_it_goes(walk: Walk) -> None:
    part = walk.register("tokenizer", "1.0.0", artifacts.scorer(2))
    part = submissions.nominate(part, actor=walk.cast.cee_i)
    version = walk.register("fraud-scorer", "1.0.0", BODY)
    alone = version.identity_digest
    edge = drafts.add_component(version, actor=walk.cast.ada, role="tokenizer", part=part)
    version.refresh_from_db()
    assert version.identity_digest not in {alone, part.identity_digest}
    with pytest.raises(Refused) as refusal:
        drafts.add_component(version, actor=walk.cast.ada, role="tokenizer", part=part)
    assert refusal.value.code == "component_known"
    drafts.remove_component(edge, actor=walk.cast.ada)
    version.refresh_from_db()
    assert version.identity_digest == alone


def test_only_a_base_may_still_be_an_open_draft(walk: Walk) -> None:
    version, open_part = draft(walk), draft(walk, slug="other")
    for role in ("adapter", "prompt", "tokenizer", "member"):
        with pytest.raises(Refused) as refusal:
            drafts.add_component(version, actor=walk.cast.ada, role=role, part=open_part)
        assert refusal.value.code == "component_open"
    drafts.add_component(version, actor=walk.cast.ada, role="base", part=open_part)
    with pytest.raises(Invalid, match="role: saw 'friend'"):
        drafts.add_component(version, actor=walk.cast.ada, role="friend", part=open_part)


def test_a_version_cannot_contain_itself_however_long_the_way_round(walk: Walk) -> None:
    chain = [draft(walk, f"1.{number}.0") for number in range(15)]
    for below, above in pairwise(chain):
        drafts.add_component(above, actor=walk.cast.ada, role="base", part=below)
    for start in (0, 1, 13, 14):
        with pytest.raises(Refused) as refusal:
            drafts.add_component(chain[0], actor=walk.cast.ada, role="base", part=chain[start])
        assert refusal.value.code == "component_loop"
    assert Component.objects.count() == 14


def test_a_part_that_one_may_not_see_cannot_be_taken(walk: Walk) -> None:
    hidden = walk.register("secret", "1.0.0", artifacts.scorer(2), team="assistants", owner="carl")
    with pytest.raises(PermissionDenied):
        drafts.add_component(draft(walk), actor=walk.cast.ada, role="base", part=hidden)


def test_a_data_set_is_one_state_under_one_name_used_once_for_a_purpose(walk: Walk) -> None:
    version = draft(walk)
    use = drafts.use_dataset(version, dataset(), actor=walk.cast.ada)
    drafts.use_dataset(version, dataset(purpose="evaluate"), actor=walk.cast.ada)
    assert Dataset.objects.count() == 1
    with pytest.raises(Refused) as refusal:
        drafts.use_dataset(version, dataset(), actor=walk.cast.ada)
    assert refusal.value.code == "dataset_known"
    for change in ({"personal_data": True}, {"licence": "MIT"}, {"uri": "s3://elsewhere"}):
        with pytest.raises(Refused) as refusal:
            drafts.use_dataset(version, dataset(purpose="fine-tune", **change), actor=walk.cast.ada)
        assert refusal.value.code == "dataset_differs"
    for backwards in (date(2026, 4, 1), date(2026, 3, 31)):
        with pytest.raises(Invalid, match=r"datasets\.to: saw 2026-0"):
            drafts.use_dataset(version, dataset(purpose="fine-tune", to=backwards), actor=walk.cast.ada)
    drafts.remove_dataset_use(use, actor=walk.cast.ada)
    assert [each.purpose for each in version.dataset_uses.all()] == ["evaluate"]
