"""Every page of governance and registry in a real Chromium: axe finds nothing in light, dark, narrow; all fits.

The pages show what `make demo` shows, so they are judged with true content on them. Pages of the audit and the sign-in
are judged where they are tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from governance.models import Decision, Finding, Policy, Submission, Waiver
from portal.demo import seed
from registry.models import Evidence, User
from registry.web.version_page import TABS
from tests.web.visitors import enter

NARROW, WIDE = {"width": 320, "height": 800}, {"width": 1280, "height": 900}
LISTS = (
    "/",
    "/queue/",
    "/catalogue/",
    "/register/",
    "/findings/",
    "/waivers/",
    "/policies/",
    "/forecast/",
    "/deputies/",
    "/unattended/",
    "/notices/",
)


def pages_of_reviewers() -> Iterator[str]:
    """Yield what reviewers read: submissions of every state and kind, decisions, waivers, the policy."""
    yield from LISTS
    rows = Submission.objects.select_related("version__asset").order_by("pk")
    yield from {(row.state, row.version.asset.kind): row.get_absolute_url() for row in rows}.values()
    yield from {row.verdict: row.get_absolute_url() for row in Decision.objects.all()}.values()
    yield from (reverse("governance:waiver", args=[row.public_id]) for row in Waiver.objects.all())
    yield from {reverse("governance:finding", args=[row.vulnerability]) for row in Finding.objects.all()}
    yield from (reverse("governance:policy", args=[row.name, row.number]) for row in Policy.objects.all())
    # The answers with the most to show: scanner reasons, licences, metrics out of bounds, findings.
    for asset, number, slug in (
        ("ticket-tagger", "0.1.0", "artifact-scan"),
        ("support-router", "0.9.0", "licence"),
        ("support-router", "0.9.0", "vulnerabilities"),
        ("credit-lora", "0.3.0", "evaluations"),
        ("credit-assistant", "1.0.0", "base-model"),
        ("churn-embedder", "1.1.0", "sbom"),
    ):
        yield reverse("governance:check", args=[asset, number, slug])


def pages_of_owners() -> Iterator[str]:
    """Yield what owners work with: lists, an asset, a version with all tabs, the draft, and every move."""
    yield from ("/", "/register/", "/register/asset/", "/assets/fraud-scorer/", "/assets/fraud-scorer/edit/")
    yield from ("/catalogue/?q=nothing-like-it", "/catalogue/?state=retired&risk=medium")
    serving = ["fraud-scorer", "2.0.0"]
    yield from (reverse("registry:version-tab", args=[*serving, tab]) for tab in TABS)
    yield reverse("registry:version-as-of", args=serving)
    yield reverse("registry:version-edit", args=["fraud-scorer", "2.2.0"])
    report = Evidence.objects.filter(kind="evaluation", version__number="2.0.0", version__asset__slug="fraud-scorer")
    yield reverse("registry:report-sign", args=[report[0].public_id])
    yield from (reverse("governance:check", args=[*serving, slug]) for slug in ("provenance", "owners", "metadata"))
    yield from (reverse(f"governance:{name}", args=serving) for name in ("submit", "waiver-request"))
    yield f"{reverse('governance:roll-back', args=serving)}?environment=production"
    yield from (reverse("governance:move", args=[*serving, name]) for name in ("deprecate", "retire"))
    for other in (["churn-embedder", "1.1.0"], ["fraud-scorer", "1.1.0"]):
        yield reverse("registry:version-tab", args=[*other, "checks"])


def complaints_about(page: Page, address: str) -> Iterator[str]:
    """Yield what is wrong with a page in light, in dark, and on a narrow screen."""
    for theme, size in (("light", WIDE), ("dark", WIDE), ("light", NARROW)):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        found: list[dict[str, Any]] = Axe().run(page).response["violations"]
        for each in found:
            yield f"{address} {theme} {size['width']}: {each['id']}, {each['help']}: {each['nodes'][0]['html'][:200]}"
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if over > 0:
        yield f"{address}: {over} pixels too wide for a narrow screen"


@pytest.mark.django_db(transaction=True)
def test_every_page_is_accessible_and_fits(live_server: LiveServer, page: Page, tmp_path: Any, settings: Any) -> None:
    settings.ARTIFACT_ROOTS = [tmp_path / "artifacts"]
    seed.seed(lambda told: None)
    visits = {"rhea": [*pages_of_reviewers()], "ada": [*pages_of_owners()], "mallory": [*LISTS]}
    wrong: list[str] = []
    for username, addresses in visits.items():
        enter(page, live_server, User.objects.get(username=username))
        for address in addresses:
            answer = page.goto(f"{live_server.url}{address}")
            assert answer is not None
            if answer.status != 200:
                wrong.append(f"{address} answered {answer.status} to {username}")
            wrong += complaints_about(page, address)
    assert wrong == []
