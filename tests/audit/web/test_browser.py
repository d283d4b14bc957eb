"""The audit in a real browser: readable for everybody at every width, and working without a script."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from audit import verifications
from audit.exports import builder, requests
from audit.models import Entry
from audit.reports import BY_SLUG
from governance import revocations
from portal.demo.roots import publish_next
from registry.models import User
from tests.audit.reports.stories import MINUTE, SLOT, decided, grid, report, slots
from tests.audit.web.visitors import visit
from tests.factories import Walk

pytestmark = pytest.mark.django_db(transaction=True)


def sign_in(context: BrowserContext, server: LiveServer, person: User) -> None:
    """Give a browser the session of somebody who is signed in."""
    name = settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": visit(person).cookies[name].value, "url": server.url}])


def tell_story(walk: Walk) -> list[str]:
    """Make something true to show, and return the pages that show it."""
    decision = decided(walk)
    start = grid(timezone.now()) - 2 * SLOT
    report(walk, *slots(decision.identity_digest, start, 0), *slots("f0" * 32, start, 0))
    done = builder.build_now(requests.request_table(BY_SLUG["checks"], "csv", actor=walk.cast.iris))
    waiting = requests.request_bundle(decision.version, actor=walk.cast.iris)
    walk.work()
    publish_next()
    revocations.issue_due()
    checked = verifications.verify_due()
    assert checked is not None
    entry = Entry.objects.filter(kind="decision.made").get()
    at = (start + MINUTE).isoformat()
    return [
        reverse("audit:front"),
        reverse("audit:report", args=["approvals"]),
        reverse("audit:report", args=["served"], query={"customer": "acme"}),
        reverse("audit:report", args=["coverage"]),
        reverse("audit:report", args=["permissions"]),
        reverse("audit:controls"),
        reverse("audit:report", args=["serving"], query={"since": "tomorrow"}),
        reverse("audit:served", query={"customer": "acme", "at": at}),
        reverse("audit:ledger"),
        reverse("audit:keys"),
        reverse("audit:entry", args=[entry.event_id]),
        reverse("audit:verifications"),
        reverse("audit:verification", args=[checked.pk]),
        reverse("audit:exports"),
        reverse("audit:export", args=[done.pk]),
        reverse("audit:export", args=[waiting.pk]),
        reverse("audit:bundle", args=["credit-prompt", "1.0.0"]),
    ]


def test_every_page_is_accessible_wide_and_light_and_narrow_and_dark(
    walk: Walk, live_server: LiveServer, page: Page
) -> None:
    addresses = tell_story(walk)
    sign_in(page.context, live_server, walk.cast.iris)
    for width, is_dark in ((1440, False), (320, True)):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if is_dark else "light")
        for address in addresses:
            page.goto(f"{live_server.url}{address}")
            found = Axe().run(page).response["violations"]
            told = [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found]
            assert told == [], (address, width, is_dark)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (address, width)


def test_an_auditor_gets_answers_and_files_without_a_script(
    walk: Walk, live_server: LiveServer, browser: Browser, tmp_path: Path
) -> None:
    tell_story(walk)
    context = browser.new_context(java_script_enabled=False, locale="en-GB", timezone_id="UTC")
    sign_in(context, live_server, walk.cast.iris)
    page = context.new_page()
    page.goto(f"{live_server.url}/audit/")
    page.get_by_label("Customer").fill("acme")
    page.get_by_role("button", name="Show what served").click()
    expect(page.get_by_role("cell", name="Unknown").first).to_be_visible()
    with page.expect_download() as saving:
        page.get_by_role("button", name="CSV of served").click()
    saving.value.save_as(tmp_path / "serving.csv")
    with (tmp_path / "serving.csv").open(encoding="utf-8", newline="") as stream:
        assert {row["Customer"] for row in csv.DictReader(stream)} == {"acme"}

    page.goto(f"{live_server.url}/audit/")
    page.get_by_label("Version").fill("credit-prompt@1.0.0")
    page.get_by_role("button", name="Show the bundle").click()
    page.get_by_role("button", name="Build the bundle").click()
    expect(page.get_by_text("It waits for a worker.")).to_be_visible()
    builder.exports_due()
    page.get_by_role("link", name="Refresh").click()
    with page.expect_download() as saving:
        page.get_by_role("link", name="Download").click()
    assert saving.value.suggested_filename.startswith("credit-prompt-1.0.0-")
    context.close()


def test_progress_follows_along_by_itself(walk: Walk, live_server: LiveServer, page: Page) -> None:
    version = decided(walk).version
    sign_in(page.context, live_server, walk.cast.iris)
    page.goto(f"{live_server.url}{reverse('audit:bundle', args=[version.asset.slug, version.number])}")
    page.get_by_role("button", name="Build the bundle").click()
    expect(page.get_by_text("It waits for a worker.")).to_be_visible()
    builder.exports_due()
    expect(page.get_by_text("It can be downloaded.")).to_be_visible()
    expect(page.get_by_role("link", name="Download")).to_be_visible()
