"""System checks: what is wrong with a portal's settings, keys and database, each with an id and what to do about it.

Errors are what must never run; warnings are what a new portal has not got yet. Those that ask the database run with
`manage.py migrate` and `manage.py check --database default`, those for production with `manage.py check --deploy`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 -- Django's own name
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from audit import copies, immutability, roles, rows, seal
from audit.models import Keyset
from audit.verifier import LEDGER_TABLES
from governance.models import Policy
from portal.errors import Invalid

Apps = Sequence[AppConfig] | None


@register(Tags.compatibility)
def check_clock(app_configs: Apps, **_: object) -> list[CheckMessage]:
    """Expect aware times in UTC: digests and signed statements hold them."""
    if settings.USE_TZ and settings.TIME_ZONE == "UTC":
        return []
    hint = "Set USE_TZ = True and TIME_ZONE = 'UTC'; pages may convert for people, the record does not."
    return [Error(f"The portal counts time in {settings.TIME_ZONE}, not in UTC.", hint=hint, id="portal.E001")]


@register(Tags.security)
def check_demo(app_configs: Apps, **_: object) -> list[CheckMessage]:
    """Refuse demo mode at an address on the network: it relaxes what passkeys ask of an origin."""
    if not (settings.DEMO and settings.SECURE):
        return []
    hint = "Unset COUNTERSIGN_DEMO, or run the demo at http://localhost."
    return [Error(f"Demo mode is on at {settings.PORTAL_URL}.", hint=hint, id="portal.E002")]


@register(Tags.security)
def check_keys(app_configs: Apps, **_: object) -> list[CheckMessage]:
    """Expect keys that are there to be readable by the portal and by nobody else."""
    private = [path for path in sorted(Path(settings.KEYS_DIR).glob("*.pem")) if not path.name.endswith(".pub.pem")]
    open_ones = [path for path in private if path.stat().st_mode & 0o077]
    return [message for message in try_keys() if isinstance(message, Error)] + [
        Warning(f"Others can read the key {path.name}.", hint=f"chmod 600 {path}", id="portal.W004")
        for path in open_ones
    ]


def try_keys() -> list[CheckMessage]:
    """Return what is wrong with the keys: an error for one that cannot be read, a warning for one that is missing."""
    found: list[CheckMessage] = []
    for title, load in (("ledger", seal.ledger_key), ("decision", seal.decision_key)):
        try:
            load()
        except ImproperlyConfigured as error:
            found.append(Warning(f"There is no {title} key.", hint=str(error), id="portal.W003"))
        except (OSError, ValueError, TypeError, Invalid) as error:
            hint = f"{error} Restore the key file from its backup; nothing can be signed without it."
            found.append(Error(f"The {title} key cannot be read.", hint=hint, id="portal.E003"))
    return found


@register(Tags.files, deploy=True)
def check_setup(app_configs: Apps, **_: object) -> list[CheckMessage]:
    """Expect what a new portal has not got yet: its keys, and the folders that `file:` storage URIs may point into."""
    hint = "Create the folder or mount it, or take it out of ARTIFACT_ROOTS; until then its artifacts are unreadable."
    missing = [
        Warning(f"The artifact root {root} is not there.", hint=hint, id="portal.W005")
        for root in settings.ARTIFACT_ROOTS
        if not Path(root).is_dir()
    ]
    return [message for message in try_keys() if message.id == "portal.W003"] + missing


@register(Tags.security, deploy=True)
def check_address(app_configs: Apps, **_: object) -> list[CheckMessage]:
    """Expect https in production: cookies, passkeys and the links in refusals depend on the address."""
    if settings.SECURE:
        return []
    hint = "Set PORTAL_URL to the https:// address that people use."
    return [Error(f"PORTAL_URL is {settings.PORTAL_URL}.", hint=hint, id="portal.E006")]


@register(Tags.security)
def check_copies(app_configs: Apps, **_: object) -> list[CheckMessage]:
    """Expect places outside for checkpoints: without a copy there, whoever runs the database can write it anew."""
    try:
        if copies.places() or settings.DEMO or settings.DEBUG:
            return []
    except Invalid as error:
        hint = "See docs/operating.md, Copies of checkpoints outside, for how each address is written."
        return [Error(f"Checkpoints cannot be copied: {error}", hint=hint, id="portal.E009")]
    hint = "Set CHECKPOINT_PLACES, for example to file:///mnt/auditors or s3://bucket/prefix; see docs/operating.md."
    return [Warning("No copy of a checkpoint leaves this portal.", hint=hint, id="portal.W009")]


@register(Tags.database, deploy=True)
def check_keyset(app_configs: Apps, databases: Iterable[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Expect a keyset, signed by roots that are kept offline: gates without a network believe nothing else."""
    if not databases or "default" not in databases:
        return []
    is_there = Keyset._meta.db_table in connections["default"].introspection.table_names()
    if not is_there or Keyset.objects.exists():
        return []
    hint = "Make root keys and publish one: docs/operating.md, Keys. Until then, gates without a network say no."
    return [Warning("No keyset is published.", hint=hint, id="portal.W010")]


@register(Tags.database)
def check_role(app_configs: Apps, databases: Iterable[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Expect a role that can only add to the record. Whoever names DATABASE_ROLE migrates, and means to own it."""
    if not databases or "default" not in databases or settings.DEMO or settings.DEBUG:
        return []
    if "assume_role" in connections["default"].settings_dict["OPTIONS"]:
        return []
    excess = roles.excess()
    if not excess:
        return []
    hint = "Run `manage.py create_roles` and connect as the application: docs/operating.md, Database roles."
    says = f"The portal connects as {excess}, who can change what the record says."
    return [Warning(says, hint=hint, id="portal.W011")]


@register(Tags.database)
def check_record(app_configs: Apps, databases: Iterable[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Expect the triggers of append-only tables and a published policy, once the tables are there."""
    if not databases or "default" not in databases:
        return []
    found: list[CheckMessage] = []
    there = set(connections["default"].introspection.table_names())
    if bare := immutability.unprotected(there & {*LEDGER_TABLES, *rows.recorded_models()}):
        hint = "Somebody has dropped or disabled triggers. Find out who and why, then run `manage.py verify_ledger`."
        found.append(Error(f"Not append-only any more: {', '.join(bare)}.", hint=hint, id="portal.E007"))
    if Policy._meta.db_table in there and not Policy.objects.exists():
        hint = "Run `manage.py install_policy`; without a policy nothing can be nominated."
        found.append(Warning("No policy is published.", hint=hint, id="portal.W008"))
    return found
