"""The symbolic machine against the real unpickler: what the real one would import and call, ours has seen.

The real unpickler runs here with every name replaced by a harmless stand-in, so nothing is ever imported or run.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.scanning import Limits, Verdict, read_allowlist, scan
from governance.scanning.allowlist import Kind
from governance.scanning.values import rename
from tests.governance.scanning.assemble import name, number, pack, text
from tests.governance.scanning.corpus_gadgets import BODIES as GADGETS
from tests.governance.scanning.corpus_pickles import BODIES

LIMITS = Limits(wall_seconds=20, opcodes=100_000)


class Witness:
    """What one run of the real unpickler asked for."""

    def __init__(self) -> None:
        self.names: set[tuple[str, str]] = set()
        self.computed_calls = 0


def stand_in(witness: Witness) -> type:
    """Return a class that can be called, filled and given a state like anything, and does nothing."""

    class StandIn(dict[Any, Any]):
        def __new__(cls, *args: Any, **named: Any) -> StandIn:
            return dict.__new__(cls)

        def __init__(self, *args: Any, **named: Any) -> None:
            pass

        def __call__(self, *args: Any, **named: Any) -> StandIn:
            witness.computed_calls += 1
            return StandIn()

        def __setstate__(self, state: Any) -> None:
            pass

        def __hash__(self) -> int:  # type: ignore[override]
            return id(self)

        def append(self, value: Any) -> None:
            pass

        extend = append
        add = append

    return StandIn


def watch(data: bytes, base: Any) -> Witness:
    """Return what an unpickler asks for until it ends or fails."""
    witness = Witness()
    made = stand_in(witness)

    class Watched(base):  # type: ignore[misc]
        def find_class(self, module: str, found: str) -> type:
            # The real find_class translates names of Python 2 itself.
            witness.names.add(rename(module, found))
            return made

    try:
        Watched(io.BytesIO(data)).load()
    except Exception:  # noqa: BLE001 -- whatever stops it, what it asked for before counts
        return witness
    return witness


def assert_seen(data: bytes, folder: Path) -> None:
    """Scan bytes; when they pass, neither unpickler may have asked for anything that is not on the list."""
    path = folder / "m.pkl"
    path.write_bytes(data)
    report = scan(path, limits=LIMITS)
    assert "scanner-failed" not in {reason.code for reason in report.reasons}, report.reasons
    if report.verdict is not Verdict.PASS:
        return
    listed = read_allowlist()
    for base in (pickle.Unpickler, pickle._Unpickler):  # type: ignore[attr-defined]
        witness = watch(data, base)
        assert all(listed.judge(*key) not in {Kind.UNKNOWN, Kind.DANGEROUS} for key in witness.names), witness.names
        assert witness.computed_calls == 0


NAMES = [
    ("os", "system"),
    ("builtins", "eval"),
    ("builtins", "getattr"),
    ("builtins", "dict"),
    ("builtins", "tuple"),
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("numpy", "ndarray"),
    ("numpy", "log1p"),
    ("sklearn.linear_model._base", "LinearRegression"),
    ("mylib", "Model"),
    ("__builtin__", "set"),
    ("zoneinfo", "ZoneInfo._unpickle"),
]
WORDS = ["os", "system", "builtins", "eval", "collections", "OrderedDict", "STEPS", "x"]
INDEX = st.integers(0, 4)
PIECES = st.one_of(
    st.sampled_from([name(*each) for each in NAMES]),
    st.sampled_from([text(each) for each in WORDS]),
    st.sampled_from(
        [b"N", b"\x88", b"]", b"}", b")", b"\x8f", number(3), b"C\x02os", b"U\x02os", b"Vos\n", b"S'os'\n"]
    ),
    st.sampled_from([b"0", b"1", b"2", b"(", b"a", b"e", b"s", b"u", b"t", b"l", b"d", b"\x90", b"\x91"]),
    st.sampled_from(
        [b"\x85", b"\x86", b"\x87", b"R", b"R", b"b", b"o", b"\x81", b"\x92", b"\x93", b"\x93", b"\x94", b"Q"]
    ),
    st.sampled_from(
        [b"ios\nsystem\n", b"icollections\nOrderedDict\n", b"\x80\x04", b"\x80\x02", pack(text("x")) + b"R"]
    ),
    st.builds(lambda index: b"q" + bytes([index]), INDEX),
    st.builds(lambda index: b"h" + bytes([index]), INDEX),
    st.builds(lambda index: b"p%d\n" % index, INDEX),
    st.builds(lambda index: b"g%d\n" % index, INDEX),
    st.builds(lambda index: b"r" + index.to_bytes(4, "little"), INDEX),
    st.builds(lambda index: b"j" + index.to_bytes(4, "little"), INDEX),
)


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(pieces=st.lists(PIECES, max_size=14), protocol=st.sampled_from([b"", b"\x80\x02", b"\x80\x04", b"\x80\x05"]))
def test_whatever_opcodes_are_strung_together(pieces: list[bytes], protocol: bytes, tmp_path: Path) -> None:
    assert_seen(protocol + b"".join(pieces) + b".", tmp_path)


HARMLESS = [b"N", text("x"), b"]", b"}", b")", name("collections", "OrderedDict") + b")R", pack(number(1), text("a"))]


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    before=st.lists(st.sampled_from(HARMLESS), max_size=4),
    moves=st.lists(PIECES, max_size=6),
    last=st.sampled_from([b"N", b"]", b"R", b"\x93", b"b"]),
)
def test_whatever_is_done_with_harmless_values(
    before: list[bytes], moves: list[bytes], last: bytes, tmp_path: Path
) -> None:
    assert_seen(b"\x80\x04(" + b"".join(before) + b"".join(moves) + last + b"t.", tmp_path)


@pytest.mark.parametrize("protocol", [b"", b"\x80\x02", b"\x80\x04"], ids=["none", "two", "four"])
def test_no_gadget_asks_for_more_than_was_seen(protocol: bytes, tmp_path: Path) -> None:
    for body in [*GADGETS.values(), *BODIES.values()]:
        assert_seen(protocol + body + b".", tmp_path)
        assert_seen(protocol + b"](" + body + b"e.", tmp_path)
