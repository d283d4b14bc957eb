"""Importing OSV archives and matching packages: real zips, real rows, the cast of the demo."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit import log
from governance import advisories
from governance.models import Advisory, AdvisoryImport, AffectedPackage
from portal.demo import documents
from portal.demo.cast import gather
from portal.errors import Invalid
from registry import evidence
from registry.models import SbomComponent, User
from registry.readers.purls import read_purl
from tests.factories import Walk, artifacts

CRITICAL = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}


@pytest.fixture
def walk(db: None, tmp_path: Path, settings: Any) -> Walk:
    """Return the cast, who may register versions with artifacts in a folder of the test."""
    settings.ARTIFACT_ROOTS = [tmp_path / "artifacts"]
    return Walk(gather())


@pytest.fixture
def alma(walk: Walk) -> User:
    """Return the administrator, who may import."""
    return walk.cast.alma


def osv(identifier: str, *packages: str, ecosystem: str = "PyPI", **changes: Any) -> dict[str, Any]:
    """Return an OSV record; a package is written `torch<2.2` when 2.2 fixes it."""
    affected = []
    for package in packages:
        name, _, fixed = package.partition("<")
        events = [{"introduced": "0"}, *([{"fixed": fixed}] if fixed else [])]
        ranges = [{"type": "ECOSYSTEM", "events": events}]
        affected.append({"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges})
    return {
        "schema_version": "1.7.3",
        "id": identifier,
        "modified": "2026-11-01T10:00:00.123456789Z",
        "summary": f"Trouble in {identifier}",
        "affected": affected,
        **changes,
    }


def write_zip(path: Path, records: Iterable[dict[str, Any] | bytes]) -> Path:
    """Write an OSV archive; bytes are written as they are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, record in enumerate(records):
            raw = record if isinstance(record, bytes) else json.dumps(record).encode()
            archive.writestr(f"{place:04}.json", raw)
    return path


def take(folder: Path, actor: User, *records: dict[str, Any] | bytes, ecosystem: str = "PyPI") -> AdvisoryImport:
    """Import records as an administrator does."""
    path = write_zip(folder / f"{len(list(folder.iterdir()))}.zip", records)
    return advisories.import_zip(path, ecosystem=ecosystem, actor=actor)


def component(purl: str) -> SimpleNamespace:
    """Return a component as the SBOM reader makes it of a purl."""
    package = read_purl(purl)
    assert package is not None
    return SimpleNamespace(purl_type=package.type, purl_name=package.name, version=package.version, purl=package.purl)


def find(*purls: str) -> dict[tuple[str, str], advisories.Match]:
    """Return the matches of some purls by (vulnerability, purl)."""
    return {(each.vulnerability, each.purl): each for each in advisories.match(component(purl) for purl in purls)}


def test_an_import_is_counted_told_to_the_ledger_and_names_what_it_could_not_read(alma: User, tmp_path: Path) -> None:
    imported = take(
        tmp_path,
        alma,
        osv("GHSA-aaaa", "torch<2.2"),
        osv("PYSEC-2026-1", "numpy<2", withdrawn="2026-11-02T00:00:00Z"),
        b"{not json",
        osv("PYSEC-2026-2", "scipy", modified="yesterday"),
        osv("PYSEC-2026-3", "scipy", modified="9000-01-01T00:00:00Z"),
    )

    assert (imported.read, imported.changed, imported.withdrawn, imported.rejected) == (5, 2, 1, 3)
    assert [fault["name"] for fault in imported.faults] == ["'0002.json'", "'0003.json'", "'0004.json'"]
    assert "modified: saw 'yesterday'" in imported.faults[1]["says"]
    entry = log.entries(kind="advisories.imported").get()
    assert entry.actor == alma.ledger_name
    details = json.loads(bytes(entry.body))["details"]
    assert (details["count"], details["rejected"]) == (2, 3)


def test_only_what_is_newer_is_taken_over(alma: User, tmp_path: Path) -> None:
    take(tmp_path, alma, osv("GHSA-aaaa", "torch<2.2"), osv("GHSA-bbbb", "numpy<2"))

    again = take(tmp_path, alma, osv("GHSA-aaaa", "torch<9.9"), osv("GHSA-bbbb", "numpy<2"))
    older = take(tmp_path, alma, osv("GHSA-aaaa", "torch<9.9", modified="2026-10-01T00:00:00Z"))
    newer = take(tmp_path, alma, osv("GHSA-aaaa", "torch<2.3", modified="2026-11-02T00:00:00Z"))

    assert (again.changed, older.changed, newer.changed) == (0, 0, 1)
    assert find("pkg:pypi/torch@2.2")["GHSA-aaaa", "pkg:pypi/torch@2.2"].fixed_in == ("2.3",)
    assert AffectedPackage.objects.filter(advisory="GHSA-aaaa").count() == 1
    assert advisories.affected_since(again) == set()
    assert advisories.affected_since(newer) == {("pypi", "torch")}


def test_of_two_copies_in_one_archive_the_newer_counts(alma: User, tmp_path: Path) -> None:
    newer = osv("GHSA-aaaa", "torch<3", modified="2026-11-02T00:00:00Z")

    imported = take(tmp_path, alma, newer, osv("GHSA-aaaa", "torch<2"))

    assert imported.changed == 1
    assert find("pkg:pypi/torch@2.5")


def test_a_withdrawn_advisory_matches_no_longer_and_its_packages_are_matched_again(alma: User, tmp_path: Path) -> None:
    take(tmp_path, alma, osv("GHSA-aaaa", "torch<2.2"))
    assert find("pkg:pypi/torch@2.1")

    gone = osv("GHSA-aaaa", modified="2026-11-05T00:00:00Z", withdrawn="2026-11-05T00:00:00Z")
    imported = take(tmp_path, alma, gone, osv("GHSA-bbbb", "numpy<2"))

    assert find("pkg:pypi/torch@2.1") == {}
    assert ("pypi", "torch") in advisories.affected_since(imported)


def test_aliases_are_one_vulnerability_with_the_worst_severity_of_all_of_them(alma: User, tmp_path: Path) -> None:
    take(
        tmp_path,
        alma,
        osv("PYSEC-2026-1", "torch<2.2", aliases=["GHSA-aaaa"]),
        osv("GHSA-aaaa", "torch<2.1", aliases=["CVE-2026-0001"], severity=[CRITICAL]),
        osv("DEBIAN-CVE-2026-0001", "pytorch", ecosystem="Debian:12", upstream=["CVE-2026-0001"]),
        osv("DSA-1", "linux", ecosystem="Debian:12", upstream=["CVE-2026-0001", "CVE-2026-0002"]),
    )

    groups = dict(Advisory.objects.values_list("id", "group"))
    assert groups == {
        "PYSEC-2026-1": "CVE-2026-0001",
        "GHSA-aaaa": "CVE-2026-0001",
        "DEBIAN-CVE-2026-0001": "CVE-2026-0001",
        "DSA-1": "DSA-1",
    }
    (match,) = advisories.match([component("pkg:pypi/torch@2.1.5")])
    assert (match.vulnerability, match.severity, match.certain) == ("CVE-2026-0001", "critical", True)
    assert match.advisory_ids == ("PYSEC-2026-1",)


def test_a_group_does_not_depend_on_the_order_of_imports_and_falls_apart_with_its_link(
    alma: User, tmp_path: Path
) -> None:
    take(tmp_path, alma, osv("PYSEC-2026-1", "torch<2.2", aliases=["GHSA-aaaa"]))
    assert Advisory.objects.get(pk="PYSEC-2026-1").group == "GHSA-aaaa"

    linked = take(tmp_path, alma, osv("GHSA-aaaa", "numpy<2", aliases=["CVE-2026-0001"], severity=[CRITICAL]))
    assert Advisory.objects.get(pk="PYSEC-2026-1").group == "CVE-2026-0001"
    assert ("pypi", "torch") in advisories.affected_since(linked)

    cut = osv("GHSA-aaaa", "numpy<2", modified="2026-11-09T00:00:00Z", withdrawn="2026-11-09T00:00:00Z")
    parted = take(tmp_path, alma, cut, osv("GHSA-bbbb", "scipy"))
    assert Advisory.objects.get(pk="PYSEC-2026-1").group == "GHSA-aaaa"
    assert ("pypi", "torch") in advisories.affected_since(parted)


def test_a_chain_of_too_many_aliases_merges_nobody(alma: User, tmp_path: Path) -> None:
    chain = [osv(f"PYSEC-2026-{n:02}", "torch<2", aliases=[f"PYSEC-2026-{n + 1:02}"]) for n in range(40)]
    many = osv("GHSA-many", "torch<2", aliases=[f"CVE-2026-10{n:02}" for n in range(10)])

    take(tmp_path, alma, *chain, many, osv("GHSA-next", "torch<2", aliases=["CVE-2026-1005"]))

    assert Advisory.objects.get(pk="PYSEC-2026-20").group == "PYSEC-2026-20"
    assert Advisory.objects.get(pk="GHSA-next").group == "CVE-2026-1005"


def test_a_local_version_is_its_public_version_and_an_unreadable_one_is_never_clear(alma: User, tmp_path: Path) -> None:
    upto = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"last_affected": "2.1.0"}]}]
    affected = [{"package": {"ecosystem": "PyPI", "name": "Torch"}, "ranges": upto, "versions": ["2.0.0", "2.1.0"]}]
    take(tmp_path, alma, osv("GHSA-aaaa", affected=affected))

    local, odd, bare = "pkg:pypi/torch@2.1.0%2Bcu118", "pkg:pypi/torch@nightly", "pkg:pypi/torch"
    found = find(local, odd, bare, "pkg:pypi/torch@2.2.0%2Bcu118", "pkg:pypi/numpy@1.0")

    assert {purl: match.certain for (_, purl), match in found.items()} == {local: True, odd: False, bare: False}
    assert found["GHSA-aaaa", odd].severity == "unknown"


@pytest.mark.parametrize(
    ("ecosystem", "affected", "hit", "miss"),
    [
        ("npm", "@angular/core<12.1.0", "pkg:npm/%40angular/core@12.0.9", "pkg:npm/%40angular/core@12.1.0"),
        ("Maven", "org.a:b<2.15.0", "pkg:maven/org.a/b@2.14.1", "pkg:maven/org.a/b@2.15.0"),
        ("Go", "github.com/A/b<1.2.3", "pkg:golang/github.com/a/b@v1.2.2", "pkg:golang/github.com/A/b@v1.2.3"),
        ("crates.io", "smallvec<0.6.10", "pkg:cargo/smallvec@0.6.9", "pkg:cargo/smallvec@0.6.10"),
        ("RubyGems", "rails<7.0.4", "pkg:gem/rails@7.0.3", "pkg:gem/rails@7.0.4"),
        ("NuGet", "Newtonsoft.Json<13.0.1", "pkg:nuget/newtonsoft.json@12.0.3", "pkg:nuget/Newtonsoft.Json@13.0.1"),
        ("Packagist", "a/b<1.2.10", "pkg:composer/a/b@1.2.9", "pkg:composer/a/b@1.2.10"),
        ("Alpine:v3.19", "musl<1.2.4_git20230717-r5", "pkg:apk/alpine/musl@1.2.4_git20230717-r4?distro=alpine-3.19.1",
         "pkg:apk/alpine/musl@1.2.4_git20230717-r4?distro=alpine-3.18.2"),
        ("Debian:12", "openssl<3.0.11-1~deb12u2", "pkg:deb/debian/openssl@3.0.9-1?distro=debian-12",
         "pkg:deb/ubuntu/openssl@3.0.9-1?distro=ubuntu-22.04"),
        ("Debian:12", "openssl<3.0.11-1~deb12u2",
         "pkg:deb/debian/libssl3@3.0.9-1%2Bb1?distro=debian-12&upstream=openssl%403.0.9-1",
         "pkg:deb/debian/libssl3@3.0.11-1~deb12u2?distro=debian-12&upstream=openssl"),
        ("Rocky Linux:9", "grub2<1:2.06-70.el9", "pkg:rpm/rocky/grub2@2.06-61.el9?epoch=1&distro=rocky-9.2",
         "pkg:rpm/rocky/grub2@2.06-70.el9?epoch=1&distro=rocky-9.2"),
    ],
)  # fmt: skip
def test_every_ecosystem_is_matched_by_its_own_rules(
    alma: User, tmp_path: Path, ecosystem: str, affected: str, hit: str, miss: str
) -> None:
    take(tmp_path, alma, osv("OSV-1", affected, ecosystem=ecosystem), ecosystem=ecosystem)

    found = find(hit, miss)

    assert [(purl, match.certain) for (_, purl), match in found.items()] == [(component(hit).purl, True)]


def test_a_package_of_an_unnamed_release_is_held_for_review(alma: User, tmp_path: Path) -> None:
    take(tmp_path, alma, osv("DSA-1", "openssl<3.0.11-1", ecosystem="Debian:12"), ecosystem="Debian")

    (match,) = advisories.match([component("pkg:deb/debian/openssl@3.0.9-1")])

    assert not match.certain


def test_matching_asks_a_bounded_number_of_questions(alma: User, tmp_path: Path) -> None:
    take(tmp_path, alma, *(osv(f"GHSA-{n:04}", f"package-{n}<2") for n in range(300)))
    few, many = ([component(f"pkg:pypi/package-{n}@1.{n}") for n in range(count)] for count in (3, 1500))

    with CaptureQueriesContext(
        connection,
    ) as asked_for_few:
        assert len(advisories.match(few)) == 3
    with CaptureQueriesContext(connection) as asked_for_many:
        assert len(advisories.match(many)) == 300

    assert len(asked_for_many) == len(asked_for_few) <= 4


def test_an_sbom_that_would_never_end_is_refused(alma: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take(tmp_path, alma, *(osv(f"GHSA-{n:04}", "torch<2") for n in range(50)))
    monkeypatch.setattr("governance.advisories.matching.MAX_COMPARISONS", 1000)

    with pytest.raises(Invalid, match="comparisons with advisories"):
        advisories.match(component(f"pkg:pypi/torch@1.{n}") for n in range(50))


def test_only_versions_of_which_an_sbom_names_a_touched_package_are_matched_again(
    walk: Walk, alma: User, tmp_path: Path
) -> None:
    cee_i = walk.cast.cee_i

    def register(number: str, *sboms: dict[str, str]) -> str:
        version = walk.register("fraud-scorer", number, artifacts.scorer(1) + number.encode())
        for parts in sboms:
            body = documents.sbom("fraud-scorer", number, version.artifact_sha256, parts)
            evidence.attach(version, actor=cee_i, kind="sbom", filename="sbom.json", body=body)
        return version.number

    register("1.0.0", {"torch": "2.1.0"})
    register("1.1.0", {"numpy": "1.0"})
    register("1.2.0", {"torch": "2.1.0"}, {"numpy": "1.0"})
    register("1.3.0", {"numpy": "1.0"}, {"Torch": "2.1.0"})
    register("1.4.0")

    imported = take(tmp_path, alma, osv("GHSA-aaaa", "torch<2.2"))

    assert {version.number for version in advisories.versions_touched(imported)} == {"1.0.0", "1.2.0", "1.3.0"}
    rows = SbomComponent.objects.filter(evidence__version__number="1.3.0")
    assert {match.purl for match in advisories.match(rows)} == {"pkg:pypi/torch@2.1.0"}
    empty = take(tmp_path, alma, osv("GHSA-aaaa", "torch<2.2"))
    assert not advisories.versions_touched(empty).exists()


def test_what_a_record_says_is_cleaned_before_it_is_stored(alma: User, tmp_path: Path) -> None:
    dirty = osv("GHSA-aaaa", "torch<2", summary="One\x00 line\u202e\ud800\nand another")
    bare = osv("GHSA-bbbb", "torch<2", summary="  ", details="\n# Details only\nand more")

    take(tmp_path, alma, dirty, bare)

    assert list(Advisory.objects.order_by("pk").values_list("summary", flat=True)) == ["One line", "# Details only"]


def test_records_that_no_package_can_be_compared_with_are_counted(alma: User, tmp_path: Path) -> None:
    git = {"ranges": [{"type": "GIT", "repo": "https://git.example.com/a", "events": [{"introduced": "0"}]}]}
    imported = take(
        tmp_path,
        alma,
        osv("GHSA-aaaa", "torch<2"),
        osv("CVE-2026-0001", affected=[git]),
        osv("CVE-2026-0002", affected=[], database_specific={"cpes": ["cpe:2.3:a:b:c"]}),
        osv("CVE-2026-0003", affected=[], withdrawn="2026-11-02T00:00:00Z"),
    )
    says = "2 records name only git commits, CPEs, or packages of a kind without package URLs."
    assert imported.faults == [{"name": advisories.NOT_COVERED, "says": says}]
    assert (imported.rejected, imported.changed) == (0, 4)
    entry = log.entries(kind="advisories.imported").get()
    assert json.loads(bytes(entry.body))["details"]["not_covered"] == 2


def test_an_archive_that_is_none_or_says_nothing_about_the_ecosystem_changes_nothing(
    alma: User, tmp_path: Path
) -> None:
    text = tmp_path / "text.zip"
    text.write_text("not a zip")
    cut = write_zip(tmp_path / "whole.zip", [osv("GHSA-aaaa", "torch")])
    cut.write_bytes(cut.read_bytes()[:-10])
    empty = write_zip(tmp_path / "empty.zip", [])
    junk = write_zip(tmp_path / "junk.zip", [b"{}", b"\x00"])
    npm = write_zip(tmp_path / "npm.zip", [osv("GHSA-aaaa", "left-pad", ecosystem="npm")])

    for path in (text, cut, empty, junk, npm, tmp_path / "absent.zip", tmp_path):
        with pytest.raises(Invalid):
            advisories.import_zip(path, ecosystem="PyPI", actor=alma)
    with pytest.raises(Invalid, match="one of AlmaLinux"):
        advisories.import_zip(npm, ecosystem="Pascal", actor=alma)

    assert not AdvisoryImport.objects.exists()
    assert not Advisory.objects.exists()
    assert not log.entries(kind="advisories.imported").exists()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(
    alma: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = write_zip(tmp_path / "bomb.zip", [b" " * 40_000_000, osv("GHSA-aaaa", "torch")])
    with pytest.raises(Invalid, match="bytes unpacked"):
        advisories.import_zip(bomb, ecosystem="PyPI", actor=alma)

    monkeypatch.setattr("governance.advisories.archive.MAX_MEMBER", 500)
    imported = take(tmp_path, alma, b"x" * 600, osv("GHSA-aaaa", "torch"))
    assert imported.faults[0]["says"].startswith("It has 600 bytes")

    monkeypatch.setattr("governance.advisories.archive.MAX_MEMBERS", 2)
    with pytest.raises(Invalid, match="at most 2 files"):
        take(tmp_path, alma, *(osv(f"GHSA-{n}", "torch") for n in range(3)))


def test_a_damaged_member_is_counted_and_the_rest_is_taken(alma: User, tmp_path: Path) -> None:
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("bad.json", json.dumps(osv("GHSA-bad", "torch", summary="SPOILED")))
        archive.writestr("good.json", json.dumps(osv("GHSA-good", "numpy")))
    path.write_bytes(path.read_bytes().replace(b"SPOILED", b"spoiled"))

    imported = advisories.import_zip(path, ecosystem="PyPI", actor=alma)

    assert (imported.changed, imported.rejected) == (1, 1)
    assert "damaged" in imported.faults[0]["says"]


@pytest.mark.parametrize("who", ["ada", "iris", "mallory"])
def test_only_administrators_and_security_import(walk: Walk, tmp_path: Path, who: str) -> None:
    with pytest.raises(PermissionDenied):
        take(tmp_path, getattr(walk.cast, who), osv("GHSA-aaaa", "torch"))

    assert not Advisory.objects.exists()
    assert take(tmp_path, walk.cast.rhea, osv("GHSA-aaaa", "torch")).changed == 1


def test_the_command_imports_and_prints_the_counts(alma: User, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "all.zip", [osv("GHSA-aaaa", "torch<2.2"), b"{}", osv("CVE-2026-0001")])
    out, err = StringIO(), StringIO()

    call_command("import_advisories", str(path), "--ecosystem", "PyPI", "--actor", "alma", stdout=out, stderr=err)

    assert "PyPI: 3 read, 2 new or changed, 0 of them withdrawn, 1 rejected; 1 packages touched" in out.getvalue()
    assert "rejected '0001.json'" in err.getvalue()
    assert "not covered: 1 records" in err.getvalue()
    with pytest.raises(CommandError, match="no account 'nobody'"):
        call_command("import_advisories", str(path), "--ecosystem", "PyPI", "--actor", "nobody")
    with pytest.raises(CommandError, match=r"advisories\.import"):
        call_command("import_advisories", str(path), "--ecosystem", "PyPI", "--actor", "mallory")
