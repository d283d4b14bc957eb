"""The formatting every page relies on: times, sizes, digests, badges, links, query strings, diffs, fields."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import pytest
from django import forms
from django.conf import settings
from django.template import Context, Template
from django.template.loader import get_template
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from portal.templatetags import portal as tags
from portal.templatetags.diffs import MAX_LINES, compare_texts
from portal.templatetags.words import LOOKS, MESSAGE_TONES, ORIGINS, look_up

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TEMPLATES = Path(settings.BASE_DIR) / "templates"
DIGEST = "sha256:" + "3f9ac1d204be" + "0" * 52


def render(source: str, **context: object) -> str:
    return Template(source).render(Context(context))


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=20), "moments ago"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(hours=5), "5 hours ago"),
        (timedelta(hours=36), "36 hours ago"),
        (timedelta(days=2), "2 days ago"),
        (timedelta(days=90), "90 days ago"),
        (timedelta(days=400), "13 months ago"),
        (timedelta(days=800), "2 years ago"),
    ],
)
def test_a_past_instant_is_told_in_one_unit(span: timedelta, words: str) -> None:
    assert tags.ago(NOW - span, NOW) == words


def test_times_are_told_as_of_another_instant() -> None:
    assert tags.ago(NOW, NOW - timedelta(days=3)) == "in 3 days"
    assert tags.until(NOW + timedelta(days=90), NOW) == "90 days left"
    assert tags.until(NOW - timedelta(days=2), NOW) == "2 days over"
    assert tags.age(NOW - timedelta(days=12), NOW) == "12 days"


def test_what_is_no_instant_is_a_dash_and_no_deadline_has_no_limit() -> None:
    assert tags.ago(None) == "—"
    assert tags.stamp("yesterday") == "—"
    assert tags.until(None) == "no limit"


def test_a_stamp_names_its_time_zone_and_a_date_has_no_time() -> None:
    assert tags.stamp(datetime(2026, 2, 1, 9, 5, tzinfo=UTC)) == "1 Feb 2026, 09:05 UTC"
    assert tags.stamp(date(2026, 2, 1)) == "1 Feb 2026"


@pytest.mark.parametrize(
    ("left", "tone"), [(5, ""), (3, "tone-warn"), (1, "tone-warn"), (0, "tone-bad"), (-4, "tone-bad")]
)
def test_a_deadline_takes_a_tone_as_it_comes_near(left: int, tone: str) -> None:
    html = tags.due(NOW + timedelta(days=left), NOW)
    assert 'datetime="2026-' in html
    assert re.findall(r"tone-\w+", html) == ([tone] if tone else [])


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (999_950, "1 MB"),
        (412_334_112, "412 MB"),
        (5 * 10**18, "5000 PB"),
        (-1, "—"),
        ("many", "—"),
        (True, "—"),
    ],
)
def test_a_size_has_a_decimal_unit(size: object, words: str) -> None:
    assert tags.format_bytes(size) == words


def test_numbers_keep_four_digits_and_refuse_what_is_none() -> None:
    assert tags.number(0.03125) == "0.03125"
    assert tags.number(0.912345) == "0.9123"
    assert tags.number(12400) == "12\u202f400"
    assert tags.number(float("nan")) == "—"
    assert tags.number(None) == "—"


def test_a_short_digest_keeps_its_algorithm() -> None:
    assert tags.digest_short(DIGEST) == "sha256:3f9ac1d204be…"
    assert tags.digest_short("3f9a") == "3f9a"
    assert tags.digest_short(None) == "—"


def test_a_printed_digest_holds_every_digit_so_that_selecting_copies_all() -> None:
    html = render("{% digest value %}", value=DIGEST)
    assert f">{DIGEST}</code>" in html
    assert f'data-copy="{DIGEST}"' in html


class Outcome(StrEnum):
    NOT_APPLICABLE = "not_applicable"


def test_a_badge_says_its_word_and_has_an_icon() -> None:
    html = tags.badge(Outcome.NOT_APPLICABLE)
    assert "Not applicable" in html
    assert "#i-none" in html
    assert "tone-ok" in tags.badge(True)
    assert "tone-bad" in tags.badge(False)
    assert "High risk" in tags.badge("high", "High risk")


def test_an_unknown_word_is_printed_neutral_and_escaped() -> None:
    html = tags.badge("<b>quarantined</b>")
    assert "tone-neutral" in html
    assert "<b>" not in html
    assert look_up("changes-requested") == LOOKS["changes_requested"]


def test_every_icon_a_word_or_a_template_names_is_in_the_set() -> None:
    drawn = set(re.findall(r'id="i-([\w-]+)"', (TEMPLATES / "_icons.html").read_text(encoding="utf-8")))
    named = {look.icon for table in (LOOKS, ORIGINS, MESSAGE_TONES) for look in table.values()}
    for path in TEMPLATES.rglob("*.html"):
        named |= set(re.findall(r'{% icon "([\w-]+)"', path.read_text(encoding="utf-8")))
    assert named - drawn == set()


def test_no_origin_prints_nothing() -> None:
    assert tags.origin("") == ""
    assert tags.origin(None) == ""
    assert "Model card" in tags.origin("model_card")


@pytest.mark.parametrize("target", ["javascript:alert(1)", "//elsewhere.example", "http://plain.example", "ask Rhea"])
def test_only_own_and_https_addresses_become_links(target: str) -> None:
    html = tags.where(target)
    assert "<a" not in html
    assert target in html


def test_the_place_where_a_reason_is_fixed_is_a_link() -> None:
    assert 'href="/versions/1?a=1&amp;b=2"' in tags.where("/versions/1?a=1&b=2", "Fix it")
    assert tags.where("") == ""


def test_a_query_string_is_changed_and_kept() -> None:
    request = RequestFactory().get("/", {"state": ["draft", "approved"], "q": "fraud & co", "page": "3"})
    assert render("{% autoescape off %}{% query_with page=4 %}{% endautoescape %}", request=request).endswith("page=4")
    kept = render('{% autoescape off %}{% query_without "state" "draft" %}{% endautoescape %}', request=request)
    assert kept == "?state=approved&q=fraud+%26+co"
    assert render("{% query_with page=None q='' %}", request=request).count("=") == 2


def test_a_query_string_without_a_request_is_only_the_change() -> None:
    assert render("{% query_with page=2 %}") == "?page=2"


def test_a_text_comparison_numbers_both_sides_and_folds_what_is_the_same() -> None:
    before = "\n".join(f"line {n}" for n in range(20))
    lines = compare_texts(before, before.replace("line 9", "line nine"), context=1)
    assert [line.kind for line in lines] == ["gap", "same", "minus", "plus", "same", "gap"]
    assert lines[0].text == "8 unchanged lines"
    assert (lines[2].old, lines[2].new, lines[3].old, lines[3].new) == (10, None, None, 10)
    assert lines[-1].text == "9 unchanged lines"
    assert compare_texts("same", "same") == []


def test_a_very_long_text_is_cut_and_says_so() -> None:
    lines = compare_texts("a\n" * (MAX_LINES + 5), "b")
    assert lines[-1].text.startswith("5 more lines are not compared")


@given(st.lists(st.sampled_from("abc"), max_size=30), st.lists(st.sampled_from("abc"), max_size=30))
def test_a_comparison_with_all_context_rebuilds_both_texts(before: list[str], after: list[str]) -> None:
    lines = compare_texts("\n".join(before), "\n".join(after), context=60)
    if before != after:
        assert [line.text for line in lines if line.kind in {"same", "minus"}] == before
        assert [line.text for line in lines if line.kind in {"same", "plus"}] == after


class SampleForm(forms.Form):
    name = forms.CharField(label="Asset", help_text="Lower-case letters.")
    risk = forms.ChoiceField(widget=forms.RadioSelect, choices=[("low", "Low")], required=False)
    personal = forms.BooleanField(label="Holds personal data", required=False)


def test_a_wrong_field_is_described_by_its_help_and_its_error() -> None:
    html = render('{% include "_field.html" with field=form.name origin_word="ci" %}', form=SampleForm({"name": ""}))
    described = re.search(r'aria-describedby="([^"]+)"', html)
    assert described
    for identity in described[1].split():
        assert f'id="{identity}"' in html
    assert 'aria-invalid="true"' in html
    assert "required" in html
    assert ">CI<" in html


def test_a_group_of_choices_is_a_fieldset_and_a_single_one_a_labelled_box() -> None:
    form = SampleForm()
    assert "<fieldset" in render('{% include "_field.html" with field=form.risk %}', form=form)
    assert '<label for="id_personal"' in render('{% include "_field.html" with field=form.personal %}', form=form)


def test_a_form_with_faults_links_to_the_fields_that_are_wrong() -> None:
    html = render('{% include "_form_errors.html" %}', form=SampleForm({}))
    assert "Please look again" in html
    assert 'href="#id_name"' in html
    assert render('{% include "_form_errors.html" %}', form=SampleForm()).strip() == ""


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_every_template_compiles_and_holds_no_inline_code(path: Path) -> None:
    get_template(str(path.relative_to(TEMPLATES)))
    source = path.read_text(encoding="utf-8")
    assert not re.search(r"\sstyle=|<style|\son\w+=|javascript:|hx-on|user\.is_", source)
    for script in re.findall(r"<script([^>]*)>", source):
        assert "src=" in script or 'type="application/json"' in script


@pytest.mark.parametrize("name", ["404.html", "500.html"])
def test_an_error_page_needs_no_context(name: str) -> None:
    assert "<h1>" in get_template(name).render()


def test_the_page_of_a_refusal_prints_its_sentences_escaped() -> None:
    reason = {"rule": "four-eyes", "says": "You wrote <commit>.", "fix": "Ask Sol.", "where": ""}
    html = get_template("409.html").render({"code": "review-own", "says": "Not <recorded>.", "reasons": [reason]})
    assert "Not &lt;recorded&gt;." in html
    assert "You wrote &lt;commit&gt;." in html


def test_a_count_takes_its_noun() -> None:
    assert tags.times(1, "blocker") == "1 blocker"
    assert tags.times([1, 2], "entry,entries") == "2 entries"


def test_a_message_level_has_a_look_and_a_name_an_initial() -> None:
    assert tags.message_look("success").tone == "ok"
    assert tags.message_look("never heard").tone == "info"
    assert (tags.initial("Rhea"), tags.initial(" "), tags.initial(None)) == ("R", "?", "?")


def test_json_is_printed_sorted_with_what_it_does_not_know_as_text() -> None:
    assert tags.pretty_json({"b": NOW, "a": 1}).startswith('{\n  "a": 1,\n  "b": "2026-11-23')
