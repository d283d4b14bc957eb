"""Reads words of the vocabulary out of the lines that people wrote about allowed and prohibited uses.

Two errors are possible, and each reading avoids the worse one. Taking a prohibition for wider than it is would let a
forbidden use through, so a line prohibits only what it names with nothing else around it: "Commercial use." does,
"Commercial use outside the EU." does not. Missing what is allowed would do the same, so a line allows what it names
anywhere in a sentence that denies nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from governance.licences.table import Use

MAX_CHARACTERS = 20_000
SENTENCE = re.compile(r"[\n.;!?•]+")
WORD = re.compile(r"[^\W_]+")
# A phrase in words, and the use that it means.
Phrase = tuple[list[str], str]
# Words that may stand around the name of a use without changing it.
FILLERS = frozenset({
    "a", "all", "and", "any", "are", "be", "either", "every", "for", "forbidden", "in", "is", "it", "its", "kind",
    "kinds", "may", "must", "neither", "no", "nor", "not", "of", "or", "prohibited", "purpose", "purposes", "the",
    "this", "to", "use", "used", "uses", "using", "version", "way", "whatsoever", "with",
})  # fmt: skip
DENIALS = frozenset({
    "besides", "but", "except", "excluded", "excluding", "forbidden", "instead", "neither", "never", "no", "non", "nor",
    "not", "other", "outside", "prohibited", "rather", "than", "unless", "without",
})  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """One use that a text names, and the sentence that names it."""

    use: str
    line: str


def read_prohibited(text: str, uses: Mapping[str, Use]) -> list[Reading]:
    """Return the uses that a text prohibits: those of sentences that hold names of uses and nothing else."""
    found = []
    for line, words in sentences(text):
        named, rest = take(words, names_of(tuple(uses.values())))
        found += [Reading(use, line) for use in named if set(rest) <= FILLERS]
    return found


def read_allowed(text: str, uses: Mapping[str, Use]) -> list[Reading]:
    """Return the uses that a text allows: those that a sentence names anywhere, unless it denies something."""
    found = []
    for line, words in sentences(text):
        named, rest = take(words, names_of(tuple(uses.values())))
        if not set(rest) <= FILLERS:
            named, rest = take(words, mentions_of(tuple(uses.values())))
        found += [Reading(use, line) for use in named if not DENIALS & set(rest)]
    return found


def sentences(text: str) -> list[tuple[str, list[str]]]:
    """Return the sentences of a text with their words, in lower case and with hyphens apart."""
    bare = [" ".join(part.split()).strip(" -*·") for part in SENTENCE.split(text[:MAX_CHARACTERS])]
    return [(part[:300], WORD.findall(part.casefold())) for part in bare if part]


def take(words: list[str], phrases: list[Phrase]) -> tuple[list[str], list[str]]:
    """Return the uses whose phrases stand in a sentence, each once, and the words around them."""
    found, rest, place = [], [], 0
    while place < len(words):
        match = next((each for each in phrases if words[place : place + len(each[0])] == each[0]), None)
        if match is None:
            rest.append(words[place])
            place += 1
        else:
            found.append(match[1])
            place += len(match[0])
    return list(dict.fromkeys(found)), rest


@cache
def names_of(uses: tuple[Use, ...]) -> list[Phrase]:
    """Return the names of all uses in words, the vocabulary's own word among them, the longest first."""
    return by_length((name, use.key) for use in uses for name in (use.key, use.title, *use.names))


@cache
def mentions_of(uses: tuple[Use, ...]) -> list[Phrase]:
    """Return the phrases that mean a use wherever they stand, in words, the longest first."""
    return by_length((phrase, use.key) for use in uses for phrase in use.mentions)


def by_length(written: Iterable[tuple[str, str]]) -> list[Phrase]:
    """Return phrases in words, the longest first."""
    return sorted(((WORD.findall(text.casefold()), use) for text, use in written), key=lambda phrase: -len(phrase[0]))
