"""Reads the SLSA provenance v1 predicate of an in-toto statement. The envelope around it is read by in_toto.

The people behind a build (SLSA names no field for them) are looked for in `buildDefinition.externalParameters`,
`buildDefinition.internalParameters` and `runDetails.metadata`, there and up to two objects below (so `source.author`,
`github.actor`, `variables.GITLAB_USER_LOGIN`), under these keys, whose case, `_` and `-` do not matter:

    author, authors, committer, committers, co-authors, commit-author, commit-authors, actor, triggering-actor,
    GITHUB_ACTOR, GITHUB_TRIGGERING_ACTOR, GITLAB_USER_LOGIN, GITLAB_USER_EMAIL, CI_COMMIT_AUTHOR

A value is a text, a list of texts or objects, or an object with login, username, email or name.
`Ada Lovelace <ada@example.org>` gives both the name and the address: either may be how the portal knows her.

Source: https://slsa.dev/spec/v1.0/provenance#schema
"""

from __future__ import annotations

import re
from typing import Any

from registry.readers import fields
from registry.readers.documents import fail
from registry.readers.reading import Material, Statement

MAX_MATERIALS = 5000
MAX_PEOPLE = 200
MAX_PERSON_DEPTH = 2
COMMIT_ALGORITHMS = ("gitCommit", "sha1")

_PERSON_KEYS = frozenset(
    {
        *("author", "authors", "committer", "committers", "coauthor", "coauthors", "commitauthor", "commitauthors"),
        *("actor", "triggeringactor", "githubactor", "githubtriggeringactor"),
        *("gitlabuserlogin", "gitlabuseremail", "cicommitauthor"),
    }
)
_IDENTITY_KEYS = ("login", "username", "email", "name")
# Where the common build types put the source: an object or a URI under one of these external parameters.
_SOURCE_KEYS = ("source", "workflow", "sourceToBuild", "buildConfigSource", "configSource")
_NAME_AND_ADDRESS = re.compile(r"([^<>]*)<([^<>]*)>")
_AT = "payload.predicate"


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
    source_uri, source_commit = _source(external, materials)
    return {
        "builder_id": fields.text(builder, "id", f"{_AT}.runDetails.builder", required=True),
        "build_type": fields.text(definition, "buildType", at, required=True),
        "source_uri": source_uri,
        "source_commit": source_commit,
        "materials": materials,
        "started_at": started,
        "finished_at": finished,
        "invocation_id": fields.text(metadata, "invocationId", f"{_AT}.runDetails.metadata"),
        "people": _people([external, internal, metadata]),
    }


def warnings_of(statement: Statement) -> tuple[str, ...]:
    """Return what a reviewer should know about a provenance that is well-formed and still says little."""
    warnings = []
    if not statement.source_uri or not statement.source_commit:
        warnings.append("The provenance does not name the source repository and commit.")
    commits = {
        digest
        for material in statement.materials
        if repository_of(material.uri) == statement.source_uri and (digest := _commit(material))
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


def _source(external: dict[str, Any], materials: tuple[Material, ...]) -> tuple[str, str]:
    """Return (repository, commit), from the external parameters first and from the resolved dependencies after."""
    uri = commit = ""
    at = f"{_AT}.buildDefinition.externalParameters"
    for key in _SOURCE_KEYS:
        place, value = fields.below(at, key), external.get(key)
        if isinstance(value, str):
            uri = fields.text(external, key, at, limit=500)
        elif isinstance(value, dict):
            uri = fields.text(value, "uri", place, limit=500) or fields.text(value, "repository", place, limit=500)
            commit = _commit(Material(uri, "", fields.mapping(value, "digest", place)))
        if uri:
            break
    for material in materials:
        # Without a declared source only a dependency that is surely a git checkout may speak for it.
        is_source = repository_of(material.uri) == repository_of(uri) if uri else material.uri.startswith("git+")
        if is_source and (found := _commit(material)):
            return repository_of(material.uri)[:500], commit or found
    return repository_of(uri), commit


def _commit(material: Material) -> str:
    """Return the git commit among the digests of a material, "" when there is none."""
    for algorithm in COMMIT_ALGORITHMS:
        value = material.digests.get(algorithm)
        if isinstance(value, str) and re.fullmatch("[0-9a-fA-F]{40}|[0-9a-fA-F]{64}", value):
            return value.lower()
    return ""


def _people(holders: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return every person named in the documented places, in order. More than 200 are Invalid, never cut off."""
    people: dict[str, None] = {}
    waiting = [(holder, 0) for holder in reversed(holders)]
    while waiting:
        holder, depth = waiting.pop()
        for key, value in holder.items():
            if re.sub("[_-]", "", key).lower() in _PERSON_KEYS:
                people.update(dict.fromkeys(_identities(value)))
            elif isinstance(value, dict) and depth < MAX_PERSON_DEPTH:
                waiting.append((value, depth + 1))
    if len(people) > MAX_PEOPLE:
        fail(_AT, f"{len(people):,} people", f"at most {MAX_PEOPLE} people behind one build")
    return tuple(people)


def _identities(value: Any) -> list[str]:
    """Return the names, logins and addresses in one value."""
    if isinstance(value, list):
        return [identity for item in value if isinstance(item, str | dict) for identity in _identities(item)]
    if isinstance(value, dict):
        texts = [value[key] for key in _IDENTITY_KEYS if isinstance(value.get(key), str)]
        return [identity for text in texts for identity in _identities(text)]
    if not isinstance(value, str):
        return []
    match = _NAME_AND_ADDRESS.fullmatch(value.strip())
    found = [part.strip() for part in match.groups()] if match else [value.strip()]
    for identity in found:
        if len(identity) > 320:
            fail(_AT, f"a person of {len(identity):,} characters", "at most 320 characters")
    return [identity for identity in found if identity]
