"""Hygiene: what the clock will do to versions by itself, when and why, computed from facts. Nothing is written here.

Four rules name a version: stale, vulnerable, unowned, sunset. Moving and warning is done by `governance.sweeps`; what
ends without moving anything is foreseen in `governance.forecast`. How dates are chosen is told in docs/hygiene.md.
"""

from governance.hygiene.addressees import addressees
from governance.hygiene.coming import HAPPENS, Foreseen, WarningDay, cause, coming
from governance.hygiene.rules import horizon

__all__ = ["HAPPENS", "Foreseen", "WarningDay", "addressees", "cause", "coming", "horizon"]
