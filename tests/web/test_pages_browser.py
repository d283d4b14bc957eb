"""The pages in a real Chromium: a verdict behind a fresh sign-in, a draft that saves itself, keys, no JavaScript."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from governance.models import Review, Submission
from registry import drafts
from registry.models import Version
from tests.factories import PASSWORD, Walk, artifacts
from tests.web.visitors import enter

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def submission(walk: Walk) -> Submission:
    return walk.submit(walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)), "production")


@pytest.fixture
def draft(walk: Walk) -> Version:
    first = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    return drafts.start_draft(first.asset, "1.1.0", actor=walk.cast.ada, copy_from=first)


@pytest.fixture
def plain_page(browser: Browser) -> Iterator[Page]:
    """Open a page in a browser that runs no scripts."""
    context = browser.new_context(java_script_enabled=False, viewport={"width": 320, "height": 800})
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


def test_a_production_verdict_is_given_after_signing_in_again(
    walk: Walk, submission: Submission, live_server: LiveServer, page: Page
) -> None:
    enter(page, live_server, walk.cast.dana)
    page.goto(f"{live_server.url}{submission.get_absolute_url()}")
    page.get_by_label("Note").fill("The German report convinces me.")
    page.get_by_role("button", name="Approve 1.0.0 for production until").click()
    expect(page.get_by_role("heading", name="Confirm it is you")).to_be_visible()
    page.get_by_label("Password").fill("something else")
    page.get_by_role("button", name="Confirm").click()
    assert not Review.objects.exists()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("Your verdict is recorded")).to_be_visible()
    expect(page.get_by_role("heading", name="fraud-scorer@1.0.0 for production")).to_be_visible()
    review = Review.objects.get()
    assert (review.reviewer, review.note) == (walk.cast.dana, "The German report convinces me.")
    assert review.authenticated_by == "password"
    page.get_by_text("Dana Product approved for product.").wait_for()


def test_a_draft_saves_itself_and_never_takes_back_what_is_being_typed(
    draft: Version, walk: Walk, live_server: LiveServer, page: Page
) -> None:
    enter(page, live_server, walk.cast.ada)
    page.goto(f"{live_server.url}/versions/fraud-scorer/1.1.0/edit/")
    section = page.locator("form#artifact")
    expect(section.get_by_role("status")).to_have_text("3 missing")
    section.get_by_label("Artifact sha256").fill("a" * 64)
    section.get_by_label("Artifact size").focus()
    section.get_by_label("Artifact size").press_sequentially("12")
    expect(section.get_by_role("status")).to_have_text("Saved, 2 missing")
    expect(section.get_by_label("Artifact size")).to_have_value("12")
    expect(page.get_by_role("progressbar", name="Completeness")).to_have_attribute("value", "16")
    draft.refresh_from_db()
    assert draft.artifact_sha256 == "a" * 64


def test_a_wrong_value_is_said_beside_the_form_while_one_types(
    draft: Version, walk: Walk, live_server: LiveServer, page: Page
) -> None:
    enter(page, live_server, walk.cast.ada)
    page.goto(f"{live_server.url}/versions/fraud-scorer/1.1.0/edit/")
    section = page.locator("form#artifact")
    section.get_by_label("Artifact sha256").fill("abc")
    section.get_by_label("Format", exact=True).focus()
    expect(section.get_by_role("status")).to_have_text("Not saved")
    expect(section.get_by_role("alert")).to_contain_text("64 lower-case hexadecimal digits")
    section.get_by_label("Artifact sha256").fill("b" * 64)
    section.get_by_label("Format", exact=True).focus()
    expect(section.get_by_role("status")).to_have_text("Saved, 2 missing")
    expect(section.get_by_role("alert")).to_have_count(0)


def test_the_queue_is_worked_by_keys(walk: Walk, submission: Submission, live_server: LiveServer, page: Page) -> None:
    walk.submit(walk.candidate("churn-embedder", "1.0.0", artifacts.scorer(2)), "production")
    enter(page, live_server, walk.cast.rhea)
    page.goto(f"{live_server.url}/queue/")
    page.get_by_role("region", name="Your turn").focus()
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="fraud-scorer@1.0.0")).to_be_focused()
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="churn-embedder@1.0.0")).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="fraud-scorer@1.0.0 for production")).to_be_visible()


def test_everything_works_without_javascript_on_a_small_screen(
    walk: Walk, submission: Submission, live_server: LiveServer, plain_page: Page
) -> None:
    page = plain_page
    page.goto(f"{live_server.url}{submission.get_absolute_url()}")
    page.get_by_label("Login").or_(page.get_by_label("Username")).first.fill("dana")
    page.get_by_label("Password").first.fill(PASSWORD)
    page.get_by_role("button", name="Sign in").first.click()
    page.get_by_role("link", name="Decide").click()
    page.get_by_role("button", name="Approve 1.0.0 for production until").click()
    expect(page.get_by_text("Your verdict is recorded")).to_be_visible()
    drafts.start_draft(submission.version.asset, "1.1.0", actor=walk.cast.ada)
    enter(page, live_server, walk.cast.ada)
    page.goto(f"{live_server.url}/versions/fraud-scorer/1.1.0/edit/")
    page.get_by_label("Release notes").fill("Faster.")
    page.get_by_role("button", name="Save release notes").click()
    page.wait_for_url("**/edit/#notes")
    assert Version.objects.get(number="1.1.0").release_notes == "Faster."
