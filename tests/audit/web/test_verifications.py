"""The pages about the portal's checks of its own record."""

from __future__ import annotations

import pytest
from django.urls import reverse

from audit.models import Verification
from audit.sealer import seal_due
from audit.tasks import check_record
from registry.models import Team
from tests.audit.conftest import unguarded
from tests.audit.web.visitors import text_of, visit
from tests.factories import Walk

pytestmark = pytest.mark.django_db


def test_an_auditor_asks_waits_and_reads_that_nothing_is_wrong(walk: Walk) -> None:
    seal_due()
    iris, page = visit(walk.cast.iris), reverse("audit:verifications")
    assert "has not been checked yet" in text_of(iris.get(reverse("audit:front")))
    asked = text_of(iris.post(reverse("audit:ask-verification"), follow=True))
    assert "The check begins as soon as a worker is free." in asked
    assert "Iris Auditor asked at" in asked
    assert "Check now" not in asked
    check_record()
    done = text_of(iris.get(page))
    assert "nothing wrong" in done
    assert "Check now" in done
    assert "nothing wrong" in text_of(iris.get(reverse("audit:front")))
    one = text_of(iris.get(reverse("audit:verification", args=[Verification.objects.get().pk])))
    assert "Nothing contradicts anything else." in one
    assert "nothing outside was held against it" in one


def test_htmx_follows_a_check_and_reloads_the_page_once_it_is_done(walk: Walk) -> None:
    seal_due()
    iris, page, headers = visit(walk.cast.iris), reverse("audit:verifications"), {"HX-Request": "true"}
    iris.post(reverse("audit:ask-verification"))
    waiting = iris.get(page, headers=headers)
    assert "hx-get" in text_of(waiting)
    assert "HX-Refresh" not in waiting
    check_record()
    assert iris.get(page, headers=headers)["HX-Refresh"] == "true"


def test_every_contradiction_is_a_sentence_and_what_somebody_wrote_is_text(walk: Walk) -> None:
    seal_due()
    with unguarded() as cursor:
        cursor.execute("UPDATE registry_team SET name = '<script>x</script>' WHERE slug = 'risk-models'")
    check_record()
    team = Team.objects.get(slug="risk-models")
    row = Verification.objects.get()
    for person in (walk.cast.iris, walk.cast.alma):
        page = text_of(visit(person).get(reverse("audit:verification", args=[row.pk])))
        assert f"registry_team {team.pk} was changed without an entry" in page
        assert "“&lt;script&gt;x&lt;/script&gt;”" in page
    assert "1 contradiction" in text_of(visit(walk.cast.iris).get(reverse("audit:front")))


def test_others_do_not_read_or_ask(walk: Walk) -> None:
    seal_due()
    check_record()
    addresses = [reverse("audit:verifications"), reverse("audit:verification", args=[Verification.objects.get().pk])]
    for person in (walk.cast.ada, walk.cast.rhea, walk.cast.mallory):
        for address in addresses:
            assert visit(person).get(address).status_code == 403
    for person in (walk.cast.ada, walk.cast.alma):
        assert visit(person).post(reverse("audit:ask-verification")).status_code == 403
