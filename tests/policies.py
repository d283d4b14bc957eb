"""Another policy for a test, as it comes to be: one administrator proposes the text, the other one publishes it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import yaml
from django.utils import timezone

from governance import cases, policy, proposals, replay
from governance.models import Policy, PolicyProposal, Submission
from tests.factories import Cast


def shipped(path: str = "", value: Any = None) -> dict[str, Any]:
    """Return the content of the shipped policy, with one place changed where one is named; None takes the key away."""
    content: dict[str, Any] = yaml.safe_load(policy.shipped())
    if not path:
        return content
    *way, last = path.split(".")
    place = content
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


def publish(text: str | Mapping[str, Any], cast: Cast, *, do: str = "finish", **choices: Mapping[str, Any]) -> Policy:
    """Publish a text or a content: alma proposes it, abel publishes it.

    `do` is what becomes of every open submission that `choices`, by public id, says nothing about: `finish`, which is
    until it is due, or `move`.
    """
    proposal = propose(text, cast)
    chosen = {**choose(proposal, do), **choices}
    return proposals.publish(proposal, actor=cast.abel, choices=chosen, seen_replay=seen(proposal))


def propose(text: str | Mapping[str, Any], cast: Cast) -> PolicyProposal:
    """Propose a text or a content as alma, with the test cases that it needs."""
    return proposals.propose(with_cases(text), actor=cast.alma)


def choose(proposal: PolicyProposal, do: str = "finish", until: datetime | None = None) -> dict[str, dict[str, Any]]:
    """Return the same choice for every open submission under a policy."""
    ends = {str(each.public_id): until or each.ends_at for each in waiting(proposal)}
    return {key: {"do": do} if do == "move" else {"do": do, "until": end} for key, end in ends.items()}


def waiting(proposal: PolicyProposal) -> list[Submission]:
    """Return the submissions that a proposal asks about."""
    return replay.open_under(proposal.content, at=timezone.now())


def seen(proposal: PolicyProposal) -> str:
    """Return the digest of the replay as whoever looks at it now sees it."""
    return replay.digest(proposal.content, replay.replay(proposal.content, at=timezone.now()))


def with_cases(text: str | Mapping[str, Any]) -> str:
    """Return a text whose test cases fit it: its own ones, and those for each threshold and each severity.

    What they expect is what is seen; conditions of its own need cases of its own.
    """
    found = policy.read(text if isinstance(text, str) else json.dumps(text))
    drafted = [*found.get("tests", []), *around_thresholds(found), *each_severity(found)]
    report = cases.run({**found, "tests": drafted})
    seen = {case.number: {**case.expected, **case.seen} for case in report.cases}
    found["tests"] = [{**each, "expect": seen[number]} for number, each in enumerate(drafted, start=1)]
    return yaml.safe_dump(found, sort_keys=False)


def around_thresholds(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a case on each bound of each metric, and one on either side of it."""
    for metric, limits in content["rules"].get("evaluations", {}).get("thresholds", {}).items():
        for bound in limits.values():
            for step in ("-0.0001", "0", "0.0001"):
                value = Decimal(str(bound)) + Decimal(step)
                yield {"given": {"metrics": {metric: f"{value:f}"}}, "expect": {"missed": []}}


def each_severity(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a case with an open finding of each severity."""
    if "vulnerabilities" in content["rules"]:
        for severity in ("low", "medium", "high", "critical"):
            yield {"given": {"findings": [{"severity": severity}]}, "expect": {"blocked": False}}
