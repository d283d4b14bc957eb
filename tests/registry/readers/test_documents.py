from __future__ import annotations

import time
from decimal import Decimal

import pytest

from portal.errors import Invalid
from registry.readers.documents import decode, parse, parse_front_matter, parse_yaml, plain, split_front_matter


def refusal(body: bytes, **limits: int) -> str:
    with pytest.raises(Invalid) as caught:
        parse(body, **{"max_bytes": 1000, **limits})
    return str(caught.value)


def test_json_comes_back_with_exact_decimals() -> None:
    assert parse(b'{"a": [1, 0.1, true, null, "x"]}', max_bytes=100) == {"a": [1, Decimal("0.1"), True, None, "x"]}


def test_a_body_over_the_limit_is_refused_before_it_is_parsed() -> None:
    assert "saw 1,001 bytes, expected at most 1,000 bytes" in refusal(b"{" * 1001)


def test_an_empty_body_is_refused() -> None:
    assert "an empty document" in refusal(b"")


def test_bytes_that_are_not_utf8_are_refused_with_their_offset() -> None:
    assert "not UTF-8 at offset 2" in refusal(b'["\xff"]')


def test_utf16_is_refused() -> None:
    assert "UTF-8" in refusal('{"a": 1}'.encode("utf-16"))


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse(b"\xef\xbb\xbf[1]", max_bytes=100) == [1]


@pytest.mark.parametrize(
    "body", [b"[" * 10_000, b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000]
)
def test_ten_thousand_levels_are_refused_without_recursion(body: bytes) -> None:
    assert "nesting deeper than 100 levels" in refusal(body, max_bytes=10**6)


def test_exactly_the_allowed_depth_is_read() -> None:
    assert parse(b"[" * 100 + b"]" * 100, max_bytes=1000)
    assert "nesting deeper" in refusal(b"[" * 101 + b"]" * 101)


@pytest.mark.parametrize("text", ["[[[[", "\\\\", '\\"[', '\\\\\\"[[', "]]]]"])
def test_brackets_and_quotes_inside_texts_are_not_nesting(text: str) -> None:
    body = b'["' + text.encode() * 200 + b'", 1]'
    assert parse(body, max_bytes=10**6, max_depth=1)[1] == 1


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_not_finite_is_refused(word: str) -> None:
    assert f"saw {word}" in refusal(f"[{word}]".encode())


@pytest.mark.parametrize("number", ["1e301", "1e-999999999", "1" * 101, "0." + "1" * 101, "1e" + "9" * 5000])
def test_a_number_that_asks_for_endless_digits_is_refused(number: str) -> None:
    assert "numbers of at most 100 digits" in refusal(f"[{number}]".encode(), max_bytes=10_000)


def test_a_key_that_comes_twice_is_refused_by_name() -> None:
    assert "the key 'sha256' more than once" in refusal(b'{"x": {"sha256": 1, "n": 2, "sha256": 3}}')


@pytest.mark.parametrize("text", ["\\u0000", "\\ud800", "\\udc00x", "\\udc00\\ud800"])
def test_text_that_a_database_cannot_hold_is_refused(text: str) -> None:
    assert "NUL characters and lone surrogates" in refusal(f'{{"a": ["{text}"]}}'.encode())
    assert "NUL characters and lone surrogates" in refusal(f'{{"{text}": 1}}'.encode())


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert parse(b'["\\ud83d\\ude00"]', max_bytes=100) == ["\N{GRINNING FACE}"]


def test_broken_json_is_refused_with_line_and_column() -> None:
    assert "line 2, column 1" in refusal(b'{"a":\n}')


def test_too_many_values_are_refused_quickly() -> None:
    started = time.monotonic()
    assert "at most 3,000,000 values" in refusal(b"[" + b"1," * 3_500_000 + b"1]", max_bytes=10**7)
    assert time.monotonic() - started < 10


def test_numbers_to_show_are_texts() -> None:
    shown = plain({"a": [1, Decimal("0.10"), Decimal("1e-7"), Decimal("1e200"), True, None]})
    assert shown == {"a": ["1", "0.10", "0.0000001", "1E+200", True, None]}


def test_a_part_to_show_must_fit_into_a_digest_over_the_record() -> None:
    value: object = "x"
    for _ in range(40):
        value = [value]
    with pytest.raises(Invalid, match="at most 30 levels"):
        plain(value)


def test_front_matter_stands_between_two_lines_of_dashes() -> None:
    assert split_front_matter("---\na: 1\n---\n# T\n") == ("a: 1\n", "# T\n")
    assert split_front_matter("# T\n---\n") == ("", "# T\n---\n")


def test_front_matter_that_does_not_end_is_refused() -> None:
    with pytest.raises(Invalid, match="ends with a line ---"):
        split_front_matter("---\na: 1\n")


def test_front_matter_keeps_every_scalar_as_it_was_written() -> None:
    matter = parse_front_matter("language: no\nversion: 1.10\nday: 2026-13-45\nlimit: .inf\nempty:\nlist: [on, 0x10]\n")
    assert matter == {
        "language": "no",
        "version": "1.10",
        "day": "2026-13-45",
        "limit": ".inf",
        "empty": "",
        "list": ["on", "0x10"],
    }


@pytest.mark.parametrize(
    "matter",
    [
        "a: &x [1]\nb: *x",
        "a: !!python/object/apply:os.system ['true']",
        "a: !!binary aGVsbG8=",
        "a: 1\na: 2",
        "? [a]\n: b",
        "[1, 2]",
        "a: [",
        'a: "\\0"',
        'a: "\\UFFFFFFFF"',
        "a: \x07",
        "a: 1\n---\nb: 2",
        "[" * 5000,
        "- " * 5000,
        "a: " + "b" * 70_000,
    ],
)
def test_front_matter_that_could_surprise_is_refused(matter: str) -> None:
    with pytest.raises(Invalid):
        parse_front_matter(matter)


def test_yaml_knows_booleans_and_whole_numbers_and_nothing_else() -> None:
    text = b"""
        {yes: true, off: false, none: null, empty: , count: 90, below: -5, zero: 0, decimal: 0.10, octal: 010,
         word: no, quoted: '1', long: 9999999999999999}
    """
    assert parse_yaml(text, max_bytes=1000) == {
        "yes": True,
        "off": False,
        "none": None,
        "empty": None,
        "count": 90,
        "below": -5,
        "zero": 0,
        "decimal": "0.10",
        "octal": "010",
        "word": "no",
        "quoted": "1",
        "long": "9999999999999999",
    }


@pytest.mark.parametrize("text", [b"1: a", b"true: a", b"a: *x", b"a: 1\na: 2", b"\xff", b"", b"a: " + b"x" * 1000])
def test_yaml_that_could_surprise_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid):
        parse_yaml(text, max_bytes=500)


def test_text_is_bounded_too() -> None:
    with pytest.raises(Invalid, match="at most 3 bytes"):
        decode(b"four", max_bytes=3)
