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
    "exports": ("audit.build_exports", 15),
    "checks": ("governance.run_checks", 15),
    "signatures": ("governance.sign_decisions", 15),
    "sweeps": ("governance.sweep", 60),
    "notices": ("governance.send_notices", 15),
}

app = Celery("countersign")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["audit", "governance", "portal"])
app.conf.beat_schedule = {
    name: {"task": job, "schedule": seconds, "options": {"expires": max(seconds, 5)}}
    for name, (job, seconds) in CLOCK.items()
}
