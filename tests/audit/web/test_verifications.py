"""The pages about the portal's checks of its own record."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from audit import verifications, verifier
from audit.models import Leaf, Verification
from audit.sealer import seal_due
from audit.tasks import check_record
from audit.web.outline import outline
from portal import progress
from registry import people
from registry.models import Team
from tests.audit.conftest import unguarded
from tests.audit.reports import stories
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


def test_the_page_says_how_many_entries_of_all_are_checked(walk: Walk) -> None:
    seal_due()
    iris, page = visit(walk.cast.iris), reverse("audit:verifications")
    iris.post(reverse("audit:ask-verification"))
    assert "It waits for a worker." in text_of(iris.get(page))
    with progress.of(verifications.CHECK, 12_000) as tick:
        assert "0 of 12,000 sealed entries are checked." in text_of(iris.get(page))
        tick(12_000)
        answer = text_of(iris.get(page))
        assert "All 12,000 sealed entries are checked; governed rows and serving windows follow." in answer
        assert '<progress aria-label="Check of the record" value="12000" max="12000">' in answer
    check_record()
    with progress.of(verifications.CHECK, 12_000):
        answer = text_of(iris.get(page))
        assert "The nightly check. 0 of 12,000" in answer
        assert "Check now" in answer
    assert "12,000" not in text_of(iris.get(page))


def test_a_check_tells_how_far_it_is_while_its_transaction_is_open(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    seal_due()
    monkeypatch.setattr(verifier, "BATCH", 7)
    monkeypatch.setattr(progress, "BEAT", 0)
    sealed, heard = Leaf.objects.count(), []
    with progress.of(verifications.CHECK, sealed) as tick:

        def listen(done: int) -> None:
            tick(done)
            heard.append(progress.told(verifications.CHECK))

        verifier.verify(None, listen)
    assert heard == [(done, sealed) for done in (*range(7, sealed, 7), sealed)]
    check_record()
    assert progress.told(verifications.CHECK) is None


def test_every_contradiction_is_a_sentence_and_what_somebody_wrote_is_text(walk: Walk) -> None:
    seal_due()
    with unguarded() as cursor:
        cursor.execute("UPDATE registry_team SET name = '<script>x</script>' WHERE slug = 'risk-models'")
    check_record()
    team = Team.objects.get(slug="risk-models")
    row = Verification.objects.get()
    page = text_of(visit(walk.cast.iris).get(reverse("audit:verification", args=[row.pk])))
    assert f"registry_team {team.pk} was changed without an entry" in page
    assert "“&lt;script&gt;x&lt;/script&gt;”" in page
    assert "1 contradiction" in text_of(visit(walk.cast.iris).get(reverse("audit:front")))


def test_administrators_read_how_many_there_are_of_what_and_no_customer(walk: Walk) -> None:
    stories.report(walk, *stories.slots("ab" * 32, stories.grid(timezone.now()) - 3 * stories.SLOT, 0))
    seal_due()
    with unguarded() as cursor:
        cursor.execute("UPDATE audit_servingwindow SET customer = 'secret-customer'")
        cursor.execute("UPDATE registry_team SET name = 'secret-team' WHERE slug = 'risk-models'")
    check_record()
    row = Verification.objects.get()
    page = reverse("audit:verification", args=[row.pk])
    read = text_of(visit(walk.cast.iris).get(page))
    assert "secret-customer" in read
    assert "secret-team" in read
    shown = [
        text_of(visit(walk.cast.alma).get(page)),
        text_of(visit(walk.cast.alma).get(reverse("audit:verifications"))),
    ]
    shown.append(text_of(visit(walk.cast.alma).get(reverse("admin:audit_verification_change", args=[row.pk]))))
    assert not [each for each in shown if "secret-" in each]
    assert "Serving windows" in shown[0]
    assert "registry_team: changed without an entry" in shown[0]
    assert "Auditors read each of them" in shown[0]
    people.give_seat(walk.cast.alma, "auditor", actor=walk.cast.abel)
    assert "secret-customer" in text_of(visit(walk.cast.alma).get(page))


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("A window of otto/audit_entry is not what was reported: acme in eu.", "Serving windows"),
        ("No batch added the window of acme in eu from 2026.", "Serving windows"),
        ("There are 3 serving windows; the batches added 2.", "Serving windows"),
        ("The append-only triggers of audit_servingwindow are missing or switched off.",
         "audit_servingwindow: triggers are missing or switched off"),
        ("registry_team 5 was deleted without an entry: its history goes on.",
         "registry_team: deleted without an entry"),
        ("acme_secret 5 is missing; the entry x names it.", "Entries and the tree over them"),
        ("The ledger was cut off: the given checkpoint has 3 entries.", "Checkpoints and their copies"),
        ("Keyset 2 cannot be believed: keyset of acme", "Keysets"),
        ("acme", "Something else"),
    ],
)  # fmt: skip
def test_the_outline_is_made_of_words_of_ours(fault: str, kind: str) -> None:
    assert outline([fault, fault]) == [(kind, 2)]


def test_others_do_not_read_or_ask(walk: Walk) -> None:
    seal_due()
    check_record()
    addresses = [reverse("audit:verifications"), reverse("audit:verification", args=[Verification.objects.get().pk])]
    for person in (walk.cast.ada, walk.cast.rhea, walk.cast.mallory):
        for address in addresses:
            assert visit(person).get(address).status_code == 403
    for person in (walk.cast.ada, walk.cast.alma):
        assert visit(person).post(reverse("audit:ask-verification")).status_code == 403
