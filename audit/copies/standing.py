"""How the places outside are: what each got last, since when it is behind, and what it contradicts, in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from audit.copies import configured
from audit.copies.place import Place
from audit.copies.queue import LOUD, rows_of
from audit.models import Checkpoint, CheckpointCopy
from portal.errors import Invalid

LATE = timedelta(hours=1)


@dataclass(frozen=True)
class Standing:
    """How one place is. `since` is when the first checkpoint was signed that has not been covered there."""

    name: str
    words: str
    size: int | None
    at: datetime | None
    since: datetime | None
    is_late: bool
    error: str

    @property
    def contradicts(self) -> bool:
        """Return whether the place holds another history than this ledger."""
        return self.error.startswith(LOUD)

    @property
    def state(self) -> str:
        """Return the state in one word of the design system."""
        if self.contradicts:
            return "contradicts"
        if self.is_late:
            return "behind"
        return "pending" if self.size is None or self.error else "copied"


@dataclass(frozen=True)
class Alarm:
    """What has to be told to whoever runs the portal, once for each cause."""

    cause: str
    subject: str
    says: str


def standings() -> list[Standing]:
    """Return how every place is that is configured. Raises Invalid for settings that cannot be read."""
    return [standing_of(place) for place in configured.places()]


def standing_of(place: Place) -> Standing:
    """Return how one place is."""
    sent = rows_of(place).exclude(sent_at=None).first()
    waiting = rows_of(place).filter(sent_at=None).order_by("size").first()
    newest = waiting or sent
    size = sent.size if sent is not None else None
    since = Checkpoint.objects.filter(size__gt=size or 0).order_by("size").values_list("created_at", flat=True).first()
    # A place that is new was never late: it is, once an attempt has failed.
    is_tried = sent is not None or (waiting is not None and waiting.attempts > 0)
    is_late = is_tried and since is not None and timezone.now() - since > LATE + place.pause
    at, error = sent.sent_at if sent else None, newest.error if newest else ""
    return Standing(place.name, place.words, size, at, since, is_late, error)


def alarms() -> list[Alarm]:
    """Return what is wrong outside, loudest first: contradictions, then places that are behind, then the settings."""
    try:
        found = standings()
    except Invalid as error:
        return [Alarm("copies:settings", "Checkpoints cannot be copied", f"The settings cannot be read: {error}")]
    loud = [each for each in found if each.contradicts]
    late = [each for each in found if each.is_late and not each.contradicts]
    return [contradiction(each) for each in loud] + [lateness(each) for each in late]


def contradiction(found: Standing) -> Alarm:
    """Return the alarm about a place that holds another history."""
    says = found.error.removeprefix(LOUD)
    text = (
        f"{found.name} contradicts the ledger {settings.LEDGER_ORIGIN}: {says} The ledger was cut off, restored from a"
        f" backup, or written anew. Stop changing things and follow docs/operating.md, A witness on another host."
    )
    return Alarm(f"copies:{found.name}:{says}"[:200], f"{found.name} contradicts the ledger", text)


def lateness(found: Standing) -> Alarm:
    """Return the alarm about a place that is behind."""
    since = f"{found.since:%-d %b %Y, %H:%M} UTC" if found.since else "some time ago"
    got = f"got {found.size:,} entries last" if found.size is not None else "never got a checkpoint"
    text = f"{found.name} {got}, and has been behind since {since}. {found.error}".strip()
    return Alarm(f"copies:{found.name}:{since}"[:200], f"{found.name} gets no checkpoints", text)


def fault() -> str:
    """Return what is wrong outside in general words, empty when nothing is: anybody reads them on the health page.

    Which place it is and why is told to administrators, and stands on the page of the keys.
    """
    try:
        found = standings()
    except Invalid:
        return "The settings about copies of the checkpoint cannot be read."
    wrong = {
        "A copy of the checkpoint contradicts the ledger.": any(each.contradicts for each in found),
        "A copy of the checkpoint is late.": any(each.is_late and not each.contradicts for each in found),
    }
    return " ".join(says for says, is_so in wrong.items() if is_so)


def count_waiting() -> int:
    """Return how many copies wait to be brought to the places of the settings; none while those cannot be read."""
    try:
        names = [place.name for place in configured.places()]
    except Invalid:
        return 0
    return CheckpointCopy.objects.filter(place__in=names, sent_at=None).count() if names else 0
