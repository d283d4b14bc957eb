"""Tags and filters every template has: digests, times, sizes, badges, icons, query strings. Formatting only."""

from __future__ import annotations

import json
import math
from collections.abc import Sized
from datetime import UTC, date, datetime, time, timedelta

from django import template
from django.forms import BoundField
from django.http import QueryDict
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portal.templatetags.diffs import DiffLine, compare_texts
from portal.templatetags.words import MESSAGE_TONES, ORIGINS, Look, look_up

register = template.Library()

SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB")
# From how many seconds on a unit is used, and its length: deadlines stay exact to the day for a hundred days.
STEPS = (
    (63_115_200, "year", 31_557_600),
    (8_640_000, "month", 2_629_800),
    (172_800, "day", 86_400),
    (7_200, "hour", 3_600),
    (60, "minute", 60),
)
URGENT = timedelta(days=3)


def to_instant(value: object) -> datetime | None:
    """Return a date or datetime as an aware datetime in UTC, or None for anything else."""
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time.min, tzinfo=UTC)
    return None


def measure(span: timedelta) -> str:
    """Return a length of time in one unit, rounded down, such as "36 hours", "90 days" or "moments"."""
    seconds = abs(span.total_seconds())
    for least, unit, length in STEPS:
        if seconds >= least:
            count = int(seconds // length)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "moments"


def relate(value: object, now: object, ahead: str, behind: str, empty: str = "—") -> str:
    """Return an instant relative to another one, worded by the two patterns."""
    at, then = to_instant(value), to_instant(now) or timezone.now()
    if at is None:
        return empty
    return (ahead if at > then else behind).format(measure(at - then))


@register.filter
def ago(value: object, now: object = None) -> str:
    """Return "3 days ago" or "in 3 days"; the argument replaces now on pages that show another instant."""
    return relate(value, now, "in {}", "{} ago")


@register.filter
def until(value: object, now: object = None) -> str:
    """Return "90 days left" or "2 days over"; "no limit" when there is no instant."""
    return relate(value, now, "{} left", "{} over", empty="no limit")


@register.filter
def age(value: object, now: object = None) -> str:
    """Return the bare length of time since an instant, such as "12 days"."""
    return relate(value, now, "{}", "{}")


@register.filter
def stamp(value: object) -> str:
    """Return an instant as "23 Nov 2026, 12:05 UTC", a date as "23 Nov 2026"."""
    at = to_instant(value)
    if at is None:
        return "—"
    day = f"{at.day} {at:%b %Y}"
    return f"{day}, {at:%H:%M} UTC" if isinstance(value, datetime) else day


@register.simple_tag
def when(value: object, now: object = None) -> SafeString | str:
    """Return a time element that says how long ago, with the exact instant in its title."""
    return time_element(value, ago(value, now), "")


@register.simple_tag
def due(value: object, now: object = None) -> SafeString | str:
    """Return a time element for a deadline: plain, warning within three days, bad once it is over."""
    at, then = to_instant(value), to_instant(now) or timezone.now()
    if at is None:
        return until(value)
    tone = "bad" if at <= then else "warn" if at - then <= URGENT else ""
    return time_element(value, until(value, now), tone)


def time_element(value: object, words: str, tone: str) -> SafeString | str:
    """Return words as a time element with its machine-readable instant."""
    at = to_instant(value)
    if at is None:
        return words
    css = f"nowrap toned tone-{tone}" if tone else "nowrap"
    return format_html('<time class="{}" datetime="{}" title="{}">{}</time>', css, at.isoformat(), stamp(value), words)


@register.filter(name="bytes")
def format_bytes(value: object) -> str:
    """Return a size in bytes with a decimal unit, such as "412 MB"."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        return "—"
    size, units = float(value), list(SIZES)
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        units.pop(0)
    text = f"{size:.0f}" if units[0] == "bytes" or size >= 100 else f"{size:.3g}"
    return "1 byte" if value == 1 else f"{text} {units[0]}"


@register.filter
def number(value: object) -> str:
    """Return a measured number to four significant digits, thousands separated, such as "12 400" or "0.0312"."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "—"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", "\u202f")
    return f"{value:.4g}"


@register.filter
def digest_short(value: object) -> str:
    """Return the first twelve hexadecimal digits of a digest, keeping its algorithm when it is written."""
    algorithm, _, digits = str(value or "").rpartition(":")
    if not digits:
        return "—"
    head = f"{digits[:12]}…" if len(digits) > 12 else digits
    return f"{algorithm}:{head}" if algorithm else head


@register.inclusion_tag("_digest.html")
def digest(value: object, full: bool = False) -> dict[str, object]:
    """Print a digest that can be selected whole and copied; `full` wraps it instead of cutting it."""
    return {"value": str(value or ""), "full": full}


@register.filter
def pretty_json(value: object) -> str:
    """Return a value as indented JSON with sorted keys; what JSON does not know is printed as text."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str)


@register.simple_tag
def icon(name: str, extra: str = "") -> SafeString:
    """Return one symbol of the set as decoration; the words beside it carry the meaning."""
    css = f"icon {extra}" if extra else "icon"
    return format_html('<svg class="{}" aria-hidden="true"><use href="#i-{}"/></svg>', css, name)


def render_badge(look: Look, label: str) -> SafeString:
    """Return a look as a badge: icon and word on its tone."""
    spin = "spin" if look.icon == "running" else ""
    return format_html('<span class="badge tone-{}">{}{}</span>', look.tone, icon(look.icon, spin), label or look.label)


@register.simple_tag
def badge(word: object, label: str = "") -> SafeString:
    """Return a badge for a state, risk, outcome, verdict, kind or yes/no; `label` replaces the printed word."""
    return render_badge(look_up(word), label)


@register.simple_tag
def origin(word: object) -> SafeString | str:
    """Return the small chip that says where a value came from, or nothing when it is not known."""
    if not word:
        return ""
    look = look_up(word, ORIGINS)
    shown = format_html('<span class="sr-only">from </span>{}', look.label)
    return format_html('<span class="chip" title="Where this value came from">{}{}</span>', icon(look.icon), shown)


@register.filter
def tone(word: object) -> str:
    """Return the tone class of a word, such as "tone-ok"."""
    return f"tone-{look_up(word).tone}"


@register.filter
def icon_of(word: object) -> str:
    """Return the icon name of a word."""
    return look_up(word).icon


@register.filter
def label_of(word: object) -> str:
    """Return the printed form of a word, such as "Not applicable"."""
    return look_up(word).label


@register.filter
def message_look(tag: object) -> Look:
    """Return the look of one of Django's message levels."""
    return MESSAGE_TONES.get(str(tag), MESSAGE_TONES["info"])


@register.filter
def initial(name: object) -> str:
    """Return the first letter of a name, for the round mark beside it."""
    return str(name or "?").strip()[:1] or "?"


@register.simple_tag
def where(target: object, label: str = "Go there") -> SafeString | str:
    """Return where a reason is fixed: a link for an address of this site or https, otherwise plain words."""
    text = str(target or "")
    if not text:
        return ""
    if (text.startswith("/") and not text.startswith("//")) or text.startswith("https://"):
        return format_html('<a class="nowrap" href="{}">{}{}</a>', text, label, " →")
    return format_html('<span class="muted">{}</span>', text)


def current_query(context: template.Context) -> QueryDict:
    """Return a changeable copy of the query string of the page, empty when there is no request."""
    request = context.get("request")
    return request.GET.copy() if request is not None else QueryDict(mutable=True)


@register.simple_tag(takes_context=True)
def query_with(context: template.Context, **changes: object) -> str:
    """Return the page's query string with some parameters set; None removes one. Begins with "?"."""
    query = current_query(context)
    for name, value in changes.items():
        if value is None or value == "":
            query.pop(name, None)
        else:
            query[name] = str(value)
    return f"?{query.urlencode()}"


@register.simple_tag(takes_context=True)
def query_without(context: template.Context, name: str, value: object) -> str:
    """Return the page's query string without one value of a repeated parameter, and on its first page."""
    query = current_query(context)
    query.setlist(name, [kept for kept in query.getlist(name) if kept != str(value)])
    query.pop("page", None)
    return f"?{query.urlencode()}"


@register.simple_tag
def text_diff(before: str, after: str, context: int = 3) -> list[DiffLine]:
    """Return the lines of a text comparison for `_diff_text.html`."""
    return compare_texts(before, after, context)


@register.filter
def describe_widget(field: BoundField) -> str:
    """Return how a form field is laid out: "check", "group" or "line"."""
    if field.widget_type in {"checkbox", "nullbooleancheckbox"}:
        return "check"
    return "group" if field.use_fieldset else "line"


@register.filter
def times(count: object, words: str) -> str:
    """Return a count with its noun, such as `2|times:"blocker,blockers"`."""
    one, _, many = words.partition(",")
    total = len(count) if isinstance(count, Sized) and not isinstance(count, str) else count
    return f"{total} {one if total == 1 else many or one + 's'}"
