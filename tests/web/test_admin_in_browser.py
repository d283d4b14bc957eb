"""The admin in a real browser: its scripts and styles work under the strict content security policy."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from tests.factories import PASSWORD, Walk


@pytest.mark.django_db(transaction=True)
def test_the_admin_works_under_the_strict_content_security_policy(
    page: Page, live_server: LiveServer, walk: Walk
) -> None:
    page.goto(f"{live_server.url}/admin/")
    page.locator("input[name=login]").fill("alma")
    page.locator("input[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/")
    page.get_by_role("link", name="Seats", exact=True).click()
    page.get_by_role("link", name="Add seat").click()
    page.get_by_label("Person").select_option(label="Ben Backup")
    page.get_by_label("Role").fill("platform")
    page.get_by_role("button", name="Give role").click()
    page.get_by_text("ben as platform from now on.").wait_for()
    page.get_by_role("link", name="History").click()
    page.get_by_text("seat.given").wait_for()
