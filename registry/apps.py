"""Names the registry app for Django, and says where accounts and grants are compared with what entries say."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Configuration of the registry app."""

    name = "registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register what keeps no history of its own."""
        from audit import drift  # noqa: PLC0415 -- models are there only now
        from registry import accounts  # noqa: PLC0415 -- models are there only now

        drift.register("accounts", accounts.drifted_accounts)
        drift.register("grants", accounts.drifted_grants)
