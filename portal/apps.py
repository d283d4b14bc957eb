"""Names the portal app for Django: it has no models, and hosts commands, template tags and the system checks."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    """Configuration of the portal."""

    name = "portal"

    def ready(self) -> None:
        """Register the system checks."""
        from portal import startup  # noqa: F401, PLC0415 -- models can be imported only once all apps are there
