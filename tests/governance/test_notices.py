"""Telling people: once for each cause, at once or together or not by mail at all, by mail that nothing can break."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.mail import EmailMessage

from audit.models import Entry
from governance import notices
from governance.models import DeliveryAttempt, Notice, NoticePreference
from governance.notices import Kind
from portal import settings as portal_settings
from portal.errors import Invalid
from registry import people
from registry.models import User
from tests.scene import Scene

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def tell(*to: User | str, cause: str = "submission:1:opened", **more: Any) -> int:
    words = {"subject": "fraud-scorer@1.0.0 waits for platform", "text": "Ada asks for production.", "url": "/queue/"}
    return notices.tell(Kind.REVIEW_WANTED, cause=cause, to=to, **{**words, **more})


def sent_now(person: User) -> list[str]:
    return [notices.state_of(row) for row in Notice.objects.filter(person=person).order_by("pk")]


# --- once for each cause ---------------------------------------------------------------------------------------------


def test_one_cause_tells_nobody_twice_however_often_it_is_told(scene: Scene, mailoutbox: list[EmailMessage]) -> None:
    cast = scene.walk.cast
    assert tell(cast.petra, cast.petra, "rota@example.com") == 2
    assert tell(cast.petra, cast.dana, "rota@example.com") == 1
    assert notices.send_due() == 3
    assert tell(cast.petra, cast.dana) == notices.send_due() == 0
    assert sorted(mail.to[0] for mail in mailoutbox) == ["dana@example.com", "petra@example.com", "rota@example.com"]


def test_services_and_people_who_left_are_told_nothing(scene: Scene) -> None:
    cast = scene.walk.cast
    people.close_account(cast.dana, actor=cast.alma)
    assert tell(cast.otto, User.objects.get(pk=cast.dana.pk)) == 0


def test_whoever_leaves_while_a_notice_waits_is_not_mailed_any_more(
    scene: Scene, mailoutbox: list[EmailMessage]
) -> None:
    cast = scene.walk.cast
    tell(cast.dana)
    people.close_account(cast.dana, actor=cast.alma)
    assert notices.send_due() == 0
    assert mailoutbox == []
    assert sent_now(cast.dana) == ["kept"]
    assert notices.count_lost() == 0


# --- mail ------------------------------------------------------------------------------------------------------------


def test_a_mail_says_what_happened_and_where_to_act(
    scene: Scene, mailoutbox: list[EmailMessage], settings: Any
) -> None:
    settings.PORTAL_URL = "https://countersign.example"
    tell(scene.walk.cast.petra)
    assert notices.send_due() == 1
    (mail,) = mailoutbox
    assert mail.subject == "fraud-scorer@1.0.0 waits for platform"
    assert mail.body.startswith("Ada asks for production.\n\nhttps://countersign.example/queue/\n")
    assert "https://countersign.example/notices/" in mail.body
    row = Notice.objects.get()
    assert mail.extra_headers["Message-ID"] == f"<{row.public_id}@countersign.example>"
    assert mail.extra_headers["Auto-Submitted"] == "auto-generated"
    assert row.sent_at is not None
    assert [(each.worked, each.answer) for each in DeliveryAttempt.objects.all()] == [(True, "Mailed.")]


def test_a_mail_sent_twice_is_the_same_mail(scene: Scene, mailoutbox: list[EmailMessage]) -> None:
    """Its sender died after the server had taken it: mail systems drop what has a Message-ID that they know."""
    tell(scene.walk.cast.petra)
    notices.send_due()
    Notice.objects.update(sent_at=None)
    notices.send_due()
    first, second = (str(mail.message()) for mail in mailoutbox)
    assert first == second


@pytest.mark.parametrize("inject", ["\nBcc: eve@example.com", "\r\n\r\nClick here", "\x00\x1b[2J", "\u2028Bcc: x"])
def test_a_subject_cannot_add_a_header(scene: Scene, mailoutbox: list[EmailMessage], inject: str) -> None:
    cast = scene.walk.cast
    tell(cast.petra, subject=f"A name{inject}")
    assert Notice.objects.get().subject.isprintable()
    assert notices.send_due() == 1
    assert mailoutbox[0].recipients() == ["petra@example.com"]
    assert mailoutbox[0].message()["Bcc"] is None


def test_an_address_that_breaks_a_header_is_given_up_at_once_and_stops_nobody_else(
    scene: Scene, mailoutbox: list[EmailMessage]
) -> None:
    tell("rota@example.com\nBcc: eve@example.com", scene.walk.cast.petra)
    assert notices.send_due() == 1
    assert [mail.to for mail in mailoutbox] == [["petra@example.com"]]
    assert notices.count_lost() == 1
    assert "eve" not in DeliveryAttempt.objects.get(worked=False).answer


def test_a_person_without_an_address_is_no_mail_and_no_endless_retry(scene: Scene) -> None:
    cast = scene.walk.cast
    User.objects.filter(pk=cast.petra.pk).update(email="")
    tell(cast.petra)
    assert notices.send_due() == 0
    assert sent_now(cast.petra) == ["undelivered"]
    assert DeliveryAttempt.objects.get().answer == "This person has no mail address."


# --- by choice -------------------------------------------------------------------------------------------------------


def test_a_daily_mail_comes_at_its_hour_with_everything_in_it_by_asset(
    scene: Scene, mailoutbox: list[EmailMessage]
) -> None:
    petra, asset = scene.walk.cast.petra, scene.version.asset
    with time_machine.travel(NOON, tick=False) as clock:
        notices.choose(actor=petra, pace="daily", hour=7)
        tell(petra, cause="a", subject="A policy was published", text="It asks for more.", url="/policies/")
        tell(petra, cause="b", asset=asset)
        tell(petra, cause="c", asset=asset, subject="fraud-scorer@1.1.0 waits for platform")
        assert notices.send_due() == 0
        clock.move_to(NOON + timedelta(hours=18, minutes=59))
        assert notices.send_due() == 0
        clock.move_to(NOON + timedelta(hours=19))
        assert notices.send_due() == 3
    (mail,) = mailoutbox
    assert mail.subject == "3 notices from Countersign"
    heads = [mail.body.index(each) for each in ("fraud-scorer\n====", "* fraud-scorer@1.1.0", "About everything else")]
    assert heads == sorted(heads)
    assert "/policies/" in mail.body
    assert DeliveryAttempt.objects.filter(worked=True).count() == 3
    assert sent_now(petra) == ["delivered"] * 3


def test_a_daily_mail_at_an_hour_that_is_over_comes_tomorrow(scene: Scene) -> None:
    petra = scene.walk.cast.petra
    with time_machine.travel(NOON, tick=False):
        for hour, days in ((12, 1), (13, 0)):
            notices.choose(actor=petra, pace="daily", hour=hour)
            tell(petra, cause=f"at {hour}")
            row = Notice.objects.get(cause=f"at {hour}")
            assert row.due_at == NOON.replace(hour=hour) + timedelta(days=days)


def test_whoever_wants_no_mail_has_it_on_the_page_and_nothing_waits(
    scene: Scene, mailoutbox: list[EmailMessage]
) -> None:
    petra = scene.walk.cast.petra
    notices.choose(actor=petra, pace="never")
    tell(petra)
    notices.choose(actor=petra, pace="at_once")
    assert notices.send_due() == 0
    assert (mailoutbox, sent_now(petra), notices.count_lost()) == ([], ["kept"], 0)


def test_a_new_choice_dates_again_what_waits(scene: Scene, mailoutbox: list[EmailMessage]) -> None:
    petra = scene.walk.cast.petra
    with time_machine.travel(NOON, tick=False):
        notices.choose(actor=petra, pace="daily", hour=7)
        tell(petra)
        notices.choose(actor=petra, pace="daily", hour=15)
        assert Notice.objects.get().due_at == NOON + timedelta(hours=3)
        notices.choose(actor=petra, pace="at_once")
        assert notices.send_due() == 1
        notices.choose(actor=petra, pace="daily", hour=7)
        tell(petra, cause="another")
        notices.choose(actor=petra, pace="never")
        assert (notices.send_due(), len(mailoutbox)) == (0, 1)
    assert sent_now(petra) == ["delivered", "kept"]


def test_a_choice_is_an_entry_and_the_same_one_again_is_none(scene: Scene) -> None:
    petra = scene.walk.cast.petra
    notices.choose(actor=petra, pace="daily", hour=9)
    notices.choose(actor=petra, pace="daily", hour=9)
    (entry,) = Entry.objects.filter(kind="notices.chosen")
    assert entry.actor == petra.ledger_name
    assert entry.details == {"pace": "daily", "hour": 9}
    assert NoticePreference.history.count() == 1


@pytest.mark.parametrize(
    ("pace", "hour", "field"), [("hourly", 7, "pace"), ("daily", 24, "hour"), ("daily", -1, "hour")]
)
def test_a_choice_that_makes_no_sense_names_its_field(scene: Scene, pace: str, hour: int, field: str) -> None:
    with pytest.raises(Invalid) as error:
        notices.choose(actor=scene.walk.cast.petra, pace=pace, hour=hour)
    assert error.value.faults[0].field == field
    assert not NoticePreference.objects.exists()


# --- settings --------------------------------------------------------------------------------------------------------


def test_the_address_of_the_mail_server_is_one_setting() -> None:
    read = portal_settings.read_mail
    smtp = read("smtp://mailer:p%40ss@mail.example")
    assert (smtp.host, smtp.port, smtp.user, smtp.password) == ("mail.example", 587, "mailer", "p@ss")
    assert (smtp.is_starttls, smtp.is_tls) == (True, False)
    assert read("smtps://mail.example").port == 465
    assert not read("smtp://mail.example:25?tls=no").is_starttls
    assert read("file:///var/mail").folder == "/var/mail"


@pytest.mark.parametrize("url", ["", "mail.example", "smtp://", "smtp://u:hunter2@mail.example?tls=maybe", "http://x"])
def test_an_address_that_is_no_mail_server_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(Exception, match="EMAIL_URL") as error:
        portal_settings.read_mail(url)
    assert "hunter2" not in str(error.value)
