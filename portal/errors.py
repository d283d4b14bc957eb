"""The ways a verb says no. Nothing here knows HTTP or a database; `portal.http` maps them to answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Reason:
    """One reason for a no: the rule, what was seen, and what would make it a yes, where."""

    rule: str
    says: str
    fix: str = ""
    where: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the reason as the four strings that pages, API and command line print."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.says} {self.fix}".strip()


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an input: the field, what was seen there, what is expected."""

    field: str
    seen: str
    expected: str

    def as_dict(self) -> dict[str, str]:
        """Return the fault as three strings for a JSON answer."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.field}: saw {self.seen}, expected {self.expected}."


class Refused(Exception):
    """A well-formed request that the rules do not allow now. Carries a stable code and whole sentences."""

    def __init__(self, code: str, says: str, *, reasons: Iterable[Reason] = (), **details: str) -> None:
        super().__init__(says)
        self.code = code
        self.says = says
        self.reasons = tuple(reasons)
        self.details = details

    def __str__(self) -> str:
        return " ".join([self.says, *(str(reason) for reason in self.reasons)])


class Invalid(Exception):
    """An input that cannot be understood. Carries one Fault for each field that is wrong."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(" ".join(str(fault) for fault in faults))
        self.faults = faults


def show(value: object, limit: int = 80) -> str:
    """Return a short printable picture of an untrusted value, for use in a Fault."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
