"""Pages about notices: one's own and the choice of when to be told; webhooks and the delivery log in the admin."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from governance import notices
from governance.models import DeliveryAttempt, Notice, NoticePreference, Webhook
from governance.notices import Kind, hooks, signing
from governance.web.notices import WORDS
from portal import health
from tests.factories import Walk
from tests.scene import staged
from tests.web.visitors import read, visit

pytestmark = pytest.mark.django_db
ENDPOINT = "https://chat.example/services/verysecretpath"
PAGE = "/notices/"


@pytest.fixture(scope="module")
def gathered(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Walk]:
    """Gather the cast once for the whole module."""
    with django_db_blocker.unblock(), staged(tmp_path_factory.mktemp("notices")) as walk:
        yield walk


@pytest.fixture
def walk(gathered: Walk, db: None) -> Walk:
    """Return a walk that a test may change as it likes."""
    return deepcopy(gathered)


@pytest.fixture
def alma(walk: Walk) -> Client:
    """Return the browser of an administrator."""
    return visit(walk.cast.alma)


def tell(*to: Any, cause: str = "1", subject: str = "fraud-scorer@1.0.0 waits for platform") -> int:
    words = {"subject": subject, "text": "Ada asks for production.", "url": "/queue/"}
    return notices.tell(Kind.REVIEW_WANTED, cause=cause, to=to, **words)


def lose(walk: Walk) -> Notice:
    """Give up a notice, as ten failures do."""
    tell(walk.cast.petra, cause="lost")
    row = Notice.objects.get(cause="lost")
    Notice.objects.filter(pk=row.pk).update(given_up_at=timezone.now(), attempts=10)
    DeliveryAttempt.objects.create(notice=row, at=timezone.now(), worked=False, answer="The mail server answered 550.")
    return row


# --- my notices ------------------------------------------------------------------------------------------------------


def test_petra_reads_what_she_was_told_and_how_and_nothing_of_others(walk: Walk) -> None:
    tell(walk.cast.petra)
    notices.send_due()
    tell(walk.cast.petra, cause="2", subject="Another one <script>")
    tell(walk.cast.rhea, cause="3", subject="For Rhea alone")
    answer = visit(walk.cast.petra).get(PAGE)
    words = read(answer)
    assert words.index("Another one <script>") < words.index("fraud-scorer@1.0.0 waits for platform")
    assert "A review is wanted. Ada asks for production." in words
    assert "Delivered" in words
    assert "Waiting" in words
    assert "For Rhea alone" not in words
    assert b"<script>" not in answer.content.partition(b"<main")[2]
    assert "Nothing yet" in read(visit(walk.cast.mallory).get(PAGE))


def test_petra_chooses_once_a_day_and_the_page_remembers(walk: Walk) -> None:
    petra = visit(walk.cast.petra)
    assert petra.post(PAGE, {"pace": "daily", "hour": "9"}).headers["Location"] == PAGE
    chosen = NoticePreference.objects.get()
    assert (chosen.user, chosen.pace, chosen.hour) == (walk.cast.petra, "daily", 9)
    page = petra.get(PAGE)
    assert "Your choice is kept: Once a day, together." in read(page)
    assert '<option value="9" selected>' in page.content.decode()


@pytest.mark.parametrize("wrong", [{}, {"pace": "hourly", "hour": "7"}, {"pace": "daily", "hour": "24"}])
def test_a_choice_that_makes_no_sense_comes_back(walk: Walk, wrong: dict[str, str]) -> None:
    assert visit(walk.cast.petra).post(PAGE, wrong).status_code == 422
    assert not NoticePreference.objects.exists()


def test_three_notices_cost_no_more_than_one(walk: Walk, django_assert_max_num_queries: Any) -> None:
    petra = visit(walk.cast.petra)
    tell(walk.cast.petra)
    petra.get(PAGE)
    with django_assert_max_num_queries(10) as first:
        petra.get(PAGE)
    tell(walk.cast.petra, cause="2")
    tell(walk.cast.petra, cause="3")
    with django_assert_max_num_queries(len(first)):
        assert read(petra.get(PAGE)).count("waits for platform") == 3


def test_every_kind_has_words() -> None:
    assert all(WORDS[str(kind)] for kind in Kind)
    assert len(set(WORDS.values())) == len(WORDS)


# --- what administrators see -----------------------------------------------------------------------------------------


def test_lost_notices_are_shown_to_administrators_alone_and_for_a_day(walk: Walk, alma: Client) -> None:
    assert "could not be delivered" not in read(alma.get("/"))
    row = lose(walk)
    page = alma.get("/")
    assert "Notices could not be delivered." in read(page)
    log = alma.get(f"{reverse('admin:governance_notice_changelist')}?given_up_at__isnull=False&attempts__gt=0")
    assert b"not delivered" in log.content
    assert b"550" in alma.get(reverse("admin:governance_notice_change", args=[row.pk])).content
    assert "could not be delivered" not in read(visit(walk.cast.petra).get("/"))
    Notice.objects.update(given_up_at=timezone.now() - timedelta(days=2))
    assert "could not be delivered" not in read(alma.get("/"))


def test_the_delivery_log_does_not_show_those_who_want_no_mail_as_lost(walk: Walk, alma: Client) -> None:
    notices.choose(actor=walk.cast.petra, pace="never")
    tell(walk.cast.petra)
    assert "could not be delivered" not in read(alma.get("/"))
    assert b'<strong class="lost">' not in alma.get(reverse("admin:governance_notice_changelist")).content


def test_the_health_page_counts_what_waits_and_what_was_lost(walk: Walk, client: Client) -> None:
    health.record_tick(timezone.now())
    tell(walk.cast.ada, walk.cast.ben)
    lose(walk)
    due = client.get("/healthz").json()["due"]
    assert (due["notices to deliver"], due["notices given up within a day"]) == (2, 1)


# --- webhooks in the admin -------------------------------------------------------------------------------------------


def deed(row: Webhook, name: str) -> str:
    return reverse("admin:governance_webhook_deed", args=[row.pk, name])


def test_alma_adds_a_webhook_and_sees_its_secret_once_and_its_address_never(walk: Walk, alma: Client) -> None:
    answer = alma.post(reverse("admin:governance_webhook_add"), {"name": "chat", "url": ENDPOINT, "form": "slack"})
    row = Webhook.objects.get()
    secret = signing.secret_of(row)
    assert secret in answer.content.decode()
    pages = [
        alma.get(reverse(f"admin:governance_webhook_{page}", args=arguments)).content.decode()
        for page, arguments in (("changelist", []), ("change", [row.pk]), ("history", [row.pk]))
    ]
    pages.append(alma.get(deed(row, "change")).content.decode())
    first = row.history.first()
    pages.append(alma.get(reverse("admin:governance_webhook_simple_history", args=[row.pk, first.pk])).content.decode())
    for page in pages:
        assert "chat" in page
        assert "verysecretpath" not in page
        assert secret not in page
    assert "chat.example" in pages[0]


def test_a_changed_address_stands_in_no_history(walk: Walk, alma: Client) -> None:
    row, _ = hooks.add("chat", ENDPOINT, actor=walk.cast.alma)
    told = {"url": "https://chat.example/services/otherhiddenpath", "form": "slack", "kinds": [], "team": ""}
    assert alma.post(deed(row, "change"), told).status_code == 302
    assert row.history.count() == 2
    pages = [alma.get(reverse("admin:governance_webhook_history", args=[row.pk])).content.decode()]
    for state in row.history.all():
        old = alma.get(reverse("admin:governance_webhook_simple_history", args=[row.pk, state.pk]))
        pages.append(old.content.decode())
    # What changed beside it is told.
    assert "→" in pages[0]
    for page in pages:
        assert "verysecretpath" not in page
        assert "otherhiddenpath" not in page


def test_alma_changes_rotates_tries_and_stops(walk: Walk, alma: Client) -> None:
    row, old = hooks.add("chat", ENDPOINT, actor=walk.cast.alma, kinds=["challenged"], team=walk.cast.risk_models)
    form = alma.get(deed(row, "change")).content.decode()
    assert form.count(" checked") == 1
    told = {"url": "", "form": "json", "kinds": ["challenged", "orphaned"], "team": walk.cast.risk_models.pk}
    assert alma.post(deed(row, "change"), told).status_code == 302
    row.refresh_from_db()
    assert (row.url, row.kinds, row.team) == (ENDPOINT, ["challenged", "orphaned"], walk.cast.risk_models)
    page = alma.post(deed(row, "rotate")).content.decode()
    row.refresh_from_db()
    assert signing.secret_of(row) in page
    assert old not in page
    assert alma.post(deed(row, "test")).status_code == 302
    assert Notice.objects.get().webhook == row
    assert alma.post(deed(row, "stop")).status_code == 302
    row.refresh_from_db()
    assert not row.is_active
    again = alma.post(deed(row, "rotate"))
    assert again.status_code == 422
    assert "stopped for good" in again.content.decode()


def test_an_address_that_leads_inside_comes_back_on_the_form_unsaid(walk: Walk, alma: Client) -> None:
    wrong = {"name": "chat", "url": "http://169.254.169.254/verysecretpath", "form": "json"}
    answer = alma.post(reverse("admin:governance_webhook_add"), wrong)
    assert answer.status_code == 422
    assert "http without encryption" in answer.content.decode()
    assert not Webhook.objects.exists()


def test_nobody_else_reaches_webhooks_or_the_delivery_log(walk: Walk) -> None:
    row, _ = hooks.add("chat", ENDPOINT, actor=walk.cast.alma)
    for person in (walk.cast.ada, walk.cast.rhea, walk.cast.iris, walk.cast.mallory):
        client = visit(person)
        for model in ("webhook", "notice", "deliveryattempt", "noticepreference"):
            assert client.get(reverse(f"admin:governance_{model}_changelist"), follow=True).status_code == 403
        for name in ("change", "rotate", "test", "stop"):
            assert client.post(deed(row, name), follow=True).status_code == 403
    row.refresh_from_db()
    assert (row.generation, row.is_active, Notice.objects.count()) == (1, True, 0)
