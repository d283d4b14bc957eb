"""Policy as code: read a text, validate it, publish it under its digest, and find the one that governs a version.

Rule slugs are listed in `policies/schema.json`; a test holds that list against the tuple of checks.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema_rs
from django.utils import timezone

from audit import log, seal
from audit.events import Event
from governance import licences
from governance.models import Policy
from portal.errors import Fault, Invalid, Refused, show
from registry.models import User, Version
from registry.readers.documents import parse, parse_yaml

FOLDER = Path(__file__).parent / "policies"
MAX_BYTES = 256 * 1024
MAX_FAULTS = 20
SCHEMA = parse((FOLDER / "schema.json").read_bytes(), max_bytes=MAX_BYTES)
VALIDATOR = jsonschema_rs.validator_for(SCHEMA)


def read(text: str) -> dict[str, Any]:
    """Return the content of a policy text. Raises Invalid with one Fault for each place that is wrong."""
    # What is no text at all is refused by the parser, as bytes that are not UTF-8.
    content = parse_yaml(text.encode("utf-8", "surrogatepass"), max_bytes=MAX_BYTES)
    faults = [describe(error) for error in islice(VALIDATOR.iter_errors(content), MAX_FAULTS)]
    faults = faults or [*find_gaps(content), *find_strangers(content)]
    if faults:
        raise Invalid(*faults)
    return content


def describe(error: jsonschema_rs.ValidationError) -> Fault:
    """Return the fault for one place that the schema refuses; a missing or an unknown key is named itself."""
    path = ["policy", *(str(step) for step in error.instance_path)]
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Required(property=name):
            return Fault(".".join([*path, name]), "nothing", "a value, because it is required")
        case jsonschema_rs.ValidationErrorKind.AdditionalProperties(unexpected=names):
            return Fault(".".join([*path, names[0][:80]]), "a key that nobody reads", "only keys of the policy schema")
    return Fault(".".join(path), show(error.instance), error.message)


def find_gaps(content: dict[str, Any]) -> list[Fault]:
    """Return a fault for each rule that is asked for and cannot be without the parameters that are not there."""
    asked = [
        *content["baseline"]["rules"],
        *(slug for each in content["environments"].values() for slug in each["rules"]),
    ]
    known = SCHEMA["properties"]["rules"]["properties"]
    return [
        Fault(f"policy.rules.{slug}", "nothing", f"its parameters: {', '.join(known[slug]['required'])}")
        for slug in dict.fromkeys(asked)
        if "required" in known[slug] and slug not in content["rules"]
    ]


def find_strangers(content: dict[str, Any]) -> list[Fault]:
    """Return a fault for each use and each denied licence that nobody knows: it would ask for nothing, silently."""
    rule, table = content["rules"].get("licence", {}), licences.read_table()
    uses = ", ".join(table.uses)
    purposes, denied = enumerate(rule.get("purposes", [])), enumerate(rule.get("deny", []))
    expected = "an SPDX identifier, a licence or class of docs/licences.md, or a LicenseRef-"
    return [
        *(
            Fault(f"policy.rules.licence.purposes.{place}", show(word), f"one of {uses}")
            for place, word in purposes
            if word not in table.uses
        ),
        *(
            Fault(f"policy.rules.licence.deny.{place}", show(name), expected)
            for place, name in denied
            if not licences.is_deniable(name, table)
        ),
    ][:MAX_FAULTS]


def publish(text: str, *, actor: User) -> Policy:
    """Publish a text as the next version of its policy; publishing the newest text again changes nothing."""
    content = read(text)
    name = content["name"]
    digest = seal.digest(content)
    with log.record(Event.POLICY_PUBLISHED, actor=actor, subject=Shelf(name)) as entry:
        actor.require("policy.publish")
        newest = Policy.objects.select_for_update().filter(name=name).first()
        if newest and newest.digest == digest:
            entry.skip()
            return newest
        if Policy.objects.filter(digest=digest).exists():
            raise Refused("policy_published_before", f"An older version of policy {name} has exactly this content.")
        published = Policy.objects.create(
            name=name,
            number=newest.number + 1 if newest else 1,
            text=text,
            content=content,
            digest=digest,
            published_by=actor,
            published_at=timezone.now(),
        )
        entry.note(number=published.number, digest=digest)
    return published


def publish_shipped(*, actor: User) -> Policy:
    """Publish the policy that comes with this release, if it is not the newest already."""
    return publish((FOLDER / "default.yaml").read_text(encoding="utf-8"), actor=actor)


def governing(version: Version) -> Policy:
    """Return the newest policy that applies to a version's kind. Raises Refused when none is published."""
    newest: dict[str, Policy] = {}
    for policy in Policy.objects.filter(content__applies_to__kinds__contains=version.asset.kind):
        newest.setdefault(policy.name, policy)
    found = max(newest.values(), key=lambda policy: policy.published_at, default=None)
    if found is None:
        raise Refused("no_policy", f"No published policy applies to {version.asset.get_kind_display().lower()}s.")
    return found


def environment(policy: Policy, name: str) -> dict[str, Any]:
    """Return what a policy asks for an environment. Raises Invalid naming the environments it knows."""
    if name not in policy.environments:
        raise Invalid(Fault("environment", show(name), f"one of {', '.join(policy.environments)}"))
    return policy.environment(name)


class Shelf:
    """The place of a policy name in the ledger, before its next version has a number."""

    def __init__(self, name: str) -> None:
        self.ledger_ref = ("policy", name, name)
