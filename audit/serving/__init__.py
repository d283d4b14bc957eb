"""Serving: which digest served which customer when, as deployments report it, and the look-ups over it.

Windows are believed as they are reported, digests that nobody registered included. Whether a window should have been
served is judged elsewhere, by the window's time. `windows` says what a window is, `intake` takes batches of them in,
`conflicts` keeps what contradicts an earlier report, `lookups` finds windows again, `proofs` proves one of them.
"""

from audit.serving.conflicts import rows_of
from audit.serving.intake import report
from audit.serving.lookups import current, serving_at, windows_for, windows_of
from audit.serving.proofs import prove

__all__ = ["current", "prove", "report", "rows_of", "serving_at", "windows_for", "windows_of"]
