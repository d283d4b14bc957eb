"""Verifies a Sigstore bundle with a certificate, offline, under a trust root that an operator supplied.

The protocol is left to the `sigstore` library (docs/decisions/0013). It is never given a network, nor the root that
comes with it. Importing it takes a second, so import this module only where such a bundle has to be verified.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509 import Certificate, RFC822Name, SubjectAlternativeName, UniformResourceIdentifier
from sigstore.errors import Error, VerificationError
from sigstore.models import Bundle, IncompatibleEntry, TrustedRoot
from sigstore.verify import Verifier, policy

from portal.errors import Fault, Invalid, show
from registry.readers.documents import parse
from registry.readers.in_toto import PAYLOAD_TYPE, BundledStatement

logger = logging.getLogger(__name__)
MAX_ROOT_BYTES = 256 * 1024
NEEDED = {"certificateAuthorities": "certificate authority", "tlogs": "transparency log", "ctlogs": "certificate log"}


@dataclass(frozen=True)
class Seen:
    """What a bundle is worth under one root.

    `code` is ok, foreign (issued under another root), untrusted_key (by an identity that is not listed),
    bad_signature or unsupported; issuer and identity are those of the certificate when it is ok.
    """

    code: str
    says: str
    issuer: str = ""
    identity: str = ""


class Stranger(VerificationError):
    """A genuine certificate of somebody who is not on the list."""


class Listed:
    """A verification policy of the library: exactly one of the listed (issuer, identity) pairs signed."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = pairs
        self.found = ("", "")

    def verify(self, cert: Certificate) -> None:
        """Keep the pair that the certificate names. Raises Stranger when it names no listed one."""
        for issuer, identity in self.pairs:
            # Older certificate authorities write the issuer into the first extension only, newer ones into the second.
            issued = policy.AnyOf([policy.OIDCIssuerV2(issuer), policy.OIDCIssuer(issuer)])
            try:
                policy.AllOf([issued, policy.Identity(identity=identity)]).verify(cert)
            except VerificationError:
                continue
            self.found = (issuer, identity)
            return
        raise Stranger("no listed identity")


def load_root(text: str) -> TrustedRoot:
    """Return the trust root in a trusted_root.json of format 0.1.

    Raises Invalid unless it names a certificate authority, a transparency log and a certificate log: without all three
    nothing could ever be verified under it.
    """
    content = read_root(text)
    if missing := [what for key, what in NEEDED.items() if not content.get(key)]:
        raise Invalid(Fault("text", f"no {' and no '.join(missing)}", "a trusted_root.json that names all three"))
    try:
        # The library reads roots from files alone.
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as file:
            file.write(text)
            file.flush()
            root = TrustedRoot.from_file(file.name)
        root.get_fulcio_certs()
        root.get_timestamp_authorities()
    except (Error, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Invalid(Fault("text", first_words(error), "a trusted_root.json of format 0.1")) from error
    return root


def read_root(text: str) -> dict[str, Any]:
    """Return the JSON object of a trust root. Raises Invalid for anything else, and for one of more than 256 KiB."""
    content = parse(text.encode("utf-8", "surrogatepass"), max_bytes=MAX_ROOT_BYTES)
    if not isinstance(content, dict):
        raise Invalid(Fault("text", show(content), "a trusted_root.json"))
    return content


def verify(statement: BundledStatement, root_text: str, pairs: Sequence[tuple[str, str]]) -> Seen:
    """Return what a bundle is worth under a root for exactly these (issuer, identity) pairs."""
    listed = Listed(pairs)
    try:
        root = load_root(root_text)
        bundle = Bundle.from_json(json.dumps(statement.bundle))
        if not any(is_issuer(each, bundle.signing_certificate) for each in root.get_fulcio_certs()):
            return Seen("foreign", "Its certificate was issued under another root.")
        kind, payload = Verifier(trusted_root=root).verify_dsse(bundle, listed)
        expect_log_in_time(statement.bundle, read_root(root_text))
    except Stranger:
        return Seen("untrusted_key", f"It is signed by {subject_of(bundle)}, who is on no list of a trusted root.")
    except Error as error:
        code = "unsupported" if isinstance(error, IncompatibleEntry) else "bad_signature"
        return Seen(code, f"The bundle does not verify: {first_words(error)}.")
    except Exception as error:
        # Hostile bytes make the libraries below raise what they do not announce, and no error may become a yes.
        logger.exception("A bundle could not be verified.")
        return Seen("bad_signature", f"The bundle does not verify: {first_words(error)}.")
    if (kind, payload) != (PAYLOAD_TYPE, statement.payload):
        return Seen("bad_signature", "What was signed is not the statement that is shown.")
    return Seen("ok", "", *listed.found)


def is_issuer(authority: Certificate, certificate: Certificate) -> bool:
    """Return whether an authority's key signed a certificate, whenever that was."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def expect_log_in_time(bundle: Mapping[str, Any], root: Mapping[str, Any]) -> None:
    """Raise VerificationError unless the log's key was valid when the log says it took the entry.

    The library leaves that out, although ending a key's time is how a root says that the key is no longer to be used.
    """
    [entry] = bundle["verificationMaterial"]["tlogEntries"]
    if not (seconds := int(entry.get("integratedTime") or 0)):
        # A log that keeps no time of its own goes with a timestamp authority, whose window the library asks.
        return
    taken = datetime.fromtimestamp(seconds, tz=UTC)
    logs = [log for log in root["tlogs"] if log["logId"]["keyId"] == entry["logId"]["keyId"]]
    if not any(is_within(log["publicKey"].get("validFor") or {}, taken) for log in logs):
        raise VerificationError(f"no key of this transparency log was valid on {taken:%Y-%m-%d}")


def is_within(window: Mapping[str, str], at: datetime) -> bool:
    """Return whether an instant lies in a window of a root; a side that is not named is open."""
    start, end = window.get("start"), window.get("end")
    return not (start and at < datetime.fromisoformat(start)) and not (end and at >= datetime.fromisoformat(end))


def subject_of(bundle: Bundle) -> str:
    """Return the names in a certificate, for a sentence."""
    names = bundle.signing_certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    values = [*names.get_values_for_type(RFC822Name), *names.get_values_for_type(UniformResourceIdentifier)]
    return show(", ".join(values) or "nobody", 200)


def first_words(error: Exception) -> str:
    """Return what an error of the library says in one bounded line."""
    # What stands behind is the library's picture of the certificate, which says nothing to people.
    return " ".join(str(error).split(" (encountered")[0].split())[:200].rstrip(".") or type(error).__name__
