"""Attacks that go round lists of names: callables that call what they are handed, ways to reach a name without writing
it, states that are run, files opened by harmless-looking types. Written as opcodes in every protocol that has them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tests.governance.scanning.assemble import (
    COMMAND,
    blob,
    call,
    dtype,
    mapping,
    name,
    npy,
    number,
    pack,
    pickle,
    stack_name,
    text,
    torch_file,
    torch_legacy,
    wrapper,
)
from tests.governance.scanning.corpus_pickles import Entry

NEW_INDEX = name("pandas.core.indexes.base", "_new_Index")
PARTIAL = name("functools", "partial")
REBUILD = name("copyreg", "_reconstructor")
PYX = name("sklearn._loss._loss", "__pyx_unpickle_CyLossFunction")
FROM_TYPE = name("torch._tensor", "_rebuild_from_type_v2")
SYSTEM, ARGUMENT = name("os", "system"), text(COMMAND)
ORDERED = name("collections", "OrderedDict")
RUN = pack(ARGUMENT) + b"R"
GETATTR = name("builtins", "getattr")
LISTED = name("sklearn.linear_model._base", "LinearRegression")
ENUM = name("transformers.trainer_utils", "IntervalStrategy")
EVAL = text("eval")
TEMPLATE = "\ndef _parse_args(self,  loc=0, scale=1):\n    return (), loc, scale\n"
RANDOM = name("numpy.random._pickle", "__generator_ctor")
NORM = name("scipy.stats._continuous_distns", "norm_gen") + b")\x81"
MEMMAP = name("numpy", "memmap")
OPEN_FILE = mapping(filename=text("/tmp/x"), mode=text("w+"), shape=pack(number(9)))
FIELD_OUTSIDE = mapping(a=pack(dtype("f8"), number(4000)))
OUTSIDE = pack(number(3), text("|"), b"N", pack(text("a")), FIELD_OUTSIDE, number(8), number(1), number(0)) + b"b"
CODED = call(name("_codecs", "encode"), text("__class__"), text("latin1"))
COMPUTED = call(name("builtins", "str"), text("_parse_arg_template"))
CROWD = b"".join(text(f"k{index}") + b"N" for index in range(70))
BODIES: dict[str, bytes] = {
    # getattr, the door to everything, where it is not one of its three ordinary uses
    "getattr-function": call(GETATTR, name("builtins", "dict"), EVAL),
    "getattr-method-called": call(call(GETATTR, name("pandas", "DataFrame"), EVAL), ARGUMENT),
    "getattr-method-of-list": call(GETATTR, name("builtins", "list"), text("__reduce__")),
    "getattr-hidden": call(GETATTR, LISTED, text("__class__")),
    "getattr-subclasses": call(call(GETATTR, name("builtins", "object"), text("__subclasses__"))),
    "getattr-computed-name": call(GETATTR, ENUM, call(name("builtins", "str"), text("STEPS"))),
    "getattr-of-made": call(GETATTR, LISTED + b")\x81", text("fit")),
    "getattr-member-called": call(call(GETATTR, ENUM, text("STEPS")), ARGUMENT),
    "getattr-member-handed": call(RANDOM, text("MT19937"), call(GETATTR, ENUM, text("STEPS"))),
    "getattr-three": call(GETATTR, ENUM, text("STEPS"), text("x")),
    "getattr-unused": GETATTR,
    "getattr-dropped": GETATTR + b"0N",
    "getattr-in-state": LISTED + b")\x81" + mapping(func=GETATTR) + b"b",
    "getattr-in-list": b"](" + GETATTR + b"e",
    "getattr-handed": call(name("collections", "defaultdict"), GETATTR),
    "getattr-twice": GETATTR + b"q\x000" + call(b"h\x00", ENUM, text("STEPS")),
    "getattr-once-explained": b"](" + GETATTR + b"2" + pack(ENUM, text("STEPS")) + b"Re",
    "getattr-instance": b"(" + LISTED + text("fit") + b"ibuiltins\ngetattr\n",
    "getattr-object": b"(" + GETATTR + LISTED + text("fit") + b"o",
    "getattr-newobj": GETATTR + pack(LISTED, text("fit")) + b"\x81",
    "getattr-old": call(name("__builtin__", "getattr"), LISTED, text("fit")),
    "getattr-of-module": call(GETATTR, name("zoneinfo", "ZoneInfo"), text("_unpickle_within_safe_globals")),
    "zone-without-pickler": call(name("zoneinfo", "ZoneInfo._find_tzfile"), ARGUMENT),
    # states that are run, by the object's own unpickling
    "template-evil": NORM + mapping(_parse_arg_template=text("import os; os.system('id')")) + b"b",
    "template-begun": NORM + mapping(_parse_arg_template=text(TEMPLATE + "import os")) + b"b",
    "template-default": NORM + mapping(_parse_arg_template=text(TEMPLATE.replace("loc=0", "loc=exec('')"))) + b"b",
    "template-missing": NORM + mapping(a=b"N") + b"b",
    "template-pairs": NORM + pack(pack(text("_parse_arg_template"), text("import os"))) + b"b",
    "template-list": NORM + b"](" + pack(text("_parse_arg_template"), text("import os")) + b"eb",
    "template-computed": NORM + b"}(" + COMPUTED + text("import os") + b"ub",
    "template-crowded": NORM + b"}(" + CROWD + text("_parse_arg_template") + text("import os") + b"ub",
    "template-slots": NORM + pack(b"N", mapping(_parse_arg_template=text("import os"))) + b"b",
    "template-rebuilt": call(name("copyreg", "_reconstructor"), NORM[:-2], name("builtins", "object"), b"N")
    + mapping(_parse_arg_template=text("import os"))
    + b"b",
    "template-made": call(name("sklearn.neighbors._ball_tree", "newObj"), NORM[:-2]) + mapping(x=b"N") + b"b",
    "formula-is-run": name("statsmodels.base.data", "ModelData")
    + b")\x81"
    + mapping(restore_design_info=b"\x88", formula=text("__import__('os').system('id')"), frame=b"N")
    + b"b",
    "statsmodels-formula": name("statsmodels.base.data", "PandasData") + b")\x81}b",
    "graph-module": call(name("torch.fx.graph_module", "reduce_graph_module"), b"}", ARGUMENT),
    "lambda-of-spec": name("sklearn.preprocessing._function_transformer", "FunctionTransformer")
    + b")\x81"
    + mapping(func=name("builtins", "eval"))
    + b"b",
    # types that open a file when they are made
    "memmap-called": call(MEMMAP, text("/tmp/x"), text("u1"), text("w+")),
    "memmap-index": call(NEW_INDEX, MEMMAP, OPEN_FILE),
    "memmap-datetimes": call(name("pandas.core.indexes.datetimes", "_new_DatetimeIndex"), MEMMAP, OPEN_FILE),
    "memmap-periods": call(name("pandas.core.indexes.period", "_new_PeriodIndex"), MEMMAP, OPEN_FILE),
    "memmap-new-object": call(name("sklearn.neighbors._kd_tree", "newObj"), MEMMAP),
    "memmap-masked": call(name("numpy.ma.core", "_mareconstruct"), MEMMAP, MEMMAP, text("/tmp/x"), text("u1")),
    "memmap-factory": call(name("collections", "defaultdict"), MEMMAP),
    "memmap-kwargs": MEMMAP + b")" + OPEN_FILE + b"\x92",
    "memmap-other-name": call(
        name("pandas.core.indexes.base", "_new_Index"), name("numpy.core.memmap", "memmap"), OPEN_FILE
    ),
    "index-of-anything": call(NEW_INDEX, name("catboost.core", "CatBoost"), b"}"),
    "pyx-of-anything": call(
        name("sklearn._loss._loss", "__pyx_unpickle_CyLossFunction"), name("re", "_compile"), number(1)
    ),
    "excel": call(name("pandas", "ExcelFile"), text("/etc/x")),
    "store": call(name("pandas", "HDFStore"), text("/etc/x")),
    # callables that call what they are handed
    "reduce-function": call(name("functools", "reduce"), SYSTEM, b"](" + ARGUMENT + b"e"),
    "map-then-list": call(name("builtins", "list"), call(name("builtins", "map"), SYSTEM, b"](" + ARGUMENT + b"e")),
    "sorted-by-key": call(name("builtins", "sorted"), b"](" + ARGUMENT + b"e"),
    "max-by-key": name("builtins", "max") + pack(b"](" + ARGUMENT + b"e") + b"}(" + text("key") + SYSTEM + b"u\x92",
    "partial-state": name("functools", "partial")
    + pack(SYSTEM)
    + b"\x81"
    + pack(SYSTEM, pack(ARGUMENT), b"}", b"N")
    + b"b",
    "methodcaller": call(call(name("operator", "methodcaller"), text("system"), ARGUMENT), name("os", "path")),
    "vectorize-called": call(name("numpy", "vectorize"), SYSTEM),
    "vectorized-called": call(name("numpy", "vectorize") + b")\x81" + mapping(pyfunc=SYSTEM) + b"b", ARGUMENT),
    "from-type": call(
        name("torch._tensor", "_rebuild_from_type_v2"), name("builtins", "eval"), ORDERED, pack(ARGUMENT), b"}"
    ),
    "from-type-computed": call(
        name("torch._tensor", "_rebuild_from_type_v2"), call(ORDERED), ORDERED, pack(ARGUMENT), b"}"
    ),
    "bit-generator": call(name("numpy.random._pickle", "__bit_generator_ctor"), SYSTEM),
    "bit-generator-made": call(name("numpy.random._pickle", "__randomstate_ctor"), ARGUMENT, name("code", "interact")),
    "reconstruct-eval": call(
        name("copyreg", "_reconstructor"), name("builtins", "dict"), name("code", "InteractiveConsole"), b"N"
    ),
    "numpy-load-pickled": call(name("numpy", "load"), text("/tmp/x.npy"), b"N", b"\x88"),
    "torch-load": call(name("torch", "load"), text("/tmp/x.pt")),
    "torch-save": call(name("torch", "save"), b"N", text("/tmp/x")),
    "joblib-dump": call(name("joblib", "dump"), b"N", text("/tmp/x")),
    "compile-pattern-then-call": call(call(name("re", "_compile"), text("x"), number(0)), ARGUMENT),
    "function-of-code": call(name("types", "FunctionType"), call(name("types", "CodeType"), number(0)), b"}"),
    "type-of-three": call(name("builtins", "type"), text("X"), b")", mapping(__reduce__=SYSTEM)),
    "type-of-one": call(name("builtins", "type"), name("builtins", "dict")),
    "type-of-none-called": call(call(name("builtins", "type"), b"N"), ARGUMENT),
    "type-unused": name("builtins", "type"),
    "type-new": name("builtins", "type") + pack(text("X"), b")", b"}") + b"\x81",
    # names that are not written where they are used
    "codecs-hex": call(name("_codecs", "encode"), text("6f73"), text("hex")) + text("system") + b"\x93",
    "codecs-decode": call(name("_codecs", "decode"), blob(b"os"), text("latin1")) + text("system") + b"\x93",
    "str-as-module": call(name("builtins", "str"), text("os")) + text("system") + b"\x93" + RUN,
    "bytes-as-module": blob(b"os") + text("system") + b"\x93",
    "number-as-name": text("os") + number(1) + b"\x93",
    "tuple-as-name": pack(text("os")) + text("system") + b"\x93",
    "counter-as-name": call(name("collections", "Counter"), text("os")) + text("system") + b"\x93",
    "attribute-computed": LISTED + b")\x81}(" + CODED + name("numpy", "ndarray") + b"ub",
    "attribute-computed-list": LISTED + b")\x81" + pack(b"N", b"}(" + CODED + b"Nu") + b"b",
    "memo-high": text("os")
    + b"r\xff\xff\xff\x000"
    + b"j\xff\xff\xff\x00"
    + text("system")
    + b"\x93"
    + pack(ARGUMENT)
    + b"R",
    "memo-text-index": text("os") + b"p123\n0g123\n" + text("system") + b"\x93" + RUN,
    "memo-signed": text("os") + b"p+5\n0g 5\n" + text("system") + b"\x93" + RUN,
    "memo-after-put": text("a")
    + b"q\x05\x94"
    + text("os")
    + b"\x940h\x02"
    + text("system")
    + b"\x93"
    + pack(ARGUMENT)
    + b"R",
    "memo-of-global": SYSTEM + b"\x940" + call(b"h\x00", ARGUMENT),
    "memo-of-args": pack(ARGUMENT) + b"q\x000" + SYSTEM + b"h\x00R",
    "dup-global": SYSTEM + b"20" + RUN,
    "mark-pop": b"(" + text("x") + b"1" + SYSTEM + RUN,
    "pop-mark": b"(0" + SYSTEM + RUN,
    "in-marks": b"(((" + call(SYSTEM, ARGUMENT) + b"ttt",
    "as-key": b"}" + call(SYSTEM, ARGUMENT) + b"Ns",
    "in-frozenset": b"(" + call(SYSTEM, ARGUMENT) + b"\x91",
    "dict-opcode": b"(" + text("a") + call(SYSTEM, ARGUMENT) + b"d",
    "list-opcode": b"(" + call(SYSTEM, ARGUMENT) + b"l",
    "args-from-list": SYSTEM + call(name("builtins", "tuple"), b"](" + ARGUMENT + b"e") + b"R",
    "unicode8": b"\x8d"
    + struct.pack("<Q", 2)
    + b"os"
    + b"\x8d"
    + struct.pack("<Q", 6)
    + b"system\x93"
    + pack(ARGUMENT)
    + b"R",
    "binunicode": b"X\x02\0\0\0osX\x06\0\0\0system\x93" + RUN,
    "bytes-opcodes": b"T\x02\0\0\0osT\x06\0\0\0system\x93" + RUN,
    "surrogate": b"X\x05\0\0\0os\xed\xa0\x80" + text("system") + b"\x93",
    "zero-in-name": stack_name("os", "system\0"),
    "zero-in-module": stack_name("os\0x", "system"),
    "fullwidth": stack_name("ｏｓ", "system"),
    "space-before": stack_name(" os", "system"),
    "line-end-in-name": stack_name("os", "system\n"),
    "dotted-module": stack_name("collections.abc.sys.modules", "x"),
    "dotted-into-builtins": stack_name("collections", "abc.sys.modules"),
    "through-class": stack_name("sklearn.base", "BaseEstimator.__init__.__globals__"),
    "through-listed": stack_name("numpy", "ndarray.tofile"),
    "through-loader": stack_name("collections", "OrderedDict.__class__"),
    "through-module-in-module": stack_name("sklearn.base", "inspect.os.system"),
    "package-file": stack_name("torch", "__loader__"),
    "private-import": stack_name("joblib.numpy_pickle", "Path.home"),
    "smuggled-module": stack_name("sklearn.os", "system"),
    "smuggled-deeper": stack_name("numpy.lib.os.path", "join"),
    # changes of what is not the pickle's own
    "append-to-path": name("sys", "path") + ARGUMENT + b"a",
    "extend-path": name("sys", "path") + b"(" + ARGUMENT + b"e",
    "set-modules": name("sys", "modules") + text("json") + LISTED + b"s",
    "items-of-environment": name("os", "environ") + b"(" + text("LD_PRELOAD") + text("/tmp/x.so") + b"u",
    "hook-of-module": name("sys", "meta_path") + LISTED + b"a",
    "add-to-global": name("builtins", "set") + b"(N\x90",
    "state-of-class": LISTED + mapping(predict=name("numpy", "log")) + b"b",
    "state-of-function": name("numpy", "log") + mapping(x=b"N") + b"b",
    "state-of-slots": name("numpy", "ndarray") + pack(b"N", mapping(x=b"N")) + b"b",
    "item-of-getattr": call(GETATTR, ENUM, text("STEPS")) + text("x") + b"Ns",
    # outside of the file, and numbers that stand for names
    "ext-known": b"\x82\x05",
    "ext-four": b"\x84\xff\xff\xff\x7f" + RUN,
    "persistent-text": b"Pos.system\n",
    "persistent-object": text("x") + b"Q",
    "persistent-call": pack(call(SYSTEM, ARGUMENT)) + b"Q",
    "buffer": b"\x97",
    "readonly-buffer": b"N\x98",
    # arrays whose description lies
    "field-outside": call(name("numpy", "dtype"), text("V8")) + OUTSIDE,
    "subarray-outside": call(name("numpy", "dtype"), text("V8"))
    + pack(number(3), text("|"), pack(dtype("f8"), pack(number(900))), b"N", b"N", number(8), number(1), number(0))
    + b"b",
    "scalar-of-objects": call(
        name("numpy.core.multiarray", "scalar"),
        call(name("numpy", "dtype"), text("O8"))
        + pack(number(3), text("|"), b"N", b"N", b"N", number(-1), number(-1), number(0))
        + b"b",
        blob(b"\x41" * 8),
    ),
    "huge-bytes": call(name("builtins", "bytearray"), b"\x8a\x05\0\0\0\0\x7f"),
}


def by_gadget() -> Iterator[Entry]:
    """Yield each of these in a plain pickle, in a framed one, inside PyTorch's two formats, and in numpy's objects."""
    for place, (label, body) in enumerate(BODIES.items()):
        yield "gadget", f"{label}.pkl", pickle(body)
        kept = pickle(b"](" + body + b"e", 5)
        spelled = place % 5
        if spelled == 0:
            yield "gadget-in-zip", f"{label}.pt", torch_file(pickle(body, 2))
        elif spelled == 1:
            yield "gadget-in-array", f"{label}.npy", npy("|O", (1,), kept)
        elif spelled == 2:
            inner = b"\x80\x04" + wrapper("O8", (1,), objects=True) + kept + b"."
            yield "gadget-in-joblib", f"{label}.joblib", inner
        elif spelled == 3:
            yield "gadget-in-legacy", f"{label}.pth", torch_legacy(body, {})
        else:
            nested = call(name("torch.storage", "_load_from_bytes"), blob(torch_legacy(body, {})))
            yield "gadget-nested", f"{label}.bin", pickle(nested, 3)
