"""Ordinary files as PyTorch, Lightning and Hugging Face write them, assembled because none of these is installed."""

from __future__ import annotations

import struct

from tests.governance.scanning.assemble import (
    call,
    mapping,
    name,
    number,
    pack,
    pickle,
    tensor,
    text,
    torch_file,
    torch_legacy,
)

ORDERED = name("collections", "OrderedDict")
HOOKS = call(ORDERED)
SIZE = call(name("torch", "Size"), pack(number(4)))
STORAGES = (
    "FloatStorage DoubleStorage HalfStorage BFloat16Storage LongStorage IntStorage ShortStorage CharStorage ByteStorage"
    " BoolStorage ComplexFloatStorage ComplexDoubleStorage QInt8Storage QUInt8Storage QInt32Storage"
)
DTYPES = "float8_e4m3fn float8_e5m2 uint16 uint32 uint64 bfloat16 int8"
FLOAT = b"G" + struct.pack(">d", 0.001)


def storage(kind: str = "FloatStorage", key: str = "0", place: str = "cpu") -> bytes:
    """Return a reference to a storage."""
    return pack(text("storage"), name("torch", kind), text(key), text(place), number(4)) + b"Q"


def rebuilt(function: str, *args: bytes) -> bytes:
    """Return a call of one of torch's rebuilding functions."""
    return call(name("torch._utils", function), *args)


def shaped(kind: str = "FloatStorage", key: str = "0", place: str = "cpu") -> tuple[bytes, ...]:
    """Return storage, offset, shape and stride."""
    return storage(kind, key, place), number(0), pack(number(4)), pack(number(1))


def state(*tensors: bytes) -> bytes:
    """Return a state_dict: an ordered dictionary of tensors, with its metadata."""
    pairs = b"".join(text(f"layer.{place}.weight") + each for place, each in enumerate(tensors or (tensor(),)))
    versions = call(ORDERED) + b"(" + text("") + mapping(version=number(1)) + b"u"
    return call(ORDERED) + b"(" + pairs + b"u" + mapping(_metadata=versions) + b"b"


def module(path: str, cls: str, **more: bytes) -> bytes:
    """Return a whole layer, as pickled by people who save the model and not its state."""
    empty = call(ORDERED)
    settings = {"training": b"\x89", "_parameters": empty, "_buffers": empty, "_modules": empty, **more}
    return name(f"torch.nn.modules.{path}", cls) + b")\x81" + mapping(**settings) + b"b"


def member(owner: tuple[str, str], value: str, *, by_name: bool) -> bytes:
    """Return a member of an enumeration, by value or, as Python 3.11 does, by name."""
    if by_name:
        return call(name("builtins", "getattr"), name(*owner), text(value.upper()))
    return call(name(*owner), text(value))


def training_arguments(*, by_name: bool) -> bytes:
    """Return the training_args.bin of a fine-tuning run."""
    trainer = "transformers.trainer_utils"
    pairs = {
        "output_dir": text("out"),
        "learning_rate": FLOAT,
        "save_strategy": member((trainer, "SaveStrategy"), "steps", by_name=by_name),
        "eval_strategy": member((trainer, "IntervalStrategy"), "epoch", by_name=by_name),
        "hub_strategy": member((trainer, "HubStrategy"), "every_save", by_name=by_name),
        "lr_scheduler_type": member((trainer, "SchedulerType"), "linear", by_name=by_name),
        "optim": member(("transformers.training_args", "OptimizerNames"), "adamw_torch", by_name=by_name),
        "fsdp": b"]",
        "device": call(name("torch", "device"), text("cuda"), number(0)),
    }
    return name("transformers.training_args", "TrainingArguments") + b")\x81" + mapping(**pairs) + b"b"


QUANTISER = pack(name("torch", "per_tensor_affine"), FLOAT, number(3))
LAYOUT = call(name("torch.serialization", "_get_layout"), text("torch.sparse_coo"))
ARRAY = call(name("numpy._core.multiarray", "_reconstruct"), name("numpy", "ndarray"), pack(number(0)), b"C\x01b")
ADAM = mapping(step=tensor(), exp_avg=tensor(), exp_avg_sq=tensor())
GROUPS = b"](" + mapping(lr=FLOAT, betas=pack(FLOAT, FLOAT), amsgrad=b"\x89", params=b"](" + number(0) + b"e") + b"e"
OPTIMISER = mapping(state=b"}(" + number(0) + ADAM + b"u", param_groups=GROUPS)
NAMESPACE = name("argparse", "Namespace") + b")\x81" + mapping(lr=FLOAT, epochs=number(3), name=text("run")) + b"b"
LIGHTNING = name("pytorch_lightning.utilities.parsing", "AttributeDict") + b")\x81(" + text("lr") + FLOAT + b"u"
LINEAR = module("linear", "Linear", in_features=number(4), out_features=number(4))
CHECKPOINT = mapping(
    epoch=number(3),
    model=state(),
    optimizer=OPTIMISER,
    scheduler=mapping(last_epoch=number(2), milestones=call(name("collections", "Counter"), b"}"), _last_lr=b"]"),
    args=NAMESPACE,
    best=FLOAT,
    path=call(name("pathlib", "PosixPath"), text("runs"), text("1")),
    when=call(name("datetime", "datetime"), b"C\x0a\x07\xea\x0b\x17\x09\x00\x00\x00\x00\x00"),
)
BODIES: dict[str, bytes] = {
    **{kind: state(rebuilt("_rebuild_tensor_v2", *shaped(kind), b"\x89", HOOKS)) for kind in STORAGES.split()},
    **{
        dtype: state(rebuilt("_rebuild_tensor_v3", *shaped("UntypedStorage"), b"\x89", HOOKS, name("torch", dtype)))
        for dtype in DTYPES.split()
    },
    "several": state(tensor(), tensor(), tensor()),
    "on-cuda": state(rebuilt("_rebuild_tensor_v2", *shaped(place="cuda:0"), b"\x89", HOOKS)),
    "plain-dict": b"}(" + text("w") + tensor() + b"u",
    "oldest-rebuild": rebuilt("_rebuild_tensor", *shaped()),
    "parameter": state(rebuilt("_rebuild_parameter", tensor(), b"\x88", HOOKS)),
    "parameter-with-state": rebuilt("_rebuild_parameter_with_state", tensor(), b"\x88", HOOKS, mapping(tag=text("x"))),
    "quantised": rebuilt("_rebuild_qtensor", *shaped("QInt8Storage"), QUANTISER, b"\x89", HOOKS),
    "sparse": rebuilt("_rebuild_sparse_tensor", LAYOUT, pack(tensor(), tensor(), SIZE)),
    "from-numpy": rebuilt("_rebuild_device_tensor_from_numpy", ARRAY, name("torch", "float32"), text("cpu"), b"\x89"),
    "meta": rebuilt(
        "_rebuild_meta_tensor_no_storage", name("torch", "float16"), pack(number(4)), pack(number(1)), b"\x89"
    ),
    "subclass": call(
        name("torch._tensor", "_rebuild_from_type_v2"),
        name("torch._utils", "_rebuild_tensor_v2"),
        name("torch", "Tensor"),
        pack(*shaped(), b"\x89", HOOKS),
        b"}",
    ),
    "checkpoint": CHECKPOINT,
    "optimiser": OPTIMISER,
    "random-states": mapping(python=pack(number(3), b")", b"N"), numpy=pack(text("MT19937"), ARRAY), cpu=tensor()),
    "lightning": mapping(state_dict=state(), hyper_parameters=LIGHTNING, global_step=number(9), callbacks=b"}"),
    "old-lightning": b"}("
    + text("callbacks")
    + b"}("
    + name("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
    + mapping(best=FLOAT)
    + b"u"
    + text("state_dict")
    + state()
    + b"u",
    "training-arguments": training_arguments(by_name=False),
    "training-arguments-3.11": training_arguments(by_name=True),
    "sequential": module("container", "Sequential", _modules=call(ORDERED) + b"(" + text("0") + LINEAR + b"u"),
    "convolution": module("conv", "Conv2d", kernel_size=pack(number(3), number(3)), padding_mode=text("zeros")),
    "normalisation": module("batchnorm", "BatchNorm2d", eps=FLOAT, num_features=number(8)),
    "attention": module("activation", "MultiheadAttention", embed_dim=number(8)),
    "scheduler": name("torch.optim.lr_scheduler", "StepLR") + b")\x81" + mapping(step_size=number(3)) + b"b",
    "embedding-list": b"](" + tensor() + tensor() + b"e",
    "vocabulary": mapping(stoi=mapping(**{f"word{place}": number(place) for place in range(300)}), itos=b"]"),
    "fields": mapping(size=call(name("torch", "Size"), pack(number(2), number(3))), layout=name("torch", "strided")),
}


def files() -> dict[str, bytes]:
    """Return every body as a file in PyTorch's zip, and the plain ones in its older format too."""
    found = {}
    for place, (label, body) in enumerate(BODIES.items()):
        suffix = (".pt", ".pth", ".bin", ".ckpt")[place % 4]
        found[f"{label}{suffix}"] = torch_file(pickle(body, 2), root=("archive", "pytorch_model", label)[place % 3])
    for label in ("FloatStorage", "several", "parameter", "checkpoint", "optimiser"):
        found[f"old-{label}.pth"] = torch_legacy(BODIES[label], {"0": b"\0" * 16})
    for label in ("sequential", "training-arguments", "vocabulary"):
        found[f"old-{label}.pth"] = torch_legacy(BODIES[label], {})
    return found
