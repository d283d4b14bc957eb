"""Policy as code: read a text, validate it, publish it under its digest, and find the one that governs a version.

A change of a published policy is proposed and published by two people: `governance.proposals`.

Rule slugs are listed in `policies/schema.json`; a test holds that list against the tuple of checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema_rs
from django.db import connection
from django.utils import timezone

from audit import log, seal
from audit.events import Event
from governance import licences, linting
from governance.models import Policy
from portal.errors import Fault, Invalid, Reason, Refused, show
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
    faults = faults or linting.find_faults(content, checks=SCHEMA["$defs"]["ruleList"]["items"]["enum"])[:MAX_FAULTS]
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
        *(slug for each in content["environments"].values() for slug in linting.rules_in(each)),
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


def install(text: str, *, actor: User) -> Policy:
    """Publish the first version of a policy, for an installation; the newest text again changes nothing.

    Raises Refused when another text is published under this name, or when a policy of whatever name governs one of its
    kinds: a change takes a proposal and two people.
    """
    content = read(text)
    with log.record(Event.POLICY_PUBLISHED, actor=actor) as entry:
        actor.require("policy.install")
        known = newest(content["name"])
        if known is not None and known.digest != seal.digest(content):
            fix = "Propose it on the page of policies; another administrator publishes it."
            reason = Reason("policy.install", "Only the first version of a policy is installed.", fix, "/policies/")
            says = f"{known} is published with another text. A change takes a proposal and two people."
            raise Refused("policy_is_there", says, reasons=[reason])
        if known is not None:
            entry.skip()
            return known
        expect_ungoverned(content)
        return put(text, content, entry, actor=actor)


def expect_ungoverned(content: dict[str, Any]) -> None:
    """Raise Refused with a reason for each kind of a text that a published policy governs already."""
    fix = "Propose the change under the name of that policy; another administrator publishes it."
    reasons = [
        Reason("policy.install", f"{known} governs the kind {kind}.", fix, "/policies/")
        for kind, known in governed(content).items()
    ]
    if reasons:
        says = f"The policy {content['name']} would govern what another one governs. That takes two people."
        raise Refused("kinds_governed", says, reasons=reasons)


def install_shipped(*, actor: User) -> Policy:
    """Publish the policy that comes with this release where none of its name or kinds is there; else change nothing."""
    text = shipped()
    content = read(text)
    known = newest(content["name"]) or next(iter(governed(content).values()), None)
    return known or install(text, actor=actor)


def shipped() -> str:
    """Return the text of the policy that comes with this release."""
    return (FOLDER / "default.yaml").read_text(encoding="utf-8")


def shipped_digest() -> str:
    """Return the digest of the policy that comes with this release."""
    return seal.digest(read(shipped()))


def newest(name: str) -> Policy | None:
    """Return the newest published version of a policy."""
    return Policy.objects.filter(name=name).first()


def put(text: str, content: dict[str, Any], entry: log.Recording, *, actor: User) -> Policy:
    """Write the next version of a policy, inside the record of whoever has asked the permission table."""
    known, digest = newest(content["name"]), seal.digest(content)
    expect_new(content["name"], digest)
    published = Policy.objects.create(
        name=content["name"],
        number=known.number + 1 if known else 1,
        text=text,
        content=content,
        digest=digest,
        published_by=actor,
        published_at=timezone.now(),
    )
    entry.about(published)
    entry.note(number=published.number, digest=digest)
    return published


def expect_new(name: str, digest: str) -> None:
    """Raise Refused when some version has exactly this content already: a decision names one text by its digest."""
    known = Policy.objects.filter(digest=digest).first()
    if known is None:
        return
    code = "policy_is_newest" if known == newest(name) else "policy_published_before"
    fix = "Change something, if only a test case: every version has a content of its own."
    reason = Reason("policy.publish", f"Comments and layout aside, it is the text of {known}.", fix)
    raise Refused(code, f"{known} has exactly this content.", reasons=[reason])


def pin(rules: Policy, version: Version) -> None:
    """Keep a policy the governing one until the transaction ends; versions are locked before, submissions after.

    Publishing takes the row for itself, so that a submission is either there to be asked about or comes too late.
    Raises Refused when a newer one was published just now.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT FROM {Policy._meta.db_table} WHERE id = %s FOR KEY SHARE", [rules.pk])
    if governing(version) != rules:
        raise Refused(
            "policy_changed", f"A newer policy than {rules} was published just now. Look at it, then ask again."
        )


def governing(version: Version) -> Policy:
    """Return the newest policy that applies to a version's kind. Raises Refused when none is published."""
    found = of_kind(version.asset.kind)
    if found is None:
        raise Refused("no_policy", f"No published policy applies to {version.asset.get_kind_display().lower()}s.")
    return found


def of_kind(kind: str) -> Policy | None:
    """Return the policy that governs a kind today, whatever its name: of the newest of each, the one published last."""
    newest: dict[str, Policy] = {}
    for policy in Policy.objects.filter(content__applies_to__kinds__contains=kind):
        newest.setdefault(policy.name, policy)
    return max(newest.values(), key=lambda policy: policy.published_at, default=None)


def governed(content: Mapping[str, Any]) -> dict[str, Policy]:
    """Return what governs each kind of a text today; a kind that nothing governs is left out."""
    found = {kind: of_kind(kind) for kind in content["applies_to"]["kinds"]}
    return {kind: policy for kind, policy in found.items() if policy is not None}


def environment(policy: Policy, name: str) -> dict[str, Any]:
    """Return what a policy asks for an environment. Raises Invalid naming the environments it knows."""
    if name not in policy.environments:
        raise Invalid(Fault("environment", show(name), f"one of {', '.join(policy.environments)}"))
    return policy.environment(name)
