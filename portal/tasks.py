"""The portal's own background task: the clock's heartbeat."""

from __future__ import annotations

from celery import shared_task
from celery.signals import beat_init
from django.utils import timezone

from portal import health


@shared_task(name="portal.tick")
def tick() -> None:
    """Record that the clock rang and a worker answered."""
    health.record_tick(timezone.now())


@beat_init.connect
def ring_at_start(**_: object) -> None:
    """Ring once when the clock starts, so that health is known at once and not one interval later."""
    tick.delay()
