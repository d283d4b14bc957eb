"""What the format readers share during one scan: limits, findings, and the way to the dispatcher for nested pieces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from governance.scanning.allowlist import LONGEST_NAME, RISING, AllowList, Kind, NamedGlobal
from governance.scanning.limits import Budget, Limits, Unreadable, Unsafe
from governance.scanning.reading import Joined, Window
from governance.scanning.report import Finding, Verdict, printable


@dataclass(frozen=True)
class Piece:
    """Something to be read: the file itself, a member of a container, or bytes nested in a pickle."""

    window: Window
    name: str
    trail: str = ""
    depth: int = 0


@dataclass
class Scene:
    """One scan under way."""

    limits: Limits
    budget: Budget
    allowlist: AllowList
    inspect: Callable[[Piece, Scene], str]
    findings: dict[Finding, None] = field(default_factory=dict)
    pickles: list[tuple[str, Joined]] = field(default_factory=list)
    wanted: dict[tuple[str, str], Kind] = field(default_factory=dict)
    used: dict[tuple[str, str], Kind] = field(default_factory=dict)
    explained: set[tuple[str, str]] = field(default_factory=set)

    def want(self, module: str, name: str, use: Kind) -> None:
        """Keep a held global with the most that is done with it, so that a person can be asked about exactly that."""
        key = (module, name)
        room = len(self.wanted) < self.limits.findings and max(map(len, key)) <= LONGEST_NAME
        if room or key in self.wanted:
            self.wanted[key] = max(use, self.wanted.get(key, Kind.REF), key=RISING.index)

    def held_globals(self) -> tuple[NamedGlobal, ...]:
        """Return the globals that were held, in order of appearance."""
        return tuple(NamedGlobal(*key, use) for key, use in self.wanted.items())

    def allowances_used(self) -> tuple[NamedGlobal, ...]:
        """Return the globals that only an allowance let through."""
        return tuple(NamedGlobal(*key, use) for key, use in self.used.items())

    def hold(self, piece: Piece, code: str, says: str) -> None:
        """Note something that a person has to look at."""
        self.note(Finding(code, says, piece.trail, Verdict.HELD))

    def reject(self, piece: Piece, code: str, says: str) -> None:
        """Note something that no ordinary file contains."""
        self.note(Finding(code, says, piece.trail, Verdict.REJECTED))

    def fail(self, piece: Piece, code: str, says: str) -> None:
        """Note something that could not be read."""
        self.note(Finding(code, says, piece.trail, Verdict.ERROR))

    def remark(self, piece: Piece, code: str, says: str) -> None:
        """Note something worth knowing that does not change the verdict."""
        self.note(Finding(code, says, piece.trail, Verdict.PASS))

    def note(self, finding: Finding) -> None:
        """Keep a finding once; past the limit only the first ones and the fact that there are more are kept."""
        finding = replace(finding, says=printable(finding.says), member=printable(finding.member))
        room = self.limits.findings * (2 if finding.verdict is Verdict.REJECTED else 1)
        if len(self.findings) < room:
            self.findings.setdefault(finding)
        else:
            says = f"There is more than the first {self.limits.findings} findings."
            self.findings.setdefault(Finding("more", says, "", Verdict.HELD))

    def nested(self, piece: Piece, window: Window, name: str) -> Piece:
        """Return a piece inside another one. Raises Unreadable past the depth limit."""
        if piece.depth + 1 > self.limits.depth:
            raise Unreadable("too-deep", f"Containers are nested more than {self.limits.depth} deep.")
        trail = f"{piece.trail} > {name}" if piece.trail else name
        return Piece(window, name, trail, piece.depth + 1)

    def attempt(self, piece: Piece, read: Callable[[Piece, Scene], str | None]) -> str | None:
        """Read a piece and turn what stops the reading into a finding; return what the reader returns."""
        try:
            return read(piece, self)
        except Unreadable as problem:
            self.fail(piece, problem.code, problem.says)
        except Unsafe as problem:
            self.reject(piece, problem.code, problem.says)
        except (RecursionError, MemoryError) as problem:
            self.fail(piece, "too-large", f"Reading it took more room than allowed ({type(problem).__name__}).")
        except Exception as problem:  # noqa: BLE001 -- a fault of ours must never let a file through
            says = f"The scanner itself failed with {type(problem).__name__}: {str(problem)[:120]}"
            self.fail(piece, "scanner-failed", says)
        return None
