"""Auditors read everything; whoever has no seat as auditor is told so, at every door."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit import verifications
from audit.exports import builder, requests
from audit.models import Entry, Export, ServingBatch, Verification
from audit.reports import BY_SLUG
from audit.web.urls import urlpatterns
from tests.audit.reports.stories import SLOT, grid, prompt, report, slots
from tests.audit.web.visitors import text_of, visit
from tests.factories import Walk

GET = {
    "front": (),
    "report": ("approvals",),
    "served": (),
    "controls": (),
    "ledger": (),
    "keys": (),
    "tokens": (),
    "checkpoint": (),
    "entry": ("event",),
    "entry-body": ("event",),
    "proof": ("event",),
    "exports": (),
    "period": (),
    "export": ("export",),
    "download": ("export",),
    "find-bundle": (),
    "window": ("batch", "line"),
    "window-proof": ("batch", "line"),
    "verifications": (),
    "verification": ("verification",),
    "bundle": ("credit-prompt", "1.0.0"),
}
KEPT = {"keys", "verifications", "verification"}
POST = {
    "export-report": ("decisions",),
    "bundle": ("credit-prompt", "1.0.0"),
    "period": (),
    "tokens": (),
    "cancel-export": ("export",),
    "repeat-export": ("export",),
    "ask-verification": (),
}


@pytest.fixture
def addresses(walk: Walk) -> dict[str, str]:
    """Every address that can be read, with something true behind it."""
    report(walk, *slots(prompt(walk).identity_digest, grid(timezone.now()) - 3 * SLOT, 0))
    export = builder.build_now(requests.request_table(BY_SLUG["access"], "csv", actor=walk.cast.iris))
    walk.work()
    known = {"event": Entry.objects.last(), "export": export}
    verifications.ask(actor=walk.cast.iris)
    verifications.verify_due()
    places = {
        "event": str(known["event"].event_id),  # type: ignore[union-attr]
        "export": str(export.pk),
        "batch": str(ServingBatch.objects.get().pk),
        "line": "1",
        "verification": str(Verification.objects.get().pk),
    }
    return {
        name: reverse(f"audit:{name}", args=[places.get(each, each) for each in path]) for name, path in GET.items()
    }


def test_every_door_is_in_this_test() -> None:
    assert {pattern.name for pattern in urlpatterns} == {*GET, *POST}


def test_an_auditor_reads_everything(walk: Walk, addresses: dict[str, str]) -> None:
    iris = visit(walk.cast.iris)
    for name, address in addresses.items():
        answer = iris.get(address)
        assert answer.status_code == (302 if name == "find-bundle" else 200), name
        # Reading a stream to its end closes the file behind it.
        assert name != "download" or b"".join(answer.streaming_content)  # type: ignore[arg-type]


def test_nobody_else_reads_anything_and_is_told_so(walk: Walk, addresses: dict[str, str]) -> None:
    for somebody in (walk.cast.mallory, walk.cast.ada, walk.cast.rhea, walk.cast.alma):
        visitor = visit(somebody)
        for name, address in addresses.items():
            if name in KEPT and somebody == walk.cast.alma:
                # Administrators look after keys and database; there is nothing in it about what was signed or recorded.
                assert "credit-prompt" not in text_of(visitor.get(address), 200)
                continue
            page = text_of(visitor.get(address), 403)
            assert "Not allowed" in page, name
            assert "credit-prompt" not in page, name


def test_nobody_else_exports_anything(walk: Walk, addresses: dict[str, str]) -> None:
    before, export = Export.objects.count(), addresses["export"].split("/")[-2]
    for somebody in (walk.cast.mallory, walk.cast.ada, walk.cast.rhea, walk.cast.alma):
        for name, path in POST.items():
            known = [export if each == "export" else each for each in path]
            answer = visit(somebody).post(reverse(f"audit:{name}", args=known), {"format": "csv"})
            assert answer.status_code == 403, name
    assert Export.objects.count() == before


def test_whoever_is_not_signed_in_is_asked_to(addresses: dict[str, str]) -> None:
    for address in addresses.values():
        answer = Client().get(address)
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, reverse("account_login"))


def test_an_export_is_asked_for_by_post_only(walk: Walk) -> None:
    iris = visit(walk.cast.iris)
    assert iris.get(reverse("audit:export-report", args=["decisions"])).status_code == 405
    assert Client(enforce_csrf_checks=True).post(reverse("audit:export-report", args=["decisions"])).status_code != 200
    assert not Export.objects.exists()


def test_what_is_not_there_is_not_found(walk: Walk) -> None:
    iris = visit(walk.cast.iris)
    for name, path in {
        "report": ("nothing",),
        "entry": (uuid.uuid4(),),
        "proof": (uuid.uuid4(),),
        "export": (uuid.uuid4(),),
        "download": (uuid.uuid4(),),
        "bundle": ("nothing", "1.0.0"),
    }.items():
        assert iris.get(reverse(f"audit:{name}", args=path)).status_code == 404, name
