"""The verbs of webhooks: add one, change it, give it a new secret, try it, and stop it for good.

Addresses of Slack and its likes let anybody post who knows them, so entries and pages name the host alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from audit import log
from audit.events import Event
from governance.models import Notice, Webhook
from governance.notices import signing
from governance.notices.sending import keep, waiting
from governance.notices.telling import Kind
from portal.errors import Fault, Invalid, Refused, show
from portal.jobs import Job, ring
from portal.targets import read_target
from registry.drafts import validated
from registry.models import Team, User

WANTED = tuple(kind for kind in Kind if kind != Kind.TEST)


def add(
    name: str,
    url: str,
    *,
    actor: User,
    form: str = "json",
    kinds: Sequence[str] = (),
    team: Team | None = None,
) -> tuple[Webhook, str]:
    """Add a webhook and return it with its secret, which is shown this once; no kinds means all, no team every team.

    Raises Invalid naming the field that is wrong, and Refused when the name is taken, even by one that was stopped.
    """
    row = Webhook(name=name, url=url, form=form, kinds=list(kinds), team=team, made_by=actor, made_at=timezone.now())
    expect_sound(row)
    with log.record(Event.WEBHOOK_CHANGED, actor=actor, subject=row, change="added", **told(row)):
        actor.require("webhook.change")
        if Webhook.objects.filter(name=name).exists():
            raise Refused("webhook_taken", f"Another webhook is named {name}; a name is never used twice.")
        row.save()
    return row, signing.secret_of(row)


def change(
    webhook: Webhook,
    *,
    actor: User,
    url: str = "",
    form: str | None = None,
    kinds: Sequence[str] | None = None,
    team: Team | None = None,
) -> Webhook:
    """Change where a webhook posts to, in which form, and what it gets; no address means the one it has.

    `team` is what it is to be from now on, None every team. Raises Invalid naming the field that is wrong, and Refused
    when it was stopped.
    """
    with log.record(Event.WEBHOOK_CHANGED, actor=actor, subject=webhook, change="changed") as entry:
        row = lock(webhook)
        actor.require("webhook.change")
        expect_active(row)
        row.url, row.form, row.team = url or row.url, form or row.form, team
        row.kinds = row.kinds if kinds is None else list(kinds)
        expect_sound(row)
        row.save(update_fields=["url", "form", "kinds", "team"])
        entry.note(**told(row))
    return row


def rotate(webhook: Webhook, *, actor: User) -> tuple[Webhook, str]:
    """Give a webhook a new secret and return both; from now on everything is signed with the new one alone."""
    with log.record(Event.WEBHOOK_CHANGED, actor=actor, subject=webhook, change="rotated") as entry:
        row = lock(webhook)
        actor.require("webhook.change")
        expect_active(row)
        row.generation += 1
        row.save(update_fields=["generation"])
        entry.note(generation=row.generation)
    return row, signing.secret_of(row)


def stop(webhook: Webhook, *, actor: User) -> Webhook:
    """Stop a webhook for good: nothing is posted to it any more, not even what waits. Once more changes nothing."""
    with log.record(Event.WEBHOOK_CHANGED, actor=actor, subject=webhook, change="stopped") as entry:
        row = lock(webhook)
        actor.require("webhook.change")
        if not row.is_active:
            entry.skip()
            return row
        row.is_active = False
        row.save(update_fields=["is_active"])
        entry.note(waiting=keep(waiting().filter(webhook=row), timezone.now()))
    return row


def test(webhook: Webhook, *, actor: User) -> Notice:
    """Send a test to a webhook, as it would get any notice; how it went is in the delivery log. Changes no record."""
    actor.require("webhook.change")
    expect_active(webhook)
    now = timezone.now()
    made = Notice.objects.create(
        kind=Kind.TEST,
        cause=f"webhook:{webhook.public_id}:test:{uuid.uuid4()}",
        webhook=webhook,
        receiver=f"webhook:{webhook.public_id}",
        subject="A test from Countersign",
        text="Somebody who administers Countersign asked for this. There is nothing to do.",
        made_at=now,
        due_at=now,
    )
    ring(Job.SEND_NOTICES)
    return made


def lock(webhook: Webhook) -> Webhook:
    """Return a webhook's row as it is now, for this transaction alone."""
    return Webhook.objects.select_for_update(of=("self",)).select_related("team").get(pk=webhook.pk)


def expect_active(webhook: Webhook) -> None:
    """Raise Refused when a webhook was stopped."""
    if not webhook.is_active:
        raise Refused("webhook_stopped", f"The webhook {webhook.name} was stopped for good. Add another one.")


def expect_sound(webhook: Webhook) -> None:
    """Raise Invalid for the first field that makes no sense."""
    read_target(webhook.url)
    names = {str(kind) for kind in WANTED}
    for kind in webhook.kinds:
        if kind not in names:
            raise Invalid(Fault("kinds", show(kind), f"some of {', '.join(sorted(names))}"))
    # Django's own check of addresses knows no host without a dot, as they are in many networks.
    validated(webhook, exclude=("url", "team", "made_by"))


def told(webhook: Webhook) -> dict[str, Any]:
    """Return what the ledger says about a webhook: never its address."""
    return {
        "host": host_of(webhook),
        "form": webhook.form,
        "kinds": webhook.kinds,
        "team": webhook.team.slug if webhook.team else "",
    }


def host_of(webhook: Webhook) -> str:
    """Return the host that a webhook posts to, which is all of its address that is shown."""
    try:
        return read_target(webhook.url).authority
    except Invalid:
        return "an address that is not allowed any more"
