"""SPDX 2 in JSON, and what a document of these versions means in whatever encoding."""

from __future__ import annotations

from typing import Any

import pytest

from portal.errors import Invalid
from registry import readers
from registry.readers import Reading
from tests.registry.readers.samples import ARTIFACT, as_body, sample

OTHER = "0" * 64
DESCRIBES = {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-m"}


def package(key: str = "m", **members: Any) -> dict[str, Any]:
    return {"SPDXID": f"SPDXRef-{key}", "name": key, "downloadLocation": "NOASSERTION", **members}


def checksum(digits: str, algorithm: str = "SHA256") -> dict[str, str]:
    return {"algorithm": algorithm, "checksumValue": digits}


def purl(locator: str, kind: str = "purl") -> dict[str, str]:
    return {"referenceCategory": "PACKAGE-MANAGER", "referenceType": kind, "referenceLocator": locator}


def relation(left: str, kind: str, right: str) -> dict[str, str]:
    names = (each if each.startswith("DocumentRef") else f"SPDXRef-{each}" for each in (left, right))
    return dict(zip(("spdxElementId", "relatedSpdxElement"), names, strict=True), relationshipType=kind)


def document(*packages: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {
        "spdxVersion": "SPDX-2.3",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": "a model",
        "dataLicense": "CC0-1.0",
        "documentNamespace": "https://models.example.com/spdx/1",
        "creationInfo": {"created": "2026-11-20T09:00:00Z", "creators": ["Tool: build-1"]},
        "packages": list(packages),
        "relationships": [DESCRIBES],
        **members,
    }


def described(*others: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return a document about one model with a checksum, with other packages beside it."""
    return document(package("m", checksums=[checksum(ARTIFACT)]), *others, **members)


def read(body: dict[str, Any]) -> Reading:
    return readers.read(as_body(body), kind="sbom")


def refusal(body: dict[str, Any]) -> str:
    with pytest.raises(Invalid) as caught:
        read(body)
    return str(caught.value)


def test_a_document_of_the_reference_library_is_read_whole() -> None:
    reading = readers.read(sample("model.spdx.json"), kind="sbom")
    assert (reading.reader, reading.warnings, reading.subject_digests) == ("spdx", (), (ARTIFACT,))
    assert reading.summary["format"] == "SPDX 2.3"
    assert reading.summary["coverage"] == "3 of 5 identifiable"
    assert reading.summary["cpe_only"] == 1
    assert reading.summary["tools"] == ["model-build-4.2.0"]
    assert reading.summary["describes"] == [{"name": "fraud-scorer", "version": "2.1.0", "type": "application"}]
    numpy = next(part for part in reading.parts if part.name == "numpy")
    assert (numpy.type, numpy.version, numpy.purl) == ("library", "2.2.6", "pkg:pypi/numpy@2.2.6")
    assert numpy.paths == ("fraud-scorer › scikit-learn › numpy",)
    assert numpy.licences == ("BSD-3-Clause AND LicenseRef-pocketfft",)


def test_the_described_package_offers_what_it_says_to_the_form() -> None:
    assert readers.read(sample("model.spdx.json"), kind="sbom").suggestions == {
        "artifact_sha256": ARTIFACT,
        "description": "Scores card transactions by how likely they are fraud.\nFor analysts.",
        "licence": "Apache-2.0",
        "source_repository": "https://git.example.com/ml/fraud-scorer",
        "source_commit": "a" * 40,
        "authors": ["ada@example.com"],
    }


def test_a_described_package_without_a_checksum_is_known_by_its_files() -> None:
    reading = readers.read(sample("files.spdx.json"), kind="sbom")
    assert reading.summary["format"] == "SPDX 2.2"
    assert reading.subject_digests == (ARTIFACT, "b" * 64)
    assert "packages[0].packageVerificationCode is no digest of an artifact and is ignored." in reading.warnings


def test_a_file_that_a_package_only_depends_on_is_no_subject() -> None:
    files = [{"SPDXID": "SPDXRef-f", "fileName": "./x", "checksums": [checksum(OTHER)]}]
    relations = [DESCRIBES, relation("m", "DEPENDS_ON", "f")]
    assert read(document(package("m"), files=files, relationships=relations)).subject_digests == ()


def test_a_described_file_is_a_subject_itself() -> None:
    files = [{"SPDXID": "SPDXRef-f", "fileName": "./x", "checksums": [checksum(ARTIFACT)]}]
    reading = read(document(files=files, relationships=[], documentDescribes=["SPDXRef-f"]))
    assert reading.subject_digests == (ARTIFACT,)


@pytest.mark.parametrize(
    ("body", "digests"),
    [
        (described(), (ARTIFACT,)),
        (described(relationships=[], documentDescribes=["SPDXRef-m"]), (ARTIFACT,)),
        (described(package("a"), relationships=[relation("m", "DESCRIBED_BY", "DOCUMENT")]), (ARTIFACT,)),
        # A document with one package is about that one.
        (described(relationships=[]), (ARTIFACT,)),
        (described(package("a"), relationships=[]), ()),
        (described(package("a"), relationships=[relation("a", "DESCRIBES", "m")]), ()),
        (document(package("m", checksums=[checksum("a" * 40, "SHA1")])), ()),
    ],
)
def test_what_a_document_is_about(body: dict[str, Any], digests: tuple[str, ...]) -> None:
    reading = read(body)
    assert reading.subject_digests == digests
    assert digests or "does not say which artifact it describes" in " ".join(reading.warnings)


def test_of_a_list_of_described_packages_those_with_a_purl_are_components_too() -> None:
    rows = [package("m", checksums=[checksum(ARTIFACT)]), package("a", externalRefs=[purl("pkg:pypi/a@1")])]
    reading = read(document(*rows, relationships=[], documentDescribes=["SPDXRef-m", "SPDXRef-a"]))
    assert [part.name for part in reading.parts] == ["a"]
    assert reading.suggestions == {}


def test_relations_are_read_in_both_directions_and_loops_end() -> None:
    rows = [package(key, externalRefs=[purl(f"pkg:pypi/{key}@1")]) for key in "abcd"]
    relations = [
        DESCRIBES,
        relation("m", "CONTAINS", "a"),
        relation("b", "DEPENDENCY_OF", "a"),
        relation("c", "TEST_DEPENDENCY_OF", "b"),
        relation("c", "DEPENDS_ON", "a"),
        relation("m", "DEPENDS_ON", "m"),
        relation("d", "SPECIFICATION_FOR", "m"),
        relation("a", "DEPENDS_ON", "DocumentRef-other:SPDXRef-x"),
    ]
    reading = read(described(*rows, relationships=relations))
    assert {part.name: part.paths for part in reading.parts} == {
        "a": ("m › a",),
        "b": ("m › a › b",),
        "c": ("m › a › b › c",),
        "d": ("SPDXRef-d",),
    }
    assert reading.warnings == ()


def test_a_long_chain_has_bounded_paths() -> None:
    rows = [package(f"package-number-{index}") for index in range(500)]
    relations = [
        relation(f"package-number-{index}", "DEPENDS_ON", f"package-number-{index + 1}") for index in range(499)
    ]
    reading = read(
        described(*rows, relationships=[DESCRIBES, relation("m", "DEPENDS_ON", "package-number-0"), *relations])
    )
    assert max(len(path) for part in reading.parts for path in part.paths) == 300
    assert reading.parts[-1].paths[0].endswith("› package-number-498 › package-number-499")


def test_a_relation_to_nothing_is_a_warning() -> None:
    reading = read(described(relationships=[DESCRIBES, relation("m", "CONTAINS", "gone")]))
    assert reading.warnings[-1] == (
        "Schema: 1 relationships name elements that are not in the document, 'SPDXRef-gone' for one."
    )


def test_one_package_named_twice_is_one_part_with_both_paths() -> None:
    rows = [
        package("a", externalRefs=[purl("pkg:pypi/Foo_Bar@1")], licenseDeclared="MIT"),
        package("b", externalRefs=[purl("pkg:PyPI/foo-bar@1")], licenseConcluded="MIT", licenseDeclared="NOASSERTION"),
    ]
    (part,) = read(described(*rows, relationships=[DESCRIBES, relation("m", "CONTAINS", "b")])).parts
    assert (part.purl, part.paths, part.licences) == ("pkg:pypi/foo-bar@1", ("SPDXRef-a", "m › b"), ("MIT",))


def test_two_packages_of_one_name_without_a_purl_stay_two() -> None:
    rows = [{**package("a"), "name": "same"}, {**package("b"), "name": "same"}]
    relations = [DESCRIBES, relation("m", "CONTAINS", "a"), relation("m", "CONTAINS", "b")]
    parts = read(described(*rows, relationships=relations)).parts
    assert [part.paths for part in parts] == [("m › same",), ("m › same",)]


@pytest.mark.parametrize(
    ("concluded", "declared", "licences"),
    [
        ("MIT", "Apache-2.0", ("MIT", "Apache-2.0")),
        ("NOASSERTION", "MIT", ("MIT",)),
        ("MIT", "MIT", ("MIT",)),
        ("NONE", "NOASSERTION", ()),
        ("LicenseRef-1", "", ("House terms",)),
        ("LicenseRef-2 OR MIT", "", ("LicenseRef-2 OR MIT",)),
        ("LicenseRef-3", "", ("LicenseRef-3",)),
    ],
)
def test_licences_are_kept_as_written_and_named_when_only_the_document_knows_them(
    concluded: str, declared: str, licences: tuple[str, ...]
) -> None:
    texts = [{"licenseId": "LicenseRef-1", "name": "House terms"}, {"licenseId": "LicenseRef-3", "name": "NOASSERTION"}]
    row = package("a", licenseConcluded=concluded, licenseDeclared=declared)
    assert read(described(row, hasExtractedLicensingInfos=texts)).parts[0].licences == licences


def test_a_cpe_identifies_nothing_and_is_counted() -> None:
    cpe = purl("cpe:2.3:a:x:x:1:*:*:*:*:*:*:*", "cpe23Type")
    rows = [package("a", externalRefs=[cpe]), package("b", externalRefs=[cpe, purl("pkg:pypi/b@1")])]
    summary = read(described(*rows)).summary
    assert (summary["components"], summary["identified"], summary["cpe_only"]) == (2, 1, 1)


def test_of_several_purls_the_first_counts_and_a_wrong_one_is_a_warning() -> None:
    rows = [
        package("a", externalRefs=[purl("pkg:pypi/a@1"), purl("pkg:github/x/a@1")]),
        package("b", versionInfo="2", externalRefs=[purl("not one")]),
        package("c", versionInfo="9", externalRefs=[purl("pkg:npm/c@1", "http://spdx.org/rdf/references/purl")]),
    ]
    reading = read(described(*rows))
    assert [part.purl for part in reading.parts] == ["pkg:pypi/a@1", "", "pkg:npm/c@1"]
    assert reading.warnings[:3] == (
        "packages[1]: there are 2 package URLs, and 'pkg:pypi/a@1' counts.",
        "packages[2]: 'not one' is not a package URL.",
        "packages[3]: the purl says version '1', the component '9'.",
    )


def test_what_the_specification_asks_for_besides_is_a_warning() -> None:
    row = {"SPDXID": "a", "name": "a", "primaryPackagePurpose": "TOY"}
    body = described(row, dataLicense="MIT", documentNamespace="", creationInfo={}, name="")
    text = "\n".join(read(body).warnings)
    for sentence in (
        "Schema: dataLicense: 'MIT' is not CC0-1.0.",
        "Schema: documentNamespace is missing.",
        "Schema: creationInfo.created is missing.",
        "Schema: packages[1].SPDXID: 'a' does not begin with SPDXRef-.",
        "Schema: packages[1].downloadLocation is missing.",
        "Schema: packages[1].primaryPackagePurpose: 'TOY' is none of APPLICATION",
    ):
        assert sentence in text, sentence


def test_the_answer_of_githubs_interface_is_unwrapped() -> None:
    assert read({"sbom": described()}).subject_digests == (ARTIFACT,)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (described(spdxVersion="SPDX-2.1"), "spdxVersion: saw 'SPDX-2.1', expected one of SPDX-2.2, SPDX-2.3"),
        (described(spdxVersion=["SPDX-2.3"]), "spdxVersion: saw "),
        (described({"name": "a"}), "packages[1].SPDXID: saw None"),
        (described(package("m")), "packages[1].SPDXID: saw 'SPDXRef-m', expected an id that no other element has"),
        (described(package("a", name="")), "packages[1].name: saw ''"),
        (described(package("a", name="a" * 301)), "packages[1].name: saw 301 characters"),
        (described(package("a", versionInfo=1)), "packages[1].versionInfo: saw 1"),
        (described(package("a", checksums=[checksum("beef")])), "packages[1].checksums[0].checksumValue: saw 'beef'"),
        (
            described(package("a", checksums=[checksum(ARTIFACT), checksum(OTHER, "sha256")])),
            "packages[1].checksums[1].checksumValue: saw",
        ),
        (described(package("a", externalRefs=[{"referenceType": "purl"}])), "packages[1].externalRefs[0].reference"),
        (described("a"), "packages[1]: saw 'a', expected a JSON object"),
        (document(), "packages: saw no package and no file, expected at least one"),
        (described(packages={}), "packages: saw {}, expected a JSON array"),
        (described(relationships=[{}]), "relationships[0].relationshipType: saw None"),
        (described(documentDescribes=[7]), "documentDescribes[0]: saw 7, expected an SPDXID"),
        (described(package("a", hasFiles="f")), "packages[1].hasFiles: saw 'f'"),
        (described(creationInfo=[]), "creationInfo: saw []"),
    ],
)
def test_what_the_document_rests_on_must_be_right(body: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(body)


@pytest.mark.parametrize(
    "body",
    [
        b'<?xml version="1.0"?>\n<rdf:RDF xmlns:spdx="http://spdx.org/rdf/terms#"></rdf:RDF>',
        b'SPDXID: "SPDXRef-DOCUMENT"\nspdxVersion: "SPDX-2.3"\n',
        b"---\nspdxVersion: SPDX-2.3\n",
    ],
)
def test_other_encodings_are_answered_with_what_is_expected_instead(body: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        readers.read(body, kind="sbom")
    assert str(caught.value) == (
        "document: saw SPDX in RDF or YAML, expected SPDX 2 in JSON or tag-value, or SPDX 3.0.1 in JSON-LD."
    )


def test_more_than_fifty_thousand_packages_are_refused() -> None:
    rows = [{"SPDXID": str(index), "name": "a"} for index in range(50_002)]
    assert "components: saw more than 50,000 components, expected at most 50,000" in refusal(document(*rows))


def test_a_package_with_endless_files_is_bounded() -> None:
    files = [
        {"SPDXID": f"SPDXRef-f{index}", "fileName": "./x", "checksums": [checksum(f"{index:064x}")]}
        for index in range(1200)
    ]
    relations = [DESCRIBES, *(relation("m", "CONTAINS", f"f{index}") for index in range(1200))]
    reading = read(document(package("m"), files=files, relationships=relations))
    assert len(reading.subject_digests) == 1000
    assert "The SBOM describes 1,200 files; the first 1,000 count." in reading.warnings


def test_a_formula_as_a_name_stays_the_text_it_is() -> None:
    part = read(described(package("a", name="=cmd()", versionInfo="@SUM(1)", licenseDeclared="=HYPERLINK()"))).parts[0]
    assert (part.name, part.version, part.licences) == ("=cmd()", "@SUM(1)", ("=HYPERLINK()",))
