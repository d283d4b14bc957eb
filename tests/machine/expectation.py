"""What should be true: the rules of approval in a few plain lists, written from the design and from nothing of ours.

It knows one version, two environments, and policies that differ in three numbers. It never looks at a database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

AGE = timedelta(days=20)
VALID = {"staging": timedelta(days=60), "production": timedelta(days=30)}
TO_ANSWER = timedelta(days=10)
LONGEST_WAIVER = timedelta(days=30)
TOXIC = 0.05
SEATS = {"petra": "platform", "dana": "product", "rhea": "security", "sol": "security"}


@dataclass(frozen=True)
class Text:
    """One version of the policy: the least accuracy, whether product is asked, and whether that rule is critical."""

    number: int
    least: float
    asks_product: bool
    is_critical: bool

    def roles(self, environment: str) -> list[str]:
        """Return the roles that have to approve."""
        if environment == "staging":
            return ["platform"]
        return ["platform", "product", "security"] if self.asks_product else ["platform", "security"]


@dataclass(frozen=True)
class Measured:
    """One evaluation: who is responsible for it, and what came out."""

    at: datetime
    author: str
    accuracy: float
    toxicity: float


@dataclass(eq=False)
class Exemption:
    """One waiver of one rule in one environment."""

    rule: str
    environment: str
    text: Text
    ends: datetime
    granted: datetime | None = None
    revoked: datetime | None = None
    is_refused: bool = False

    def holds(self, at: datetime) -> bool:
        """Return whether it is in force at an instant."""
        is_over = at >= self.ends or (self.revoked is not None and at >= self.revoked)
        return self.granted is not None and self.granted <= at and not is_over


@dataclass(eq=False)
class Condition:
    """What an approval asks for until when."""

    due: datetime
    met: datetime | None = None

    def is_late(self, at: datetime) -> bool:
        """Return whether it ran out unmet before an instant."""
        return at >= self.due and (self.met is None or self.met > self.due)


@dataclass(eq=False)
class Verdict:
    """One person's answer about one content, under one policy."""

    person: str
    role: str
    says: str
    content: tuple[int, int]
    conditions: list[Condition] = field(default_factory=list)
    is_withdrawn: bool = False


@dataclass(eq=False)
class Ruling:
    """One approval that everybody needed has given."""

    environment: str
    made: datetime
    ends: datetime
    rests_on: list[Exemption]
    verdicts: list[Verdict]
    revoked: datetime | None = None
    is_promoted: bool = False

    def holds(self, at: datetime) -> bool:
        """Return whether it is in force at an instant."""
        if not self.made <= at < self.ends or (self.revoked is not None and at >= self.revoked):
            return False
        if any(each.revoked is not None and at >= each.revoked for each in self.rests_on):
            return False
        return not any(each.is_late(at) for verdict in self.verdicts for each in verdict.conditions)


@dataclass(eq=False)
class Ask:
    """One submission."""

    environment: str
    by: str
    text: Text
    due: datetime
    until: datetime | None = None
    is_open: bool = True
    verdicts: list[Verdict] = field(default_factory=list)

    def is_answerable(self, at: datetime) -> bool:
        """Return whether somebody may answer at an instant."""
        return self.is_open and at < self.ends

    @property
    def ends(self) -> datetime:
        """Return when unanswered becomes no."""
        return self.due if self.until is None else min(self.due, self.until)


@dataclass
class World:
    """Everything that has happened."""

    now: datetime
    texts: list[Text]
    measured: list[Measured] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    exemptions: list[Exemption] = field(default_factory=list)
    rulings: list[Ruling] = field(default_factory=list)
    retired: datetime | None = None

    @property
    def text(self) -> Text:
        """Return the newest policy."""
        return self.texts[-1]

    def content(self, ask: Ask) -> tuple[int, int]:
        """Return what a verdict given now is about: the evidence and the policy."""
        return (len(self.measured), ask.text.number)

    def red(self, text: Text, environment: str) -> set[str]:
        """Return the rules that nothing but a waiver lets pass now."""
        newest = self.measured[-1] if self.measured else None
        found = set()
        if newest is None or newest.accuracy < text.least or self.now >= newest.at + AGE:
            found.add("evaluations")
        if environment == "production" and newest is not None and newest.toxicity > TOXIC:
            found.add("no-toxic-model")
        return found

    def cover(self, text: Text, environment: str) -> tuple[set[str], list[Exemption]]:
        """Return the rules in the way, and the waivers without which there would be more."""
        red = self.red(text, environment)
        usable = [
            each
            for each in self.exemptions
            if each.environment == environment
            and each.rule in red
            and each.holds(self.now)
            and not (text.is_critical and each.rule == "evaluations")
        ]
        return red - {each.rule for each in usable}, usable

    def involved(self, ask: Ask) -> set[str]:
        """Return who had a hand in what is asked for."""
        return {ask.by, *(each.author for each in self.measured)}

    def counting(self, ask: Ask) -> list[Verdict]:
        """Return the verdicts about what is there now."""
        return [each for each in ask.verdicts if each.content == self.content(ask) and not each.is_withdrawn]

    def may_answer(self, ask: Ask, person: str, role: str, says: str) -> bool:
        """Return whether a verdict has to be accepted."""
        given = self.counting(ask)
        if not ask.is_answerable(self.now) or role not in ask.text.roles(ask.environment):
            return False
        if SEATS.get(person) != role or person in self.involved(ask) or any(each.person == person for each in given):
            return False
        if says != "approve":
            return True
        if self.retired or any(each.role == role and each.says != "reject" for each in given):
            return False
        if self.cover(ask.text, ask.environment)[0]:
            return False
        approved = {each.role: each.person for each in given if each.says == "approve"} | {role: person}
        is_last = set(ask.text.roles(ask.environment)) <= set(approved)
        return not (is_last and set(approved.values()) & self.involved(ask))

    def answer(self, ask: Ask, verdict: Verdict) -> None:
        """Take a verdict in, and make the ruling that it completes."""
        ask.verdicts.append(verdict)
        given = self.counting(ask)
        if verdict.says == "reject":
            ask.is_open = False
        approved = [each for each in given if each.says == "approve"]
        if verdict.says == "approve" and {each.role for each in approved} >= set(ask.text.roles(ask.environment)):
            _, used = self.cover(ask.text, ask.environment)
            ends = min([self.now + VALID[ask.environment], *(each.ends for each in used)])
            self.rulings.append(Ruling(ask.environment, self.now, ends, used, approved))
            ask.is_open = False

    def allows(self, environment: str, at: datetime) -> bool:
        """Return whether the version may serve at an instant."""
        if self.retired is not None and at >= self.retired:
            return False
        return any(each.environment == environment and each.holds(at) for each in self.rulings)

    def wake(self) -> None:
        """Let the clock do what it does: unanswered becomes no."""
        for ask in self.asks:
            ask.is_open = ask.is_answerable(self.now)
