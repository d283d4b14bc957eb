"""Names the audit app for Django."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Configuration of the audit app."""

    name = "audit"
    default_auto_field = "django.db.models.BigAutoField"
