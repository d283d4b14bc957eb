"""Keysets: which keys of this portal are to be believed, for what and from when to when, signed offline by its roots.

Reading and judging alone: a keyset is made and published by `audit.rotation`, and signed with `audit/exports/roots.py`.
A portal without one goes by its key files. Format and rules: docs/decisions/0019-keyset.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from audit import notes, seal
from audit.models import Keyset
from portal.errors import Fault, Invalid, Reason, Refused, show

TYPE = "https://countersign.dev/keyset/v1"
PAYLOAD_TYPE = "application/vnd.countersign.keyset+json"
MEMBERS = {"type", "version", "issuedAt", "expiresAt", "threshold", "roots", "keys"}
KEY_MEMBERS = {"keyid", "scheme", "public", "purpose", "name", "validFrom", "validUntil", "compromisedAt"}
SCHEMES = {
    "ecdsa-p256": "ecdsa-sha2-nistp256",
    "ecdsa-p384": "ecdsa-sha2-nistp384",
    "ed25519": "ed25519",
    "rsa-pss": "rsassa-pss-sha256",
}
MOST_ROOTS, MOST_KEYS = 16, 1_000


class Purpose(StrEnum):
    """What a key of this portal signs."""

    DECISION = "decision"
    LOG = "log"
    WITNESS = "witness"


@dataclass(frozen=True)
class ListedKey:
    """One key as a keyset names it. `name` is the note name of a key of the ledger or of a witness."""

    public: seal.PublicKey
    purpose: Purpose
    name: str | None
    valid_from: datetime
    valid_until: datetime
    compromised_at: datetime | None = None

    def counts_at(self, at: datetime) -> bool:
        """Return whether a signature made at a proved instant is believed."""
        lost = self.compromised_at is not None and at >= self.compromised_at
        return self.valid_from <= at < self.valid_until and not lost

    @property
    def note_key(self) -> notes.NoteKey:
        """Return the key as one of signed notes. Raises Invalid when it is none."""
        if not isinstance(self.public.key, Ed25519PublicKey) or self.name is None:
            raise Invalid(Fault("keys", self.public.scheme, "an Ed25519 key with a name, for notes"))
        return notes.note_key(self.name, self.public.key)

    def as_json(self) -> dict[str, Any]:
        """Return the key as the document writes it."""
        return {
            "keyid": self.public.fingerprint,
            "scheme": SCHEMES[self.public.scheme],
            "public": self.public.pem,
            "purpose": self.purpose.value,
            "name": self.name,
            "validFrom": seal.instant(self.valid_from),
            "validUntil": seal.instant(self.valid_until),
            "compromisedAt": seal.instant(self.compromised_at) if self.compromised_at else None,
        }


@dataclass(frozen=True)
class Document:
    """What a keyset says. That somebody signed it is not shown by having one; see `opened`."""

    version: int
    issued_at: datetime
    expires_at: datetime
    threshold: int
    roots: tuple[seal.PublicKey, ...]
    keys: tuple[ListedKey, ...]

    def of(self, purpose: Purpose) -> list[ListedKey]:
        """Return the keys for one purpose, whenever they were valid."""
        return [key for key in self.keys if key.purpose == purpose]

    def find(self, fingerprint: str) -> ListedKey | None:
        """Return the key with a key id."""
        return next((key for key in self.keys if key.public.fingerprint == fingerprint), None)

    def as_json(self) -> dict[str, Any]:
        """Return the document, ready to be made canonical."""
        return {
            "type": TYPE,
            "version": self.version,
            "issuedAt": seal.instant(self.issued_at),
            "expiresAt": seal.instant(self.expires_at),
            "threshold": self.threshold,
            "roots": [root.pem for root in self.roots],
            "keys": [key.as_json() for key in self.keys],
        }


def parse(payload: bytes) -> Document:
    """Return what the payload of a keyset says. Raises Invalid naming the first member that is wrong."""
    try:
        said = json.loads(payload.decode())
    except (ValueError, RecursionError) as error:
        raise Invalid(Fault("keyset", show(payload[:60]), "a keyset as JSON")) from error
    if not isinstance(said, dict) or set(said) != MEMBERS or said["type"] != TYPE:
        raise Invalid(Fault("keyset", show(said), f"an object of type {TYPE} with {', '.join(sorted(MEMBERS))}"))
    if seal.canonical(said) != payload:
        raise Invalid(Fault("keyset", "another form", "the RFC 8785 form of the document, each member once"))
    roots = tuple(seal.load_public_key(_text(pem, "roots")) for pem in _list(said["roots"], "roots", MOST_ROOTS))
    keys = tuple(_key(each, f"keys[{place}]") for place, each in enumerate(_list(said["keys"], "keys", MOST_KEYS)))
    _expect_distinct(roots, "roots")
    _expect_distinct([key.public for key in keys], "keys")
    issued, expires = _instant(said["issuedAt"], "issuedAt"), _instant(said["expiresAt"], "expiresAt")
    if expires <= issued:
        raise Invalid(Fault("expiresAt", said["expiresAt"], "an instant after issuedAt"))
    return Document(
        version=_number(said["version"], "version", 2**31 - 1),
        issued_at=issued,
        expires_at=expires,
        threshold=_number(said["threshold"], "threshold", len(roots)),
        roots=roots,
        keys=keys,
    )


def _key(said: object, where: str) -> ListedKey:
    """Return one key of a document."""
    if not isinstance(said, dict) or set(said) != KEY_MEMBERS:
        raise Invalid(Fault(where, show(said), f"an object with {', '.join(sorted(KEY_MEMBERS))}"))
    public = seal.load_public_key(_text(said["public"], f"{where}.public"))
    if (said["keyid"], said["scheme"]) != (public.fingerprint, SCHEMES[public.scheme]):
        raise Invalid(Fault(where, show(said["keyid"]), f"key id and scheme of the key: {public.fingerprint}"))
    if said["purpose"] not in list(Purpose):
        raise Invalid(Fault(f"{where}.purpose", show(said["purpose"]), ", ".join(Purpose)))
    lost, name = said["compromisedAt"], said["name"]
    found = ListedKey(
        public=public,
        purpose=Purpose(said["purpose"]),
        name=None if name is None else _text(name, f"{where}.name"),
        valid_from=_instant(said["validFrom"], f"{where}.validFrom"),
        valid_until=_instant(said["validUntil"], f"{where}.validUntil"),
        compromised_at=None if lost is None else _instant(lost, f"{where}.compromisedAt"),
    )
    if found.valid_until <= found.valid_from:
        raise Invalid(Fault(f"{where}.validUntil", show(said["validUntil"]), "an instant after validFrom"))
    if found.purpose != Purpose.DECISION:
        found.note_key  # noqa: B018 -- raises when the key cannot sign notes
    elif name is not None:
        raise Invalid(Fault(f"{where}.name", show(name), "null: decision keys go by their key id"))
    return found


def _text(value: object, where: str) -> str:
    """Return a member that is text."""
    if not isinstance(value, str) or len(value) > 10_000:
        raise Invalid(Fault(where, show(value), "text"))
    return value


def _list(value: object, where: str, most: int) -> list[Any]:
    """Return a member that is a list of at least one."""
    if not isinstance(value, list) or not 0 < len(value) <= most:
        raise Invalid(Fault(where, show(value), f"a list of 1 to {most}"))
    return value


def _number(value: object, where: str, most: int) -> int:
    """Return a member that is a whole number from one."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
        raise Invalid(Fault(where, show(value), f"a whole number from 1 to {most}"))
    return value


def _instant(value: object, where: str) -> datetime:
    """Return a member that is an RFC 3339 time in UTC."""
    try:
        if isinstance(value, str) and len(value) <= 30 and value.endswith("Z"):
            return datetime.fromisoformat(value)
    except ValueError:
        pass
    raise Invalid(Fault(where, show(value), "a time in UTC such as 2026-11-23T09:00:00Z"))


def _expect_distinct(keys: Sequence[seal.PublicKey], where: str) -> None:
    """Raise Invalid when a key stands there twice: it would count twice."""
    if len({key.fingerprint for key in keys}) < len(keys):
        raise Invalid(Fault(where, "a key twice", "each key once"))


def opened(envelope: Mapping[str, Any], before: Document | None) -> Document:
    """Return a keyset that enough of its own roots have signed, and of the roots of the keyset before it.

    Where so many of those are lost that they cannot sign, whoever runs the portal names the sha256 of the keyset that
    begins with other roots in KEYSET_NEW_ROOTS, outside of the database: gates believe none but the roots they hold.
    Raises Invalid for a malformed one, Refused with `bad-signature` or `untrusted-key` for want of signatures, and with
    code `keyset_order` when it takes something back that the keyset before it has said.
    """
    sha256 = seal.digest(seal.payload_of(envelope, PAYLOAD_TYPE))
    if before is not None and sha256 not in settings.KEYSET_NEW_ROOTS:
        seal.verify(envelope, before.roots, threshold=before.threshold)
    document = parse(seal.payload_of(envelope, PAYLOAD_TYPE))
    seal.verify(envelope, document.roots, threshold=document.threshold)
    if before is None:
        if document.version != 1:
            raise _out_of_order(f"It has the number {document.version}, and there is none before it.")
        return document
    if fault := next(contradictions(document, before), None):
        raise _out_of_order(fault)
    return document


def _out_of_order(says: str) -> Refused:
    """Return the refusal of a keyset that does not follow the one before it."""
    fix = "Start from `manage.py keyset draft`, which keeps what the newest keyset says, and have it signed again."
    return Refused(
        "keyset_order",
        f"The keyset cannot follow. {says}",
        reasons=[Reason("keyset_order", says, fix, "docs/operating.md")],
    )


def contradictions(document: Document, before: Document) -> Iterator[str]:
    """Yield what a keyset takes back of what the one before it has said."""
    if document.version != before.version + 1:
        yield f"It has the number {document.version}; after {before.version} comes {before.version + 1}."
    if document.issued_at < before.issued_at:
        yield "It was issued before the keyset that it follows."
    for old in before.keys:
        new, name = document.find(old.public.fingerprint), old.public.fingerprint[:12]
        if new is None:
            yield f"The key {name}… is missing: what was signed with it has to stay verifiable."
            continue
        if (new.purpose, new.name, new.valid_from) != (old.purpose, old.name, old.valid_from):
            yield f"The key {name}… was for another purpose, name or start."
        if new.valid_until > old.valid_until <= document.issued_at:
            yield f"The key {name}… ended on {old.valid_until:%Y-%m-%d} and cannot come back."
        if old.compromised_at and (new.compromised_at is None or new.compromised_at > old.compromised_at):
            yield f"The key {name}… was compromised on {old.compromised_at:%Y-%m-%d}; that can only become earlier."


def newest() -> Document | None:
    """Return the newest keyset that was published, or None where keys are files alone. One small query."""
    found = Keyset.objects.order_by("-number").values_list("number", "sha256").first()
    return None if found is None else _published(*found)


@lru_cache(maxsize=64)
def _published(number: int, sha256: str) -> Document:
    """Return one published keyset; rows never change, so a number and a digest name one for ever."""
    return parse(seal.payload_of(Keyset.objects.get(number=number, sha256=sha256).envelope, PAYLOAD_TYPE))


def faults() -> Iterator[str]:
    """Yield what is wrong with the chain of published keysets, in sentences."""
    before: Document | None = None
    for row in Keyset.objects.order_by("number").iterator():
        try:
            before = opened(row.envelope, before)
        except (Invalid, Refused) as error:
            yield f"Keyset {row.number} cannot be believed: {error}"
            return


@dataclass(frozen=True)
class LogKey:
    """A key of the ledger with what the newest keyset says about it; `listed` is None where it does not name it."""

    note: notes.NoteKey
    listed: ListedKey | None = None

    def signs_at(self, at: datetime) -> bool:
        """Return whether a checkpoint made at an instant may carry its signature; compromise is asked elsewhere."""
        return self.listed is None or self.listed.valid_from <= at < self.listed.valid_until

    def is_sound_at(self, at: datetime) -> bool:
        """Return whether its signature of that instant is believed by itself."""
        return self.listed is None or self.listed.counts_at(at)


def log_keys() -> list[LogKey]:
    """Return the keys of this ledger, the present one first, then every one that the newest keyset names.

    Where the private key is kept on another host, those of the keyset are all there are; raises ImproperlyConfigured
    when there is neither.
    """
    document, origin = newest(), settings.LEDGER_ORIGIN
    named = [key for key in document.of(Purpose.LOG) if key.name == origin] if document else []
    listed = [LogKey(key.note_key, key) for key in named]
    try:
        present = notes.note_key(origin, seal.ledger_key().public_key())
    except ImproperlyConfigured:
        if not listed:
            raise
        return listed
    mine = [key for key in listed if key.note.vkey == present.vkey]
    return [*(mine or [LogKey(present)]), *(key for key in listed if key not in mine)]


def log_signers() -> list[Ed25519PrivateKey]:
    """Return the private keys that sign checkpoints now: the present one and, once a keyset names it, the next one."""
    present, coming = seal.ledger_key(), seal.next_ledger_key()
    if coming is None:
        return [present]
    named = {key.note.vkey for key in log_keys() if key.listed is not None}
    is_named = notes.note_key(settings.LEDGER_ORIGIN, coming.public_key()).vkey in named
    return [present, coming] if is_named else [present]


def decision_keys() -> list[seal.PublicKey]:
    """Return every key that has signed decisions of this portal, the present one first."""
    document = newest()
    present = seal.decision_key()
    listed = [key.public for key in document.of(Purpose.DECISION)] if document else []
    return [present, *(key for key in listed if key.fingerprint != present.fingerprint)]


def expect_signing(at: datetime) -> None:
    """Raise Refused when the newest keyset does not let the present decision key sign something dated at an instant."""
    document = newest()
    if document is None:
        return
    present = seal.decision_key()
    listed = document.find(present.fingerprint)
    if listed is not None and listed.purpose == Purpose.DECISION and listed.counts_at(at):
        return
    name, when = f"{present.fingerprint[:12]}…", f"{at:%Y-%m-%d %H:%M} UTC"
    says = f"Keyset {document.version} does not let the decision key {name} sign what is dated {when}."
    fix = "Whoever operates the portal publishes a keyset that names it, or rotates the key: docs/operating.md."
    raise Refused("key_not_valid", says, reasons=[Reason("key_not_valid", says, fix, "docs/operating.md")])
