"""People, teams, seats and tokens: who acts. What they may do is decided in `governance.permissions` alone."""

from __future__ import annotations

import uuid
from hashlib import sha256
from typing import Any, ClassVar

from django.contrib.auth import get_backends
from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import AbstractBaseUser, PermissionsMixin, UserManager
from django.core.exceptions import PermissionDenied
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower

from audit import log, recording, seal
from audit.events import Event
from audit.history import History
from audit.models import Governed, UnrecordedChange

slug_validator = RegexValidator(
    r"\A[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?\Z",
    "Use 1 to 64 lower-case letters, digits, dots, dashes or underscores, beginning and ending with a letter or digit.",
)


class Kind(models.TextChoices):
    """What stands behind an account."""

    PERSON = "person", "Person"
    SERVICE = "service", "Service"
    SYSTEM = "system", "System"


class PeopleManager(UserManager["User"]):
    """Finds and makes accounts."""

    def system(self, name: str) -> User:
        """Return the account under which the portal itself acts, for example `runner` or `sweeps`."""
        user, _ = self.get_or_create(
            username=f"system-{name}", defaults={"kind": Kind.SYSTEM, "name": f"Portal {name}"}
        )
        return user


class User(AbstractBaseUser, PermissionsMixin):
    """One account: a person, a service with tokens, or the portal itself. Accounts are deactivated, never deleted.

    No history keeps what an account was, because names, addresses and passwords must be able to go. Instead, the entry
    about each change states what the account then is, in digests; `registry.accounts` compares.
    """

    unrecorded_fields: ClassVar[frozenset[str]] = frozenset({"last_login"})
    ledger_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    username = models.CharField(max_length=64, unique=True, validators=[slug_validator])
    name = models.CharField(max_length=120)
    email = models.EmailField(blank=True)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.PERSON)
    is_active = models.BooleanField("active", default=True)
    is_staff = models.BooleanField("administrator", default=False)
    date_joined = models.DateTimeField(auto_now_add=True)
    left_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="When the account was closed.")

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["name"]
    objects = PeopleManager()

    class Meta:
        ordering = ["username"]
        constraints = [
            models.CheckConstraint(condition=models.Q(kind__in=Kind.values), name="user_kind_known"),
            models.UniqueConstraint(Lower("email"), name="user_email_once", condition=~models.Q(email="")),
        ]

    def __str__(self) -> str:
        return self.name or self.username

    @property
    def ledger_name(self) -> str:
        """Return the opaque name under which the ledger knows this account."""
        return f"{self.kind}:{self.ledger_id}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this account: opaque, because entries outlive every erasure."""
        return ("person", f"{self.kind} {self.ledger_id.hex[:8]}", str(self.ledger_id))

    @property
    def state(self) -> dict[str, Any]:
        """Return what an entry states of this account.

        The password's own random salt keeps everybody from guessing what the digests stand for.
        """
        names = {"username": self.username, "name": self.name, "email": self.email, "salt": self.password}
        return {
            "kind": self.kind,
            "active": self.is_active,
            "administrator": self.is_staff,
            "superuser": self.is_superuser,
            "names": seal.digest(seal.canonical(names)),
            "password": sha256(self.password.encode()).hexdigest(),
        }

    def save(self, **options: Any) -> None:
        """Save inside a recording about this account. Raises UnrecordedChange outside of one.

        The portal's own accounts come into being when they are first needed, always the same, without an entry.
        """
        if set(options.get("update_fields") or ["all"]) <= self.unrecorded_fields:
            return super().save(**options)
        if self._state.adding and self.kind == Kind.SYSTEM:
            return super().save(**options)
        told = recording.require("Saving an account")
        if told.subject is None or told.subject.ledger_ref != self.ledger_ref:
            raise UnrecordedChange(f"{told.event} is not about the account of {self.username}, which is to be saved.")
        super().save(**options)
        # Read back, because only some of the fields may have been saved.
        told.note(state=type(self).objects.get(pk=self.pk).state)
        return None

    def check_password(self, raw_password: str | None) -> bool:
        """Return whether this is the password. One that is hashed in an older way is hashed anew, on the record."""

        def renew(raw: str) -> None:
            with log.record(Event.PERSON_CHANGED, actor=self, subject=self, change="hash of the password"):
                self.set_password(raw)
                # Otherwise the same password would count as a new one.
                self._password = None
                self.save(update_fields=["password"])

        return check_password(raw_password, self.password, renew)

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Ask every backend, always: Django's superuser shortcut would let an administrator approve his own work."""
        for backend in get_backends():
            if hasattr(backend, "has_perm"):
                try:
                    if backend.has_perm(self, perm, obj=obj):
                        return True
                except PermissionDenied:
                    return False
        return False

    def require(self, rule: str, obj: Any = None) -> None:
        """Raise PermissionDenied with the rule's sentence unless the permission table allows this."""
        if not self.has_perm(rule, obj):
            raise PermissionDenied(f"{self.username} may not do this: {rule}.")

    def has_module_perms(self, app_label: str) -> bool:
        """Return whether the admin shows an app: to active administrators only."""
        return self.is_active and self.is_staff

    def is_known_as(self, identity: str) -> bool:
        """Return whether a commit author, user name, address or full name names this person.

        Two people of one name are both taken to be meant: whoever might be the author does not approve.
        """
        spoken, bracket, address = identity.casefold().rpartition("<")
        written = address.strip(" <>") if bracket else identity.strip().casefold()
        full_name = " ".join(self.name.casefold().split())
        named = " ".join((spoken.strip(' "') if bracket else written).split())
        return written in {self.username.casefold(), self.email.casefold()} - {""} or ("" != full_name == named)


class Team(Governed):
    """The people who own assets together."""

    slug = models.CharField(max_length=64, unique=True, validators=[slug_validator])
    name = models.CharField(max_length=120)
    history = History()

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this team."""
        return ("team", self.slug, str(self.pk))


class Membership(Governed):
    """One person's place in one team."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    history = History()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "user"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user.username} in {self.team.slug}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this membership."""
        return ("membership", str(self), str(self.pk))


class Seat(Governed):
    """A role that a person holds, for all assets or only for those granted one by one."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="seats")
    role = models.CharField(max_length=40, validators=[slug_validator])
    everywhere = models.BooleanField(default=True, help_text="Off: only for assets where `review_asset` is granted.")
    history = History()

    class Meta:
        ordering = ["role", "user"]
        constraints = [models.UniqueConstraint(fields=["user", "role"], name="seat_once")]

    def __str__(self) -> str:
        return f"{self.user.username} as {self.role}"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this seat."""
        return ("seat", str(self), str(self.pk))


class AccessToken(Governed):
    """A service's key to the API. Only its sha256 is kept: the secret has 256 random bits and needs no slow hash."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="tokens")
    label = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12, unique=True)
    secret_sha256 = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=list)
    issued_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    issued_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    history = History()

    class Meta:
        ordering = ["-issued_at"]

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.label})"

    @property
    def ledger_ref(self) -> tuple[str, str, str]:
        """Return (kind, label, id) for an entry about this token."""
        return ("token", self.prefix, str(self.pk))
