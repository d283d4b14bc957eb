"""What is missing: owners, backups, evidence, recent evaluations, policies, and decisions where a version is in use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from django.urls import reverse

from audit.reports import gaps
from audit.reports.base import Column, Filters, Picture, Report, Row, count
from audit.reports.chained import Chained, Thing
from audit.reports.gaps import Use, Wanted
from portal import charts
from registry.models import Team, User, Version

NOBODY = "an administrator"


class Words(NamedTuple):
    """How one sort of gap is worded: as a filter, as a sentence, and what would mend it."""

    title: str
    says: str
    fix: str


WORDS = {
    gaps.OWNER: Words("Owner", "No active person owns it.", "Name an owner on its page."),
    gaps.BACKUP: Words("Backup owner", "No active person stands in for its owner.", "Name a backup owner on its page."),
    gaps.ESCALATION: Words("Escalation contact", "Nobody is told at night.", "Set an escalation contact on its page."),
    gaps.POLICY: Words("Policy", "No policy governs its kind.", "Propose a policy that applies to its kind."),
    gaps.SBOM: Words("SBOM", "Its policy asks for an SBOM and none is attached.", "Attach an SBOM of this artifact."),
    gaps.PROVENANCE: Words(
        "Provenance",
        "Its policy asks for provenance and none is attached.",
        "Attach the signed provenance of its build.",
    ),
    gaps.EVALUATION: Words(
        "Evaluation", "Its policy asks for evaluations and none is attached.", "Attach an evaluation report."
    ),
    gaps.RECENT: Words(
        "Recent evaluation",
        "Nothing was measured on exactly this digest within the days that its policy allows.",
        "Evaluate it again, and attach the report.",
    ),
    gaps.DECISION: Words("Decision in force", "", ""),
}


class Coverage(Report):
    """Each thing that is missing from an asset, or from a version that is a candidate, approved or deprecated."""

    slug = "coverage"
    title = "Coverage"
    question = "What is missing: owners, evidence, recent evaluations, policies, decisions?"
    filters = ("asset", "environment", "word")
    words = tuple(WORDS)
    titles: ClassVar[Mapping[str, str]] = {word: words.title for word, words in WORDS.items()}
    word_label = "What is missing"
    nothing = "Nothing is missing, as of that instant."
    hint = "Nothing that the question is about lacked what it asks for. Widen it to look further."
    note = "Drafts and retired versions have no rows. With an environment, only what it pointed to then is shown."
    columns = (
        Column("Missing", brief=True),
        Column("Says", "note", brief=True),
        Column("Asset", "asset", brief=True),
        Column("Version", "version", brief=True),
        Column("State then", "word", brief=True),
        Column("In use in", brief=True),
        Column("Since", "time", brief=True),
        Column("Who can fix it", brief=True),
        Column("How", "note", brief=True),
        Column("Team"),
        Column("Rule"),
        Column("Where", "link", brief=True),
    )

    def select(self, filters: Filters, as_of: datetime) -> Chained:
        """Return what was missing then, one sort after the other."""
        wanted = Wanted.of(filters, as_of)
        parts = gaps.parts(wanted)
        return Chained([(word, rows) for word, (rows, _) in parts.items() if filters.word in {"", word}])

    def tell(self, found: Sequence[Thing], as_of: datetime) -> Iterator[Row]:
        """Yield a row for each gap."""
        about = Surroundings(found, as_of)
        for word, row in found:
            asset = about.asset(row)
            words, reason = WORDS[word], row.reason if isinstance(row, Use) else None
            version = row.version if isinstance(row, Use) else row if isinstance(row, Version) else None
            yield (
                words.title,
                reason.says if reason else words.says,
                asset.slug,
                version.label if version else None,
                about.state(row),
                ", ".join(about.uses(row)) or None,
                row.since,
                about.who(word, asset),
                reason.fix if reason else words.fix,
                about.team(asset),
                reason.rule if reason else word,
                where(word, asset, version),
            )

    def key(self, thing: Any) -> str:
        """Return what names a gap: its sort, and what has it."""
        return str(thing.key)

    def say(self, row: Row) -> str:
        """Return "fraud-scorer@2.1.0 is missing: sbom"."""
        missing, _, asset, version, *_ = row
        return f"{version or asset} is missing: {str(missing).lower()}"

    def picture(self, filters: Filters, as_of: datetime) -> Picture | None:
        """Return which share of assets, versions and uses has what is asked for."""
        bars = []
        for word, (rows, whole) in gaps.parts(Wanted.of(filters, as_of)).items():
            total = whole if isinstance(whole, int) else count(whole)
            missing = count(rows)
            if total and filters.word in {"", word}:
                has = charts.Part("Covered", max(0, total - missing), "ok")
                bar = charts.stacked_bar([has, charts.Part("Missing", missing, "bad")])
                share = 100 * max(0, total - missing) / total
                bars.append((f"{WORDS[word].title}: {share:.0f} % of {total}", bar))
        return Picture("audit/_stack_picture.html", {"title": "How much is covered", "bars": bars}) if bars else None


class Surroundings:
    """What rows need to know about each other's assets, teams, people and uses, asked once for all of them."""

    def __init__(self, found: Sequence[Thing], as_of: datetime) -> None:
        self._assets = gaps.assets_then({asset_id(row) for _, row in found}, as_of)
        self._teams = Team.objects.in_bulk({asset.team_id for asset in self._assets.values()})
        named = {who for asset in self._assets.values() for who in (asset.owner_id, asset.backup_owner_id) if who}
        self._people = User.objects.in_bulk(named)
        self._as_of = as_of
        self._uses: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
        for each in gaps.pointers(as_of, assets=set(self._assets)):
            self._uses[each.asset_id].append((each.version_id, each.environment))

    def asset(self, row: Any) -> Any:
        """Return a row's asset as it was."""
        return self._assets[asset_id(row)]

    def state(self, row: Any) -> str | None:
        """Return the state of a row's version then."""
        return row.version.state_then if isinstance(row, Use) else getattr(row, "state_then", None)

    def uses(self, row: Any) -> list[str]:
        """Return the environments that pointed to a row's version then, or to any of its asset's."""
        if isinstance(row, Use):
            return [row.environment]
        known = self._uses[asset_id(row)]
        mine = (name for version, name in known if not isinstance(row, Version) or version == row.pk)
        return sorted(set(mine))

    def team(self, asset: Any) -> str:
        """Return the team of an asset."""
        return self._teams[asset.team_id].name

    def who(self, word: str, asset: Any) -> str:
        """Return who can mend a gap: whoever of owner and backup was still here, else the team."""
        if word == gaps.POLICY:
            return NOBODY
        known = (self._people.get(who) for who in (asset.owner_id, asset.backup_owner_id))
        here = [str(each) for each in known if each is not None and not has_left(each, self._as_of)]
        return f"{', '.join(here)}; {self.team(asset)}" if here else f"the team {self.team(asset)}"


def has_left(person: User, at: datetime) -> bool:
    """Return whether somebody's account was closed by an instant."""
    return person.left_at is not None and person.left_at <= at


def asset_id(row: Any) -> int:
    """Return the id of a row's asset: of a version, of a use, or of a history row of an asset."""
    found: int = row.version.asset_id if isinstance(row, Use) else row.asset_id if isinstance(row, Version) else row.id
    return found


def where(word: str, asset: Any, version: Version | None) -> str:
    """Return the page on which a gap is mended."""
    if word == gaps.POLICY:
        return reverse("governance:policies")
    if version is not None:
        return reverse("registry:version", args=[asset.slug, version.number])
    return reverse("registry:asset", args=[asset.slug])
