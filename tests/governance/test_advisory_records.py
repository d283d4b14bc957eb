"""What an OSV record says: severities, versions, ranges and names. No database is needed to read one."""

from __future__ import annotations

import io
import json
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL

from governance.advisories import archive
from governance.advisories.cvss import score_v2, score_v3, score_v4
from governance.advisories.ecosystems import Origin, find_ecosystem, find_origin, spell
from governance.advisories.groups import name_group
from governance.advisories.osv import read_record
from governance.advisories.ranges import Answer, judge, order
from governance.advisories.severity import rate, reaches
from governance.advisories.versions import SCHEMES, parse
from portal.errors import Invalid

ALL = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]


def between(*events: tuple[str, str]) -> list[dict[str, object]]:
    """Return one range with these events."""
    return [{"type": "ECOSYSTEM", "events": [{name: version} for name, version in events]}]


def osv(osv_id: str, **changes: Any) -> dict[str, Any]:
    """Return a small OSV record about torch."""
    affected = [{"package": {"ecosystem": "PyPI", "name": "torch"}, "ranges": ALL}]
    return {"id": osv_id, "modified": "2026-11-01T10:00:00Z", "affected": affected, **changes}


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.0/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4),
        ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 7.8),
        ("CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:N/A:N", 5.9),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H/E:P/RL:O", 7.5),
        ("CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", 1.6),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
    ],
)
def test_a_cvss_3_vector_has_the_score_of_the_specification(vector: str, score: float) -> None:
    assert score_v3(vector) == score


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("AV:N/AC:L/Au:N/C:C/I:C/A:C", 10.0),
        ("AV:N/AC:L/Au:N/C:P/I:P/A:P", 7.5),
        ("(AV:N/AC:L/Au:N/C:N/I:N/A:C)", 7.8),
        ("AV:L/AC:H/Au:N/C:C/I:C/A:C/E:POC/RL:OF/RC:C", 6.2),
        ("AV:L/AC:H/Au:M/C:N/I:N/A:P", 0.8),
        ("AV:N/AC:L/Au:N/C:N/I:N/A:N", 0.0),
    ],
)
def test_a_cvss_2_vector_has_the_score_of_its_guide(vector: str, score: float) -> None:
    assert score_v2(vector) == score


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H", 10.0),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 9.3),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N/E:U/AU:Y/U:Red", 9.3),
        ("CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 9.2),
        ("CVSS:4.0/AV:L/AC:L/AT:N/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 8.5),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:L/SC:N/SI:N/SA:N", 6.9),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:P/VC:N/VI:N/VA:N/SC:L/SI:L/SA:N", 5.1),
        ("CVSS:4.0/AV:P/AC:H/AT:P/PR:H/UI:A/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N", 1.0),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N", 0.0),
    ],
)
def test_a_cvss_4_vector_has_the_base_score_of_the_specification(vector: str, score: float) -> None:
    assert score_v4(vector) == score


@pytest.mark.parametrize(
    "vector",
    [
        "",
        "nothing",
        "CVSS:3.1",
        "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H",
        "CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
        "CVSS:3.1/AV:N/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
        "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N",
        "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:HL/VI:H/VA:H/SC:N/SI:N/SA:N",
        "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:/VI:H/VA:H/SC:N/SI:N/SA:N",
        "CVSS:5.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
        "AV:N/AC:L/Au:N/C:P/I:P",
        "AV:N/AC:L/Au:N/C:P/I:P/A:H",
    ],
)
def test_what_is_no_vector_has_no_score(vector: str) -> None:
    assert (score_v2(vector), score_v3(vector), score_v4(vector)) == (None, None, None)


@given(st.text(alphabet="CVSS:4.0/AVNLHPRUISC3.1eu()", max_size=80))
def test_no_text_breaks_the_scores(text: str) -> None:
    for score in (score_v2, score_v3, score_v4):
        found = score(text)
        assert found is None or 0.0 <= found <= 10.0


@pytest.mark.parametrize(
    ("severity", "rule", "reached"),
    [
        ("critical", {"block": "high"}, True),
        ("medium", {"block": "high"}, False),
        ("unknown", {"block": "high"}, True),
        ("unknown", {"block": "critical"}, False),
        ("unknown", {"block": "critical", "unknown": "critical"}, True),
        ("critical", {}, False),
    ],
)
def test_an_unknown_severity_counts_as_the_policy_says(severity: str, rule: dict[str, str], reached: bool) -> None:
    assert reaches(severity, rule) is reached


def test_a_severity_is_the_worst_of_vectors_and_words_and_unknown_when_nothing_is_said() -> None:
    critical = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}
    new = {"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"}
    mild = {"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:P/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N"}
    old = {"type": "CVSS_V2", "score": "AV:N/AC:L/Au:N/C:C/I:C/A:C"}

    assert rate({"id": "PYSEC-1"}).severity == "unknown"
    assert rate({"id": "PYSEC-1", "severity": [new]}).severity == "critical"
    assert rate({"id": "PYSEC-1", "severity": [new]}).score is None
    assert rate({"id": "GHSA-1", "severity": [mild], "database_specific": {"severity": "HIGH"}}).severity == "high"
    assert rate({"id": "CVE-1", "severity": [old]}).severity == "high"
    assert rate({"id": "CVE-1", "severity": [old], "database_specific": {"severity": "LOW"}}).severity == "low"
    assert rate({"id": "CVE-1", "severity": [old, mild]}).severity == "medium"
    assert rate({"id": "A", "severity": [critical], "database_specific": {"severity": "LOW"}}).severity == "critical"
    assert rate({"id": "A", "affected": [{"severity": [critical]}]}).score == 9.8
    assert rate({"id": "RUSTSEC-1", "affected": [{"database_specific": {"cvss": critical["score"]}}]}).score == 9.8
    assert rate({"id": "UBUNTU-1", "severity": [{"type": "Ubuntu", "score": "high"}]}).severity == "high"
    assert rate({"id": "MAL-2026-1"}).severity == "critical"
    assert rate({"id": "A", "severity": "very", "affected": [None], "database_specific": 3}).severity == "unknown"


@pytest.mark.parametrize(
    ("purl_type", "lower", "higher"),
    [
        ("pypi", "1.0rc1", "1.0"),
        ("pypi", "2.0.9", "2.0.10"),
        ("npm", "1.0.0-alpha.9", "1.0.0-alpha.10"),
        ("npm", "1.0.0-alpha.10", "1.0.0"),
        ("golang", "v1.2.3", "1.2.4+incompatible"),
        ("golang", "v0.0.0-20230101000000-abcdefabcdef", "v0.0.1"),
        ("golang", "go1.21.3", "1.21.4"),
        ("cargo", "0.9.9", "0.10.0"),
        ("composer", "1.0.0-beta2", "1.0.0-RC1"),
        ("composer", "1.2.3.9", "1.2.3.10"),
        ("nuget", "1.0.0-Beta", "1.0.0"),
        ("nuget", "1.0.0.9", "1.0.0.10"),
        ("cran", "1.2-9", "1.2-10"),
        ("hackage", "1.2.9", "1.2.10"),
        ("maven", "2.0-beta9", "2.0"),
        ("maven", "31.1-jre", "32.0.0-android"),
        ("gem", "1.0.0.pre1", "1.0.0"),
        ("deb", "3.0.11-1~deb12u2", "3.0.11-1"),
        ("deb", "2.0", "1:1.0"),
        ("rpm", "1.1.1k-9.el8", "1.1.1k-12.el8"),
        ("apk", "1.2.4-r9", "1.2.4-r10"),
        ("apk", "1.2.4_rc1", "1.2.4_git20230717-r4"),
    ],
)
def test_versions_are_ordered_as_their_ecosystem_orders_them(purl_type: str, lower: str, higher: str) -> None:
    low, high = parse(purl_type, lower), parse(purl_type, higher)

    assert low is not None
    assert high is not None
    assert low < high
    assert not high < low


@pytest.mark.parametrize(
    ("purl_type", "one", "other"),
    [
        ("pypi", "2.1.0+cu118", "2.1"),
        ("npm", "v1.2.3+build.5", "1.2.3"),
        ("nuget", "1.0", "1.0.0.0"),
        ("maven", "1.0.0.RELEASE", "1.0"),
        ("gem", "3.0", "3.0.0"),
    ],
)
def test_one_version_has_many_spellings(purl_type: str, one: str, other: str) -> None:
    assert parse(purl_type, one) == parse(purl_type, other)


@pytest.mark.parametrize(
    ("purl_type", "text"),
    [
        ("pypi", "not-a-version"),
        ("pypi", ""),
        ("pypi", "1." * 300 + "0"),
        ("npm", "8.x-1.0"),
        ("npm", "9" * 5000),
        ("golang", "(devel)"),
        ("composer", "dev-master"),
        ("deb", "garbage!"),
        ("generic", "1.0"),
        ("cobol", "1.0"),
    ],
)
def test_what_cannot_be_read_is_no_version(purl_type: str, text: str) -> None:
    assert parse(purl_type, text) is None


@given(st.sampled_from(sorted(SCHEMES)), st.text(max_size=40), st.text(max_size=40))
def test_no_text_breaks_the_comparison(purl_type: str, version: str, bound: str) -> None:
    events = between(("introduced", "0"), ("fixed", bound)) + between(("introduced", bound), ("last_affected", version))
    answer = judge(purl_type, version, [bound], events).answer

    assert isinstance(answer, Answer)
    if parse(purl_type, version) is None:
        assert answer is not Answer.CLEAR
    order(purl_type, [version, bound, "1.0"])


@pytest.mark.parametrize(
    ("events", "affected", "clear"),
    [
        ([("introduced", "0"), ("fixed", "1.2")], ["0.0", "1.1.9", "1.2rc1"], ["1.2", "2.0"]),
        ([("introduced", "1.0"), ("last_affected", "1.2")], ["1.0", "1.2", "1.2+cu118"], ["0.9", "1.2.0.1"]),
        ([("fixed", "2.0"), ("introduced", "1.0")], ["1.0", "1.9"], ["0.9", "2.0"]),
        ([("introduced", "0"), ("fixed", "1.0"), ("introduced", "2.0"), ("fixed", "2.5")], ["0.5", "2.4"], ["1.5"]),
        ([("introduced", "0"), ("fixed", "1.0"), ("introduced", "1.0"), ("fixed", "2.0")], ["0.5", "1.0"], ["2.0"]),
        ([("introduced", "1.0"), ("last_affected", "1.0")], ["1.0"], ["0.9", "1.0.1"]),
        ([("introduced", "0"), ("limit", "3.0")], ["2.9"], ["3.0", "4.0"]),
        ([("introduced", "0"), ("limit", "*")], ["99"], []),
        ([("introduced", "0")], ["0.0.1", "99"], []),
    ],
)
def test_a_range_is_walked_in_the_order_of_its_versions(
    events: list[tuple[str, str]], affected: list[str], clear: list[str]
) -> None:
    for version in affected:
        assert judge("pypi", version, [], between(*events)).answer is Answer.AFFECTED, version
    for version in clear:
        assert judge("pypi", version, [], between(*events)).answer is Answer.CLEAR, version


def test_a_listed_version_is_affected_in_any_spelling_and_even_when_it_cannot_be_compared() -> None:
    assert judge("pypi", "1.0", ["1.0.0"], []).answer is Answer.AFFECTED
    assert judge("pypi", "2.1.0+cu118", ["2.1.0"], []).answer is Answer.AFFECTED
    assert judge("generic", "r3", ["r3"], []).answer is Answer.AFFECTED
    assert judge("pypi", "1.1", ["1.0.0"], []).answer is Answer.CLEAR


@pytest.mark.parametrize(
    ("version", "versions", "ranges"),
    [
        ("", [], between(("introduced", "0"), ("fixed", "1.0"))),
        ("latest", [], between(("introduced", "0"), ("fixed", "1.0"))),
        ("latest", ["1.0"], []),
        ("2.0", [], between(("introduced", "0"), ("fixed", "the next one"))),
        ("2.0", [], []),
    ],
)
def test_what_cannot_be_compared_is_never_clear(
    version: str, versions: list[str], ranges: list[dict[str, object]]
) -> None:
    assert judge("pypi", version, versions, ranges).answer is Answer.UNCERTAIN


def test_only_fixes_above_the_version_are_offered() -> None:
    ranges = between(("introduced", "0"), ("fixed", "1.5"), ("introduced", "2.0"), ("fixed", "2.10"))

    assert judge("pypi", "2.1", [], ranges).fixed_in == {"2.10"}
    assert judge("pypi", "1.0", [], ranges).fixed_in == {"1.5", "2.10"}
    assert judge("pypi", "unknown", [], ranges).fixed_in == {"1.5", "2.10"}
    assert order("pypi", {"2.10", "1.5", "odd", "2.9"}) == ["1.5", "2.9", "2.10", "odd"]


@pytest.mark.parametrize(
    ("ecosystem", "name", "spelled"),
    [
        ("PyPI", "Zope.Interface", ("zope-interface",)),
        ("Maven", "org.apache.logging.log4j:log4j-core", ("org.apache.logging.log4j:log4j-core",)),
        ("npm", "@angular/core", ("@angular/core",)),
        ("npm", "JSONStream", ("jsonstream",)),
        ("Go", "github.com/BurntSushi/toml", ("github.com/BurntSushi/toml", "github.com/burntsushi/toml")),
        ("Debian:12", "openssl", ("openssl",)),
        ("SwiftURL", "github.com/apple/swift-nio", ("github.com/apple/swift-nio",)),
    ],
)
def test_packages_are_spelled_as_the_sbom_reader_spells_them(
    ecosystem: str, name: str, spelled: tuple[str, ...]
) -> None:
    found = find_ecosystem(ecosystem)

    assert found is not None
    assert spell(found.purl_type, name) == spelled


@pytest.mark.parametrize(
    ("purl", "ecosystem", "meets"),
    [
        ("pkg:deb/debian/openssl@3.0?distro=debian-12", "Debian:12", True),
        ("pkg:deb/debian/openssl@3.0?distro=debian-12.5", "Debian:12", True),
        ("pkg:deb/debian/openssl@3.0?distro=debian-12", "Debian:11", False),
        ("pkg:deb/debian/openssl@3.0", "Debian:12", None),
        ("pkg:deb/ubuntu/openssl@3.0?distro=ubuntu-22.04", "Debian:12", False),
        ("pkg:deb/ubuntu/openssl@3.0?distro=ubuntu-22.04", "Ubuntu:22.04:LTS", True),
        ("pkg:apk/alpine/musl@1.2?distro=alpine-3.18.4", "Alpine:v3.18", True),
        ("pkg:apk/wolfi/openssl@3.1", "Wolfi", True),
        ("pkg:rpm/redhat/openssl@3.0?distro=rhel-8", "Red Hat:rhel_aus:8.4::baseos", None),
        ("pkg:rpm/rocky/openssl@3.0?distro=rocky-9.2", "Rocky Linux:9", True),
        ("pkg:pypi/torch@2.1", "PyPI", True),
    ],
)
def test_an_advisory_for_one_release_of_a_distribution_is_not_about_another(
    purl: str, ecosystem: str, meets: bool | None
) -> None:
    parsed = PackageURL.from_string(purl)
    origin = find_origin(parsed) if parsed.type in {"deb", "rpm", "apk"} else Origin()

    assert origin.meets(ecosystem) is meets


def test_a_group_is_named_by_its_cve_or_else_by_its_smallest_ghsa_or_else_by_an_id() -> None:
    assert name_group(["PYSEC-2023-1", "GHSA-bbbb", "CVE-2023-2000", "CVE-2023-1000"]) == "CVE-2023-1000"
    assert name_group(["PYSEC-2023-1", "GHSA-bbbb", "GHSA-aaaa"]) == "GHSA-aaaa"
    assert name_group(["PYSEC-2023-2", "OSV-2023-1"]) == "OSV-2023-1"


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (osv(""), "id"),
        (osv("GHSA-\x00"), "id"),
        (osv("G" * 101), "id"),
        (osv("GHSA-a", modified="2026-11-01T10:00:00"), "modified"),
        (osv("GHSA-a", schema_version="2.0.0"), "schema_version"),
        (osv("GHSA-a", aliases="CVE-2026-1"), "aliases"),
        (osv("GHSA-a", affected=["torch"]), "affected"),
        (osv("GHSA-a", affected=[{"package": {"ecosystem": "PyPI", "name": "\ud800"}}]), "affected[0].name"),
        (osv("GHSA-a", affected=[{"package": {"ecosystem": "PyPI", "name": "a"}, "versions": [1]}]), "versions"),
        (osv("GHSA-a", affected=[{"package": {"ecosystem": "PyPI", "name": "a"},
                                  "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "2"}]}]}]), "introduced"),
        (b"[" * 100_000, "record"),
        (b'{"id": NaN}', "record"),
        (b"\xff\xfe", "record"),
        (b"[]", "record"),
    ],
)  # fmt: skip
def test_a_bad_record_is_rejected_by_the_name_of_its_field(record: dict[str, Any] | bytes, field: str) -> None:
    raw = record if isinstance(record, bytes) else json.dumps(record).encode()

    with pytest.raises(Invalid) as refusal:
        read_record(raw)

    assert field in str(refusal.value)


KEYS = ["package", "ecosystem", "name", "ranges", "type", "events", "introduced", "versions", "score", "severity"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["0", "PyPI", "ECOSYSTEM"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(["id", "modified", "aliases", "affected", "severity", "database_specific", "upstream"]), JSON)
def test_no_field_breaks_the_reader(field: str, value: Any) -> None:
    with suppress(Invalid):
        assert read_record(json.dumps(osv("GHSA-a", **{field: value})).encode()).id


@given(place=st.integers(0, 400), change=st.binary(min_size=1, max_size=8))
def test_no_damage_breaks_the_archive_reader(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: bytes
) -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("one.json", b"{}" * 50)
        made.writestr("two.json", b"[]")
    body = bytearray(written.getvalue())
    body[place : place + len(change)] = change
    path: Path = tmp_path_factory.getbasetemp() / "damaged.zip"
    path.write_bytes(body)

    with suppress(Invalid), archive.opened(path) as opened:
        assert all(member.fault or len(member.raw) <= archive.MAX_MEMBER for member in opened.members())
