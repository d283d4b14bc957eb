"""The verbs of this portal's own keys: draft a keyset, publish one that its roots have signed, let a new key take over.

A key takes over in three steps, each of which can be repeated: `prepare` makes it beside the old one, a keyset names
both, and `switch_ledger_key` or `switch_decision_key` puts it in place. What a compromise ends lives in
`governance.portal_keys`; what is lost or kept is told in docs/operating.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from audit import keyset, log, seal, sealer
from audit.cosignatures import WitnessKey
from audit.events import Event
from audit.keyset import Document, ListedKey, Purpose
from audit.models import Checkpoint, Entry, Keyset, Pending
from audit.recording import Actor
from portal.errors import Fault, Invalid, Reason, Refused, show

LIFE = {Purpose.DECISION: timedelta(days=365), Purpose.LOG: timedelta(days=730), Purpose.WITNESS: timedelta(days=730)}
OVERLAP = timedelta(days=7)
SKEW = timedelta(minutes=5)
THRESHOLD = 2
RUNBOOK = "docs/operating.md"


@dataclass(frozen=True)
class PortalKey:
    """A key of this portal as a subject of entries."""

    purpose: Purpose
    fingerprint: str

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for entries about this key."""
        return ("portal-key", f"{self.purpose} key {self.fingerprint[:12]}", self.fingerprint)


def draft(
    *,
    at: datetime,
    days: int = 365,
    roots: Iterable[str] = (),
    witnesses: Iterable[WitnessKey] = (),
    compromised: Mapping[str, datetime] | None = None,
) -> Document:
    """Return the next keyset, ready to be signed: what the newest says, and the keys that are there now.

    `roots` are PEM texts, needed for the first keyset and to change them; `witnesses` are keys of cosigners,
    `compromised` maps key ids to the first instant that is no longer believed. Raises Invalid naming what is wrong.
    """
    before = keyset.newest()
    listed = {key.public.fingerprint: key for key in (before.keys if before else ())}
    start = at if before else (Entry.objects.order_by("id").values_list("occurred_at", flat=True).first() or at)
    for present, coming, purpose, name in _held():
        listed.setdefault(present.fingerprint, _new(present, purpose, name, start, at))
        if coming is not None:
            listed.setdefault(coming.fingerprint, _new(coming, purpose, name, at, at))
            old = listed[present.fingerprint]
            listed[present.fingerprint] = replace(old, valid_until=min(old.valid_until, at + OVERLAP))
    for witness in witnesses:
        public = seal.pinned(witness.public)
        listed.setdefault(public.fingerprint, _new(public, Purpose.WITNESS, witness.name, at, at))
    for fingerprint, since in (compromised or {}).items():
        if fingerprint not in listed:
            raise Invalid(Fault("compromised", show(fingerprint), f"one of the key ids {', '.join(sorted(listed))}"))
        listed[fingerprint] = replace(listed[fingerprint], compromised_at=since)
    trusted = _roots(roots, before)
    document = Document(
        version=before.version + 1 if before else 1,
        issued_at=at,
        expires_at=at + timedelta(days=days),
        threshold=min(THRESHOLD, len(trusted)),
        roots=trusted,
        keys=tuple(listed.values()),
    )
    return keyset.parse(seal.canonical(document.as_json()))


def _roots(given: Iterable[str], before: Document | None) -> tuple[seal.PublicKey, ...]:
    """Return the roots of the next keyset: those that are given, else those that there are."""
    trusted = tuple(map(seal.load_public_key, given)) or (before.roots if before else ())
    if not trusted:
        raise Invalid(Fault("root", "none", "the public root keys, three for production, for the first keyset"))
    return trusted


def _held() -> Iterator[tuple[seal.PublicKey, seal.PublicKey | None, Purpose, str | None]]:
    """Yield the present and the coming key for each purpose that this portal signs for."""
    coming = seal.next_ledger_key()
    log_key, next_log_key = seal.public_half(seal.ledger_key()), seal.public_half(coming) if coming else None
    yield log_key, next_log_key, Purpose.LOG, settings.LEDGER_ORIGIN
    yield seal.decision_key(), seal.next_decision_key(), Purpose.DECISION, None


def _new(public: seal.PublicKey, purpose: Purpose, name: str | None, start: datetime, at: datetime) -> ListedKey:
    """Return a key that no keyset has named yet."""
    return ListedKey(public, purpose, name, valid_from=start, valid_until=at + LIFE[purpose])


def publish(envelope: Mapping[str, Any], *, actor: Actor) -> Document:
    """Record a keyset that enough roots have signed; from then on it is the one that this portal hands out.

    Raises Invalid or Refused as `keyset.opened`, and Refused with code `keyset_unusable` when this portal could sign
    nothing that it allows. Nothing is written then.
    """
    now = timezone.now()
    document = keyset.opened(envelope, keyset.newest())
    if reasons := [Reason("keyset_unusable", says, fix, RUNBOOK) for says, fix in _unusable(document, now)]:
        raise Refused("keyset_unusable", f"Keyset {document.version} cannot be used by this portal.", reasons=reasons)
    row = Keyset(
        number=document.version,
        envelope={name: envelope[name] for name in ("payload", "payloadType", "signatures")},
        sha256=seal.digest(seal.payload_of(envelope, keyset.PAYLOAD_TYPE)),
        issued_at=document.issued_at,
        expires_at=document.expires_at,
    )
    lost = [key.public.fingerprint for key in document.keys if key.compromised_at]
    with log.record(Event.KEYSET_PUBLISHED, actor=actor, subject=row, expires=document.expires_at, compromised=lost):
        row.save()
    return document


def _unusable(document: Document, now: datetime) -> Iterator[tuple[str, str]]:
    """Yield why this portal could not work with a keyset, each with what to do."""
    again = "Draft it again, with the right date, and have it signed."
    if document.issued_at > now + SKEW:
        yield f"It is issued in the future, on {document.issued_at:%Y-%m-%d %H:%M} UTC.", again
    if document.expires_at <= now:
        yield f"It has expired on {document.expires_at:%Y-%m-%d %H:%M} UTC.", again
    for present, coming, purpose, name in _held():
        found = document.find(present.fingerprint)
        if found is None or (found.purpose, found.name) != (purpose, name):
            yield f"It does not name the present {purpose} key {present.fingerprint[:12]}….", "Draft it on this portal."
        heirs = [document.find(key.fingerprint) for key in (present, coming) if key is not None]
        if not any(key is not None and key.purpose == purpose and key.counts_at(now) for key in heirs):
            fix = f"Prepare another one with `manage.py {_command(purpose)}` and draft the keyset again."
            yield f"It leaves no {purpose} key that may sign now.", fix


def _command(purpose: Purpose) -> str:
    """Return the command that rotates a key."""
    return "rotate_ledger_key" if purpose == Purpose.LOG else "rotate_decision_key"


def make_keys(*, replace_lost: bool = False) -> None:
    """Make the keys of a new portal where they are missing.

    Raises Refused with code `key_lost` on a portal that has signed checkpoints: a key that is missing there was lost,
    and another one fits nothing that others hold until a keyset names it.
    """
    lost = [name for name in seal.key_files() if not (Path(settings.KEYS_DIR) / name).exists()]
    if lost and not replace_lost and Checkpoint.objects.exists():
        says = f"{' and '.join(lost)} is missing in {settings.KEYS_DIR}, and this ledger is signed already."
        fix = "Restore it. Where it is lost for good, stop the sealer, then `manage.py ensure_keys --replace-lost`."
        raise Refused("key_lost", f"{says} {fix}", reasons=[Reason("key_lost", says, fix, RUNBOOK)])
    seal.ensure_keys()


def prepare(purpose: Purpose) -> seal.PublicKey:
    """Make the key that will take over, where there is none yet, and return its public half. Nothing signs with it.

    A key in a key service is made there: Refused until its public half lies beside the present one.
    """
    name = seal.COMING[seal.LEDGER_KEY if purpose == Purpose.LOG else seal.decision_file()]
    if name.endswith(".pub.pem"):
        if (found := seal.next_decision_key()) is None:
            fix = f"Make a key there and put its public half at {Path(settings.KEYS_DIR) / name}."
            reason = Reason("next_key", "The next key is made in the key service.", fix, RUNBOOK)
            raise Refused("no_next_key", "The decision key is in a key service.", reasons=[reason])
        return found
    seal.make_key(name)
    return seal.public_half(seal.ledger_key(name)) if purpose == Purpose.LOG else seal.decision_key(name)


def coming(purpose: Purpose) -> seal.PublicKey | None:
    """Return the key that was prepared to take over."""
    if purpose == Purpose.DECISION:
        return seal.next_decision_key()
    found = seal.next_ledger_key()
    return seal.public_half(found) if found else None


def expect_named(purpose: Purpose) -> seal.PublicKey:
    """Return the prepared key once the newest keyset lets it sign; raises Refused saying what comes first."""
    public, document = coming(purpose), keyset.newest()
    command = _command(purpose)
    if public is None:
        reason = Reason("next_key", "No key is prepared.", f"Run `manage.py {command}` without --switch.", RUNBOOK)
        raise Refused("no_next_key", f"There is no {purpose} key to take over.", reasons=[reason])
    found = document.find(public.fingerprint) if document else None
    if found is None or found.purpose != purpose or not found.counts_at(timezone.now()):
        says = "No published keyset names it, so nobody outside would believe what it signs."
        fix = "`manage.py keyset draft`, have it signed by the roots, `manage.py keyset publish`, then --switch again."
        reason = Reason("key_not_named", says, fix, RUNBOOK)
        raise Refused("key_not_named", f"The key {public.fingerprint[:12]}… cannot take over.", reasons=[reason])
    return public


def switch_ledger_key(*, actor: Actor) -> Path:
    """Let the prepared key sign checkpoints from now on, and return where the old private key was put.

    The entry that says so is sealed under a checkpoint that both keys have signed: from the keyset to the switch the
    sealer signs with both. Killed anywhere, it is run again. Raises Refused as `expect_named`.
    """
    public = expect_named(Purpose.LOG)
    entry = _tell(Purpose.LOG, public, seal.public_half(seal.ledger_key()), actor=actor)
    while Pending.objects.filter(entry=entry).exists():
        sealer.seal_due()
    with transaction.atomic(), connection.cursor() as cursor:
        # No sealer may hold the old key in its hand while the file changes.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [sealer.SEALER_LOCK])
        return seal.install_coming(seal.LEDGER_KEY)


def switch_decision_key(*, actor: Actor) -> Path:
    """Let the prepared key sign decisions from now on, and return where the old one was put.

    What waits for a signature should be signed before, see `manage.py rotate_decision_key`. Raises Refused as
    `expect_named`.
    """
    public = expect_named(Purpose.DECISION)
    _tell(Purpose.DECISION, public, seal.decision_key(), actor=actor)
    return seal.install_coming(seal.decision_file())


def _tell(purpose: Purpose, new: seal.PublicKey, old: seal.PublicKey, *, actor: Actor) -> Entry:
    """Append the entry that a key takes over, once, and return it."""
    subject = PortalKey(purpose, new.fingerprint)
    told = log.entries(kind=Event.KEY_ROTATED, subject=subject)
    if not told.exists():
        known = {"purpose": purpose.value, "old": old.fingerprint, "new": new.fingerprint}
        with log.record(Event.KEY_ROTATED, actor=actor, subject=subject, **known):
            pass
    return told[0]
