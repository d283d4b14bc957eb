"""Reads the SLSA provenance v1 predicate of an in-toto statement. The envelope around it is read by in_toto.

The people behind a build (SLSA names no field for them) are looked for in everything the build was told and recorded:
`buildDefinition.externalParameters` and `internalParameters`, `runDetails.metadata`, `runDetails.byproducts`, and the
annotations of `resolvedDependencies`, down to eight levels (so `github.event.head_commit.author`).

A key names a person when, without case, punctuation and prefixes, it is one of _PERSON_KEYS or ends in author or
committer, with or without name, email, login or username behind it: `GITHUB_ACTOR`, `git.commit.author_email`,
`BUILDKITE_BUILD_AUTHOR`. Its value is a text, a list, or an object with login, username, email or name. Trailers of
commit messages, `Co-authored-by: Ada Lovelace <ada@example.org>`, name people wherever they stand. Of name, address
and user name each is kept: any of them may be how the portal knows her.

Source: https://slsa.dev/spec/v1.0/provenance#schema
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from registry.readers import fields
from registry.readers.documents import fail
from registry.readers.reading import Material, Statement

MAX_MATERIALS = 5000
MAX_PEOPLE = 200
MAX_PERSON = 320
MAX_PERSON_DEPTH = 8
COMMIT_ALGORITHMS = ("gitCommit", "sha1")

_PERSON_KEYS = frozenset(
    {
        *("actor", "triggeringactor", "githubactor", "githubtriggeringactor", "pusher", "sender", "mergedby"),
        *("gitlabuserlogin", "gitlabuseremail", "gitlabusername", "circleusername", "changeauthordisplayname"),
        *("buildkitebuildcreator", "buildkitebuildcreatoremail", "buildrequestedfor", "buildrequestedforemail"),
        *("requestedby", "triggeredby", "startedby", "coauthoredby", "signedoffby"),
    }
)
_PERSON_ENDING = re.compile(r"(author|committer)s?(name|email|login|username)?$")
_IDENTITY_KEYS = ("login", "username", "user", "email", "name")
# Where the common build types put the source: an object or a URI under one of these external parameters. The first
# three are what was built; the others are where the instructions came from, which may be another repository.
_BUILT_KEYS = ("source", "workflow", "sourceToBuild")
_SOURCE_KEYS = (*_BUILT_KEYS, "buildConfigSource", "configSource")
_SOURCE_MEMBERS = frozenset({"uri", "repository", "digest", "ref", "path", "name", "annotations"})
_NAME_AND_ADDRESS = re.compile(r"([^<>]*)<([^<>]*)>")
_TRAILER = re.compile(r"(?:^|[\r\n])[ \t]*(?:co-authored|signed-off|committed)-by:([^\r\n]+)", re.IGNORECASE)
# GitHub hides addresses behind these; the part before the `@` is a number, a plus and the user name.
_HIDDEN_ADDRESS = re.compile(r"(?:[0-9]+\+)?([^@+]+)@users\.noreply\.github\.com", re.IGNORECASE)
_AT = "payload.predicate"


class Source(NamedTuple):
    """One source that the external parameters name: under which key, the repository, and the commit or ""."""

    key: str
    repository: str
    commit: str


def read_predicate(predicate: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a Statement that the predicate fills. Raises Invalid where SLSA requires more."""
    definition = fields.mapping(predicate, "buildDefinition", _AT, required=True)
    run = fields.mapping(predicate, "runDetails", _AT, required=True)
    builder = fields.mapping(run, "builder", f"{_AT}.runDetails", required=True)
    metadata = fields.mapping(run, "metadata", f"{_AT}.runDetails")
    at = f"{_AT}.buildDefinition"
    external = fields.mapping(definition, "externalParameters", at, required=True)
    internal = fields.mapping(definition, "internalParameters", at)
    started = fields.moment(metadata, "startedOn", f"{_AT}.runDetails.metadata")
    finished = fields.moment(metadata, "finishedOn", f"{_AT}.runDetails.metadata")
    fields.in_order(started, finished, f"{_AT}.runDetails.metadata.finishedOn")
    materials = _materials(definition)
    source_uri, source_commit = _source(sources_of(external), materials)
    return {
        "builder_id": fields.text(builder, "id", f"{_AT}.runDetails.builder", required=True),
        "build_type": fields.text(definition, "buildType", at, required=True),
        "source_uri": source_uri,
        "source_commit": source_commit,
        "materials": materials,
        "started_at": started,
        "finished_at": finished,
        "invocation_id": fields.text(metadata, "invocationId", f"{_AT}.runDetails.metadata"),
        "people": _people([external, internal, metadata, *_recorded(definition, run)]),
    }


def warnings_of(statement: Statement) -> tuple[str, ...]:
    """Return what a reviewer should know about a provenance that is well-formed and still says little."""
    warnings = []
    if not statement.source_uri or not statement.source_commit:
        warnings.append("The provenance does not name the source repository and commit.")
    commits = {
        digest
        for material in statement.materials
        if repository_of(material.uri) == statement.source_uri and (digest := commit_of(material.digests))
    }
    if statement.source_commit and commits - {statement.source_commit}:
        warnings.append("externalParameters and resolvedDependencies name different commits of the source repository.")
    if not statement.people:
        warnings.append("The provenance does not name the people behind the build.")
    return tuple(warnings)


def repository_of(uri: str) -> str:
    """Return a source URI without `git+`, without `@ref` behind the path, and without a trailing `.git`."""
    bare = uri.removeprefix("git+")
    scheme, separator, rest = bare.partition("://")
    if separator:
        host, slash, path = rest.partition("/")
        bare = f"{scheme}://{host}{slash}{path.split('@', 1)[0]}"
    return bare.rstrip("/").removesuffix(".git")


def _materials(definition: dict[str, Any]) -> tuple[Material, ...]:
    """Return the resolved dependencies."""
    entries = fields.mappings(definition, "resolvedDependencies", f"{_AT}.buildDefinition")
    if len(entries) > MAX_MATERIALS:
        fail(f"{_AT}.buildDefinition.resolvedDependencies", f"{len(entries):,} entries", f"at most {MAX_MATERIALS:,}")
    materials = []
    for place, entry in entries:
        digest = fields.mapping(entry, "digest", place)
        digests = {
            algorithm: fields.text(digest, algorithm, f"{place}.digest", limit=256).lower() for algorithm in digest
        }
        uri = fields.text(entry, "uri", place, limit=2000)
        materials.append(Material(uri, fields.text(entry, "name", place), digests))
    return tuple(materials)


def sources_of(external: Mapping[str, Any]) -> tuple[Source, ...]:
    """Return every source that external parameters name, what was built before what told how to build it.

    Raises Invalid for a source that is no text and no object with `uri` or `repository`.
    """
    found = []
    at = f"{_AT}.buildDefinition.externalParameters"
    for key in _SOURCE_KEYS:
        place, value = fields.below(at, key), external.get(key)
        uri = commit = ""
        if isinstance(value, str):
            uri = fields.text(external, key, at, limit=500)
        elif isinstance(value, dict):
            uri = fields.text(value, "uri", place, limit=500) or fields.text(value, "repository", place, limit=500)
            commit = commit_of(fields.mapping(value, "digest", place))
        if uri:
            found.append(Source(key, repository_of(uri), commit))
    return tuple(found)


def built_sources(statement: Statement) -> tuple[Source, ...]:
    """Return the sources that a statement's external parameters say were built, without those that told how."""
    external = statement.predicate.get("buildDefinition", {}).get("externalParameters", {})
    return tuple(source for source in sources_of(external) if source.key in _BUILT_KEYS)


def unknown_parameters(statement: Statement) -> tuple[str, ...]:
    """Return the paths of external parameters that say something and are no part of a source."""
    external = statement.predicate.get("buildDefinition", {}).get("externalParameters", {})
    found = []
    for key, value in external.items():
        if key not in _SOURCE_KEYS:
            found += [key] if value not in (None, "", [], {}) else []
        elif isinstance(value, dict):
            found += [f"{key}.{name}" for name in value if name not in _SOURCE_MEMBERS]
    return tuple(found)


def _source(sources: tuple[Source, ...], materials: tuple[Material, ...]) -> tuple[str, str]:
    """Return (repository, commit), from the external parameters first and from the resolved dependencies after."""
    uri, commit = (sources[0].repository, sources[0].commit) if sources else ("", "")
    for material in materials:
        # Without a declared source only a dependency that is surely a git checkout may speak for it.
        is_source = repository_of(material.uri) == uri if uri else material.uri.startswith("git+")
        if is_source and (found := commit_of(material.digests)):
            return repository_of(material.uri)[:500], commit or found
    return uri, commit


def commit_of(digests: Mapping[str, Any]) -> str:
    """Return the git commit among digests, in lower case, or "" when there is none."""
    for algorithm in COMMIT_ALGORITHMS:
        value = digests.get(algorithm)
        if isinstance(value, str) and re.fullmatch("[0-9a-fA-F]{40}|[0-9a-fA-F]{64}", value):
            return value.lower()
    return ""


def _recorded(definition: dict[str, Any], run: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the build wrote down about its dependencies and byproducts."""
    dependencies = fields.mappings(definition, "resolvedDependencies", f"{_AT}.buildDefinition")
    noted = [fields.mapping(entry, "annotations", place) for place, entry in dependencies]
    return noted + [entry for _, entry in fields.mappings(run, "byproducts", f"{_AT}.runDetails")]


def _people(holders: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return every person named in the documented places, in order. More than 200 are Invalid, never cut off."""
    people: dict[str, None] = {}
    for holder in holders:
        people.update(dict.fromkeys(_named_in(holder, 0)))
        # Ends the work early when a document is nothing but names.
        if len(people) > MAX_PEOPLE:
            fail(_AT, f"{len(people):,} people", f"at most {MAX_PEOPLE} people behind one build")
    return tuple(people)


def _named_in(value: Any, depth: int) -> Iterator[str]:
    """Yield the people whom a value names by its keys and by the trailers in its texts."""
    if isinstance(value, str):
        for trailer in _TRAILER.findall(value) if "-by:" in value.lower() else ():
            yield from _identities(trailer)
    elif depth > MAX_PERSON_DEPTH:
        return
    elif isinstance(value, list):
        for item in value:
            yield from _named_in(item, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if _names_person(key):
                yield from _identities(item)
            yield from _named_in(item, depth + 1)


def _names_person(key: str) -> bool:
    """Return whether what stands under a key is a person."""
    bare = re.sub(r"[^a-z]", "", key.lower())
    return bare in _PERSON_KEYS or _PERSON_ENDING.search(bare) is not None


def _identities(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the names, user names and addresses in one value."""
    if isinstance(value, list) and depth <= MAX_PERSON_DEPTH:
        for item in value:
            yield from _identities(item, depth + 1)
    elif isinstance(value, dict) and depth <= MAX_PERSON_DEPTH:
        for key in _IDENTITY_KEYS:
            yield from _identities(value.get(key), depth + 1)
    elif isinstance(value, str):
        yield from _spellings(value)


def _spellings(text: str) -> Iterator[str]:
    """Yield each way in which a text names a person: `Ada <ada@example.org>` is a name and an address."""
    match = _NAME_AND_ADDRESS.fullmatch(text.strip())
    for part in match.groups() if match else (text,):
        identity = part.strip().removeprefix("mailto:").strip()
        if len(identity) > MAX_PERSON:
            fail(_AT, f"a person of {len(identity):,} characters", f"at most {MAX_PERSON} characters")
        if identity:
            yield identity
        if hidden := _HIDDEN_ADDRESS.fullmatch(identity):
            yield hidden[1]
