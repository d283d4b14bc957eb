"""The scanner's own corpus: attacks by class, and ordinary files. Every entry is (class, file name, bytes)."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import struct
import zlib

from tests.governance.scanning.assemble import (
    COMMAND,
    attack,
    blob,
    call,
    dtype,
    framed,
    gguf,
    mapping,
    name,
    npy,
    number,
    onnx,
    pack,
    pickle,
    safetensors,
    stack_name,
    tar,
    tensor,
    text,
    torch_file,
    torch_legacy,
    wrapper,
    zip_file,
    zip_member,
)

Entry = tuple[str, str, bytes]

DANGEROUS = """os.system posix.system nt.system os.popen os.execv os.remove subprocess.Popen subprocess.run subprocess.check_output
builtins.eval builtins.exec builtins.compile builtins.getattr builtins.__import__ builtins.open builtins.setattr builtins.map
__builtin__.eval __builtin__.apply __builtin__.reduce importlib.import_module runpy.run_path runpy._run_code pty.spawn
socket.create_connection urllib.request.urlopen http.client.HTTPSConnection webbrowser.open shutil.rmtree sys.exit
ctypes.CDLL marshal.loads pickle.loads _pickle.loads dill.loads cloudpickle.loads code.InteractiveInterpreter types.FunctionType
types.CodeType functools.partial operator.attrgetter operator.methodcaller _operator.methodcaller pkgutil.resolve_name pydoc.locate
pydoc.pipepager timeit.timeit cProfile.run profile.run pdb.run bdb.Bdb trace.Trace doctest.debug_script logging.FileHandler
asyncio.run multiprocessing.Process threading.Thread tempfile.mktemp zipimport.zipimporter platform.popen commands.getoutput
idlelib.pyshell.ModifiedInterpreter lib2to3.pgen2.grammar.Grammar imaplib.IMAP4_stream torch.load torch.hub.load
torch.jit.load torch.serialization.load torch._dynamo.guards.GuardBuilder torch._inductor.codecache.compile_file numpy.load
numpy.fromfile numpy.f2py.crackfortran.getlincoef numpy.testing._private.utils.runstring numpy.ctypeslib.load_library
numpy.core._ufunc_reconstruct joblib.load joblib.numpy_pickle.load joblib.memory.MemorizedFunc pandas.read_pickle
pandas.io.pickle.read_pickle django.utils.module_loading.import_string kombu.utils.imports.symbol_by_name hydra.utils.instantiate
keras.models.load_model transformers.dynamic_module_utils.get_class_from_dynamic_module huggingface_hub.snapshot_download
jinja2.Template sqlite3.connect ensurepip._run_pip venv.create pip.main distutils.file_util.write_file site.main
_osx_support._read_output _aix_support._read_cmd_output _pyrepl.pager.pipe_pager uuid._get_command_stdout ssl.get_server_certificate
linecache.getlines fileinput.input io.FileIO _io.FileIO""".split()

UNKNOWN = """torch.utils.data.dataloader._MultiProcessingDataLoaderIter fastai.learner.Learner mymodule.MyClass antlr4.Foo
torchvision.models.resnet.ResNet __main__.Model statsmodels.tools.eval_measures.rmse xarray.open_dataset ultralytics.nn.tasks.DetectionModel
numpy.lookfor numpy.random.seed sklearn.utils.fixes.threadpool_limits scipy.datasets.face collections.abc.Callable
sklearn.model_selection._validation.cross_val_score torch.nn.modules.lazy.LazyModuleMixin torch.autograd.grad""".split()


def pickles() -> list[Entry]:
    """Return attacks inside one pickle."""
    entries = []
    for number_, full in enumerate(DANGEROUS):
        module, attribute = full.rsplit(".", 1)
        suffix = (".pkl", ".bin", ".pt", ".joblib", ".ckpt", ".dat", ".pth", ".pickle")[number_ % 8]
        entries.append(("dangerous-call", f"{number_}{suffix}", attack(module, attribute)))
        old = pickle(name(module, attribute) + pack(text(COMMAND)) + b"R0N", 2)
        entries.append(("dangerous-popped", f"popped{number_}{suffix}", old))
        entries.append(("dangerous-mention", f"mention{number_}{suffix}", pickle(stack_name(module, attribute))))
    for number_, full in enumerate(UNKNOWN):
        module, attribute = full.rsplit(".", 1)
        entries.append(("unknown-global", f"unknown{number_}.pkl", attack(module, attribute)))
        empty = pickle(stack_name(module, attribute) + b")\x81}b")
        entries.append(("unknown-global", f"instance{number_}.pkl", empty))
    return entries + _opcode_tricks() + _broken_streams()


def _opcode_tricks() -> list[Entry]:
    """Return attacks on how opcodes are understood."""
    system, argument = stack_name("os", "system"), text(COMMAND)
    quoted = b"S'" + COMMAND.encode() + b"'\n"
    rot = call(name("_codecs", "encode"), text("bf"), text("rot13"))
    made = call(name("_codecs", "encode"), text("os"), text("latin1"))
    ordinary = name("sklearn.linear_model._base", "LinearRegression") + b")\x81"
    bodies: dict[str, bytes] = {
        "inst": b"(" + argument + b"ios\nsystem\n",
        "obj": b"(" + system + argument + b"o",
        "newobj": name("os", "system") + pack(argument) + b"\x81",
        "newobj-ex": name("os", "system") + pack(argument) + b"}\x92",
        "build": name("os", "environ") + mapping(PATH=text("/tmp")) + b"b",
        "computed-rot13": rot + text("system") + b"\x93" + pack(argument) + b"R",
        "computed-latin1": made + text("system") + b"\x93" + pack(argument) + b"R",
        "computed-from-list": b"](" + text("os") + b"e" + text("system") + b"\x93" + pack(argument) + b"R",
        "memo-shadow": text("os") + b"q\x05" + text("json") + b"\x94" + b"h\x05" + text("system") + b"\x93" + pack(argument) + b"R",
        "memo-memoize": text("collections") + b"\x940" + text("os") + b"\x940h\x01" + text("system") + b"\x93" + pack(argument) + b"R",
        "memo-overwrite": text("os") + b"q\x000" + text("x") + b"q\x010" + text("os") + b"q\x01h\x01" + text("system") + b"\x93" + pack(argument) + b"R",
        "dup-name": text("os") + b"2" + b"0" + text("system") + b"\x93" + pack(argument) + b"R",
        "binstring-name": b"U\x02osU\x06system\x93" + pack(argument) + b"R",
        "ext1": b"\x82\x01" + pack(argument) + b"R",
        "ext2": b"\x83\x01\x00" + pack(argument) + b"R",
        "ext4": b"\x84\x01\x00\x00\x00" + pack(argument) + b"R",
        "dotted": stack_name("pathlib", "os.system") + pack(argument) + b"R",
        "dotted-numpy": stack_name("numpy", "f2py.os.system") + pack(argument) + b"R",
        "dotted-allowed": stack_name("sklearn.linear_model._base", "LinearRegression.fit") + pack(argument) + b"R",
        "module-in-module": stack_name("numpy.os", "system") + pack(argument) + b"R",
        "hidden-name": stack_name("collections", "__builtins__") + b"",
        "hidden-class": stack_name("builtins", "__build_class__"),
        "odd-name": stack_name("os ", "system") + pack(argument) + b"R",
        "empty-name": stack_name("", "system") + pack(argument) + b"R",
        "sys-modules": name("sys", "modules") + text("os") + b"Ns",
        "environ-item": name("os", "environ") + text("LD_PRELOAD") + text("/tmp/x.so") + b"s",
        "append-to-global": name("numpy", "ndarray") + b"Na",
        "setitem-on-global": name("numpy", "ndarray") + text("__array__") + b"Ns",
        "build-on-global": name("numpy", "ndarray") + mapping(x=b"N") + b"b",
        "build-on-class": name("sklearn.linear_model._base", "LinearRegression") + mapping(fit=b"N") + b"b",
        "computed-call": call(name("collections", "OrderedDict")) + pack(argument) + b"R",
        "call-text": text("system") + pack(argument) + b"R",
        "call-class": name("sklearn.linear_model._base", "LinearRegression") + pack(argument) + b"R",
        "hidden-state": ordinary + mapping(__class__=name("numpy", "ndarray")) + b"b",
        "hidden-reduce": ordinary + mapping(__reduce__=name("numpy", "log1p")) + b"b",
        "handed-function": call(name("collections", "defaultdict"), name("numpy", "log1p")),
        "random-door": call(name("numpy.random._pickle", "__generator_ctor"), argument, name("builtins", "bytearray")),
        "reconstructor": call(name("copyreg", "_reconstructor"), *(name("xgboost.core", "Booster"),) * 2, argument),
        "copyreg-extension": call(name("copyreg", "add_extension"), text("os"), text("system"), number(1)),
        "rebuild-type": call(name("torch._tensor", "_rebuild_from_type_v2"), system, system, pack(argument), b"N"),
        "load-nested": call(name("torch.storage", "_load_from_bytes"), blob(attack())),
        "load-nested-text": call(name("torch.storage", "_load_from_bytes"), text("x")),
        "memmap": name("numpy", "memmap") + pack(text("/tmp/x"), text("u1"), text("w+"), number(0), pack(number(9))) + b"\x81",
        "persistent": pack(text("module"), system) + b"Q",
        "late-protocol": b"N0\x80\x02" + system + pack(argument) + b"R",
        "unicode-opcode": b"Vos\nVsystem\n\x93" + pack(argument) + b"R",
        "escaped": b"V\\u006fs\nVsystem\n\x93" + pack(argument) + b"R",
        "string-opcodes": b"S'os'\nS'sys\\x74em'\n\x93" + pack(argument) + b"R",
        "in-set": b"\x8f(" + call(system, argument) + b"\x90",
        "as-dict-key": b"}" + call(system, argument) + b"Ns",
        "partial": call(name("functools", "partial"), system, argument),
    }  # fmt: skip
    entries = [("opcode-trick", f"{label}.pkl", pickle(body)) for label, body in bodies.items()]
    entries += [("opcode-trick", f"{label}.joblib", framed(body)) for label, body in bodies.items()]
    zero = b"cos\nsystem\n(" + quoted + b"tR."
    for suffix in (".bin", ".pkl", ".pt", ".joblib", ".txt", ".json", ".md", ".safetensors", ".onnx", ".gguf", ".npy", ""):
        entries.append(("protocol-0", f"zero{suffix}", zero))
        entries.append(("protocol-0", f"inst{suffix}", b"(" + quoted + b"ios\nsystem\n."))
        entries.append(("protocol-1", f"one{suffix}", b"cposix\nsystem\nq\x00(U\x02idq\x01tq\x02Rq\x03."))
    return entries


def _broken_streams() -> list[Entry]:
    """Return attacks before, behind and around the end of a pickle."""
    system = call(stack_name("os", "system"), text(COMMAND))
    clean = pickle(b"]")
    streams = {
        "no-stop": b"\x80\x04" + system,
        "nullifai": b"\x80\x04" + system + b"\xff\xff\xffbroken",
        "nullifai-text": b"cos\nsystem\n(S'id'\ntRgarbage",
        "cut-argument": b"\x80\x04" + system + b"X\xff\xff\xff\x00abc",
        "second-pickle": clean + attack(),
        "second-after-junk": clean + b"\0" * 64 + attack(),
        "junk-behind": clean + b"junk",
        "junk-before": b"\0\0\0\0" + attack(),
        "frame-too-long": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + system + b".",
        "frame-too-short": b"\x80\x04\x95" + struct.pack("<Q", 3) + system + b".",
        "frame-in-frame": b"\x80\x04\x95" + struct.pack("<Q", 60) + b"\x95" + struct.pack("<Q", 2) + system + b".",
        "left-on-stack": b"\x80\x04N" + system + b"N.",
        "memo-missing": b"\x80\x04h\x07" + system + b".",
        "huge-memo": b"\x80\x04Nr\xff\xff\xff\xff" + system + b".",
        "newest-protocol": b"\x80\x06" + system + b".",
        "pop-too-much": b"\x80\x04" + system + b"000000.",
    }
    return [("broken-stream", f"{label}{suffix}", data) for label, data in streams.items() for suffix in (".pkl", ".bin")]


def joblibs() -> list[Entry]:
    """Return attacks in and around joblib's arrays and compressions."""
    system = call(stack_name("os", "system"), text(COMMAND))
    eight = struct.pack("<d", 1.5)
    pad = b"\x01\xff"
    lie = wrapper("f8", (1,)).replace(dtype("f8"), call(name("numpy", "dtype"), text("f8")) + pack(*[number(3), text("<"), b"N", b"N", b"N", number(64), number(1), number(0)]) + b"b")  # fmt: skip
    hidden = b"\x80\x04" + wrapper("f8", (len(system) // 8 + 2,), aligned=False)
    body = (system + b"N.").ljust((len(system) // 8 + 2) * 8, b"\0")
    inside = wrapper("f8", (1,), aligned=False)
    frame = b"\x80\x04\x95" + struct.pack("<Q", len(inside) + len(system) + 1) + inside + system + b"." + eight
    streams = {
        "objects": b"\x80\x04" + wrapper("O8", (1,), objects=True) + attack() + b".",
        "after-array": b"\x80\x04" + wrapper("f8", (1,)) + pad + eight + system + b".",
        "before-array": b"\x80\x04" + system + b"0" + wrapper("f8", (1,)) + pad + eight + b".",
        "shape-lie": b"\x80\x04" + wrapper("f8", (-1,)) + pad + system + b".",
        "too-long": b"\x80\x04" + wrapper("f8", (1 << 30,)) + pad + system + b".",
        "dtype-lie": b"\x80\x04" + lie + pad + eight + system + b".",
        "hidden-in-array": hidden + body + b".",
        "array-in-frame": frame,
        "old-wrapper": pickle(name("joblib.numpy_pickle", "NDArrayWrapper") + b")\x81" + mapping(filename=text("/etc/x")) + b"b"),
    }
    entries = [("joblib", f"{label}.joblib", data) for label, data in streams.items()]
    for label, data in {"attack": attack(), **streams}.items():
        entries.append(("compressed", f"{label}-zlib.joblib", zlib.compress(data)))
        entries.append(("compressed", f"{label}-gzip.joblib", gzip.compress(data)))
        entries.append(("compressed", f"{label}-bz2.joblib", bz2.compress(data)))
        entries.append(("compressed", f"{label}-xz.pkl.xz", lzma.compress(data)))
        entries.append(("compressed", f"{label}-lzma.joblib", lzma.compress(data, lzma.FORMAT_ALONE)))
    deep = attack()
    for _ in range(6):
        deep = gzip.compress(deep)
    entries += [
        ("compressed", "deep.pkl.gz", deep),
        ("compressed", "second-stream.joblib", zlib.compress(pickle(b"N")) + zlib.compress(attack())),
        ("compressed", "behind.joblib", zlib.compress(pickle(b"N")) + attack()),
        ("compressed", "cut.joblib", zlib.compress(attack())[:-8]),
        ("compressed", "lz4.joblib", b"\x04\x22\x4d\x18" + attack()),
        ("compressed", "zstd.joblib", b"\x28\xb5\x2f\xfd" + attack()),
        ("compressed", "model.7z", b"7z\xbc\xaf\x27\x1c" + attack()),
        ("compressed", "bomb.pkl.gz", gzip.compress(b"\0" * (64 << 20))),
    ]
    return entries


def containers() -> list[Entry]:
    """Return attacks in and around zips, tars, PyTorch files and numpy files."""
    evil, clean, root = attack(), pickle(tensor(), 2), "archive"
    note = zip_member(f"{root}/version", b"3\n")
    storage = zip_member(f"{root}/data/0", b"\0" * 16)

    def torch(*members: dict[str, bytes], **lies: object) -> bytes:
        return zip_file([*members, storage, note], **lies)  # type: ignore[arg-type]

    good, bad = zip_member(f"{root}/data.pkl", clean), zip_member(f"{root}/data.pkl", evil)
    files: dict[str, bytes] = {
        "plain.pt": torch_file(evil),
        "script.pt": torch(good, zip_member(f"{root}/code/x.py", b"def f(): pass")),
        "constants.pt": torch(good, zip_member(f"{root}/constants.pkl", evil)),
        "extra.pt": torch(good, zip_member(f"{root}/extra.pkl", evil)),
        "nested.zip": zip_file([zip_member("model.pt", torch_file(evil))]),
        "deep.zip": zip_file([zip_member("1.zip", zip_file([zip_member("2.zip", zip_file([zip_member("3.zip", zip_file([zip_member("4.zip", zip_file([zip_member("5.pkl", evil)]))]))]))]))]),
        "deflated.pt": torch(zip_member(f"{root}/data.pkl", evil, deflate=True)),
        "flag-encrypted.pt": torch(zip_member(f"{root}/data.pkl", evil, flags=0x1)),
        "flag-patched.pt": torch(zip_member(f"{root}/data.pkl", evil, flags=0x20)),
        "flag-strong.pt": torch(zip_member(f"{root}/data.pkl", evil, flags=0x40)),
        "flag-local-only.pt": torch(zip_member(f"{root}/data.pkl", evil, local_flags=0x1)),
        "bad-crc.pt": torch(zip_member(f"{root}/data.pkl", evil, crc=1)),
        "bad-crc-clean.pt": torch(zip_member(f"{root}/data.pkl", clean, crc=1)),
        "two-names.pt": torch(zip_member(f"{root}/data.pkl", clean, local_path=f"{root}/dat2.pkl")),
        "duplicate.pt": torch(good, bad),
        "duplicate-case.pt": torch(good, zip_member(f"{root}/DATA.pkl", evil)),
        "prefix.pt": torch(good, prefix=evil, shift=len(evil)),
        "prefix-shifted.pt": torch(good, prefix=evil),
        "suffix.pt": torch(good, suffix=evil),
        "hidden-local.zip": zip_file([zip_member("a.txt", b"a")], prefix=bad["local"], shift=len(bad["local"])),
        "link.zip": zip_file([zip_member("a", b"/etc/passwd", mode=0o120777)]),
        "up.zip": zip_file([zip_member("../../a.pkl", b"x")]),
        "absolute.zip": zip_file([zip_member("/etc/cron.d/a", b"x")]),
        "backslash.zip": zip_file([zip_member("..\\a.txt", b"x")]),
        "zero-byte.zip": zip_file([zip_member("a.txt\0.pkl", b"x")]),
        "bomb.zip": zip_file([zip_member("a.txt", b"\0" * (64 << 20), deflate=True)]),
        "size-lie.zip": zip_file([zip_member("a.txt", b"abc" * 99, deflate=True, size=3)]),
        "method.zip": zip_file([zip_member("a.pkl", evil, method=93)]),
        "source.zip": zip_file([zip_member("setup.py", b"import os")]),
        "polyglot.safetensors": safetensors({}, torch_file(evil)),
        "polyglot.gguf": gguf() + torch_file(evil),
        "polyglot.txt": b"hello\n" + torch_file(evil),
        "disguised.safetensors": torch_file(clean),
        "disguised.onnx": evil,
        "disguised.txt": evil,
        "disguised.json": evil,
        "disguised.npy": evil,
        "disguised.npz": torch_file(evil),
        "legacy.pt": torch_legacy(call(stack_name("os", "system"), text(COMMAND)), {}),
        "legacy-behind.pt": torch_legacy(tensor(), {"0": b"\0" * 16}) + evil,
        "legacy-magic.pt": evil + torch_legacy(tensor(), {"0": b"\0" * 16}),
        "legacy-lie.pt": torch_legacy(tensor(), {"0": b"\0" * 16})[:-24] + struct.pack("<q", 1 << 40) + b"\0" * 16,
        "objects.npy": npy("|O", (1,), evil),
        "record.npy": npy([("a", "<i4"), ("b", "|O")], (1,), evil),
        "behind.npy": npy("<f8", (1,), b"\0" * 8 + evil),
        "header-call.npy": npy("<f8", (1,), b"", raw="{'descr': __import__('os').system('id'), 'fortran_order': False, 'shape': ()}"),
        "objects.npz": zip_file([zip_member("a.npy", npy("|O", (1,), evil))]),
        "link.tar": tar("a", b"", kind=b"2", link="/etc/passwd"),
        "up.tar": tar("../a.txt", b"x"),
        "pickle.tar": tar("a.pkl", evil),
        "behind.tar": tar("a.txt", b"x", suffix=evil),
        "program.so": b"\x7fELF" + b"\0" * 200,
        "program.bin": b"\x7fELF" + b"\0" * 200,
    }  # fmt: skip
    return [("container", path, data) for path, data in files.items()]


def models() -> list[Entry]:
    """Return attacks in safetensors, ONNX, GGUF, Keras and texts."""
    one = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    two = {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]}
    raw = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    doors = (
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ ''['\\x5f\\x5fclass\\x5f\\x5f'] }}",
        "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
        "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
        "{{ self._TemplateReference__context }}",
        "{{ lipsum['__glob' ~ 'als__'] }}",
        "{% set u = '_' * 2 %}{{ messages[u ~ 'class' ~ u] }}",
        "{{ messages[['__cla','ss__']|join] }}",
        '{{ "}}" ~ messages.__class__ }}',
        "{{ joiner.__init__ }}",
        "{{ request.application }}",
    )
    layers = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "function")
    entries: list[Entry] = [
        ("safetensors", f"{label}.safetensors", data)
        for label, data in {
            "overlap": safetensors({"a": one, "b": two}, b"\0" * 6),
            "hole": safetensors({"a": {**one, "data_offsets": [4, 8]}}, b"\0" * 8),
            "behind": safetensors({"a": one}, b"\0" * 4 + attack()),
            "short": safetensors({"a": one}, b"\0" * 2),
            "duplicate": safetensors({}, b"\0" * 4, raw=raw),
            "huge-header": struct.pack("<Q", 1 << 62) + b"{}",
            "size-lie": safetensors({"a": {**one, "shape": [2]}}, b"\0" * 4),
            "negative": safetensors({"a": {**one, "shape": [-1]}}, b"\0" * 4),
            "metadata-object": safetensors({"__metadata__": {"a": {"b": 1}}}),
            "extra-field": safetensors({"a": {**one, "code": "x"}}, b"\0" * 4),
            "not-json": safetensors({}, raw=b"{" + b"x" * 8),
            "deep": safetensors({}, raw=b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
            "unknown-type": safetensors({"a": {**one, "dtype": "PY"}}, b"\0" * 4),
            "is-pickle": attack(),
        }.items()
    ]
    for number_, location in enumerate(("../../etc/passwd", "/etc/passwd", "a/../../b", "..\\x", "https://x.y/w", "")):
        entries.append(("onnx", f"path{number_}.onnx", onnx(location=location)))
    for operator, domain in (("PyOp", "ai.onnx.contrib"), ("Custom", "my.domain"), ("PythonOp", "com.microsoft")):
        entries.append(("onnx", f"{operator}.onnx", onnx(operator, domain)))
    entries.append(("onnx", "behind.onnx", onnx() + attack()))
    for number_, template in enumerate(doors):
        entries.append(("template", f"t{number_}.gguf", gguf(template)))
        entries.append(("template", f"t{number_}.jinja", template.encode()))
        entries.append(("template", f"t{number_}.txt", b"You are helpful.\n" + template.encode()))
        for form in (template, [{"name": "default", "template": template}]):
            entries.append(("template", f"tokenizer{number_}.json", json.dumps({"chat_template": form}).encode()))
    entries.append(("gguf", "counts.gguf", b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60)))
    entries.append(("gguf", "overlap.gguf", gguf(tensors=(("a", 8, 0), ("b", 8, 16)), data=b"\0" * 64)))
    entries.append(("gguf", "beyond.gguf", gguf(tensors=(("a", 8, 1 << 40),), data=b"\0" * 32)))
    for layer in layers:
        config = {"module": "keras.layers", "class_name": layer, "config": {"function": "x"}}
        entries.append(("keras", f"{layer}.keras", keras_file(config)))
        entries.append(("keras", f"{layer}.json", json.dumps({"class_name": "Model", "config": {"layers": [config]}}).encode()))
    for label, config in {
        "module": {"module": "os", "class_name": "system", "config": COMMAND},
        "utils": {"module": "keras.utils", "class_name": "get_file", "config": {}},
        "custom": {"module": None, "class_name": "Mine", "config": {}, "registered_name": "Custom>Mine"},
        "path": {"module": "keras.layers", "class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}},
    }.items():
        entries.append(("keras", f"{label}.keras", keras_file(config)))
    for label, data in {
        "auto.json": b'{"auto_map": {"AutoModel": "modeling.Evil"}}',
        "tag.yaml": b"a: !!python/object/apply:os.system ['id']",
        "long-tag.yaml": b"a: !<tag:yaml.org,2002:python/object/apply:os.system> ['id']",
        "model.py": b"import os",
        "run.txt": b"#!/bin/sh\nid",
        "invisible.md": "Be kind.\U000e0049\U000e0067".encode(),
        "zero.txt": b"abc\0def",
        "latin.txt": b"caf\xe9",
        "broken.json": b'{"a": ',
        "deep.json": b"[" * 100_000 + b"]" * 100_000,
        "empty.safetensors": b"",
    }.items():
        entries.append(("text", label, data))
    return entries


def keras_file(layer: object) -> bytes:
    """Return a .keras archive with one layer."""
    model = {"module": "keras", "class_name": "Sequential", "config": {"layers": [layer]}, "registered_name": None}
    members = [zip_member("metadata.json", b'{"keras_version": "3.0.0"}'), zip_member("config.json", json.dumps(model).encode())]
    return zip_file([*members, zip_member("model.weights.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 64)])


def malicious() -> list[Entry]:
    """Return every attack."""
    return [*pickles(), *joblibs(), *containers(), *models()]
