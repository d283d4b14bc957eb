"""Copies of checkpoints outside: where they go, bringing them there, having them cosigned, and reading them back.

The copy outside is what makes the ledger worth anything: without one, whoever runs the database can write it anew.
"""

from audit.copies.configured import places
from audit.copies.queue import copy_due
from audit.copies.reading import Found, Looked, look, newest
from audit.copies.standing import Alarm, Standing, alarms, count_waiting, fault, standings

__all__ = [
    "Alarm",
    "Found",
    "Looked",
    "Standing",
    "alarms",
    "copy_due",
    "count_waiting",
    "fault",
    "look",
    "newest",
    "places",
    "standings",
]
