from __future__ import annotations

import time
from typing import Any

import pytest

from portal.errors import Invalid
from registry import readers
from registry.readers import Reading
from registry.readers.purls import read_purl
from tests.registry.readers.samples import ARTIFACT, as_body, bom, component, sample

SHA256 = [{"alg": "SHA-256", "content": ARTIFACT}]
OTHER_SHA256 = {"alg": "SHA-256", "content": "0" * 64}


def read(document: dict[str, Any]) -> Reading:
    return readers.read(as_body(document), kind="sbom")


def refusal(document: dict[str, Any]) -> str:
    with pytest.raises(Invalid) as caught:
        read(document)
    return str(caught.value)


def test_a_real_sbom_is_read_whole() -> None:
    reading = readers.read(sample("python-env.cdx.json"), kind="sbom")
    assert len(reading.parts) == 97
    assert reading.summary["coverage"] == "97 of 97 identifiable"
    yaml = next(part for part in reading.parts if part.name == "PyYAML")
    assert (yaml.version, yaml.purl) == ("6.0.3", "pkg:pypi/pyyaml@6.0.3")
    assert (yaml.purl_type, yaml.purl_name) == ("pypi", "pyyaml")
    assert yaml.licences == ("MIT",)


def test_an_sbom_that_describes_no_artifact_says_so() -> None:
    reading = readers.read(sample("python-env.cdx.json"), kind="sbom")
    assert reading.subject_digests == ()
    assert any("does not say which artifact it describes" in warning for warning in reading.warnings)


@pytest.mark.parametrize("version", ["1.2", "1.3", "1.4", "1.5", "1.6", "1.7"])
def test_every_supported_version_passes_its_official_schema(version: str) -> None:
    main = component("fraud", type="application", version="1", hashes=SHA256)
    reading = read(bom(component("numpy", version="2"), specVersion=version, metadata={"component": main}))
    assert reading.warnings == ()
    assert reading.subject_digests == (ARTIFACT,)
    assert (reading.summary["format"], reading.summary["spec_version"]) == (f"CycloneDX {version}", version)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_what_an_old_version_does_not_know_is_a_warning(version: str) -> None:
    """Of the two schemas of these versions the strict one is asked, as there is no other one from 1.4 on."""
    reading = read(bom(component("numpy", version="2", colour="red"), component("scipy"), specVersion=version))
    text = "\n".join(reading.warnings)
    assert "Schema: components[0]: Additional properties are not allowed ('colour' was unexpected)" in text
    assert 'Schema: components[1]: "version" is a required property' in text
    assert len(reading.parts) == 2


@pytest.mark.parametrize("version", ["1.1", "2.0", 1.6, None, ["1.6"]])
def test_another_version_is_refused_by_name(version: object) -> None:
    expected = f"specVersion: saw {version!r}, expected one of 1.2, 1.3, 1.4, 1.5, 1.6, 1.7"
    assert expected in refusal(bom(specVersion=version))


@pytest.mark.parametrize(
    "body",
    [
        b'<?xml version="1.0"?><bom xmlns="http://cyclonedx.org/schema/bom/1.6" version="1"></bom>',
        b'\xef\xbb\xbf\n<!-- made by us -->\n<bom xmlns="https://cyclonedx.org/schema/bom/1.4"/>',
    ],
)
def test_xml_is_answered_with_what_is_expected_instead(body: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        readers.read(body, kind="sbom", filename="bom.xml")
    assert str(caught.value) == (
        "document: saw CycloneDX in XML, expected CycloneDX JSON 1.2 to 1.7; most tools write it when asked for JSON."
    )


def test_a_machine_learning_model_in_the_list_is_a_subject_too() -> None:
    model = component("scorer", type="machine-learning-model", hashes=[{"alg": "SHA-256", "content": ARTIFACT.upper()}])
    assert read(bom(model)).subject_digests == (ARTIFACT,)


def test_the_base_that_a_described_model_was_made_from_is_no_subject() -> None:
    """Otherwise the SBOM of an adapter would count as the SBOM of its base."""
    base = component("base", type="machine-learning-model", hashes=[OTHER_SHA256])
    mine = component("adapter", type="machine-learning-model", hashes=SHA256)
    assert read(bom(base, metadata={"component": mine})).subject_digests == (ARTIFACT,)


def test_a_described_component_without_a_hash_is_known_by_its_files() -> None:
    weights = component("model.safetensors", type="file", hashes=SHA256)
    config = component("config.json", type="file", hashes=[OTHER_SHA256])
    library = component("numpy", hashes=[{"alg": "SHA-256", "content": "1" * 64}])
    mine = component("scorer", type="machine-learning-model", components=[weights, config, library])
    assert read(bom(metadata={"component": mine})).subject_digests == (ARTIFACT, "0" * 64)


def test_several_models_without_a_described_one_are_subjects_with_a_warning() -> None:
    models = [component("a", type="machine-learning-model", hashes=SHA256)]
    models.append(component("b", type="machine-learning-model", hashes=[OTHER_SHA256]))
    reading = read(bom(*models))
    assert reading.subject_digests == (ARTIFACT, "0" * 64)
    assert "lists 2 machine-learning models" in reading.warnings[0]


def test_the_hash_of_a_library_is_no_subject() -> None:
    assert read(bom(component("numpy", hashes=SHA256))).subject_digests == ()


def test_nested_components_are_found_with_their_paths() -> None:
    inner = component("inner", purl="pkg:pypi/inner@1")
    outer = component("outer", components=[component("middle", components=[inner])])
    parts = read(bom(outer, metadata={"component": component("me", components=[component("own")])})).parts
    assert [(part.name, part.paths) for part in parts] == [
        ("own", ("metadata.component.components[0]",)),
        ("outer", ("components[0]",)),
        ("middle", ("components[0].components[0]",)),
        ("inner", ("components[0].components[0].components[0]",)),
    ]


def test_the_path_of_what_is_nested_deeply_loses_its_beginning() -> None:
    document = component("leaf", purl="pkg:pypi/leaf@1")
    for _ in range(45):
        document = component("box", components=[document])
    leaf = read(bom(document)).parts[-1]
    assert leaf.name == "leaf"
    assert len(leaf.paths[0]) == 300
    assert leaf.paths[0].endswith("].components[0].components[0]")


def test_one_package_named_in_three_ways_is_one_part_with_three_paths() -> None:
    parts = read(
        bom(
            component("Zope.Interface", purl="pkg:pypi/Zope.Interface@6", licenses=[{"license": {"id": "ZPL-2.1"}}]),
            component("zope", purl="pkg:PyPI/zope.interface@6", licenses=[{"expression": "MIT"}]),
            component("zope", components=[component("again", purl="pkg:pypi/zope.interface@6")]),
        )
    ).parts
    assert len(parts) == 2
    assert parts[0].licences == ("ZPL-2.1", "MIT")
    assert parts[0].paths == ("components[0]", "components[1]", "components[2].components[0]")
    assert parts[0].purl_name == "zope-interface"


def test_coverage_counts_what_can_be_looked_up() -> None:
    cpe = "cpe:2.3:a:d:d:1:*:*:*:*:*:*:*"
    reading = read(
        bom(
            component("a", purl="pkg:npm/a@1", cpe=cpe),
            component("b"),
            component("c", purl="pkg:npm/c"),
            component("d", cpe=cpe),
        )
    )
    assert reading.summary["coverage"] == "1 of 4 identifiable"
    assert (reading.summary["components"], reading.summary["identified"]) == (4, 1)
    # A CPE beside a package URL adds nothing; alone it is counted, and identifies nothing.
    assert reading.summary["cpe_only"] == 1


def test_two_versions_of_a_package_whose_purl_has_none_stay_two_parts() -> None:
    parts = read(
        bom(component("a", version="1", purl="pkg:npm/a"), component("a", version="2", purl="pkg:npm/a"))
    ).parts
    assert [(part.purl, part.version) for part in parts] == [("pkg:npm/a", "1"), ("pkg:npm/a", "2")]


def test_a_purl_that_is_none_leaves_the_part_unidentified_and_warns() -> None:
    reading = read(bom(component("a", purl="not a purl"), metadata={"component": component("m", hashes=SHA256)}))
    assert reading.parts[0].purl == ""
    assert "components[0].purl: 'not a purl' is not a package URL." in reading.warnings


def test_when_purl_and_component_disagree_the_purl_counts_and_a_warning_says_so() -> None:
    reading = read(bom(component("a", version="9", purl="pkg:npm/a@1")))
    assert reading.parts[0].version == "1"
    assert any("the purl says version '1', the component '9'" in warning for warning in reading.warnings)


@pytest.mark.parametrize(
    ("purl", "name"),
    [
        ("pkg:npm/%40scope/pkg@1", "@scope/pkg"),
        ("pkg:maven/org.acme/lib@1", "org.acme:lib"),
        ("pkg:golang/github.com/a/b@v1", "github.com/a/b"),
        ("pkg:deb/debian/curl@7?arch=amd64", "curl"),
        ("pkg:pypi/Foo_Bar.baz@1", "foo-bar-baz"),
        ("pkg:huggingface/org/base@abc", "org/base"),
    ],
)
def test_packages_are_named_as_advisories_name_them(purl: str, name: str) -> None:
    package = read_purl(purl)
    assert package is not None
    assert package.name == name


@pytest.mark.parametrize(
    "purl", ["", "pkg:", "pkg:pypi/", "pypi/a", "pkg:pypi/%00a@1", "pkg:pypi/a@1%002", "pkg:npm/" + "a" * 700]
)
def test_what_cannot_be_stored_or_looked_up_is_no_package(purl: str) -> None:
    assert read_purl(purl) is None


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (bom(component("")), "components[0].name"),
        (bom({"name": "a"}), "components[0].type"),
        (bom(component("a", version=1)), "components[0].version"),
        (bom(component("a" * 301)), "components[0].name"),
        (bom(component("a", components={})), "components[0].components"),
        (bom(component("a", components=["b"])), "components[0].components[0]"),
        (bom(component("a", hashes=[{"alg": "SHA-256", "content": "beef"}])), "components[0].hashes[0].content"),
        (
            bom(component("a", hashes=[*SHA256, OTHER_SHA256])),
            "components[0].hashes[1].content",
        ),
        (bom(component("a", licenses=[{"license": "MIT"}])), "components[0].licenses[0].license"),
        (bom(metadata=[]), "metadata"),
        (bom(metadata={"component": "me"}), "metadata.component"),
        (bom(components="none"), "components"),
        (bom(bomFormat="SPDX", x="CycloneDX"), "bomFormat"),
    ],
)
def test_what_the_walk_rests_on_must_be_right(document: dict[str, Any], field: str) -> None:
    assert refusal(document).startswith(f"{field}: saw ")


def test_other_faults_of_the_schema_are_warnings_with_their_place() -> None:
    reading = read(bom(component("a", colour="red"), serialNumber="7"))
    text = "\n".join(reading.warnings)
    assert "Schema: components[0]: Additional properties are not allowed ('colour' was unexpected)" in text
    assert "Schema: serialNumber: " in text


def test_many_warnings_are_counted_and_not_listed() -> None:
    reading = read(bom(*(component(str(number), colour="red") for number in range(50))))
    assert len(reading.warnings) == 22
    assert reading.warnings[-1] == "And 30 more warnings of this kind."


def test_more_than_fifty_thousand_components_are_refused() -> None:
    assert "more than 50,000 components" in refusal(bom(*([{"type": "library", "name": "a"}] * 50_001)))


def test_a_large_and_faulty_sbom_is_read_in_bounded_time() -> None:
    started = time.monotonic()
    reading = read(bom(*([component("a", purl="pkg:npm/a@1", colour="red")] * 20_000)))
    assert time.monotonic() - started < 15
    assert len(reading.parts) == 1
    assert len(reading.parts[0].paths) == 100


def test_one_package_with_endless_licences_is_refused() -> None:
    many = [component("a", purl="pkg:npm/a@1", licenses=[{"license": {"name": str(n)}}]) for n in range(200)]
    assert "at most 100 and 30 for one package" in refusal(bom(*many))


def test_a_formula_as_a_name_stays_the_text_it_is() -> None:
    part = read(bom(component("=cmd()", version="@SUM(1)", licenses=[{"license": {"name": "=HYPERLINK()"}}]))).parts[0]
    assert (part.name, part.version, part.licences) == ("=cmd()", "@SUM(1)", ("=HYPERLINK()",))


def test_two_models_in_one_sbom_suggest_nothing() -> None:
    models = [component(name, type="machine-learning-model", description="x") for name in ("a", "b")]
    assert read(bom(*models)).suggestions == {}
