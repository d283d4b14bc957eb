"""Names the governance app for Django."""

from django.apps import AppConfig


class GovernanceConfig(AppConfig):
    """Configuration of the governance app."""

    name = "governance"
    default_auto_field = "django.db.models.BigAutoField"
