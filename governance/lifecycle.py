"""THE table of states and moves, and the only writer of `Version.state`.

`draft` is entered by registration itself. Page buttons and docs/lifecycle.md are derived from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from audit import log
from audit.events import Event
from governance import challenges
from governance.models import Transition
from governance.models.challenges import Cause
from governance.permissions import may
from portal.errors import Fault, Invalid, Refused, show
from registry.drafts import is_storable
from registry.models import State, User, Version

# The environment whose decision makes a version `approved`.
PRODUCTION = "production"
MAX_TEXT = 4000


@dataclass(frozen=True)
class Move:
    """One way from some states to another: who may ask for it, and the words on its button.

    A move `by_clock` is also made by the sweeps, under the rule `sweep` instead of its own.
    """

    name: str
    sources: frozenset[str]
    target: str
    rule: str
    title: str
    means: str
    by_hand: bool = False
    by_clock: bool = False


TABLE = (
    Move(
        "nominate",
        frozenset({State.DRAFT}),
        State.CANDIDATE,
        "version.nominate",
        "Nominate",
        "every baseline rule passes or is waived",
    ),
    Move(
        "sign",
        frozenset({State.CANDIDATE}),
        State.APPROVED,
        "decision.sign",
        "Sign",
        "a production decision is signed and in force",
    ),
    Move(
        "lapse",
        frozenset({State.APPROVED}),
        State.CANDIDATE,
        "sweep",
        "Lapse",
        "no production decision is in force any more",
    ),
    Move(
        "deprecate",
        frozenset({State.CANDIDATE, State.APPROVED}),
        State.DEPRECATED,
        "version.deprecate",
        "Deprecate",
        "a successor is announced; new consumers are refused, the others are served until the sunset date",
        by_hand=True,
        by_clock=True,
    ),
    Move(
        "retire",
        frozenset({State.DRAFT, State.CANDIDATE, State.APPROVED, State.DEPRECATED}),
        State.RETIRED,
        "version.retire",
        "Retire",
        "no serving is allowed any more; the record is archived for audit, for good",
        by_hand=True,
        by_clock=True,
    ),
)
MOVES = {move.name: move for move in TABLE}


def expect(version: Version, name: str) -> Move:
    """Return a move, or raise Refused naming the states it starts from."""
    move = MOVES[name]
    if version.state not in move.sources:
        starts = " or ".join(sorted(move.sources))
        raise Refused("wrong_state", f"{version.label} is {version.state}; to {name} it, it has to be {starts}.")
    return move


def move(version: Version, name: str, *, actor: User, reason: str = "", cause: str = "") -> Transition:
    """Move a locked version, inside the caller's record; the caller has asked the permission table."""
    with log.record(Event.VERSION_MOVED, actor=actor, subject=version, **words(version, name)):
        return write(version, name, actor=actor, reason=reason, cause=cause)


def words(version: Version, name: str) -> dict[str, str]:
    """Return what the ledger says about a move."""
    return {"move": name, "from_state": version.state, "to_state": MOVES[name].target}


def write(version: Version, name: str, *, actor: User, reason: str, cause: str = "", **announced: Any) -> Transition:
    """Write the state and the transition that explains it. Nobody else assigns a version's state."""
    step = expect(version, name)
    before, version.state = version.state, step.target
    version.save(update_fields=["state"])
    return Transition.objects.create(
        version=version,
        move=name,
        from_state=before,
        to_state=step.target,
        at=timezone.now(),
        actor=actor,
        reason=reason,
        cause=cause,
        **announced,
    )


def lock(version: Version) -> Version:
    """Lock a version's row until the transaction ends. Versions are locked before submissions, always."""
    return Version.objects.select_for_update(of=("self",)).select_related("asset__team").get(pk=version.pk)


def open_to(actor: User, version: Version) -> list[Move]:
    """Return the moves that a person may make by hand now, for the buttons of a page."""
    return [step for step in TABLE if step.by_hand and version.state in step.sources and may(actor, step.rule, version)]


def deprecate(
    version: Version,
    *,
    actor: User,
    successor: Version | None,
    sunset_at: datetime,
    reason: str,
    cause: str = "",
    rule: str = "version.deprecate",
) -> Version:
    """Announce a version's replacement: new consumers are refused, existing ones are served until the sunset.

    The clock asks under its own rule, when nobody owns the version any more.
    """
    said = {**words(version, "deprecate"), "sunset": sunset_at, "successor": successor.label if successor else ""}
    with log.record(Event.VERSION_MOVED, actor=actor, subject=version, **said):
        version = lock(version)
        actor.require(rule, version)
        expect(version, "deprecate")
        expect_reason(reason)
        if sunset_at <= timezone.now():
            raise Invalid(Fault("sunset_at", sunset_at.isoformat(), "an instant in the future"))
        if successor is not None and (successor.pk == version.pk or successor.asset_id != version.asset_id):
            raise Invalid(Fault("successor", successor.label, f"another version of {version.asset.slug}"))
        announced = {"successor": successor, "sunset_at": sunset_at}
        write(version, "deprecate", actor=actor, reason=reason, cause=cause, **announced)
    return version


def retire(version: Version, *, actor: User, reason: str, cause: str = "", rule: str = "version.retire") -> Version:
    """End a version for good; the clock asks under its own rule. `submissions.retire` closes what it asks for, too.

    Whatever is in force and made from it is challenged at once. Whoever holds a lock on the version already has to
    have taken it by `challenges.lock`.
    """
    with log.record(Event.VERSION_MOVED, actor=actor, subject=version, **words(version, "retire")):
        members = {member.pk: member for member in challenges.lock(version)}
        version = members.pop(version.pk)
        actor.require(rule, version)
        expect(version, "retire")
        expect_reason(reason)
        step = write(version, "retire", actor=actor, reason=reason, cause=cause)
        challenges.follow(version, Cause.BASE_RETIRED, members, at=step.at, actor=actor)
    return version


def expect_reason(reason: str) -> None:
    """Raise Invalid unless somebody has said why."""
    if len(reason.strip()) < 3:
        raise Invalid(Fault("reason", "nothing", "a sentence that says why"))
    expect_text("reason", reason)


def expect_text(field: str, text: str) -> None:
    """Raise Invalid unless a text that somebody typed can be kept as it is."""
    if len(text) > MAX_TEXT or not is_storable(text):
        expected = f"at most {MAX_TEXT:,} characters, without NUL characters and lone surrogates"
        raise Invalid(Fault(field, show(text), expected))
