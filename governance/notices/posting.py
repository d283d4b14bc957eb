"""Posting a notice to a webhook: what is said, what is signed, and what an answer means.

How it is sent stands in `portal.posting`, where it may lead in `portal.targets`.
"""

from __future__ import annotations

import ssl
import time
from typing import Any
from urllib.parse import quote

from django.conf import settings

from audit import seal
from governance.models import Notice
from governance.models.notices import WebhookForm
from governance.notices import signing
from governance.notices.outcome import UNWANTED, Outcome
from portal import targets
from portal.errors import Invalid, Refused
from portal.posting import exchange, request_of

TIMEOUT = 10.0
GONE, TOO_MANY = 410, 429


def post(notice: Notice) -> Outcome:
    """Post a notice to its webhook, once. Never raises for what an outside server or network does."""
    webhook = notice.webhook
    if webhook is None or not webhook.is_active:
        return UNWANTED
    body = body_of(notice)
    signed = signing.headers(webhook, str(notice.public_id), body, seconds=int(time.time()))
    try:
        target = targets.read_target(webhook.url)
        status = exchange(target, request_of(target, signed, body), TIMEOUT)
    except (Invalid, Refused, OSError, UnicodeError) as error:
        # Names that no host can have make the resolver raise UnicodeError.
        return Outcome(False, explain(error), is_shut=True)
    return judge(status)


def explain(error: Exception) -> str:
    """Return what a failure says in the delivery log: never the text of a server or an address."""
    match error:
        case Invalid():
            return "The webhook's address is not allowed any more."
        case Refused():
            return error.says
        case TimeoutError():
            return f"No answer within {TIMEOUT:.0f} seconds."
        case ssl.SSLError():
            return f"TLS failed: {type(error).__name__}."
        case _:
            return f"The connection failed: {type(error).__name__}."


def judge(status: int) -> Outcome:
    """Return what a status means: only 2xx is a receipt, and 410 says that nobody will ever want it (the spec)."""
    if 200 <= status < 300:
        return Outcome(True, f"The receiver answered {status}.")
    if status == 0:
        return Outcome(False, "The receiver's answer is no HTTP/1.1.", is_shut=True)
    detour = " Redirects are not followed." if 300 <= status < 400 else ""
    says = f"The receiver answered {status}.{detour}"
    return Outcome(False, says, is_lasting=status == GONE, is_shut=status >= 500 or status == TOO_MANY)


def link_of(notice: Notice) -> str:
    """Return the full address of the page where to act, or an empty text. Nothing in it can end a link early."""
    return f"{settings.PORTAL_URL}{quote(notice.url, safe='/:@?=&%#~+,;!$')}" if notice.url else ""


def body_of(notice: Notice) -> bytes:
    """Return what is posted, in the form that the webhook wants: the same bytes at every attempt."""
    if notice.webhook is not None and notice.webhook.form == WebhookForm.SLACK:
        return seal.canonical({"text": slack_text(notice)})
    told: dict[str, Any] = {
        "kind": notice.kind,
        "cause": notice.cause,
        "subject": notice.subject,
        "text": notice.text,
        "url": link_of(notice),
        "asset": notice.asset.slug if notice.asset else "",
        "made_at": seal.instant(notice.made_at),
    }
    return seal.canonical(told)


def slack_text(notice: Notice) -> str:
    """Return a notice as Slack reads it: `&`, `<` and `>` escaped, so that no text makes a link or calls everybody."""
    lines = [escape(notice.subject), escape(notice.text)]
    if notice.url:
        lines.append(f"<{escape(link_of(notice))}|Open in Countersign>")
    return "\n".join(lines)


def escape(text: str) -> str:
    """Return a text with Slack's three control characters escaped."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
