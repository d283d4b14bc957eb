"""Evidence formats: one file each, one tuple. Bytes in, a Reading out; nothing here stores or judges.

To add a reader: write `registry/readers/<format>.py` with a class that satisfies `Reader`, add one line to READERS,
and add `tests/registry/readers/test_<format>.py`. READERS is asked in order: a stricter format stands above a looser.
"""

from __future__ import annotations

from portal.errors import Fault, Invalid, show
from registry.readers.attachment import LICENCE_TEXT, OTHER
from registry.readers.cyclonedx import CycloneDX
from registry.readers.cyclonedx_vex import CycloneDXVex
from registry.readers.eval_results import EvalResults
from registry.readers.garak import Garak
from registry.readers.in_toto import InToto
from registry.readers.inspect_ai import InspectEval, InspectJson
from registry.readers.lm_eval import LmEval
from registry.readers.model_card import ModelCard
from registry.readers.native import EvaluationPackage
from registry.readers.openvex import OpenVex
from registry.readers.promptfoo import Promptfoo
from registry.readers.reading import Claim, Material, Metric, Named, Part, Product, Reader, Reading, Statement
from registry.readers.signed_evaluation import SignedEvaluation
from registry.readers.spdx import Spdx
from registry.readers.spdx3 import Spdx3
from registry.readers.spdx_tag_value import SpdxTagValue

__all__ = [
    "READERS",
    "Claim",
    "Material",
    "Metric",
    "Named",
    "Part",
    "Product",
    "Reader",
    "Reading",
    "Statement",
    "largest",
    "read",
]

READERS: tuple[Reader, ...] = (
    CycloneDX(),
    Spdx3(),
    Spdx(),
    SpdxTagValue(),
    InToto(),
    SignedEvaluation(),
    EvaluationPackage(),
    InspectEval(),
    InspectJson(),
    Promptfoo(),
    Garak(),
    LmEval(),
    EvalResults(),
    OpenVex(),
    CycloneDXVex(),
    ModelCard(),
    LICENCE_TEXT,
    OTHER,
)


def read(body: bytes, *, kind: str, filename: str = "") -> Reading:
    """Return what a document of one kind says, read by the first reader of that kind which recognises it.

    Raises Invalid, and nothing else, for any bytes: naming the formats that are accepted when none fits, the size when
    it is too large, and otherwise each field with what was seen and what is expected. `filename` only names the
    document in those sentences.
    """
    readers = [reader for reader in READERS if reader.kind == kind]
    if not readers:
        kinds = ", ".join(dict.fromkeys(reader.kind for reader in READERS))
        raise Invalid(Fault("kind", show(kind), f"one of {kinds}"))
    field = filename or "document"
    if len(body) > largest(kind):
        raise Invalid(Fault(field, f"{len(body):,} bytes", f"at most {largest(kind):,} bytes"))
    for reader in readers:
        if reader.recognises(body):
            return reader.read(body)
    accepted = " or ".join(reader.title for reader in readers)
    raise Invalid(Fault(field, f"bytes that begin with {show(body[:40])}", accepted))


def largest(kind: str) -> int:
    """Return the most bytes that any reader of a kind takes, 0 for an unknown kind: doors bound their bodies by it."""
    return max((reader.max_bytes for reader in READERS if reader.kind == kind), default=0)
