"""Mailing notices: one in a mail, or all that are due to somebody who wants them together, grouped by asset.

Plain text only. The Message-ID is derived from the notices, so that a mail sent twice because its sender died in
between is dropped by mail systems that know it already.
"""

from __future__ import annotations

import smtplib
import uuid
from collections.abc import Iterator, Sequence
from email.utils import formatdate
from itertools import groupby
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage

from governance.models import Notice, NoticePreference
from governance.models.notices import Pace
from governance.notices.outcome import UNWANTED, Outcome
from governance.notices.posting import link_of
from governance.notices.telling import one_line

FOOTER = "Choose when you get these, or none at all:"
PAGE = "/notices/"


def mail(notices: Sequence[Notice]) -> Outcome:
    """Mail notices of one receiver together, once. Never raises for what a mail server does."""
    first = notices[0]
    if first.person is not None and (not first.person.is_active or wants_none(first)):
        return UNWANTED
    address = first.person.email if first.person else first.address
    if not address:
        return Outcome(False, "This person has no mail address.", is_lasting=True)
    try:
        letter(notices, address).send()
    except (OSError, ValueError) as error:
        return explain(error)
    return Outcome(True, f"Mailed with {len(notices) - 1} others." if len(notices) > 1 else "Mailed.")


def explain(error: Exception) -> Outcome:
    """Return what a failure means. Only codes of servers are kept: their texts may repeat an address, or more."""
    match error:
        case smtplib.SMTPDataError():
            return Outcome(False, f"The mail server answered {error.smtp_code}.")
        case smtplib.SMTPResponseException():
            return Outcome(False, f"The mail server answered {error.smtp_code}.", is_shut=True)
        case smtplib.SMTPRecipientsRefused():
            codes = sorted({str(code) for code, _ in error.recipients.values()})
            return Outcome(False, f"The mail server refused the address: {', '.join(codes)}.")
        case OSError():
            return Outcome(False, f"The mail server could not be used: {type(error).__name__}.", is_shut=True)
        case _:
            return Outcome(False, f"No such mail can be written: {type(error).__name__}.", is_lasting=True)


def wants_none(notice: Notice) -> bool:
    """Return whether the person has chosen no mail since the notice was written."""
    return NoticePreference.objects.filter(user=notice.person, pace=Pace.NEVER).exists()


def letter(notices: Sequence[Notice], address: str) -> EmailMessage:
    """Return the mail. Raises ValueError where a header would be broken by what it should hold."""
    single = len(notices) == 1
    subject = notices[0].subject if single else f"{len(notices)} notices from Countersign"
    lines = whole(notices[0]) if single else together(notices)
    if notices[0].person is not None:
        lines = [*lines, "", "-- ", FOOTER, f"{settings.PORTAL_URL}{PAGE}"]
    headers = {
        "Message-ID": message_id(notices),
        "Date": formatdate(notices[0].made_at.timestamp() if single else None),
        "Auto-Submitted": "auto-generated",
    }
    return EmailMessage(one_line(subject), "\n".join(lines), to=[address], headers=headers)


def message_id(notices: Sequence[Notice]) -> str:
    """Return the Message-ID: that of the notice, or one derived from all of them."""
    names = sorted(str(notice.public_id) for notice in notices)
    name = names[0] if len(names) == 1 else uuid.uuid5(uuid.NAMESPACE_URL, " ".join(names))
    return f"<{name}@{urlsplit(settings.PORTAL_URL).hostname or 'localhost'}>"


def whole(notice: Notice) -> list[str]:
    """Return the lines of a mail about one notice."""
    return [notice.text, *(["", link_of(notice)] if notice.url else [])]


def together(notices: Sequence[Notice]) -> list[str]:
    """Return the lines of a mail about many, by asset; what is about none comes last."""
    rows = sorted(notices, key=lambda notice: (about(notice) == "", about(notice), notice.made_at, notice.pk))
    lines: list[str] = []
    for asset, group in groupby(rows, key=about):
        title = asset or "About everything else" if asset or lines else ""
        lines += [*([title, "=" * len(title), ""] if title else []), *(line for row in group for line in short(row))]
    return lines


def about(notice: Notice) -> str:
    """Return the name of the asset that a notice is about, empty for none."""
    return notice.asset.slug if notice.asset else ""


def short(notice: Notice) -> Iterator[str]:
    """Yield the lines about one notice among many."""
    yield f"* {notice.subject} ({notice.made_at:%d %b, %H:%M} UTC)"
    yield from (f"  {line}" for line in notice.text.splitlines())
    if notice.url:
        yield f"  {link_of(notice)}"
    yield ""
