"""Names the audit app for Django, and tells the health page what waits for a worker here."""

from django.apps import AppConfig

from portal import health


class AuditConfig(AppConfig):
    """Configuration of the audit app."""

    name = "audit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the counts of due work."""
        from audit import log  # noqa: PLC0415 -- models are there only now
        from audit.models import Export, ExportState  # noqa: PLC0415 -- models are there only now

        waiting = (ExportState.QUEUED, ExportState.RUNNING)
        health.register_due("entries to seal", lambda: log.unsealed().count)
        health.register_due("exports to build", lambda: Export.objects.filter(state__in=waiting).count())
