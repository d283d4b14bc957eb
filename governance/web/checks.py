"""Doors to one check of one version: what was asked and seen, and asking again."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST

from governance.checks import BY_SLUG, runner
from governance.models import CheckRun
from governance.web import check_page
from governance.web.moves import find
from portal.http import paginate, tell
from registry.models import Version

PAGE_SIZE = 20


def check(request: HttpRequest, slug: str, number: str, name: str) -> HttpResponse:
    """Show one check: its newest answer, or the one that the address names."""
    user, version = find(request, slug, number)
    expect_known(name)
    earlier = paginate(request, check_page.answers(version, name), PAGE_SIZE)
    shown = check_page.choose(version, name, named(request, version, name))
    return render(request, "governance/check.html", check_page.page(shown, user, earlier))


@require_POST
def ask_again(request: HttpRequest, slug: str, number: str, name: str) -> HttpResponse:
    """Have a check asked again."""
    user, version = find(request, slug, number)
    expect_known(name)
    runner.ask_again(version, name, actor=user)
    return tell(request, f"{BY_SLUG[name].title} is being asked again.", check_page.address(version, name))


def expect_known(name: str) -> None:
    """Raise Http404 unless there is such a check."""
    if name not in BY_SLUG:
        raise Http404(f"There is no check {name}.")


def named(request: HttpRequest, version: Version, name: str) -> CheckRun | None:
    """Return the answer that the address names, if any. Raises Http404 when this check never gave it."""
    text = request.GET.get("run", "")
    if not text:
        return None
    try:
        public_id = UUID(text)
    except ValueError:
        raise Http404("An answer is named by its id.") from None
    return get_object_or_404(check_page.answers(version, name), public_id=public_id)
