"""Names the registry app for Django."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Configuration of the registry app."""

    name = "registry"
    default_auto_field = "django.db.models.BigAutoField"
