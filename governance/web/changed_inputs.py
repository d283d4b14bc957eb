"""Why an answer no longer counts: which of its inputs has changed since it was given. Formatting only.

A version's content never changes once it can be checked, but evidence comes in. So the inputs of then are the inputs
of now without the documents that came later. If their digest is the answer's, those documents are all that changed;
if not, something beyond the dossier did, and the check's own words say what that can be.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from governance.checks import BY_SLUG, runner
from governance.models import CheckRun
from governance.web import changes
from registry import dossier
from registry.models import Version


def reasons(run: CheckRun, version: Version, drawn: dict[str, Any], *, at: datetime) -> Iterator[str]:
    """Yield each reason in a sentence why an answer is stale. `drawn` is the dossier's picture as it is now."""
    if run.valid_until is not None and at >= run.valid_until:
        yield f"Its time ran out on {run.valid_until:%Y-%m-%d %H:%M} UTC."
    check = BY_SLUG[run.check_slug]
    known = version.evidence.filter(attached_at__lte=run.started_at)
    before = {**drawn, "evidence": dossier.draw_evidence(known)}
    if "evidence" in check.sections:
        for row in drawn["evidence"]:
            if row not in before["evidence"]:
                yield f"{changes.words(row)} was attached after it."
    if run.input_digest != runner.input_digest(check, version, before, run.policy):
        beyond = (inspect.getdoc(type(check).outside) or "").removeprefix("Depend on ").rstrip(".")
        may_be = f", which is {beyond}" if beyond and beyond != "nothing" else ""
        yield f"Something beyond the dossier has changed{may_be}, or this release asks in another way."
