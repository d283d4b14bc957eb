"""SPDX 2 in tag-value lines says what the same document says in JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest

from portal.errors import Invalid
from registry import readers
from registry.readers import Reading
from tests.registry.readers.samples import ARTIFACT, sample

HEAD = """SPDXVersion: SPDX-2.3
DataLicense: CC0-1.0
SPDXID: SPDXRef-DOCUMENT
DocumentName: a model
DocumentNamespace: https://models.example.com/spdx/1
Creator: Tool: build-1
Created: 2026-11-20T09:00:00Z
"""
MODEL = f"""
PackageName: m
SPDXID: SPDXRef-m
PackageDownloadLocation: NOASSERTION
PackageChecksum: SHA256: {ARTIFACT}
"""
DESCRIBES = "Relationship: SPDXRef-DOCUMENT DESCRIBES SPDXRef-m\n"


def read(text: str) -> Reading:
    return readers.read(text.encode(), kind="sbom")


def refusal(text: str) -> str:
    with pytest.raises(Invalid) as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize("name", ["model.spdx", "files.spdx"])
def test_both_encodings_of_one_document_give_one_reading(name: str) -> None:
    lines, json = (readers.read(sample(each), kind="sbom") for each in (name, f"{name}.json"))
    assert (lines.reader, lines.summary["encoding"]) == ("spdx-tag-value", "tag-value")
    as_json = replace(
        lines,
        reader=json.reader,
        media_type=json.media_type,
        summary={**lines.summary, "encoding": "JSON"},
        warnings=json.warnings,
    )
    assert as_json == json


def test_comments_blank_lines_and_texts_over_several_lines_are_understood() -> None:
    text = (
        "\ufeff# made by us\r\n\r\n"
        + HEAD.replace("\n", "\r\n")
        + MODEL
        + "PackageDescription: <text>First.\n\n# no comment in here\nSPDXVersion: nor a tag</text>\n"
        + "   # an indented comment\n"
        + DESCRIBES
    )
    reading = read(text)
    assert reading.suggestions["description"] == "First.\n\n# no comment in here\nSPDXVersion: nor a tag"
    assert (reading.subject_digests, reading.warnings) == ((ARTIFACT,), ("The SBOM names no components.",))


def test_a_file_belongs_to_the_package_above_it_and_a_snippet_to_nobody() -> None:
    file = f"FileName: ./model.bin\nSPDXID: SPDXRef-f\nFileChecksum: SHA256: {ARTIFACT}\n"
    snippet = "SnippetSPDXID: SPDXRef-s\nSPDXID: SPDXRef-ignored\n"
    bare = MODEL.replace(f"PackageChecksum: SHA256: {ARTIFACT}\n", "")
    assert read(HEAD + bare + file + snippet + DESCRIBES).subject_digests == (ARTIFACT,)
    assert read(HEAD + file + bare + DESCRIBES).subject_digests == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("SPDXVersion: SPDX-2.1\n", "spdxVersion: saw 'SPDX-2.1', expected one of SPDX-2.2, SPDX-2.3"),
        (HEAD + "no tag here\n", "line 8: saw 'no tag here', expected a tag, a colon and a value"),
        (HEAD + "SPDXVersion: SPDX-2.3\n", "line 8, SPDXVersion: saw 'SPDX-2.3', expected this tag once"),
        (HEAD + MODEL + "PackageChecksum: abc\n", "line 13, PackageChecksum: saw 'abc', expected an algorithm and"),
        (HEAD + MODEL + "PackageChecksum: SHA256: abc\n", "line 9, PackageName.checksums[1].checksumValue: saw 'abc'"),
        (HEAD + MODEL + "ExternalRef: purl\n", "line 13, ExternalRef: saw 'purl', expected category, type and locator"),
        (
            HEAD + "Relationship: a DESCRIBES\n",
            "line 8, Relationship: saw 'a DESCRIBES', expected an id, a relationship",
        ),
        (HEAD + "DocumentComment: <text>endless\n", "line 8, DocumentComment: saw a <text> that does not end"),
        (HEAD + "PackageName: a\n", "line 8, PackageName.SPDXID: saw None"),
        (HEAD, "packages: saw no package and no file, expected at least one"),
        (HEAD + MODEL + MODEL, "line 14, PackageName.SPDXID: saw 'SPDXRef-m', expected an id that no other"),
        (HEAD + "DocumentComment: a\x00b\n", "document: saw '\\x00', expected text without NUL"),
    ],
)
def test_what_cannot_be_understood_is_named_with_its_line(text: str, sentence: str) -> None:
    assert sentence in refusal(text)


def test_more_than_fifty_thousand_packages_are_refused() -> None:
    rows = "".join(f"PackageName: a\nSPDXID: SPDXRef-{index}\n" for index in range(50_001))
    assert "expected at most 50,000" in refusal(HEAD + MODEL + rows + DESCRIBES)


def test_endless_lines_are_refused_before_they_are_read() -> None:
    assert "at most 2,000,000 lines" in refusal(HEAD + "\n" * 2_000_001)
