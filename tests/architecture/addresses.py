"""Every address of the site, with something plausible in place of its variable parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern, RoutePattern

EXAMPLES = {
    "SlugConverter": "fraud-scorer",
    "StringConverter": "1.0.0",
    "UUIDConverter": "00000000-0000-4000-8000-000000000000",
    "UUIDStrConverter": "00000000-0000-4000-8000-000000000000",
    "IntConverter": "1",
    "PathConverter": "1",
}


class Address(NamedTuple):
    """One address: the pattern as it is written, an example of it, and the view behind it."""

    pattern: str
    path: str
    view: Callable[..., Any]


def example(pattern: RoutePattern | RegexPattern | Any) -> str:
    """Return a piece of an address that a pattern matches."""
    if isinstance(pattern, RoutePattern):
        route = str(pattern._route)
        for name, converter in pattern.converters.items():
            # A converter from a regular expression of its own would need an example of its own.
            given = EXAMPLES[type(converter).__name__]
            route = re.sub(rf"<(\w+:)?{name}>", given, route)
        return route
    text = re.sub(r"\((?:\?P<\w+>)?((?:[^()]|\([^()]*\))+)\)", lambda group: member(group[1]), str(pattern._regex))
    return text.strip("^$")


def member(expression: str) -> str:
    """Return something that a group of a regular expression matches: one of its words, or a digit."""
    words = re.fullmatch(r"(\w+)(\|\w+)*", expression)
    return words[1] if words else "1"


def addresses(
    patterns: list[URLPattern | URLResolver] | None = None, before: str = "/", path: str = "/"
) -> Iterator[Address]:
    """Yield every address of the site."""
    for each in get_resolver().url_patterns if patterns is None else patterns:
        written, filled = before + str(each.pattern), path + example(each.pattern)
        if isinstance(each, URLResolver):
            yield from addresses(each.url_patterns, written, filled)
        else:
            yield Address(written, filled, each.callback)
