"""How people sign in: accounts are made by administrators, so sign-up is closed and addresses are kept."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from registry import people


class ClosedAccountAdapter(DefaultAccountAdapter):
    """Signs people in, never up."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Return no: an administrator makes accounts, or single sign-on does."""
        return False

    def set_password(self, user: Any, password: str) -> None:
        """Change a person's password on the record."""
        people.choose_own_password(user, password)

    def populate_username(self, request: HttpRequest, user: Any) -> None:
        """Keep the user name that the administrator gave."""


def keep_address(request: HttpRequest, **_: str) -> HttpResponse:
    """Refuse to change an address: reviews recognise authors by it, so an administrator keeps it, on the record."""
    raise PermissionDenied("Your address is kept by the administrators, because reviews recognise authors by it.")
