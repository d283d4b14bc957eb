"""People at the doors of the audit."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.test import Client

from registry.models import User


def visit(person: User) -> Client:
    """Return a browser without scripts in which somebody is signed in."""
    client = Client()
    # The first backend only decides; the second one knows accounts.
    client.force_login(person, backend=settings.AUTHENTICATION_BACKENDS[-1])
    return client


def text_of(answer: Any, status: int = 200) -> str:
    """Return the text of a page that answered with a status."""
    assert answer.status_code == status, answer.content.decode()[:3000]
    return str(answer.content.decode())
