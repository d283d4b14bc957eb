"""Names the audit app for Django, and tells the health page what waits for a worker here."""

from django.apps import AppConfig

from portal import health, jobs


def seal_here() -> bool:
    """Seal what waits in the process that has just committed it, where its role may do so. Returns whether it did."""
    from audit import roles, sealer  # noqa: PLC0415 -- models are there only when this is called

    if not roles.may_seal():
        return False
    sealer.seal_at_once()
    jobs.ring(jobs.Job.COPY_CHECKPOINTS)
    return True


class AuditConfig(AppConfig):
    """Configuration of the audit app."""

    name = "audit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the counts of due work."""
        from audit import copies, log, verifications  # noqa: PLC0415 -- models are there only now
        from audit.models import Export, ExportState  # noqa: PLC0415 -- models are there only now

        waiting = (ExportState.QUEUED, ExportState.RUNNING)
        health.register_due("entries to seal", lambda: log.unsealed().count)
        health.register_fault("entries to seal", log.sealing_fault)
        jobs.answer_here(jobs.Job.SEAL, seal_here)
        health.register_fault("checks of the record", verifications.overdue)
        health.register_due("checkpoints to copy", copies.count_waiting)
        health.register_fault("copies", copies.fault)
        health.register_due("exports to build", lambda: Export.objects.filter(state__in=waiting).count())
