"""Wiring and a thin web kit: settings, URLs, the clock, health. No behaviour of the product lives here."""

from portal.celery import app as celery_app

__all__ = ["celery_app"]
