"""Exports and bundles as pages: asked for with a button, followed while they are built, saved when they are done."""

from __future__ import annotations

import io
import zipfile
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.exports import builder
from audit.models import Entry, Export, ExportState
from audit.tasks import build_exports, remove_exports
from portal.templatetags.portal import stamp
from tests.audit.reports.stories import decided, prompt
from tests.audit.web.visitors import text_of, visit
from tests.factories import Walk


@pytest.fixture
def iris(walk: Walk) -> Client:
    """Iris the auditor, signed in."""
    return visit(walk.cast.iris)


def test_a_bundle_is_found_by_its_version_asked_for_and_saved(walk: Walk, iris: Client) -> None:
    version = decided(walk).version
    door = reverse("audit:bundle", args=[version.asset.slug, version.number])
    assert iris.get(reverse("audit:find-bundle"), {"version": " credit-prompt@1.0.0 "})["Location"] == door
    assert "Build the bundle" in text_of(iris.get(door))
    page = iris.post(door, follow=True)
    assert "It waits for a worker." in text_of(page)
    build_exports()
    export = Export.objects.get()
    assert "It can be downloaded." in text_of(iris.get(reverse("audit:export", args=[export.pk])))
    answer = iris.get(reverse("audit:download", args=[export.pk]))
    assert answer["Content-Disposition"] == f'attachment; filename="{export.file}"'
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:
        assert archive.testzip() is None
        folder = export.file.removesuffix(".zip")
        assert {f"{folder}/{name}" for name in ("manifest.json", "verify.py", "record.json")} <= set(archive.namelist())
        assert {name.partition("/")[0] for name in archive.namelist()} == {folder}
    assert export.file in text_of(iris.get(door))


def test_a_version_that_is_not_registered_is_said_so_on_the_page_one_came_from(iris: Client) -> None:
    page = text_of(iris.get(reverse("audit:find-bundle"), {"version": "nobody@1.0.0<b>"}, follow=True))
    assert "No version nobody@1.0.0&lt;b&gt; is registered; write it as name@number." in page


def test_the_list_shows_every_export_whoever_asked_for_it(walk: Walk, iris: Client) -> None:
    assert "Nobody has exported anything yet." in text_of(iris.get(reverse("audit:exports")))
    prompt(walk)
    iris.post(reverse("audit:bundle", args=["credit-prompt", "1.0.0"]))
    iris.post(reverse("audit:export-report", args=["checks"]), {"format": "xlsx"})
    page = text_of(iris.get(reverse("audit:exports")))
    assert "Evidence bundle of credit-prompt@1.0.0" in page
    assert "Checks as XLSX" in page
    assert page.count("Iris Auditor") >= 2
    assert page.count("Download<span") == 1


def test_an_export_that_failed_says_why(walk: Walk, iris: Client) -> None:
    prompt(walk)
    iris.post(reverse("audit:bundle", args=["credit-prompt", "1.0.0"]))
    claimed = builder.claim(Export.objects.all())
    assert claimed is not None
    builder.fail(claimed, "The storage did not give back what it took.")
    page = text_of(iris.get(reverse("audit:export", args=[claimed.pk])))
    assert "The storage did not give back what it took." in page
    assert "Failed" in page
    assert Export.objects.get().state == ExportState.FAILED
    assert iris.get(reverse("audit:download", args=[claimed.pk])).status_code == 404


def test_a_waiting_export_can_be_cancelled_on_its_page_and_asked_for_again(walk: Walk, iris: Client) -> None:
    prompt(walk)
    iris.post(reverse("audit:bundle", args=["credit-prompt", "1.0.0"]))
    export = Export.objects.get()
    page = text_of(iris.get(reverse("audit:export", args=[export.pk])))
    assert '<noscript><meta http-equiv="refresh"' in page
    assert reverse("audit:cancel-export", args=[export.pk]) in page
    page = text_of(iris.post(reverse("audit:cancel-export", args=[export.pk]), follow=True))
    entry = Entry.objects.get(kind="export.cancelled")
    said = f"Cancelled by Iris Auditor at {stamp(entry.occurred_at)}"
    assert said in page
    assert "Failed" not in page
    assert "It was not built." not in page
    assert "http-equiv" not in page
    listed = text_of(iris.get(reverse("audit:exports")))
    assert said in listed
    assert "Failed" not in listed
    again = iris.post(reverse("audit:repeat-export", args=[export.pk]))
    assert again["Location"] == reverse("audit:export", args=[Export.objects.exclude(pk=export.pk).get().pk])
    assert Export.objects.filter(parameters=export.parameters).count() == 2


def test_a_removed_file_is_said_to_be_and_can_be_asked_for_again(walk: Walk, iris: Client) -> None:
    iris.post(reverse("audit:export-report", args=["access"]), {"format": "csv"})
    Export.objects.update(finished_at=timezone.now() - timedelta(days=31))
    remove_exports()
    export = Export.objects.get()
    page = text_of(iris.get(reverse("audit:export", args=[export.pk])))
    assert "Its file was removed when its time was over." in page
    assert "Ask again" in page
    again = iris.post(reverse("audit:repeat-export", args=[export.pk]))
    assert again["Location"].endswith("/file/")
    assert iris.get(reverse("audit:download", args=[export.pk])).status_code == 404
    assert "removed" in text_of(iris.get(reverse("audit:exports")))


def test_the_bundle_of_a_period_is_asked_for_and_a_wrong_period_is_named(walk: Walk, iris: Client) -> None:
    door, now = reverse("audit:period"), timezone.now()
    page = text_of(iris.post(door, {"since": now.isoformat(), "until": (now - timedelta(days=1)).isoformat()}), 422)
    assert "expected an instant after" in page
    assert "This field is required." in text_of(iris.post(door, {}), 422)
    asked = {"since": (now - timedelta(days=1)).isoformat(), "until": now.isoformat()}
    assert "It waits for a worker." in text_of(iris.post(door, asked, follow=True))
    assert "Evidence bundle from" in text_of(iris.get(door))
