"""The geometry of the charts: inside their boxes, in order, honest about limits, and unmoved by odd input."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from time import perf_counter

import pytest
from django.template.loader import render_to_string
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.charts import (
    BAR_WIDTH,
    STACK_WIDTH,
    TREND_HEIGHT,
    TREND_LETTER,
    TREND_WIDTH,
    Part,
    Sample,
    Trend,
    stacked_bar,
    threshold_bar,
    trend,
)
from portal.lineage import MAX_EDGES, MAX_NODES, Edge, Node, lineage

numbers = st.floats(min_value=-1e12, max_value=1e12, allow_nan=False)


def test_a_value_under_its_maximum_ends_before_the_limit() -> None:
    bar = threshold_bar(0.004, maximum=0.01, passed=True)
    assert bar.maximum_x is not None
    assert bar.zero_x + bar.value_width < bar.maximum_x < BAR_WIDTH
    assert (bar.allowed_x, bar.allowed_width, bar.tone) == (0.0, bar.maximum_x, "ok")


def test_a_share_with_a_minimum_is_shown_on_the_whole_scale() -> None:
    bar = threshold_bar(0.91, minimum=0.85, previous=0.9, passed=True)
    assert bar.minimum_x == pytest.approx(0.85 * BAR_WIDTH)
    assert bar.previous_x == pytest.approx(0.9 * BAR_WIDTH)
    assert bar.allowed_x + bar.allowed_width == pytest.approx(BAR_WIDTH)


def test_the_tone_is_what_the_caller_says_even_against_the_limit() -> None:
    assert threshold_bar(5, maximum=1, passed=True).tone == "ok"
    assert threshold_bar(5, maximum=1, passed=False).tone == "bad"
    assert threshold_bar(5).tone == "info"


def test_a_negative_value_grows_left_from_zero() -> None:
    bar = threshold_bar(-0.2, minimum=-0.5, maximum=0.5)
    loss = threshold_bar(0.0, minimum=-0.5, maximum=0.5)
    assert bar.zero_x + bar.value_width == pytest.approx(loss.zero_x)
    assert bar.zero_x < BAR_WIDTH / 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        threshold_bar(value, maximum=1)
    with pytest.raises(ValueError, match="finite"):
        trend([Sample("1.0.0", value)])
    with pytest.raises(ValueError, match="finite"):
        trend([Sample("1.0.0", 1.0, spread=(0.0, value))])
    with pytest.raises(ValueError, match="finite"):
        threshold_bar(1.0, spread=(value, 1.0))


@given(numbers, st.none() | numbers, st.none() | numbers, st.none() | numbers)
def test_a_bar_stays_in_its_box(value: float, low: float | None, high: float | None, previous: float | None) -> None:
    bar = threshold_bar(value, minimum=low, maximum=high, previous=previous)
    places = [bar.zero_x, bar.allowed_x, bar.minimum_x, bar.maximum_x, bar.previous_x]
    assert all(0 <= place <= BAR_WIDTH for place in places if place is not None)
    assert bar.value_width > 0
    assert bar.allowed_width >= 0


def test_the_error_of_a_value_is_drawn_around_it_and_what_does_not_count_is_grey() -> None:
    bar = threshold_bar(0.9, minimum=0.85, spread=(0.88, 0.92), passed=True)
    assert bar.low_x is not None
    assert bar.high_x is not None
    assert bar.low_x < bar.zero_x + bar.value_width < bar.high_x
    assert threshold_bar(0.9, minimum=0.85, passed=False, is_stale=True).tone == "neutral"
    assert threshold_bar(0.9).low_x is None


def samples(*pairs: tuple[str, float]) -> list[Sample]:
    return [Sample(label, value) for label, value in pairs]


def test_a_trend_runs_left_to_right_and_up_for_more() -> None:
    shape = trend(samples(("1.0.0", 0.8), ("1.1.0", 0.9), ("2.0.0", 0.85)), minimum=0.82, maximum=0.95)
    assert [point.x for point in shape.points] == sorted(point.x for point in shape.points)
    assert shape.points[1].y < shape.points[2].y < shape.points[0].y
    assert shape.minimum_y is not None
    assert shape.maximum_y is not None
    assert shape.maximum_y < shape.points[2].y < shape.minimum_y < shape.points[0].y
    assert shape.first is not None
    assert (shape.first.label, shape.last.label if shape.last else "") == ("1.0.0", "2.0.0")


def test_a_trend_of_nothing_or_of_one_draws_no_line() -> None:
    assert trend([]).last is None
    one = trend(samples(("1.0.0", 3)))
    assert (one.line, one.area, one.points[0].x) == ("", "", TREND_WIDTH / 2)
    assert one.points[0].anchor == "middle"


def test_the_line_of_a_trend_leaves_out_what_does_not_count() -> None:
    shape = trend([Sample("1", 1.0), Sample("2", 9.0, fault="measured on something else"), Sample("3", 2.0)])
    assert shape.line.count("L") == 1
    assert f"{shape.points[1].x:g} " not in shape.line
    assert len(shape.points) == 3


def test_the_error_of_a_value_has_room_in_a_trend() -> None:
    point = trend([Sample("1", 1.0, spread=(0.5, 4.0)), Sample("2", 1.5)]).points[0]
    assert point.low_y is not None
    assert point.high_y is not None
    assert 0 <= point.high_y < point.y < point.low_y <= TREND_HEIGHT


def ends(shape: Trend) -> list[tuple[float, float]]:
    """Return where the labels of a trend begin and end."""
    found = []
    for point in shape.points:
        width = TREND_LETTER * len(point.label)
        before = {"start": 0.0, "middle": width / 2, "end": width}.get(point.anchor)
        if before is not None:
            found.append((point.x - before, point.x - before + width))
    return found


@given(st.lists(st.text(alphabet="0123456789.-rc", min_size=1, max_size=14), min_size=1, max_size=12))
def test_the_labels_below_a_trend_never_touch_and_the_newest_is_always_there(labels: list[str]) -> None:
    shape = trend([Sample(label, float(place)) for place, label in enumerate(labels)])
    places = ends(shape)
    assert shape.points[-1].anchor
    assert all(left[1] <= right[0] for left, right in pairwise(places))
    assert all(left >= 0 for left, _ in places[:-1])


@given(st.lists(numbers, max_size=40), st.none() | numbers, st.none() | numbers)
def test_a_trend_stays_in_its_box(values: list[float], low: float | None, high: float | None) -> None:
    shape = trend([Sample(str(value), value) for value in values], minimum=low, maximum=high)
    for point in shape.points:
        assert 0 <= point.x <= TREND_WIDTH
        assert 0 <= point.y <= TREND_HEIGHT
    assert all(0 <= y <= TREND_HEIGHT for y in (shape.minimum_y, shape.maximum_y) if y is not None)


def test_parts_of_zero_have_no_segment_but_stay_in_the_legend() -> None:
    bar = stacked_bar([Part("Approved", 3, "ok"), Part("Draft", 0, "neutral"), Part("Retired", 1, "neutral")])
    assert [segment.part.label for segment in bar.segments] == ["Approved", "Retired"]
    assert len(bar.parts) == 3
    assert (bar.total, bar.segments[0].percent) == (4, 75.0)
    assert stacked_bar([]).segments == ()


def test_a_negative_part_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 for Draft"):
        stacked_bar([Part("Draft", -1, "neutral")])


@given(st.lists(st.integers(min_value=0, max_value=10**9), min_size=1, max_size=12))
def test_segments_fill_the_width_in_order_and_stay_visible(counts: list[int]) -> None:
    bar = stacked_bar([Part(str(count), count, "ok") for count in counts])
    for left, right in pairwise(bar.segments):
        assert left.x + left.width <= right.x
    assert all(segment.width >= 4 for segment in bar.segments)
    if bar.segments:
        assert bar.segments[-1].x + bar.segments[-1].width == pytest.approx(STACK_WIDTH, abs=0.1)


def nodes(*keys: str) -> list[Node]:
    return [Node(key, f"{key}@1.0.0") for key in keys]


def test_lineage_puts_every_component_left_of_what_it_is_part_of() -> None:
    edges = [Edge("base", "model", "base"), Edge("model", "bundle", "member"), Edge("prompt", "bundle", "prompt")]
    picture = lineage(nodes("bundle", "prompt", "model", "base"), edges, focus="model")
    x = {spot.node.key: spot.x for spot in picture.nodes}
    assert x["base"] < x["model"] < x["bundle"]
    assert x["prompt"] < x["bundle"]
    assert [spot.node.key for spot in picture.nodes if spot.focus] == ["model"]
    assert {line.edge.label for line in picture.edges} == {"base", "member", "prompt"}


def test_lineage_leaves_out_unknown_ends_and_loops_on_itself() -> None:
    picture = lineage(nodes("a"), [Edge("a", "a"), Edge("a", "gone"), Edge("gone", "a")], focus="a")
    assert picture.edges == ()
    assert len(picture.nodes) == 1
    assert lineage([], [], focus="a").nodes == ()


def test_lineage_of_a_circle_ends() -> None:
    picture = lineage(nodes("a", "b", "c"), [Edge("a", "b"), Edge("b", "c"), Edge("c", "a")], focus="a")
    assert len(picture.nodes) == 3
    assert len(picture.edges) == 3


def test_lineage_keeps_the_nearest_and_counts_the_rest() -> None:
    keys = [f"n{index}" for index in range(200)]
    edges = [Edge(left, right) for left, right in pairwise(keys)]
    picture = lineage(nodes(*keys), edges, focus="n100")
    kept = {spot.node.key for spot in picture.nodes}
    assert len(kept) == MAX_NODES
    assert picture.hidden == 140
    assert {f"n{index}" for index in range(80, 120)} <= kept


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 25), st.integers(0, 25)), max_size=90), st.integers(0, 25))
def test_no_two_nodes_of_any_lineage_overlap_and_all_stay_inside(pairs: list[tuple[int, int]], focus: int) -> None:
    keys = [str(index) for index in range(26)]
    picture = lineage(nodes(*keys), [Edge(str(a), str(b)) for a, b in pairs], focus=str(focus))
    spots = sorted((spot.x, spot.y) for spot in picture.nodes)
    for (x1, y1), (x2, y2) in pairwise(spots):
        assert x1 != x2 or y2 - y1 >= 48
    assert all(spot.x >= 0 and spot.x + spot.width <= picture.width for spot in picture.nodes)
    assert all(spot.y >= 0 and spot.y + spot.height <= picture.height for spot in picture.nodes)


def test_a_tangle_is_cut_and_laid_out_at_once() -> None:
    keys = [str(index) for index in range(MAX_NODES)]
    edges = [Edge(left, right) for place, left in enumerate(keys) for right in keys[place + 1 :]]
    start = perf_counter()
    picture = lineage(nodes(*keys), edges, focus="0")
    assert len(picture.nodes) == MAX_NODES
    assert len(picture.edges) == MAX_EDGES
    assert picture.hidden_edges == len(edges) - MAX_EDGES
    assert perf_counter() - start < 5


def test_the_printed_charts_escape_names_and_use_no_style() -> None:
    evil = Node("a", "<script>alert(1)</script>", '"><b>', url="/v")
    drawn = [
        render_to_string("_chart_lineage.html", {"lineage": lineage([evil], [], focus="a")}),
        render_to_string("_chart_threshold.html", {"label": "<b>", "bar": threshold_bar(1, maximum=2)}),
        render_to_string(
            "_chart_trend.html", {"label": "<b>", "trend": trend([Sample("<b>", 1, fault="<b>"), Sample("x", 2)])}
        ),
        render_to_string("_chart_stack.html", {"label": "<b>", "bar": stacked_bar([Part("<b>", 1, "ok")])}),
    ]
    for html in drawn:
        assert "<svg" in html
        assert "<b>" not in html
        assert "<script" not in html
        assert not re.search(r"\sstyle=", html)
