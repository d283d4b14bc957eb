"""SPDX 3.0.1 in JSON-LD: packages, AI packages and data sets, and what the document is about."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from portal.errors import Invalid
from registry import readers
from registry.readers import Reading
from tests.registry.readers.samples import ARTIFACT, as_body, sample

OTHER = "0" * 64
CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
CREATION = {"type": "CreationInfo", "@id": "_:c", "specVersion": "3.0.1", "created": "2026-11-20T09:00:00Z"}


def element(kind: str, key: str, **members: Any) -> dict[str, Any]:
    return {"type": kind, "spdxId": f"urn:{key}", "creationInfo": "_:c", "name": key, **members}


def package(key: str, **members: Any) -> dict[str, Any]:
    return element("software_Package", key, **members)


def sha256(digits: str) -> dict[str, str]:
    return {"type": "Hash", "algorithm": "sha256", "hashValue": digits}


def identifier(value: str, kind: str = "packageUrl") -> dict[str, str]:
    return {"type": "ExternalIdentifier", "externalIdentifierType": kind, "identifier": value}


def relation(left: str, kind: str, *rights: Any) -> dict[str, Any]:
    to = [each if isinstance(each, dict) or ":" in each else f"urn:{each}" for each in rights]
    return {
        "type": "Relationship",
        "creationInfo": "_:c",
        "relationshipType": kind,
        "from": f"urn:{left}",
        "to": to,
    }


MODEL = element("ai_AIPackage", "m", verifiedUsing=[sha256(ARTIFACT)])


def graph(*elements: Any, roots: Any = ("urn:m",)) -> dict[str, Any]:
    spdx = {"type": "SpdxDocument", "spdxId": "urn:doc", "creationInfo": "_:c", "rootElement": list(roots)}
    return deepcopy({"@context": CONTEXT, "@graph": [CREATION, spdx, *elements]})


def read(document: dict[str, Any]) -> Reading:
    return readers.read(as_body(document), kind="sbom")


def refusal(document: dict[str, Any]) -> str:
    with pytest.raises(Invalid) as caught:
        read(document)
    return str(caught.value)


def test_a_document_of_the_reference_bindings_is_read_whole() -> None:
    reading = readers.read(sample("model.spdx3.json"), kind="sbom")
    assert (reading.reader, reading.warnings, reading.subject_digests) == ("spdx3", (), (ARTIFACT,))
    assert reading.summary["format"] == "SPDX 3.0.1"
    assert reading.summary["created"] == "2026-11-20T09:00:00Z"
    assert reading.summary["tools"] == ["model-build 4.2.0"]
    assert (reading.summary["coverage"], reading.summary["cpe_only"]) == ("2 of 4 identifiable", 1)
    parts = {part.name: part for part in reading.parts}
    assert parts["card-transactions-2025"].type == "data"
    assert (parts["scikit-learn"].type, parts["numpy"].type) == ("library", "package")
    assert parts["openblas"].paths == ("fraud-scorer › numpy › openblas",)
    assert (parts["numpy"].purl, parts["numpy"].licences) == ("pkg:pypi/numpy@2.2.6", ("BSD-3-Clause",))


def test_what_an_ai_package_says_is_shown_as_a_model_card_and_never_counted() -> None:
    reading = readers.read(sample("model.spdx3.json"), kind="sbom")
    (card,) = reading.summary["model_cards"]
    assert card["component"] == "fraud-scorer"
    assert card["intended_use"] == ["Ranking card transactions for a human analyst."]
    assert card["metrics"][0] == {"name": "accuracy", "value": "0.934", "slice": "", "interval": ""}
    assert {"label": "Safety risk", "text": "medium"} in card["considerations"]
    assert {"label": "Hyperparameter trees", "value": "400"} in card["parameters"]
    assert card["datasets"] == ["card-transactions-2025"]
    assert reading.metrics == ()


def test_an_ai_package_fills_the_registration_form_but_for_the_risk() -> None:
    assert readers.read(sample("model.spdx3.json"), kind="sbom").suggestions == {
        "artifact_sha256": ARTIFACT,
        "licence": "Apache-2.0",
        "datasets": ["card-transactions-2025"],
        "description": "Scores card transactions by how likely they are fraud.",
        "allowed_uses": "Ranking card transactions for a human analyst.",
        "risk_rationale": "Less accurate for customers with fewer than ten transactions.",
    }


@pytest.mark.parametrize(
    ("elements", "roots", "digests"),
    [
        ([MODEL], ["urn:m"], (ARTIFACT,)),
        # Through the collections, however they hang together, and loops end.
        ([MODEL, element("software_Sbom", "s", rootElement=["urn:m", "urn:doc"])], ["urn:s"], (ARTIFACT,)),
        ([MODEL, relation("doc", "describes", "m")], [], (ARTIFACT,)),
        ([MODEL, package("a", verifiedUsing=[sha256(OTHER)]), relation("a", "describes", "m")], [], ()),
        ([package("m")], ["urn:m"], ()),
        ([package("m", verifiedUsing=[{**sha256("a" * 40), "algorithm": "sha1"}])], ["urn:m"], ()),
        ([element("software_File", "f", verifiedUsing=sha256(ARTIFACT))], "urn:f", (ARTIFACT,)),
        ([MODEL], ["urn:gone"], ()),
    ],
)
def test_what_a_document_is_about(elements: list[Any], roots: Any, digests: tuple[str, ...]) -> None:
    document = graph(*elements, roots=[])
    document["@graph"][1]["rootElement"] = roots
    reading = read(document)
    assert reading.subject_digests == digests
    assert digests or "does not say which artifact it describes" in " ".join(reading.warnings)


def test_a_root_without_a_hash_is_known_by_the_files_inside_it() -> None:
    weights = element("software_File", "w", verifiedUsing=[sha256(ARTIFACT)])
    needed = element("software_File", "n", verifiedUsing=[sha256(OTHER)])
    code = {"type": "PackageVerificationCode", "algorithm": "sha1", "hashValue": "a" * 40}
    model = element("ai_AIPackage", "m", verifiedUsing=[code])
    reading = read(graph(model, weights, needed, relation("m", "contains", "w"), relation("m", "dependsOn", "n")))
    assert reading.subject_digests == (ARTIFACT,)
    assert "@graph[2].verifiedUsing: a PackageVerificationCode is no digest and is ignored." in reading.warnings


def test_loops_among_packages_end_and_every_package_has_its_shortest_path() -> None:
    rows = [package(key, externalIdentifier=[identifier(f"pkg:pypi/{key}@1")]) for key in "abc"]
    relations = [
        relation("m", "dependsOn", "a"),
        relation("a", "contains", "b", "m"),
        relation("b", "hasStaticLink", "c", "a"),
        relation("m", "hasOptionalComponent", "c"),
    ]
    parts = read(graph(MODEL, *rows, *relations)).parts
    assert {part.name: part.paths for part in parts} == {"a": ("m › a",), "b": ("m › a › b",), "c": ("m › c",)}


@pytest.mark.parametrize(
    ("target", "extra", "licences"),
    [
        ("l", [element("simplelicensing_LicenseExpression", "l", simplelicensing_licenseExpression="MIT")], ("MIT",)),
        ("https://spdx.org/licenses/Apache-2.0", [], ("Apache-2.0",)),
        ("https://spdx.org/rdf/3.0.1/terms/Licensing/NoAssertion", [], ()),
        ("expandedlicensing_NoneLicense:", [], ()),
        ("l", [element("simplelicensing_SimpleLicensingText", "l", name="House terms")], ("House terms",)),
        ("l", [element("expandedlicensing_ConjunctiveLicenseSet", "l", name="")], ()),
    ],
)
def test_licences_come_from_what_was_concluded_and_declared(
    target: str, extra: list[dict[str, Any]], licences: tuple[str, ...]
) -> None:
    relations = [relation("a", kind, target) for kind in ("hasConcludedLicense", "hasDeclaredLicense")]
    assert read(graph(MODEL, package("a"), *extra, *relations)).parts[0].licences == licences


def test_an_expression_where_an_id_should_stand_is_understood() -> None:
    row = relation("a", "hasDeclaredLicense")
    row["to"] = "CC-BY-4.0"
    reading = read(graph(MODEL, package("a"), row))
    assert (reading.parts[0].licences, reading.warnings) == (("CC-BY-4.0",), ())


def test_elements_written_inside_others_are_found() -> None:
    inner = package("inner", software_packageUrl="pkg:npm/inner@1")
    rows = graph(MODEL, relation("m", "dependsOn", inner))
    rows["@graph"][2]["creationInfo"] = {"type": "CreationInfo", "specVersion": "3.0.1"}
    (part,) = read(rows).parts
    assert (part.purl, part.paths) == ("pkg:npm/inner@1", ("m › inner",))


def test_a_package_has_one_purl_and_a_cpe_identifies_nothing() -> None:
    cpe = identifier("cpe:2.3:a:x:x:1:*:*:*:*:*:*:*", "cpe23")
    rows = [
        package("a", software_packageUrl="pkg:npm/a@1", externalIdentifier=[identifier("pkg:npm/other@1"), cpe]),
        package("b", externalIdentifier=[cpe], software_packageVersion="1"),
        package("c", externalIdentifier=[identifier("nonsense")]),
    ]
    reading = read(graph(MODEL, *rows))
    assert [part.purl for part in reading.parts] == ["pkg:npm/a@1", "", ""]
    assert (reading.summary["identified"], reading.summary["cpe_only"]) == (1, 1)
    assert reading.warnings == (
        "@graph[3]: there are 2 package URLs, and 'pkg:npm/a@1' counts.",
        "@graph[5]: 'nonsense' is not a package URL.",
    )


def test_what_the_specification_asks_for_besides_is_a_warning() -> None:
    rows = graph(MODEL, package("a"), relation("m", "contains", "gone"))
    del rows["@graph"][1]
    del rows["@graph"][2]["creationInfo"]
    text = "\n".join(read(rows).warnings)
    assert "Schema: the document has no SpdxDocument." in text
    assert "Schema: 1 ids name elements that are not in the document, 'urn:gone' for one." in text
    assert "Schema: @graph[2].creationInfo is missing." in text


def test_wrong_types_in_an_ai_package_are_passed_over() -> None:
    odd = {"ai_metric": {"key": "a", "value": 1}, "ai_domain": 7, "ai_limitation": [None, "Old."], "ai_typeOfModel": {}}
    (card,) = read(graph({**MODEL, **odd})).summary["model_cards"]
    assert card["metrics"] == [{"name": "a", "value": "1", "slice": "", "interval": ""}]
    assert card["considerations"] == [{"label": "Limitation", "text": "Old."}]
    assert card["parameters"] == [{"label": "Domain", "value": "7"}]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (
            {**graph(MODEL), "@context": "https://spdx.org/rdf/3.1/spdx-context.jsonld"},
            "@context: saw 'https://spdx.org",
        ),
        ({**graph(MODEL), "@context": {"@vocab": "https://spdx.org/rdf/3.0.1/terms/"}}, "@context: saw "),
        ({"@context": CONTEXT}, "@graph: saw None, expected a JSON array"),
        ({"@context": CONTEXT, "@graph": [MODEL]}, "CreationInfo.specVersion: saw None, expected one of 3.0.0, 3.0.1"),
        ({"@context": CONTEXT, "@graph": [{**CREATION, "specVersion": "3.1"}]}, "CreationInfo.specVersion: saw '3.1'"),
        (graph(MODEL, MODEL), "@graph[3].spdxId: saw 'urn:m', expected an id that no other element has"),
        (graph(MODEL, {"type": "software_Package", "name": "a"}), "@graph[3].spdxId: saw None"),
        (graph(MODEL, {"spdxId": "urn:a"}), "@graph[3].type: saw None"),
        (graph(MODEL, package("a", type=["software_Package"])), "@graph[3].type: saw ['software_Package']"),
        (graph(MODEL, package("a", name="")), "@graph[3].name: saw ''"),
        (
            graph(MODEL, package("a", verifiedUsing=[sha256("beef")])),
            "@graph[3].verifiedUsing[0].hashValue: saw 'beef'",
        ),
        (
            graph(MODEL, package("a", verifiedUsing=[sha256(ARTIFACT), sha256(OTHER)])),
            "verifiedUsing[1].hashValue: saw",
        ),
        (graph(MODEL, package("a", verifiedUsing=[7])), "@graph[3].verifiedUsing[0]: saw 7, expected a JSON object"),
        (
            graph(MODEL, {**relation("m", "contains"), "to": [7]}),
            "@graph[3].to[0]: saw 7, expected the id of an element",
        ),
        (graph(MODEL, {**relation("m", "contains"), "to": [{"type": []}]}), "@graph[3].to[0]: saw None"),
        (graph(MODEL, {"type": "Relationship"}), "@graph[3].relationshipType: saw None"),
        (graph(MODEL, package("a", software_packageVersion=1)), "@graph[3].software_packageVersion: saw 1"),
        (graph(), "@graph: saw no package and no file, expected at least one"),
        (graph("a"), "@graph[2]: saw 'a', expected a JSON object"),
    ],
)
def test_what_the_document_rests_on_must_be_right(document: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(document)


def test_more_than_fifty_thousand_packages_are_refused() -> None:
    rows = [{"type": "software_Package", "spdxId": str(index), "name": "a"} for index in range(50_001)]
    assert "expected at most 50,000" in refusal(graph(MODEL, *rows))
