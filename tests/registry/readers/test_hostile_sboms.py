"""Whatever the bytes are, the SBOM readers answer with a storable reading about something named, or with Invalid."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.errors import Invalid
from registry import readers
from registry.readers import purls
from tests.registry.readers.samples import as_body, sample
from tests.registry.readers.test_hostile_input import expect_reading_or_refusal, places, texts, values

JSON = ("model.spdx.json", "files.spdx.json", "model.spdx3.json", "ml-bom.cdx.json")
LINES = ("model.spdx", "files.spdx")
SNIPPETS = [
    b'"',
    b"[",
    b"}",
    b"\\",
    b"1e9",
    b"\nPackageName: x",
    b"<text>",
    b"</text>",
    b": ",
    b"SPDXRef-",
    b"\n",
    b"null",
]
bounded = settings(
    deadline=timedelta(seconds=10),
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("name", [*JSON, *LINES])
@given(data=st.data())
@bounded
def test_bytes_changed_removed_or_added(name: str, data: st.DataObject) -> None:
    body = bytearray(sample(name))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        end = min(len(body), start + data.draw(st.integers(0, 40)))
        body[start:end] = data.draw(st.one_of(st.binary(max_size=8), st.sampled_from(SNIPPETS)))
    expect_reading_or_refusal(bytes(body), "sbom")


@pytest.mark.parametrize("name", JSON)
@given(data=st.data())
@bounded
def test_values_replaced_dropped_or_renamed(name: str, data: st.DataObject) -> None:
    document = json.loads(sample(name))
    for _ in range(data.draw(st.integers(1, 4))):
        holder, key = data.draw(st.sampled_from(places(document)))
        what = data.draw(st.sampled_from(["replace", "replace", "drop", "rename"]))
        if what == "replace" or isinstance(holder, list):
            holder[key] = data.draw(values)
        elif what == "drop":
            del holder[key]
        else:
            holder[data.draw(texts)] = holder.pop(key)
    expect_reading_or_refusal(as_body(document), "sbom")


@pytest.mark.parametrize("name", JSON)
@given(data=st.data())
@bounded
def test_parts_put_in_the_place_of_others(name: str, data: st.DataObject) -> None:
    """A reference to the wrong thing, a list inside itself: nothing is deeper or longer than the bounds."""
    document = json.loads(sample(name))
    found = places(document)
    for _ in range(data.draw(st.integers(1, 4))):
        (holder, key), (other, name_there) = (data.draw(st.sampled_from(found)) for _ in range(2))
        holder[key] = json.loads(json.dumps(other.get(name_there) if isinstance(other, dict) else other))
    expect_reading_or_refusal(as_body(document), "sbom")


@pytest.mark.parametrize("name", LINES)
@given(data=st.data())
@bounded
def test_lines_moved_doubled_or_dropped(name: str, data: st.DataObject) -> None:
    lines = sample(name).split(b"\n")
    for _ in range(data.draw(st.integers(1, 6))):
        line = lines.pop(data.draw(st.integers(0, len(lines) - 1)))
        for _ in range(data.draw(st.integers(0, 2))):
            lines.insert(data.draw(st.integers(0, len(lines))), line)
    expect_reading_or_refusal(b"\n".join(lines), "sbom")


@pytest.mark.parametrize(
    "body",
    [
        b'{"spdxVersion": "SPDX-2.3"',
        b'"spdxVersion"',
        b'[{"spdxVersion": "SPDX-2.3"}]',
        b'{"spdxVersion": "SPDX-2.3", "packages": [[]]}',
        b"SPDXVersion:",
        b"\x00\nSPDXVersion: SPDX-2.3",
        b'{"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": []}',
        b'{"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"} ',
        b'<bom xmlns="http://cyclonedx.org/schema/bom/1.6"' + b" " * 10_000,
        b'{"bomFormat": "CycloneDX"}',
        b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [' + b"[" * 90 + b"]" * 90 + b"]}",
        b"bomFormat: CycloneDX",
        b"PK\x03\x04",
    ],
)
def test_garbage_is_never_a_reading(body: bytes) -> None:
    with pytest.raises(Invalid):
        readers.read(body, kind="sbom")


@given(purl=st.one_of(st.from_regex(purls.PLAIN, fullmatch=True), st.from_regex(purls.PLAIN_CASED, fullmatch=True)))
@bounded
def test_a_plain_purl_is_read_as_the_library_reads_it(purl: str) -> None:
    assert purls.read_purl(purl) == purls.read_any(purl)
