"""The child process that sets a PDF: JSON on standard input, the PDF on standard output. Runs without Django.

It stands alone because typesetting takes memory in proportion to the rows, may panic on odd text, and must be ended
when it takes too long: none of that may happen to a worker or to a page. It sees one template and one empty folder, no
packages and no network.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path

import typst

MOST_MEMORY = 3 * 1024**3
MOST_SECONDS = 240
TEMPLATE = Path(__file__).with_name("report.typ")


def bind() -> None:
    """Limit the memory and the processor time of this process."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))


def typeset(told: str, created: int) -> bytes:
    """Return what was told as a PDF/UA-1. Raises TypstError, also for a letter that no font here has."""
    with tempfile.TemporaryDirectory() as empty:
        compiler = typst.Compiler(
            TEMPLATE.read_bytes(),
            root=empty,
            sys_inputs={"told": told},
            package_path=empty,
            package_cache_path=empty,
        )
        made = compiler.compile(format="pdf", pdf_standards=["ua-1"], timestamp=created)
    if not isinstance(made, bytes):
        raise TypeError("A PDF is one file.")
    return made


if __name__ == "__main__":
    bind()
    asked = sys.stdin.read()
    sys.stdout.buffer.write(typeset(asked, json.loads(asked)["created"]))
