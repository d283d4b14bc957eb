"""The Celery app and THE clock table: everything that runs by itself, and how often.

Tasks live in each app's `tasks.py` and only call one `..._due()` function. The queue is rows in the database.
"""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

CLOCK = {
    # name: (job, every how many seconds)
    "beat": ("portal.tick", 10),
    "seal": ("audit.seal", 1),
    "copies": ("audit.copy_checkpoints", 60),
    "exports": ("audit.build_exports", 15),
    "old exports": ("audit.remove_exports", 3600),
    "checks": ("governance.run_checks", 15),
    "signatures": ("governance.sign_decisions", 15),
    "revocations": ("governance.issue_revocations", 60),
    "sweeps": ("governance.sweep", 60),
    "notices": ("governance.send_notices", 15),
    "serving": ("governance.judge_serving", 30),
    "days": ("audit.prepare_days", 3600),
    "record": ("audit.check_record", 60),
}

app = Celery("countersign")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["audit", "governance", "portal"])
# What only the sealer may do has a queue of its own; see docs/operating.md.
app.conf.task_routes = {"audit.seal": {"queue": "seal"}}
app.conf.beat_schedule = {
    name: {"task": job, "schedule": seconds, "options": {"expires": max(seconds, 5)}}
    for name, (job, seconds) in CLOCK.items()
}
