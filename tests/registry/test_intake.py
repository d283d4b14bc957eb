"""How assets and whole registrations come in: all of it or nothing, the same again, and never something else."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from pydantic import ValidationError

from audit.models import Entry
from portal.errors import Invalid, Refused
from registry import drafts, intake, people
from registry.models import Asset, Evidence, Team, User, Version
from registry.registration import Registration
from tests.factories import Walk, artifacts
from tests.web.services import count_rows

BODY = artifacts.scorer(1)
Request = dict[str, Any]


@pytest.fixture
def request_body(walk: Walk) -> Request:
    """Return what CI sends for fraud-scorer 1.0.0, with its evidence."""
    body = copy.deepcopy(walk.registration("fraud-scorer", "1.0.0", BODY))
    return {**body, "evidence": walk.documents_for("fraud-scorer", "1.0.0", body["version"]["artifact"]["sha256"])}


def part(kind: str, body: bytes, **more: str) -> Request:
    return {"kind": kind, "filename": f"{kind}.json", "content_base64": base64.b64encode(body).decode(), **more}


def register(walk: Walk, body: Request, *, by: User | None = None) -> intake.Registered:
    actor = by or walk.cast.cee_i
    actor.token_scopes = frozenset({"register", "read"})  # type: ignore[attr-defined]
    return intake.register(Registration.model_validate(body), actor=actor)


def test_one_request_brings_the_whole_record_and_one_entry_for_each_fact(walk: Walk, request_body: Request) -> None:
    before = Entry.objects.count()
    made = register(walk, request_body)
    assert made.created
    version = Version.objects.get()
    assert (version.label, version.state, version.is_frozen) == ("fraud-scorer@1.0.0", "draft", False)
    assert version.identity_digest == request_body["version"]["artifact"]["sha256"]
    assert sorted(version.evidence.values_list("kind", flat=True)) == ["evaluation", "model-card", "provenance", "sbom"]
    assert version.evidence.get(kind="sbom").sbom_components.count() == 5
    assert version.evidence.get(kind="evaluation").evaluations.count() == 6
    kinds = list(Entry.objects.order_by("pk").values_list("kind", flat=True))[before:]
    assert kinds[:2] == ["version.registered", "asset.registered"]
    assert kinds.count("evidence.attached") == 4


def test_every_value_knows_that_ci_said_it_and_empty_ones_that_nobody_did(walk: Walk, request_body: Request) -> None:
    request_body["version"]["release_notes"] = ""
    origins = register(walk, request_body).version.origins
    assert origins["licence"] == origins["artifact_sha256"] == "ci"
    assert "release_notes" not in origins


@pytest.mark.parametrize(
    "last",
    [
        part("sbom", b'{"bomFormat": "CycloneDX", "specVersion": "1.6"'),
        part("provenance", b"not an envelope"),
        part("evaluation", b'{"schema": "https://countersign.dev/schemas/evaluation-package/v1"}'),
        part("other", b"a note", identity_digest="ab" * 32),
        {"kind": "other", "filename": "note.txt", "content_base64": "!!!!"},
        {"kind": "other", "filename": "..", "content_base64": "YQ=="},
        part("other", b""),
    ],
    ids=["cut", "no-envelope", "empty-package", "declared", "no-base64", "no-name", "no-bytes"],
)
def test_a_bad_last_document_leaves_no_row_in_any_table(walk: Walk, request_body: Request, last: Request) -> None:
    before = count_rows()
    request_body["evidence"].append(last)
    with pytest.raises(Invalid) as refusal:
        register(walk, request_body)
    assert all(fault.field and fault.seen and fault.expected for fault in refusal.value.faults)
    assert count_rows() == before
    assert not Asset.objects.exists()


def test_the_same_again_changes_nothing_and_new_documents_are_added(walk: Walk, request_body: Request) -> None:
    first = register(walk, request_body)
    before = count_rows()
    again = register(walk, request_body)
    assert (again.version.pk, again.created) == (first.version.pk, False)
    assert count_rows() == before
    request_body["evidence"].append(part("other", b"The shadow run looked fine."))
    entries = Entry.objects.count()
    register(walk, request_body)
    assert Evidence.objects.count() == 5
    assert Entry.objects.count() == entries + 1
    assert Entry.objects.latest("pk").kind == "evidence.attached"


def test_a_repeated_build_has_another_id_and_is_still_the_same_registration(walk: Walk, request_body: Request) -> None:
    register(walk, request_body)
    request_body["version"]["source"]["build_id"] = "another-run"
    assert not register(walk, request_body).created
    assert Version.objects.get().build_id == "fraud-scorer-1.0.0-1"


CHANGES: dict[str, Callable[[Request], Any]] = {
    "licence": lambda body: body["version"].update(licence="MIT"),
    "place": lambda body: body["version"]["artifact"].update(uri="s3://elsewhere/model.joblib"),
    "size": lambda body: body["version"]["artifact"].update(size=1),
    "commit": lambda body: body["version"]["source"].update(commit="f" * 40),
    "risk": lambda body: body["version"]["risk"].update(rating="low"),
    "authors": lambda body: body["version"].update(authors=["mallory@example.com"]),
    "dataset": lambda body: body["datasets"][0].update(personal_data=False),
    "window": lambda body: body["datasets"][0].update({"to": "2026-06-30"}),
    "no datasets": lambda body: body.update(datasets=[]),
    "notes": lambda body: body["version"].update(release_notes="Nothing to see."),
}


def test_another_record_under_the_same_number_is_refused_with_both_digests(walk: Walk, request_body: Request) -> None:
    register(walk, request_body)
    before = count_rows()
    for name, change in CHANGES.items():
        other = copy.deepcopy(request_body)
        change(other)
        other["evidence"].append(part("other", b"smuggled in"))
        with pytest.raises(Refused) as refusal:
            register(walk, other)
        assert refusal.value.code == "content_differs", name
        stored = Version.objects.get().registration_digest
        assert refusal.value.details["expected"] == stored != refusal.value.details["seen"]
        assert count_rows() == before, name


def test_ci_does_not_overwrite_a_draft_that_a_person_began(walk: Walk, request_body: Request) -> None:
    register(walk, request_body)
    asset = Asset.objects.get()
    drafts.start_draft(asset, "1.1.0", actor=walk.cast.ada)
    request_body["version"]["number"] = "1.1.0"
    with pytest.raises(Refused, match="with the artifact sha256 \\(none\\)"):
        register(walk, request_body)
    del request_body["version"]["artifact"]
    with pytest.raises(Refused, match="edited by a person") as refusal:
        register(walk, request_body)
    assert refusal.value.code == "content_differs"


GOOD_NUMBERS = [
    "0.0.0",
    "1.0.0-rc.1",
    "1.0.0-0.3.7",
    "1.0.0-x.7.z.92",
    "1.0.0+20261123",
    "1.0.0-rc.1+sha.5114f85",
    "10.20.30",
]
BAD_NUMBERS = ["", "1", "1.2", "01.0.0", "1.02.0", "1.0.0-01", "1.0.0-", "1.0.0+", "v1.0.0", "1.0.0\n2", "1.0.0 ; DROP",
               "1.2.3.4", "-1.0.0", "1.0.0-ü", "1.1٣.0", "=1.0.0", "1.0.0\x00", "1" + ".0" * 40]  # fmt: skip


@pytest.mark.parametrize("number", GOOD_NUMBERS)
def test_a_semantic_version_is_taken_as_it_is(walk: Walk, request_body: Request, number: str) -> None:
    request_body["version"]["number"] = number
    request_body["evidence"] = []
    assert register(walk, request_body).version.number == number


@pytest.mark.parametrize("number", BAD_NUMBERS)
def test_anything_else_is_no_version_number_at_either_door(walk: Walk, request_body: Request, number: str) -> None:
    request_body["version"]["number"] = number
    with pytest.raises(ValidationError) as error:
        Registration.model_validate(request_body)
    assert error.value.errors()[0]["loc"] == ("version", "number")
    asset = Asset(slug="fraud-scorer", kind="model", team=walk.cast.risk_models)
    with pytest.raises(Invalid, match="number"):
        drafts.start_draft(asset, number, actor=walk.cast.ada)


def test_texts_that_look_like_formulas_or_markup_survive_untouched(walk: Walk, request_body: Request) -> None:
    odd = "=cmd()|' /C calc'!A0 <script>alert(1)</script> \u202e 🦊"
    request_body["version"].update(release_notes=odd, licence="=cmd()", authors=["=cmd()"])
    request_body["datasets"][0]["name"] = "=cmd()"
    version = register(walk, request_body).version
    version.refresh_from_db()
    assert (version.release_notes, version.licence, version.authors) == (odd, "=cmd()", ["=cmd()"])
    assert version.dataset_uses.get().dataset.name == "=cmd()"


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"], ids=["nul", "lone surrogate"])
def test_what_no_database_can_hold_is_refused_by_name_wherever_it_stands(
    walk: Walk, request_body: Request, text: str
) -> None:
    before = count_rows()
    for place in ("release_notes", "licence", "allowed_uses"):
        with pytest.raises((ValidationError, Invalid), match=place):
            register(walk, {**request_body, "version": {**request_body["version"], place: text}})
    with pytest.raises((ValidationError, Invalid), match="authors"):
        register(walk, {**request_body, "version": {**request_body["version"], "authors": ["ada", text]}})
    assert count_rows() == before


def test_a_new_asset_needs_kind_team_and_description_and_people_who_are_there(
    walk: Walk, request_body: Request
) -> None:
    before = count_rows()
    bare = {**request_body, "asset": {"name": "fraud-scorer"}}
    with pytest.raises(Invalid) as refusal:
        register(walk, bare)
    assert [fault.field for fault in refusal.value.faults] == ["asset.kind", "asset.team", "asset.description"]
    for name, value in {"team": "nobodys-team", "owner": "nobody", "backup_owner": "nobody"}.items():
        with pytest.raises(Invalid, match=f"asset.{name}: saw 'nobody"):
            register(walk, {**request_body, "asset": {**request_body["asset"], name: value}})
    assert count_rows() == before
    register(walk, request_body)
    bare["version"] = {**request_body["version"], "number": "1.0.1"}
    assert register(walk, {**bare, "evidence": []}).created


def test_an_asset_stays_of_the_kind_it_was_registered_as(walk: Walk, request_body: Request) -> None:
    register(walk, request_body)
    request_body["asset"]["kind"] = "prompt"
    with pytest.raises(Refused) as refusal:
        register(walk, request_body)
    assert refusal.value.code == "kind_differs"


def test_only_the_team_registers_and_a_service_only_with_the_scope(walk: Walk, request_body: Request) -> None:
    before = count_rows()
    with pytest.raises(PermissionDenied):
        register(walk, request_body, by=walk.cast.mallory)
    walk.cast.cee_i.token_scopes = frozenset({"read", "gate"})  # type: ignore[attr-defined]
    with pytest.raises(PermissionDenied):
        intake.register(Registration.model_validate(request_body), actor=walk.cast.cee_i)
    assert count_rows() == before
    register(walk, request_body)
    request_body["asset"]["kind"] = "prompt"
    with pytest.raises(PermissionDenied):
        register(walk, request_body, by=walk.cast.carl)


def asset(walk: Walk, **changes: Any) -> Asset:
    facts: dict[str, Any] = {"slug": "tagger", "kind": "model", "description": "Tags.", "team": walk.cast.risk_models}
    return intake.register_asset(actor=walk.cast.ada, **{**facts, **changes})


def test_an_asset_has_an_owner_and_another_backup_who_are_active_people(walk: Walk) -> None:
    gone = people.close_account(walk.cast.ben, actor=walk.cast.alma)
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("owner", {"owner": walk.cast.cee_i}),
        ("backup_owner", {"backup_owner": gone}),
        ("backup_owner", {"owner": walk.cast.ada, "backup_owner": walk.cast.ada}),
        ("slug", {"slug": "Tagger One"}),
        ("slug", {"slug": "../etc"}),
        ("kind", {"kind": "agent"}),
        ("escalation_contact", {"escalation_contact": "not an address"}),
        ("description", {"description": "x" * 4001}),
        ("description", {"description": "a\x00b"}),
    ]
    for field, change in wrong:
        with pytest.raises(Invalid) as refusal:
            asset(walk, **change)
        assert refusal.value.faults[0].field == field, change
    assert not Asset.objects.exists()
    assert Team.objects.get(slug="risk-models").memberships.filter(user=gone).exists()


def test_a_name_is_taken_once_and_what_may_change_later_is_listed(walk: Walk) -> None:
    first = asset(walk, owner=walk.cast.ada)
    with pytest.raises(Refused) as refusal:
        asset(walk)
    assert refusal.value.code == "asset_taken"
    changed = intake.change_asset(first, actor=walk.cast.ada, description="Tags better.", backup_owner=walk.cast.ben)
    assert (changed.description, changed.backup_owner) == ("Tags better.", walk.cast.ben)
    assert changed.history.count() == 2
    with pytest.raises(Invalid, match="slug: saw an edit"):
        intake.change_asset(first, actor=walk.cast.ada, slug="other")
    with pytest.raises(PermissionDenied):
        intake.change_asset(first, actor=walk.cast.mallory, owner=walk.cast.mallory)
