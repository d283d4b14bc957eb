"""The generated pages of `docs/`: what the tables in the code say, for people who do not read code.

`manage.py docs` writes them and `manage.py docs --check` compares, so that neither can say something else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from django.conf import settings

from audit.events import Event
from governance import licences, lifecycle, linting, permissions, policy
from governance.checks import CHECKS, Check
from registry.models import State

FOLDER = Path(settings.BASE_DIR) / "docs"
LICENCE_WORDS = (
    "The check `licence` holds every licence of a version against the uses that it is for: its own licence, those",
    "of all versions it is made from, of the data sets of both, and of the components in its newest SBOM.",
    "",
    "**How to write one.** As an SPDX expression (`Apache-2.0`, `MIT OR GPL-2.0-only`), or as `LicenseRef-` with",
    "a name of the table below (`LicenseRef-llama3.1`). `AND`: all of them hold. `OR`: the best one is chosen.",
    "`WITH`: an exception of SPDX's list only adds to what is allowed; any other makes the licence unknown. What",
    "you made yourselves, or hold under a contract, is `LicenseRef-internal`.",
    "",
    "**Which uses are asked for.** Those that the allowed uses name; those that the policy assumes (`purposes`),",
    "unless the prohibited uses name them; and what was done when the version was made: `fine-tuning` for a base",
    "that was tuned, `training-other-models` for a base that was distilled and for data that was trained on. A",
    "licence that forbids one of them stands in the way. Conditions never do; they are shown. A licence that is",
    "silent about a use allows it here: the table says what a text forbids in so many words, and replaces no",
    "lawyer.",
    "",
    "**How the texts are read.** Sentence by sentence. A sentence of the prohibited uses counts only when it",
    "names uses and says nothing else: “Commercial use.” does, “Commercial use outside the EU.” does not. A",
    "sentence of the allowed uses counts when it names a use anywhere and denies nothing. What was understood is",
    "shown on the check's page.",
    "",
    "**Unknown licences** stand in the way, but not those of components, which are shown; `unknown: fail` and",
    "`unknown: show` in a policy make it the same for all. SPDX licences that are not below are classed by the",
    "licence index of the library license-expression; those it files as restricted or proprietary stay unknown",
    "until somebody has read them and written them into the table.",
)


def lifecycle_page() -> Iterator[str]:
    """Yield the states of a version and the moves between them."""
    yield from head("The life of a version", "governance/lifecycle.py")
    yield "Pages derive their buttons from the same table; `lifecycle.write` is the only writer of a version's state."
    yield from ("", "```mermaid", "stateDiagram-v2", "    [*] --> draft: register")
    for move in lifecycle.TABLE:
        for state in in_order(move.sources):
            yield f"    {state} --> {move.target}: {move.name}"
    yield from ("    retired --> [*]", "```", "")
    yield from row("move", "from", "to", "asks the rule", "made", "means")
    yield from row(*["---"] * 6)
    for move in lifecycle.TABLE:
        made = ", ".join(["by hand"] * move.by_hand + ["by itself"] * (move.by_clock or not move.by_hand))
        asked = f"`{move.rule}`" + ", `sweep`" * move.by_clock
        yield from row(move.name, ", ".join(in_order(move.sources)), move.target, asked, made, move.means)


def in_order(states: frozenset[str]) -> list[str]:
    """Return states in the order of a version's life."""
    return [state.value for state in State if state in states]


def events_page() -> Iterator[str]:
    """Yield every event that the ledger can hold, by family."""
    yield from head("What the ledger can say", "audit/events.py")
    yield "Each entry has one of these kinds. A name is never reused; words in braces are filled from the entry."
    for family, events in groupby(Event, key=lambda event: event.value.partition(".")[0]):
        yield from ("", f"## {family}", "")
        yield from row("event", "sentence")
        yield from row("---", "---")
        for event in events:
            yield from row(f"`{event.value}`", event.sentence)


def permissions_page() -> Iterator[str]:
    """Yield the permission table in words."""
    yield from head("Who may do what", "governance/permissions.py")
    yield "Every verb asks one of these rules. Whoever asks is signed in or holds a token, and the account is active."
    yield "An unknown rule is refused. There is no superuser, and no setting that relaxes a rule. Independence (nobody"
    yield "approves their own work) is asked on top of `review.give`, in `governance/independence.py`."
    yield ""
    yield from row("rule", "allowed when the actor")
    yield from row("---", "---")
    for name, rule in permissions.RULES.items():
        yield from row(f"`{name}`", permissions.meaning(rule))


def checks_page() -> Iterator[str]:
    """Yield what each check asks, what it looks at, and how a policy tunes it."""
    yield from head("Checks", "governance/checks/", "governance/policies/schema.json")
    yield "A check asks one question of a version and answers passed, failed, error or not applicable. An error is"
    yield "never green. An answer is stale as soon as anything it looks at has changed. What is asked for where is said"
    yield "for the policy that comes with this release."
    shipped = policy.read((policy.FOLDER / "default.yaml").read_text(encoding="utf-8"))
    for check in CHECKS:
        yield from check_section(check, shipped)


def check_section(check: Check, shipped: Mapping[str, Any]) -> Iterator[str]:
    """Yield one check."""
    module = inspect.getmodule(type(check))
    yield from ("", f"## {check.title} (`{check.slug}`)", "", f"**{check.asks}**", "")
    # The module's docstring begins with the question, which stands above already.
    more = inspect.cleandoc(getattr(module, "__doc__", "") or "").partition("?")[2].strip()
    yield from [*more.splitlines(), ""] * bool(more)
    beyond = (inspect.getdoc(type(check).outside) or "").removeprefix("Depend on ")
    yield from (f"Looks at {', '.join(check.sections) or 'nothing'} in the dossier. Beyond the dossier: {beyond}", "")
    yield from (f"Asked for: {', '.join(asked_for(check.slug, shipped)) or 'nowhere in the shipped policy'}.", "")
    parameters = policy.SCHEMA["properties"]["rules"]["properties"][check.slug]
    for name, words in parameters_of(parameters).items():
        yield f"- `{name}`: {words}"


def asked_for(slug: str, shipped: Mapping[str, Any]) -> list[str]:
    """Return where a policy asks for a check, always or under a condition."""
    places = {"candidate": shipped["baseline"], **shipped["environments"]}
    return [name for name, place in places.items() if slug in linting.rules_in(place)]


def parameters_of(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a rule with their descriptions, references followed."""
    found = resolve(spec)
    return {name: resolve(each)["description"] for name, each in found["properties"].items()}


def resolve(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a reference inside the policy schema points to."""
    name = spec.get("$ref", "").removeprefix("#/$defs/")
    found: Mapping[str, Any] = policy.SCHEMA["$defs"][name] if name else spec
    return found


def licences_page() -> Iterator[str]:
    """Yield the vocabulary of uses, the classes of licences, and what each licence of the table allows and forbids."""
    table = licences.read_table()
    yield from head("Licences", "governance/licences/licences.json")
    yield from LICENCE_WORDS
    yield from ("", "## Uses", "")
    yield from row("word", "means", "a sentence that names it, for example")
    yield from row("---", "---", "---")
    for use in table.uses.values():
        yield from row(f"`{use.key}`", use.means, f"{use.title.capitalize()}.")
    yield from ("", "## Classes", "", "A policy may deny a whole class by its word.", "")
    yield from row("word", "class", "means", "forbids", "asks for")
    yield from row(*["---"] * 5)
    for each in table.classes.values():
        forbids, asks = ", ".join(each.forbids) or "—", " ".join(each.conditions) or "—"
        yield from row(f"`{each.key}`", each.title, each.means, forbids, asks)
    yield from ("", "## Licences that SPDX does not know, or that are not what their SPDX class says", "")
    yield from row("name", "licence", "class", "forbids", "asks for")
    yield from row(*["---"] * 5)
    for key in sorted(set(table.own.values()), key=str.casefold):
        yield from licence_row(key, table)


def licence_row(key: str, table: licences.Table) -> Iterator[str]:
    """Yield one licence of the table, with the names it is found by."""
    found = table.licences[key]
    others = [name for name, named in table.own.items() if named == key and name != key.casefold()]
    names = f"`{key}`" + (f" (also {', '.join(f'`{name}`' for name in others)})" if others else "")
    linked = f"[{found.title}]({found.source})" if found.source.startswith("https://") else found.title
    yield from row(names, linked, ", ".join(found.classes), ", ".join(found.forbids), " ".join(found.conditions))


def head(title: str, *sources: str) -> Iterator[str]:
    """Yield the heading of a generated page."""
    named = " and ".join(f"`{source}`" for source in sources)
    yield from (f"# {title}", "", f"Written by `manage.py docs` from {named}; change it there.", "")


def row(*cells: str) -> Iterator[str]:
    """Yield one row of a table."""
    yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "lifecycle.md": lifecycle_page,
    "checks.md": checks_page,
    "events.md": events_page,
    "licences.md": licences_page,
    "permissions.md": permissions_page,
}


def drifted() -> list[str]:
    """Return the names of the pages that say something else than the code."""
    return [name for name in PAGES if not is_current(FOLDER / name, name)]


def is_current(path: Path, name: str) -> bool:
    """Return whether a page in the folder is what would be written."""
    return path.exists() and path.read_text(encoding="utf-8") == text_of(name)


def text_of(name: str) -> str:
    """Return a page as it is written."""
    return "\n".join(PAGES[name]()) + "\n"
