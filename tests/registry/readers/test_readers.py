from __future__ import annotations

import pytest

from portal.errors import Invalid
from registry import readers
from registry.readers import READERS, Reader, largest
from tests.registry.readers.samples import as_body, package, sample

KINDS = ("sbom", "provenance", "evaluation", "vex", "model-card", "licence-text", "other")


def test_every_kind_of_evidence_has_a_reader() -> None:
    assert {reader.kind for reader in READERS} == set(KINDS)


def test_every_reader_has_its_own_slug() -> None:
    assert len({reader.slug for reader in READERS}) == len(READERS)


@pytest.mark.parametrize(
    ("kind", "name", "slug"),
    [
        ("sbom", "python-env.cdx.json", "cyclonedx"),
        ("provenance", "slsa.dsse.json", "in-toto"),
        ("provenance", "model-signing.bundle.json", "in-toto"),
        ("evaluation", "lm-eval-results.json", "lm-eval"),
        ("model-card", "model-card.md", "model-card"),
        ("licence-text", "model-card.md", "licence-text"),
        ("other", "lm-eval-results.json", "other"),
    ],
)
def test_the_reader_is_chosen_by_content(kind: str, name: str, slug: str) -> None:
    reading = readers.read(sample(name), kind=kind, filename="whatever.bin")
    assert (reading.reader, reading.kind) == (slug, kind)


def test_two_formats_of_one_kind_are_told_apart() -> None:
    assert readers.read(as_body(package()), kind="evaluation").reader == "evaluation-package"


@pytest.mark.parametrize("kind", ["sbom", "provenance", "evaluation"])
def test_a_document_that_no_reader_knows_is_refused_with_the_formats_that_are_accepted(kind: str) -> None:
    with pytest.raises(Invalid) as caught:
        readers.read(b"PK\x03\x04 not a document", kind=kind, filename="report.zip")
    (fault,) = caught.value.faults
    assert fault.field == "report.zip"
    assert fault.seen == "bytes that begin with b'PK\\x03\\x04 not a document'"
    assert fault.expected == " or ".join(reader.title for reader in READERS if reader.kind == kind)


def test_an_sbom_is_not_taken_for_an_evaluation() -> None:
    with pytest.raises(Invalid, match="evaluation package"):
        readers.read(sample("python-env.cdx.json"), kind="evaluation")


def test_an_unknown_kind_is_refused_with_the_kinds_there_are() -> None:
    with pytest.raises(Invalid, match="one of sbom, provenance, evaluation, vex, model-card, licence-text, other"):
        readers.read(b"x", kind="receipt")


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.slug)
def test_a_body_over_the_limit_is_refused_before_it_is_looked_at(reader: Reader) -> None:
    with pytest.raises(Invalid, match="expected at most"):
        readers.read(b" " * (largest(reader.kind) + 1), kind=reader.kind)
    with pytest.raises(Invalid, match=f"expected at most {reader.max_bytes:,} bytes"):
        reader.read(b" " * (reader.max_bytes + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_body_is_refused(kind: str) -> None:
    with pytest.raises(Invalid):
        readers.read(b"", kind=kind)


def test_an_attachment_that_is_text_has_a_preview() -> None:
    reading = readers.read("Lizenz: frei für alle.\n".encode(), kind="licence-text")
    assert reading.media_type == "text/plain; charset=utf-8"
    assert reading.summary["preview"] == "Lizenz: frei für alle.\n"
    assert reading.summary["cut"] is False


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b"text with \x00 in it", b"\x1b[31mred"])
def test_an_attachment_that_is_not_text_is_kept_without_a_preview(body: bytes) -> None:
    reading = readers.read(body, kind="other")
    assert reading.media_type == "application/octet-stream"
    assert (reading.summary["size"], reading.summary["preview"]) == (len(body), "")


def test_a_long_text_is_cut_in_the_preview() -> None:
    summary = readers.read(b"x" * 5000, kind="other").summary
    assert (len(summary["preview"]), summary["cut"]) == (4000, True)
