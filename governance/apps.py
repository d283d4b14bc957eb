"""Names the governance app for Django, and tells the health page what waits for a worker here."""

from django.apps import AppConfig
from django.utils import timezone

from portal import health


class GovernanceConfig(AppConfig):
    """Configuration of the governance app."""

    name = "governance"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the counts of due work."""
        from governance import notices, portal_keys, revocations  # noqa: PLC0415 -- they import models, too
        from governance.models import CheckRequest, Decision  # noqa: PLC0415 -- models are there only now

        health.register_due("checks to answer", CheckRequest.objects.count)
        health.register_due("decisions to sign", lambda: Decision.objects.filter(signature=None).count())
        health.register_fault("revocation list", revocations.fault)
        health.register_fault("keys", portal_keys.fault)
        health.register_due("notices to deliver", lambda: notices.due(timezone.now()).count())
        health.register_due("notices given up within a day", notices.count_lost)
