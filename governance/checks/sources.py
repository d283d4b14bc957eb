"""What a build says it was made from, held against what is registered: repository and commit, and the base versions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from portal.errors import show
from registry.models import Version
from registry.readers.reading import Statement
from registry.readers.slsa import built_sources, commit_of, repository_of

# What may stand before a host and name nothing but an account; anything else makes readers disagree about the host.
ACCOUNT = re.compile(r"[A-Za-z0-9._~+-]*(?::[A-Za-z0-9._~+-]*)?@")
# Where the files of models come from, as package URLs and storage addresses write it.
BASES = ("pkg:huggingface/", "pkg:mlflow/", "hf:", "mlflow:", "https://huggingface.co/")


def repository(uri: str) -> str:
    """Return a repository's host and path, so that spellings compare; what stands before the host is no part of it."""
    bare = repository_of(uri.split("#", 1)[0])
    host, slash, path = bare.partition("://")[2].partition("/")
    # Only the host part may drop an account: an `@` in the path must never make another host of it.
    account = ACCOUNT.match(host)
    return host[account.end() if account else 0 :].lower() + slash + path if host else bare


def compare_source(statement: Statement, version: Version) -> Iterator[tuple[str, str]]:
    """Yield (code, sentence) for each way in which a build came from another repository or commit.

    The repository is what the external parameters say was built; the commit is what the builder resolved it to, and
    everything that names one has to name the registered one.
    """
    wanted, commit = repository(version.source_repository), version.source_commit.lower()
    if not wanted or not commit:
        yield "source_mismatch", "No source repository and commit are registered that could be compared."
        return
    sources = built_sources(statement)
    if not sources:
        yield "source_mismatch", "Its external parameters do not say which repository was built."
    for source in sources:
        if repository(source.repository) != wanted:
            yield "source_mismatch", f"It was built from {source.repository}, not from {version.source_repository}."
        if source.commit and source.commit != commit:
            yield "source_mismatch", f"It was built at {source.commit}, not at {version.source_commit}."
    found = {commit_of(each.digests) for each in statement.materials if repository(each.uri) == wanted} - {""}
    if not found:
        yield "source_mismatch", f"Its dependencies name no commit of {version.source_repository}."
    for other in sorted(found - {commit}):
        yield "source_mismatch", f"It was built at {other}, not at {version.source_commit}."


def bases_of(statement: Statement, version: Version) -> Iterator[dict[str, str]]:
    """Yield each base that a build or the record names, with a sentence about whether the two agree.

    Only versions that are registered as bases of this one are named: what else is registered is nobody's business here.
    """
    parts = [edge.part for edge in version.components.filter(role="base").select_related("part__asset")]
    parents = {digest: part.label for part in parts for digest in (part.artifact_sha256, part.identity_digest)}
    named = set()
    for material in statement.materials:
        digest = material.digests.get("sha256", "")
        if digest and digest in parents:
            named.add(parents[digest])
            yield {"says": f"built from base {parents[digest]}", "uri": material.uri, "sha256": digest}
        elif material.uri.startswith(BASES):
            says = f"names a base that is not registered as one: {show(material.uri, 200)}"
            yield {"says": says, "uri": material.uri, "sha256": digest}
    for label in sorted(set(parents.values()) - named):
        yield {"says": f"does not name the registered base {label}", "uri": "", "sha256": ""}
