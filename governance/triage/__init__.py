"""Triage: what people and VEX documents say about findings, and whose second word makes it count.

`statements` holds the verbs, `rules` what may be said by whom, `vex` the documents, `matching` what a document covers,
`tasks` what pages read: one task for each vulnerability, not for each version.
"""

from governance.triage.statements import answer, answer_all, in_force, reopen_due, state, state_all
from governance.triage.vex import state_by_document, take_in, take_in_due

__all__ = [
    "answer",
    "answer_all",
    "in_force",
    "reopen_due",
    "state",
    "state_all",
    "state_by_document",
    "take_in",
    "take_in_due",
]
