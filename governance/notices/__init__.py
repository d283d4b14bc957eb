"""Notices: who is told what, once for each cause, and how it reaches them.

`telling` writes the notices in the transaction of their cause; `sending` delivers them by mail and webhooks, called by
the worker; `choosing` and `hooks` are the verbs that say how.
"""

from governance.notices.choosing import choose
from governance.notices.sending import count_lost, due, send_due, state_of
from governance.notices.telling import Kind, tell

__all__ = ["Kind", "choose", "count_lost", "due", "send_due", "state_of", "tell"]
