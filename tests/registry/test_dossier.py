"""The picture that reviewers sign: another digest for everything the policy calls material, the same for the rest."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from governance import policy
from registry import dossier, evidence
from registry.models import Asset, Dataset, DatasetUse, Evidence, Version
from tests.factories import Walk, artifacts

MATERIAL = policy.read((policy.FOLDER / "default.yaml").read_text())["material"]
FIELDS = {
    # field of a version: the section it is drawn in
    "artifact_sha256": "artifact",
    "identity_digest": "artifact",
    "storage_uri": "artifact",
    "format": "artifact",
    "number": "artifact",
    "source_repository": "source",
    "source_commit": "source",
    "build_id": "source",
    "lockfile_sha256": "source",
    "finetune_method": "source",
    "licence": "licence",
    "allowed_uses": "uses",
    "prohibited_uses": "uses",
    "risk": "risk",
    "risk_rationale": "risk",
    "mitigations": "risk",
    "release_notes": "notes",
}
NOW = timezone.now()
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=50)


def version(**changes: Any) -> Version:
    asset = Asset(slug="fraud-scorer", kind="model")
    facts = {**dict.fromkeys(FIELDS, "x"), "artifact_size": 7, "authors": ["ada"], **changes}
    return Version(asset=asset, **facts)


def document(kind: str = "sbom", sha256: str = "ab" * 32, filename: str = "a.json") -> Evidence:
    return Evidence(kind=kind, sha256=sha256, filename=filename, attached_at=NOW)


def use(**changes: Any) -> DatasetUse:
    facts = {"name": "cards", "sha256": "cd" * 32, "uri": "s3://cards", "licence": "MIT", "personal_data": False}
    day = NOW.date()
    window = {"purpose": "train", "window_from": day, "window_to": day + timedelta(days=1)}
    dataset = Dataset(**{name: changes.get(name, value) for name, value in facts.items()})
    return DatasetUse(dataset=dataset, **{name: changes.get(name, value) for name, value in window.items()})


def digests(one: Version, documents: Any = (), uses: Any = ()) -> tuple[str, str]:
    """Return the digest over everything, and the one over what the shipped policy calls material."""
    drawn = dossier.draw(one, [], documents, uses)
    return dossier.digest(drawn), dossier.digest(drawn, MATERIAL)


@pytest.mark.parametrize(("name", "section"), FIELDS.items())
@given(before=texts, after=texts)
def test_a_field_changes_the_digest_exactly_when_its_section_is_material(
    name: str, section: str, before: str, after: str
) -> None:
    whole, material = zip(digests(version(**{name: before})), digests(version(**{name: after})), strict=True)
    assert (whole[0] == whole[1]) == (before == after)
    assert (material[0] == material[1]) == (before == after or section not in MATERIAL)


def test_the_shipped_policy_leaves_only_source_people_and_notes_out() -> None:
    assert set(dossier.SECTIONS) - set(MATERIAL) == {"source", "people", "notes"}
    assert digests(version())[1] == digests(version(authors=["mallory"], build_id="2", release_notes="new"))[1]


@given(st.lists(st.sampled_from(["sbom", "evaluation", "other"]), max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_rows_is_nothing(kinds: list[str], random: Any) -> None:
    documents = [document(kind, f"{index:064x}") for index, kind in enumerate(kinds)]
    uses = [use(name=f"d{index}") for index, _ in enumerate(kinds)]
    before = digests(version(), documents, uses)
    random.shuffle(documents)
    random.shuffle(uses)
    assert digests(version(), documents, uses) == before


def test_every_word_about_a_document_or_a_data_set_is_material() -> None:
    before = digests(version(), [document()], [use()])[1]
    later = {"window_to": NOW.date() + timedelta(days=2), "window_from": NOW.date() - timedelta(days=1)}
    others: dict[str, Any] = {
        "name": "x", "sha256": "ef" * 32, "uri": "s3://x", "licence": "x", "personal_data": True, "purpose": "evaluate"
    }  # fmt: skip
    changed = [
        digests(version(), [document()], [use(**{name: value})])[1] for name, value in {**others, **later}.items()
    ]
    changed += [digests(version(), [each], [use()])[1] for each in (document("other"), document(sha256="0" * 64))]
    changed += [digests(version(), [document(), document("other")], [use()])[1], digests(version(), [], [use()])[1]]
    assert len({before, *changed}) == len(changed) + 1


def test_what_differs_between_two_pictures_is_listed_by_section() -> None:
    before = dossier.draw(version(), [], [document()], [])
    after = dossier.draw(version(licence="MIT"), [], [document(sha256="0" * 64)], [])
    assert dossier.changes(before, copy.deepcopy(before)) == []
    assert dossier.changes(before, after) == [
        ("evidence", "removed", before["evidence"][0], None),
        ("evidence", "added", None, after["evidence"][0]),
        ("licence", "expression", "x", "MIT"),
    ]


def test_a_part_is_drawn_with_the_identity_it_has_now(walk: Walk) -> None:
    base = walk.register("base", "1.0.0", artifacts.scorer(1))
    edges = [{"role": "base", "version": base.label}]
    made = walk.register("fraud-scorer", "1.0.0", artifacts.scorer(2), finetune_method="lora", components=edges)
    assert dossier.picture(made)["components"] == [
        {"role": "base", "version": "base@1.0.0", "identity": base.identity_digest}
    ]


def test_many_pictures_are_drawn_as_one_is_and_cost_no_more_questions(walk: Walk) -> None:
    base = walk.register("base", "1.0.0", artifacts.scorer(1))
    for number in ("1.0.0", "1.1.0", "1.2.0"):
        edges = [{"role": "base", "version": base.label}]
        made = walk.register("fraud-scorer", number, artifacts.scorer(2), finetune_method="lora", components=edges)
        evidence.attach(made, actor=walk.cast.cee_i, kind="other", filename="note.txt", body=number.encode())
    rows = Version.objects.filter(asset__slug="fraud-scorer").select_related("asset")
    counts = []
    for size in (1, 3):
        with CaptureQueriesContext(
            connection,
        ) as asked:
            drawn = dossier.pictures(rows[:size])
        counts.append(len(asked))
        assert drawn == {row.pk: dossier.picture(row) for row in rows[:size]}
    assert counts[0] == counts[1]
