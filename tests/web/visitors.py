"""People who look at pages: signed in as one of the cast, and the words they read."""

from __future__ import annotations

import html
import re
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.test import Client
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from registry.models import User
from tests.factories import PASSWORD


def visit(person: User) -> Client:
    """Return a browser in which a person is signed in, without a fresh proof of identity."""
    client = Client()
    client.force_login(person, backend=settings.AUTHENTICATION_BACKENDS[-1])
    return client


def sign_in(person: User) -> Client:
    """Return a browser in which a person has just signed in with the password, as a proof of identity."""
    client = Client()
    answer = client.post("/account/login/", {"login": person.username, "password": PASSWORD})
    assert answer.status_code == 302, read(answer)
    return client


def enter(page: Page, live_server: LiveServer, person: User) -> None:
    """Put a person's session into a real browser, without a fresh proof of identity."""
    name = settings.SESSION_COOKIE_NAME
    value = visit(person).cookies[name].value
    page.context.clear_cookies()
    page.context.add_cookies([{"name": name, "value": value, "url": live_server.url}])


def read(answer: HttpResponse | Any) -> str:
    """Return the words of a page's main part, as a person reads them from top to bottom."""
    page = answer.content.decode()
    main = page.partition("<main")[2] or page
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


def order_of(words: str, *wanted: str) -> list[str]:
    """Return the wanted words in the order in which they first appear. Fails when one is missing."""
    for each in wanted:
        assert each in words, f"{each!r} is not in: {words}"
    return sorted(wanted, key=words.index)
