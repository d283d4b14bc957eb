"""Licences: the table says what it means, expressions are weighed as SPDX means them, texts are read with caution."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance import licences
from governance.licences import Question, Rank, Want, reading

TABLE = licences.read_table()
DATA = json.loads(reading.FILE.read_text(encoding="utf-8"))
# What model hubs let people choose, and what is written there most often beside it.
ON_HUBS = """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc0-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0
    lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl openmdw-1.0 openrail++ osl-3.0
    postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license fair-noncommercial-research-license
    llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma intel-research deepseek qwen qwen-research tongyi-qianwen
    mnpl mnpl-0.1 mistral-ai-mnpl mrl falcon-llm-license falcon-180b nvidia-open-model-license stabilityai-ai-community
    jamba-open-model-license grok2-community
""".split()  # noqa: SIM905 -- one name a line would fill a page


def asking(*uses: str, deny: tuple[str, ...] = ()) -> Question:
    """Return the question whether some uses are allowed."""
    wanted = {use: Want(use, "policy", "the policy assumes") for use in uses}
    return Question(TABLE, wanted, licences.deny(deny, TABLE))


def rank(expression: str, *uses: str, deny: tuple[str, ...] = ()) -> Rank:
    return licences.weigh(expression, asking(*uses or ("commercial",), deny=deny)).rank


# --- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ON_HUBS)
def test_every_licence_of_model_hubs_is_known(name: str) -> None:
    found = TABLE.find(name)
    assert found is not None
    assert found.source
    assert found.classes


@pytest.mark.parametrize("key", sorted(DATA["licences"]))
def test_each_entry_says_where_it_is_written_and_what_it_means(key: str) -> None:
    found = TABLE.licences[key]
    assert found.source.startswith("https://") or key == "internal"
    assert found.title
    assert set(found.forbids) | set(found.allows) <= set(TABLE.uses)
    assert not set(found.forbids) & set(found.allows)
    assert all(says.endswith((".", "”")) for says in found.conditions)


@pytest.mark.parametrize("key", sorted(DATA["licences"]))
def test_each_entry_says_something_that_people_can_act_on(key: str) -> None:
    found = TABLE.licences[key]
    assert found.forbids or found.conditions or found.classes == ("public-domain",)


@pytest.mark.parametrize("use", TABLE.uses.values(), ids=lambda use: use.key)
def test_each_use_is_read_back_from_its_own_names(use: licences.Use) -> None:
    for name in (use.key, use.title, *use.names):
        assert [each.use for each in licences.read_prohibited(f"{name}.", TABLE.uses)] == [use.key], name
    for name in (use.key, *use.names, *use.mentions):
        assert use.key in [each.use for each in licences.read_allowed(f"- {name.upper()}", TABLE.uses)], name


def test_the_release_names_the_data_and_what_brings_the_spdx_list() -> None:
    assert TABLE.digest[:12] in licences.release()
    assert version("license-expression") in licences.release()
    assert len(licences.release()) <= 80


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("License :: OSI Approved :: MIT License", "MIT"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("Apache-2.0+", "Apache-2.0"),
        ("AGPL-3.0", "AGPL-3.0-only"),
        ("Llama 3.1 Community License", "llama3.1"),
        ("LicenseRef-llama3.1", "llama3.1"),
        ("LicenseRef-scancode-llama-3.1-license-2024", "llama3.1"),
        ("licenseref-INTERNAL", "internal"),
        ("mistral-ai-mnpl", "mnpl"),
        ("openrail++", "openrail++"),
    ],
)
def test_names_find_their_licence(name: str, key: str) -> None:
    found = TABLE.find(name)
    assert found is not None
    assert found.key == key


@pytest.mark.parametrize(
    "name",
    ["", "other", "unknown", "NOASSERTION", "NONE", "cc", "proprietary", "LicenseRef-MIT", "llama3.9", "MIT-ish"],
)
def test_what_nobody_knows_is_not_guessed(name: str) -> None:
    assert TABLE.find(name) is None
    assert TABLE.why_unknown(name)
    assert rank(name) == Rank.UNKNOWN


def test_a_licence_that_is_only_named_by_spdx_stays_unknown_when_nobody_has_classed_it() -> None:
    assert TABLE.find("Hippocratic-2.1") is None


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"licences": {"x": {"title": "X", "source": "s", "classes": ["nice"], "aliases": []}}}, "class"),
        (
            {"licences": {"x": {"title": "X", "source": "s", "classes": [], "aliases": [], "forbids": ["joy"]}}},
            "joy|use",
        ),
        ({"spellings": {"No-Such-1.0": ["no such"]}}, "No-Such-1.0"),
        ({"spellings": {"MIT": ["apache 2"], "Apache-2.0": ["apache 2"]}}, "both"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(change: dict[str, Any], seen: str) -> None:
    with pytest.raises(ValueError, match=seen):
        reading.build({**DATA, **change}, reading.get_license_index(), "digest")


# --- expressions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "uses", "wanted"),
    [
        ("Apache-2.0", ("commercial", "military"), Rank.ALLOWED),
        ("CC-BY-NC-4.0", ("commercial",), Rank.FORBIDDEN),
        ("CC-BY-NC-4.0", ("research",), Rank.ALLOWED),
        ("CC-BY-ND-4.0", ("sharing-derivatives",), Rank.FORBIDDEN),
        ("CC-BY-ND-4.0", ("commercial", "fine-tuning"), Rank.ALLOWED),
        ("MIT AND CC-BY-NC-4.0", ("commercial",), Rank.FORBIDDEN),
        ("MIT OR CC-BY-NC-4.0", ("commercial",), Rank.ALLOWED),
        ("CC-BY-NC-4.0 OR other", ("commercial",), Rank.UNKNOWN),
        ("MIT AND other", ("commercial",), Rank.UNKNOWN),
        ("mit and (apache-2.0 or cc-by-nc-4.0)", ("commercial",), Rank.ALLOWED),
        ("MIT AND (LicenseRef-mrl OR (CC-BY-NC-4.0 AND MIT))", ("commercial",), Rank.FORBIDDEN),
        ("GPL-2.0-only WITH Classpath-exception-2.0", ("commercial", "hosted-service"), Rank.ALLOWED),
        ("Apache-2.0 WITH Commons-Clause", ("commercial",), Rank.UNKNOWN),
        ("CC-BY-NC-4.0 WITH Classpath-exception-2.0", ("commercial",), Rank.FORBIDDEN),
        ("llama2", ("training-other-models",), Rank.FORBIDDEN),
        ("llama3.1", ("training-other-models",), Rank.ALLOWED),
        ("deepseek", ("military",), Rank.FORBIDDEN),
        ("bigscience-bloom-rail-1.0", ("medical-advice",), Rank.FORBIDDEN),
        ("LicenseRef-internal", ("commercial",), Rank.ALLOWED),
        ("LicenseRef-internal", ("redistribution",), Rank.FORBIDDEN),
    ],
)
def test_an_expression_is_as_good_as_its_parts_and_operators(
    expression: str, uses: tuple[str, ...], wanted: Rank
) -> None:
    assert rank(expression, *uses) == wanted


def test_only_what_was_chosen_is_shown() -> None:
    chosen = licences.weigh("CC-BY-NC-4.0 OR Apache-2.0", asking("commercial"))
    assert [each.key for each in chosen.licences] == ["Apache-2.0"]
    assert chosen.problems == ()


def test_a_problem_says_which_licence_forbids_what_and_who_wants_it() -> None:
    [problem] = licences.weigh("MIT AND cc-by-nc-4.0", asking("commercial")).problems
    assert problem.says == "cc-by-nc-4.0 forbids commercial use, which the policy assumes"


@pytest.mark.parametrize(
    ("denied", "expression", "wanted"),
    [
        ("AGPL-3.0", "AGPL-3.0-or-later", Rank.DENIED),
        ("AGPL-3.0", "agpl-3.0", Rank.DENIED),
        ("AGPL-3.0-only", "AGPL-3.0-or-later", Rank.ALLOWED),
        ("network-copyleft", "OSL-3.0", Rank.DENIED),
        ("network-copyleft", "MIT OR OSL-3.0", Rank.ALLOWED),
        ("network-copyleft", "MIT AND OSL-3.0", Rank.DENIED),
        ("llama2", "LicenseRef-llama2", Rank.DENIED),
        ("LicenseRef-acme", "licenseref-ACME", Rank.DENIED),
        ("MIT", "LicenseRef-MIT", Rank.UNKNOWN),
    ],
)
def test_what_a_policy_denies_is_denied_however_it_is_written(denied: str, expression: str, wanted: Rank) -> None:
    assert rank(expression, deny=(denied,)) == wanted


def test_a_misspelt_denial_can_be_told_from_one_that_covers_something() -> None:
    assert all(licences.is_deniable(name, TABLE) for name in ("AGPL-3.0", "network-copyleft", "gemma", "LicenseRef-x"))
    assert not any(licences.is_deniable(name, TABLE) for name in ("AGPL-3.0-onyl", "copyleft", "other", ""))


@pytest.mark.parametrize(
    "text", ["(" * 400 + "MIT" + ")" * 400, "MIT OR " * 200 + "MIT", "MIT OR", "WITH x", "=cmd()", "MIT\x00", "é AND ü"]
)
def test_what_cannot_be_read_is_unknown_and_costs_nothing(text: str) -> None:
    assert rank(text) == Rank.UNKNOWN


@settings(max_examples=60, deadline=500)
@given(
    st.text(max_size=600)
    | st.lists(st.sampled_from(["MIT", "cc-by-nc-4.0", "other", "AND", "OR", "WITH", "(", ")", "+", ":", "x"])).map(
        " ".join
    )
)
def test_no_text_breaks_the_scales_or_comes_out_better_than_its_parts(text: str) -> None:
    weighed = licences.weigh(text, asking("commercial"))
    assert weighed.rank in Rank
    assert bool(weighed.problems) == (weighed.rank != Rank.ALLOWED)
    if weighed.rank == Rank.ALLOWED:
        assert weighed.licences
        assert all("commercial" not in each.forbids for each in weighed.licences)


# --- uses in texts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("Commercial use.", ["commercial"]),
        ("No commercial use of any kind; medical advice", ["commercial", "medical-advice"]),
        ("Not for military, medical-advice or law-enforcement use", ["military", "medical-advice", "law-enforcement"]),
        ("- Commercial purposes\n- biometric identification", ["commercial", "biometric-identification"]),
        ("May not be used for commercial purposes.", ["commercial"]),
        ("Commercial use outside the EU.", []),
        ("Any use other than commercial use.", []),
        ("Non-commercial use.", []),
        ("Commercial use without a contract", []),
        ("Commercial, military or medical use outside the EU", []),
        ("Commercial vehicles.", []),
        ("Credit decisions about people; anything outside the EU.", []),
        ("", []),
    ],
)
def test_only_a_plain_prohibition_counts_as_one(text: str, uses: list[str]) -> None:
    assert [each.use for each in licences.read_prohibited(text, TABLE.uses)] == uses


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("Commercial use, research and fine-tuning", ["commercial", "research", "fine-tuning"]),
        ("Giving medical advice to patients of our clinics.", ["medical-advice"]),
        ("Distillation into smaller models.", ["training-other-models"]),
        ("Face recognition at the door of the data centre", ["biometric-identification"]),
        ("Helping staff, but not medical advice.", []),
        ("No commercial use.", []),
        ("Non-commercial research only.", []),
        ("Summaries of military history for a museum.", []),
        ("Scoring card transactions of our own customers.", []),
    ],
)
def test_what_is_allowed_is_read_out_of_prose_unless_the_sentence_denies(text: str, uses: list[str]) -> None:
    assert [each.use for each in licences.read_allowed(text, TABLE.uses)] == uses


def test_a_reading_shows_the_sentence_it_rests_on() -> None:
    [found] = licences.read_allowed("Scoring.\n  * Offered as a public API to partners; nothing else", TABLE.uses)
    assert (found.use, found.line) == ("hosted-service", "Offered as a public API to partners")


@settings(max_examples=40, deadline=500)
@given(st.text(max_size=4000))
def test_no_text_breaks_the_reading(text: str) -> None:
    for found in (*licences.read_allowed(text, TABLE.uses), *licences.read_prohibited(text, TABLE.uses)):
        assert found.use in TABLE.uses
        assert len(found.line) <= 300
