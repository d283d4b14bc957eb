"""How each person wants to be told. Whatever is chosen, every notice is on their page."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from audit import log
from audit.events import Event
from governance.models import NoticePreference
from governance.models.notices import Pace
from governance.notices.sending import keep, waiting
from governance.notices.telling import timing
from portal.errors import Fault, Invalid, show
from registry.models import User

LAST_HOUR = 23


def choose(*, actor: User, pace: str, hour: int = 7) -> NoticePreference:
    """Choose when one's own mail comes: at once, daily at an hour (UTC, 0 to 23), or never.

    What waits is dated again. Raises Invalid naming the field that is wrong.
    """
    if pace not in Pace.values:
        raise Invalid(Fault("pace", show(pace), f"one of {', '.join(Pace.values)}"))
    if not isinstance(hour, int) or not 0 <= hour <= LAST_HOUR:
        raise Invalid(Fault("hour", show(hour), f"0 to {LAST_HOUR}"))
    chosen = NoticePreference(user=actor)
    with log.record(Event.NOTICES_CHOSEN, actor=actor, subject=chosen, pace=pace, hour=hour) as entry:
        # The lock that whoever gathers a daily mail holds, too.
        User.objects.select_for_update(no_key=True).get(pk=actor.pk)
        actor.require("notices.choose")
        chosen = NoticePreference.objects.filter(user=actor).first() or chosen
        if chosen.pk is not None and (chosen.pace, chosen.hour) == (pace, hour):
            entry.skip()
            return chosen
        chosen.pace, chosen.hour = pace, hour
        chosen.save()
        date_again(chosen, timezone.now())
    return chosen


def date_again(chosen: NoticePreference, now: datetime) -> int:
    """Give what waits for a person the time of their new choice, except what is being delivered. Returns how many."""
    rows = waiting().filter(person=chosen.user).exclude(lease_until__gte=now)
    if chosen.pace == Pace.NEVER:
        return keep(rows, now)
    # What failed waits for its next attempt, which is soon; a daily mail takes it along.
    fresh = rows if chosen.pace == Pace.DAILY else rows.filter(attempts=0)
    return fresh.update(**timing(chosen, now))
