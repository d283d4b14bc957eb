"""Turns a licence as people write it into an SPDX expression. Whether a licence is allowed is judged in governance."""

from __future__ import annotations

from functools import cache, lru_cache

from license_expression import Licensing, get_spdx_licensing

MAX_EXPRESSION = 200


@cache
def _licensing() -> Licensing:
    """Return the SPDX licence list, read once."""
    return get_spdx_licensing()


@lru_cache(maxsize=4096)
def spdx_expression(written: str) -> str:
    """Return the licence as a normalised SPDX expression of at most 200 characters, or "" when it is none.

    Licences outside the SPDX list (`other`, `llama3.1`) give "": a person has to say what they mean.
    """
    if not written.strip() or len(written) > MAX_EXPRESSION:
        return ""
    try:
        normalised = _licensing().validate(written).normalized_expression or ""
    except AttributeError:
        # license-expression 30.4 stumbles over its own error object when a token is no licence key, as in `=cmd()`.
        return ""
    return normalised if len(normalised) <= MAX_EXPRESSION else ""
