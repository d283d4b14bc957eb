"""Is every licence allowed for the declared uses? The licences of the version itself, of every version it is made from,
of the data sets of both, and of the components that its newest SBOM names.

A use has to be allowed when the version's allowed uses name it, when the policy assumes it and the prohibited uses do
not name it, or when the version was made that way (fine-tuning a base, training on data, distilling a model). What
licences mean is the matter of governance.licences and docs/licences.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from governance import licences
from governance.checks.base import Answer, Dossier, errored, failed, passed
from governance.licences import Question, Rank, Want, Weighed
from registry import composition, evidence, licensing
from registry.models import Component, DatasetUse, Relicensing, Version
from registry.models.datasets import Purpose

MOST_NAMED, MOST_LISTED, MOST_CONDITIONS = 3, 100, 20
TUNED = frozenset({"full", "lora", "qlora", "prefix", "preference", "merge", "quantisation"})
OWN, COMPONENT = "itself", "component"
# How many different licences of components are read, and what stands for the rest: no licence has such a name.
MOST_READ, TOO_MANY = 5000, ("more different licences than are read",)
# How a source is called in a sentence.
CALLED = {
    OWN: "{name}",
    "base": "its base {name}",
    "part": "its part {name}",
    "data set": "the data set {name}",
    COMPONENT: "the component {name}",
}
FIXES = {
    "denied": "Replace it, or have the policy changed by two people.",
    "text": "Take the use out of the allowed uses of a new version, or build on something whose licence allows it.",
    "making": "Build on something whose licence allows to make a version of it this way.",
    "policy": "Replace what is not licensed for that, or, when this version is not put to that use, register one whose "
    "prohibited uses say “{use}.” as a sentence of its own.",
    "unknown": "Write each licence as an SPDX expression, or as LicenseRef- and a name of docs/licences.md, such as "
    "LicenseRef-llama3.1 or LicenseRef-internal.",
}


@dataclass(frozen=True)
class Source:
    """One thing with licences that hold together, with the use that it was put to when the version was made."""

    sort: str
    name: str
    written: tuple[str, ...]
    made_by: Want | None = None
    count: int = 1


@dataclass(frozen=True)
class Finding:
    """What one source's licence amounts to, and whether that stands in the way."""

    source: Source
    weighed: Weighed
    blocks: bool

    @property
    def says(self) -> str:
        """Return what is wrong with it, as part of a sentence."""
        problems = "; ".join(problem.says for problem in self.weighed.problems[:MOST_NAMED])
        return f"{CALLED[self.source.sort].format(name=self.source.name)}: {problems}"

    def as_fact(self) -> dict[str, Any]:
        """Return the finding as the check's page shows it."""
        found = self.weighed.licences
        return {
            "what": self.source.sort,
            "name": self.source.name,
            "licence": ", ".join(self.source.written),
            "outcome": self.weighed.rank.name.lower(),
            "stands_in_the_way": self.blocks,
            "why": "; ".join(problem.says for problem in self.weighed.problems),
            "kind": ", ".join(dict.fromkeys(name for each in found for name in each.classes)),
            "forbids": list(dict.fromkeys(use for each in found for use in each.forbids)),
            "conditions": list(dict.fromkeys(says for each in found for says in each.conditions))[:MOST_CONDITIONS],
            "texts": [each.source for each in found if each.source.startswith("https://")][:MOST_NAMED],
        }


class Licence:
    """Asks every licence at once, because a version may do only what all of them allow."""

    slug = "licence"
    title = "Licence"
    asks = "Is every licence (own, base, data sets, components) allowed for the declared uses?"
    sections: tuple[str, ...] = ("components", "datasets", "evidence", "licence", "source", "uses")

    def outside(self, version: Version) -> Mapping[str, Any]:
        """Depend on the licence table, and the licences of the versions that this one is made from."""
        parts = {edge.part_id: edge.part for edge in composition.ancestors(version)}
        told = licensing.newest(parts) if parts else {}
        uses = DatasetUse.objects.filter(version__in=parts).select_related("dataset") if parts else ()
        return {
            "table": licences.release(),
            "parts": sorted([row.label, now_of(row, told), row.finetune_method] for row in parts.values()),
            "datasets": sorted([use.version_id, use.dataset_id, use.dataset.licence, use.purpose] for use in uses),
        }

    def examine(self, dossier: Dossier, rule: Mapping[str, Any]) -> Answer:
        """Answer by the worst licence; one that nobody knows stands in the way unless the policy only shows it."""
        version, table = dossier.version, licences.read_table()
        strange = [word for word in rule["purposes"] if word not in table.uses]
        if strange:
            return errored(
                f"The policy assumes uses that are not in the vocabulary: {', '.join(strange)}.",
                "Have a policy published that names uses of docs/licences.md.",
            )
        prohibited = licences.read_prohibited(version.prohibited_uses, table.uses)
        declared = wanted(rule["purposes"], licences.read_allowed(version.allowed_uses, table.uses), prohibited)
        denied = licences.deny(rule.get("deny", []), table)
        edges = edges_of(version)
        told = licensing.newest([version.pk, *edges])
        found = [judge(source, declared, denied, rule.get("unknown", "")) for source in gather(version, edges, told)]
        facts = {
            "uses_asked": [{"use": want.use, "because": f"{want.why} it"} for want in declared],
            "uses_prohibited": [
                {"use": each.use, "because": f"the prohibited uses say “{each.line}”"} for each in prohibited
            ],
            **listed(found),
            **relicensed(told),
        }
        return conclude(found, declared, facts)


def wanted(
    purposes: Iterable[str], allowed: Iterable[licences.Reading], prohibited: Iterable[licences.Reading]
) -> list[Want]:
    """Return the uses that every licence has to allow. What is allowed and prohibited at once counts as allowed."""
    named = {each.use: Want(each.use, "text", f"the allowed uses (“{each.line}”) ask for") for each in allowed}
    ruled_out = {each.use for each in prohibited}
    assumed = [
        Want(word, "policy", "the policy assumes") for word in purposes if word not in named and word not in ruled_out
    ]
    return [*named.values(), *assumed]


def judge(source: Source, declared: Iterable[Want], denied: licences.Denied, unknown: str) -> Finding:
    """Return what one source's licence amounts to; of components an unknown one is shown, unless the policy says."""
    asked = [source.made_by, *declared] if source.made_by else declared
    question = Question(licences.read_table(), {want.use: want for want in asked}, denied)
    weighed = licences.weigh_all(source.written, question)
    strict = unknown == "fail" or (not unknown and source.sort != COMPONENT)
    return Finding(source, weighed, weighed.rank > Rank.UNKNOWN or (weighed.rank == Rank.UNKNOWN and strict))


def edges_of(version: Version) -> dict[int, Component]:
    """Return the edge by which each version below comes in, the nearest one, by the ids of these versions."""
    edges: dict[int, Component] = {}
    for edge in composition.ancestors(version):
        edges.setdefault(edge.part_id, edge)
    return edges


def gather(version: Version, edges: Mapping[int, Component], told: Mapping[int, Relicensing]) -> list[Source]:
    """Return everything with a licence: itself, what it is made from, data sets, components by their licences."""
    rows = DatasetUse.objects.filter(version__in=[version.pk, *edges]).select_related("dataset", "version__asset")
    datasets: dict[int, Source] = {}
    # A data set that something was trained on counts as such, even where something else was only evaluated on it.
    for use in sorted(rows, key=lambda use: (use.purpose == Purpose.EVALUATE, use.pk)):
        datasets.setdefault(use.dataset_id, of_dataset(use))
    mine = Source(OWN, version.label, (now_of(version, told),))
    parts = [of_part(edge, now_of(edge.part, told)) for edge in edges.values()]
    return [mine, *parts, *datasets.values(), *of_components(version)]


def now_of(version: Version, told: Mapping[int, Relicensing]) -> str:
    """Return the licence that a version has now, among what was told of versions that are licensed otherwise."""
    return told[version.pk].licence if version.pk in told else version.licence


def relicensed(told: Mapping[int, Relicensing]) -> dict[str, Any]:
    """Return what the check read about other licences, and until when: what was recorded later it does not know."""
    if not told:
        return {}
    rows = [
        {
            "version": row.version.label,
            "licence": row.licence,
            "registered_as": row.version.licence,
            "since": row.recorded_at.isoformat(),
        }
        for row in told.values()
    ]
    return {"relicensed": rows, "relicensed_until": max(row.recorded_at for row in told.values()).isoformat()}


def of_part(edge: Component, licence: str) -> Source:
    """Return a version that another one is made from; a base was put to use when the other one was made."""
    method, made = edge.version.finetune_method, None
    if edge.role == "base" and method in {*TUNED, "distillation"}:
        use = "fine-tuning" if method in TUNED else "training-other-models"
        made = Want(use, "making", f"{edge.version.label} was made by")
    return Source("base" if edge.role == "base" else "part", edge.part.label, (licence,), made)


def of_dataset(use: DatasetUse) -> Source:
    """Return a data set that a version used."""
    made = None
    if use.purpose != Purpose.EVALUATE:
        made = Want("training-other-models", "making", f"{use.version.label} was made by")
    return Source("data set", use.dataset.name, (use.dataset.licence,), made)


def of_components(version: Version) -> list[Source]:
    """Return the components of the newest SBOM, one source for the same licences, named by the first that has them.

    Reading takes a millisecond for each licence, so what differs beyond a limit is one source that nobody has read.
    """
    row = evidence.newest(version, "sbom")
    counts: Counter[tuple[str, ...]] = Counter()
    first: dict[tuple[str, ...], str] = {}
    different = 0
    columns = ("licences", "purl", "name", "version")
    for found, purl, name, number in row.sbom_components.values_list(*columns).iterator() if row else ():
        written = tuple(sorted(found))
        if written not in first:
            different += len(written)
            written = written if different <= MOST_READ else TOO_MANY
        counts[written] += 1
        first.setdefault(written, purl or f"{name} {number}".strip())
    return [Source(COMPONENT, first[written], written, count=count) for written, count in counts.items()]


def listed(found: list[Finding]) -> dict[str, Any]:
    """Return the findings for the check's page, those that stand in the way on top, components by their number."""
    rows = sorted(found, key=lambda each: (-each.blocks, -each.weighed.rank, -each.source.count))
    parts = [each for each in rows if each.source.sort == COMPONENT]
    return {
        "licences": [each.as_fact() for each in rows if each.source.sort != COMPONENT][:MOST_LISTED],
        "components": [{"how_many": each.source.count, **each.as_fact(), "what": ""} for each in parts[:MOST_LISTED]],
        "components_counted": sum(each.source.count for each in parts),
        "components_unknown": sum(each.source.count for each in parts if each.weighed.rank == Rank.UNKNOWN),
    }


def conclude(found: list[Finding], declared: list[Want], facts: Mapping[str, Any]) -> Answer:
    """Return the answer that the findings amount to, naming the worst ones."""
    about = {"facts": facts, "tool": "countersign licences", "tool_version": licences.release()}
    wrong = sorted((each for each in found if each.blocks), key=lambda each: -each.weighed.rank)
    if wrong:
        named = "; ".join(each.says for each in wrong[:MOST_NAMED])
        more = f" And {len(wrong) - MOST_NAMED} more." if len(wrong) > MOST_NAMED else ""
        verb = "stands" if len(wrong) == 1 else "stand"
        return failed(f"{len(wrong)} of {len(found)} licences {verb} in the way: {named}.{more}", fix(wrong), **about)
    table = licences.read_table()
    uses = ", ".join(table.uses[want.use].title for want in declared) or "what is asked"
    shown = facts["components_unknown"]
    doubt = f" {shown} of {facts['components_counted']} components name none that is known here." if shown else ""
    return passed(f"All licences that are known here allow {uses}.{doubt}", **about)


def fix(wrong: list[Finding]) -> str:
    """Return what would make it pass, one sentence for each kind of problem among the worst."""
    titles = licences.read_table().uses
    said = []
    for problem in (each for finding in wrong for each in finding.weighed.problems):
        if problem.want is not None:
            said.append(FIXES[problem.want.by].format(use=titles[problem.want.use].title.capitalize()))
        else:
            said.append(FIXES["denied" if problem.rank == Rank.DENIED else "unknown"])
    return " ".join(list(dict.fromkeys(said))[:MOST_NAMED])
