"""Violations: whether what was reported as served was allowed to be, as tasks for people until somebody answers.

`judging` looks at each batch once, by the time of its windows; `episodes` counts windows into stretches, one task for
each; `telling` says who is told; `answering` takes the answer, and says for whom a violation waits.
"""

from governance.violations.answering import answer, answerable, concerning
from governance.violations.judging import judge_due
from governance.violations.telling import tell_conflicts_due

__all__ = ["answer", "answerable", "concerning", "judge_due", "tell_conflicts_due"]
