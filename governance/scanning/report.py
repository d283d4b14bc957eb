"""What a scan says: verdicts, findings and the report. How files are read lives in the format modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from governance.scanning.allowlist import Kind, NamedGlobal


class Verdict(StrEnum):
    """The four answers, from harmless to worst. Only `pass` is green."""

    PASS = "pass"  # noqa: S105
    HELD = "held"
    ERROR = "error"
    REJECTED = "rejected"


SEVERITY = tuple(Verdict)


@dataclass(frozen=True)
class Finding:
    """One thing seen: a stable code, a whole sentence, the member it was seen in, and what it alone would decide."""

    code: str
    says: str
    member: str = ""
    verdict: Verdict = Verdict.HELD


@dataclass(frozen=True)
class Report:
    """The recorded answer for one file. Everything in it survives a round trip through JSON.

    `held_globals` are the names that were held, with what the file does with them; `allowances_used` are the names
    that only an allowance let through.
    """

    verdict: Verdict
    format: str
    reasons: tuple[Finding, ...]
    engines: Mapping[str, str]
    allowlist_digest: str
    sha256: str = ""
    size: int = 0
    bytes_read: int = 0
    seconds: float = 0.0
    isolation: tuple[str, ...] = field(default=())
    held_globals: tuple[NamedGlobal, ...] = field(default=())
    allowances_used: tuple[NamedGlobal, ...] = field(default=())

    def as_dict(self) -> dict[str, object]:
        """Return the report as plain JSON values."""
        return asdict(self) | {"engines": dict(self.engines), "isolation": list(self.isolation)}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Report:
        """Return the report that `as_dict` wrote. Raises TypeError, ValueError or KeyError for anything else."""
        reasons = data["reasons"]
        engines = data["engines"]
        isolation = data["isolation"]
        if not (isinstance(reasons, list | tuple) and isinstance(engines, dict) and isinstance(isolation, list)):
            raise TypeError("A report has a list of reasons, a mapping of engines and a list of limits.")
        return cls(
            verdict=Verdict(str(data["verdict"])),
            format=str(data["format"]),
            reasons=tuple(Finding(**{**item, "verdict": Verdict(item["verdict"])}) for item in reasons),
            engines={str(name): str(version) for name, version in engines.items()},
            allowlist_digest=str(data["allowlist_digest"]),
            sha256=str(data["sha256"]),
            size=int(str(data["size"])),
            bytes_read=int(str(data["bytes_read"])),
            seconds=float(str(data["seconds"])),
            isolation=tuple(str(part) for part in isolation),
            held_globals=read_globals(data["held_globals"]),
            allowances_used=read_globals(data["allowances_used"]),
        )


def read_globals(items: object) -> tuple[NamedGlobal, ...]:
    """Return globals from plain JSON values. Raises TypeError, ValueError or KeyError for anything else."""
    if not isinstance(items, list | tuple):
        raise TypeError("Globals are a list.")
    return tuple(NamedGlobal(str(each["module"]), str(each["name"]), Kind(each["use"])) for each in items)


def worst(findings: tuple[Finding, ...]) -> Verdict:
    """Return the verdict that all findings together come to."""
    return max((finding.verdict for finding in findings), key=SEVERITY.index, default=Verdict.PASS)


def printable(text: str) -> str:
    """Return a text that every database and screen takes, whatever control characters a name in it holds."""
    safe = text.encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in safe)
