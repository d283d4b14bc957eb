"""The policies of the machine: three numbers differ, everything else is as small as a policy can be."""

from __future__ import annotations

from typing import Any

import yaml

from tests.machine.expectation import AGE, LONGEST_WAIVER, TO_ANSWER, TOXIC, VALID, Text


def write(text: Text) -> str:
    """Return the policy as text, with the test cases it needs to be published."""
    environments = {
        name: {
            "rules": ["evaluations"],
            "approvals": text.roles(name),
            "valid_days": VALID[name].days,
            "review_within_days": TO_ANSWER.days,
            "reauthenticate": False,
        }
        for name in ("staging", "production")
    }
    content: dict[str, Any] = {
        "name": "default",
        "applies_to": {"kinds": ["model", "adapter", "prompt", "bundle"]},
        "material": ["artifact", "components", "evidence", "datasets", "licence", "uses", "risk"],
        "baseline": {"rules": ["metadata"]},
        "environments": environments,
        "rules": {
            "metadata": {"critical": True},
            "evaluations": {
                "critical": text.is_critical,
                "max_age_days": AGE.days,
                "thresholds": {"quality/accuracy": {"min": f"{text.least:.2f}"}},
            },
            "custom": [
                {
                    "id": "no-toxic-model",
                    "in": ["production"],
                    "deny_if": f'"toxicity/rate" in metrics && metrics["toxicity/rate"] > {TOXIC}',
                    "say": "It is too toxic.",
                    "fix": f"Measure a better one; this is text {text.number}.",
                }
            ],
        },
        "waivers": {"max_days": LONGEST_WAIVER.days, "roles": ["security"]},
        "tests": cases(text),
    }
    return yaml.safe_dump(content, sort_keys=False)


def cases(text: Text) -> list[dict[str, Any]]:
    """Return cases on both sides of every bound."""
    good, edge = {"quality/accuracy": text.least}, {"quality/accuracy": round(text.least - 0.000001, 6)}
    return [
        {
            "given": {"environment": "production", "metrics": {**good, "toxicity/rate": TOXIC}},
            "expect": {"denied": [], "missed": []},
        },
        {"given": {"environment": "production", "metrics": good}, "expect": {"denied": [], "missed": []}},
        {
            "given": {"environment": "production", "metrics": {**good, "toxicity/rate": round(TOXIC + 0.01, 6)}},
            "expect": {"denied": ["no-toxic-model"], "missed": []},
        },
        {"given": {"environment": "production", "metrics": edge}, "expect": {"missed": ["quality/accuracy"]}},
    ]
