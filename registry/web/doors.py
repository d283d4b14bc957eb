"""What the JSON doors of all apps share: who calls, which versions they may see, and how every no looks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from ninja import Schema
from pydantic import ConfigDict

from governance.permissions import visible
from portal.errors import Reason
from portal.http import Bearer
from registry import tokens
from registry.models import User, Version


class Part(Schema):
    """Base of request bodies: unknown fields are refused, because a typing error must not lose a fact."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class ReasonAnswer(Schema):
    """One reason for a no: the rule, what was seen, what would make it a yes, and the page where that is done."""

    rule: str
    says: str
    fix: str
    where: str


class Refusal(Schema):
    """A no of the rules: a stable code, a sentence, and the reasons; `details` holds both hashes where two differ."""

    error: str
    says: str
    reasons: list[ReasonAnswer]
    details: dict[str, str] = {}


class FaultAnswer(Schema):
    """One thing wrong with an input: the field, what was seen there, what is expected."""

    field: str
    seen: str
    expected: str


class Complaint(Schema):
    """An input that cannot be understood."""

    error: str
    says: str
    faults: list[FaultAnswer]


# Every door may answer one of these; OpenAPI shows them beside the yes.
NOES: dict[int, type[Schema]] = {401: Refusal, 403: Refusal, 404: Refusal, 409: Refusal, 422: Complaint}


def guard(*scopes: str) -> Bearer:
    """Return a guard that lets a service in whose token has one of the scopes."""
    return Bearer(authenticate_any, "|".join(scopes))


def authenticate_any(secret: str, scopes: str) -> User | None:
    """Return the service behind a secret that has one of the scopes, which are written with bars between them."""
    *others, last = scopes.split("|")
    for scope in others:
        with suppress(PermissionDenied):
            return tokens.authenticate(secret, scope)
    return tokens.authenticate(secret, last)


def caller(request: HttpRequest) -> User:
    """Return the service that the guard let in."""
    account: User = request.auth  # type: ignore[attr-defined]
    return account


def find_version(request: HttpRequest, asset: str, number: str) -> Version:
    """Return a version that the caller may see. Raises Http404, also for one that only others may see."""
    rows = visible(caller(request), Version.objects.select_related("asset__team"))
    found = rows.filter(asset__slug=asset, number=number).first()
    if found is None:
        raise Http404(f"No version {asset}@{number} is registered that this token may see.")
    return found


def absolute(path: str) -> str:
    """Return the whole address of a page or a document of this portal."""
    return f"{settings.PORTAL_URL}{path}"


def prefixed(digest: str) -> str | None:
    """Return a digest as deployers write it, or None when there is none yet."""
    return f"sha256:{digest}" if digest else None


def reasons_of(found: Iterable[Reason]) -> list[ReasonAnswer]:
    """Return reasons as the four strings that pages, API and command line print."""
    return [ReasonAnswer(**reason.as_dict()) for reason in found]
