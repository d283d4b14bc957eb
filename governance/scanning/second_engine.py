"""picklescan, the independent second engine: a list of dangerous names kept by other people.

Only its verdict "dangerous" counts. "Suspicious" means "not on its short list of harmless names", which ours answers.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Collection
from importlib import metadata

from governance.scanning.limits import Budget, Limits
from governance.scanning.reading import BUFFER, Joined, in_memory
from governance.scanning.report import Finding, Verdict

NAME = "picklescan"
OLD_NAMES = {"__builtin__": "builtins"}


def version() -> str:
    """Return the installed version of the second engine."""
    return metadata.version(NAME)


def examine(
    streams: list[tuple[str, Joined]],
    containers: list[tuple[str, Joined]],
    explained: Collection[tuple[str, str]] = (),
) -> list[Finding]:
    """Return what picklescan calls dangerous in pickle streams and in whole container files (by their names).

    `explained` are globals that are on our list by exact name, or whose every use was followed: about these it is only
    quoted. A crash of the engine is a finding of its own, with the verdict `error`.
    """
    # picklescan pulls in an HTTP client; header-only formats should not pay for that.
    from picklescan import scanner  # noqa: PLC0415

    logging.getLogger(NAME).setLevel(logging.CRITICAL + 1)
    findings: dict[Finding, None] = {}
    jobs = [(where, stream, False) for where, stream in streams] + [
        (where, stream, True) for where, stream in containers
    ]
    for where, stream, whole in jobs:
        stream.seek(0)
        source = io.BufferedReader(stream, BUFFER)
        try:
            # It decodes odd escapes with a warning that is nobody's business here.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = scanner.scan_bytes(source, where) if whole else scanner.scan_pickle_bytes(source, where)
        except Exception as error:  # noqa: BLE001 -- its contract names no exceptions, and none may pass for green
            says = f"The second engine stopped with {type(error).__name__}: {str(error)[:120]}"
            findings.setdefault(Finding("second-engine-failed", says, where, Verdict.ERROR))
            continue
        for found in result.globals:
            if found.safety is scanner.SafetyLevel.Dangerous:
                says = f"picklescan calls {found.module[:120]}.{found.name[:120]} dangerous"
                key = (OLD_NAMES.get(found.module, found.module), found.name)
                if key in explained:
                    says += ", whatever is done with it; here every use is harmless."
                    findings.setdefault(Finding("second-engine-explained", says, where, Verdict.PASS))
                else:
                    findings.setdefault(Finding("second-engine-dangerous", f"{says}.", where, Verdict.REJECTED))
    return list(findings)


def calls_dangerous(module: str, name: str) -> bool:
    """Return whether the second engine rejects whatever names a global, so that allowing it would change nothing."""
    mention = b"c" + f"{module}\n{name}\n".encode() + b"."
    stream = Joined((in_memory(mention, Budget(Limits())),))
    return any(finding.verdict is Verdict.REJECTED for finding in examine([("", stream)], []))
