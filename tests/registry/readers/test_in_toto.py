from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portal.errors import Invalid
from registry import readers
from registry.readers import Reading, Statement
from registry.readers.in_toto import BundledStatement, unwrap
from tests.registry.readers.samples import ARTIFACT, COMMIT, as_body, envelope, provenance, sample, statement

ADA = "ada@example.org"


def read(body: bytes) -> tuple[Reading, Statement]:
    reading = readers.read(body, kind="provenance")
    assert reading.statement is not None
    return reading, reading.statement


def read_slsa(**changes: Any) -> Statement:
    predicate = provenance(**changes)
    predicate["runDetails"]["byproducts"] = changes.get("byproducts", [])
    return read(envelope(statement(predicate)))[1]


def refusal(body: bytes) -> str:
    with pytest.raises(Invalid) as caught:
        readers.read(body, kind="provenance")
    return str(caught.value)


def test_a_real_slsa_provenance_is_read_whole() -> None:
    reading, found = read(sample("slsa.dsse.json"))
    assert reading.subject_digests == (ARTIFACT,)
    assert found.subjects == (("model.safetensors", ARTIFACT),)
    assert found.predicate_type == "https://slsa.dev/provenance/v1"
    assert (found.builder_id, found.build_type) == (
        "https://ci.corp/builders/gpu-train@v3",
        "https://example.internal/train/v1",
    )
    assert (found.source_uri, found.source_commit) == ("https://git.corp/ml/churn", COMMIT)
    assert found.materials[1].digests == {"sha256": "b" * 64}
    assert found.finished_at == datetime(2026, 1, 1, 1, tzinfo=UTC)
    assert found.invocation_id == "https://ci.corp/run/1"


def test_the_signed_bytes_and_the_envelope_are_kept_for_the_check() -> None:
    _, found = read(sample("slsa.dsse.json"))
    assert base64.b64decode(found.envelope["payload"]) == found.payload
    ((keyid, signature),) = found.signatures
    assert keyid == "fc3d69c93a888ff078fcb00f870bdb081fd1f974b40d62d82df491a125e99c83"
    assert signature.startswith(b"\x30\x46")


def test_a_real_model_signing_bundle_names_its_files() -> None:
    reading, found = read(sample("model-signing.bundle.json"))
    assert reading.media_type == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert dict(found.resources)["model.safetensors"] == ARTIFACT
    assert ARTIFACT in reading.subject_digests
    assert found.subjects[0][1] not in reading.subject_digests
    assert found.signatures[0][0] == ""


def test_a_model_signing_root_that_is_not_the_sum_of_its_files_is_refused() -> None:
    predicate = {
        "serialization": {"method": "files", "hash_type": "sha256"},
        "resources": [{"name": "model.safetensors", "algorithm": "sha256", "digest": ARTIFACT}],
    }
    body = envelope(statement(predicate, predicateType="https://model_signing/signature/v1.0"))
    assert "payload.subject: saw" in refusal(body)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (statement({}, _type="https://in-toto.io/Statement/v0.1"), "unsupported 'https://in-toto.io/Statement/v0.1'"),
        (
            statement({}, predicateType="https://slsa.dev/provenance/v0.2"),
            "unsupported 'https://slsa.dev/provenance/v0.2'",
        ),
        (statement(provenance(), subject=[]), "payload.subject: saw 0 subjects"),
        (statement(provenance(), subject=[{"name": "a"}]), "payload.subject[0].digest: saw None"),
        (statement(provenance(), subject=[{"digest": {"sha512": "a"}}]), "payload.subject[0].digest.sha256: saw None"),
        (statement(provenance(), subject=[{"digest": {"sha256": "xyz"}}]), "expected a sha256 in 64 hex digits"),
        (statement(provenance(builder={})), "payload.predicate.runDetails.builder.id: saw None"),
        (statement({"runDetails": {}}), "payload.predicate.buildDefinition: saw None"),
        ([1], "payload: saw [1], expected a JSON object"),
    ],
)
def test_a_statement_that_is_not_understood_is_refused(content: Any, says: str) -> None:
    assert says in refusal(envelope(content))


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"payloadType": "text/plain"}, "payloadType: saw 'text/plain', expected application/vnd.in-toto+json"),
        ({"payload": "!!!"}, "payload: saw '!!!', expected base64"),
        ({"payload": ""}, "payload: saw ''"),
        ({"signatures": []}, "signatures: saw 0 signatures"),
        ({"signatures": [{"sig": "aaaa"}] * 17}, "signatures: saw 17 signatures"),
        ({"signatures": ["x"]}, "signatures[0]: saw 'x', expected a JSON object"),
        ({"signatures": [{"keyid": "k"}]}, "signatures[0].sig: saw None"),
        ({"signatures": [{"keyid": 1, "sig": "aaaa"}]}, "signatures[0].keyid: saw 1"),
        ({"dsseEnvelope": {}}, "two envelopes"),
    ],
)
def test_an_envelope_that_is_not_well_formed_is_refused(members: dict[str, Any], says: str) -> None:
    assert says in refusal(envelope(statement(provenance()), **members))


BUNDLE = {
    "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
    "verificationMaterial": {"publicKey": {"hint": "k"}, "tlogEntries": []},
    "dsseEnvelope": json.loads(envelope(statement(provenance()))),
}
CERTIFICATE = {"rawBytes": "MIIB"}


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"mediaType": "application/vnd.dev.sigstore.bundle.v0.1+json"}, "mediaType: saw unsupported"),
        ({"mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.2"}, "mediaType: saw unsupported"),
        ({"mediaType": None}, "mediaType: saw None"),
        ({"messageSignature": {}}, "bare signature"),
        ({"verificationMaterial": {}}, "neither a key nor a certificate"),
        ({"verificationMaterial": {"publicKey": {}, "certificate": CERTIFICATE}}, "saw publicKey, certificate"),
        ({"verificationMaterial": {"x509CertificateChain": {}}}, "saw x509CertificateChain"),
        ({"verificationMaterial": {"publicKey": "k"}}, "publicKey: saw 'k', expected a JSON object"),
        ({"verificationMaterial": {"certificate": {"rawBytes": "!"}}}, "rawBytes: saw '!', expected base64"),
        ({"verificationMaterial": {"publicKey": {}, "tlogEntries": [1]}}, "tlogEntries[0]: saw 1"),
        (
            {"dsseEnvelope": BUNDLE["dsseEnvelope"] | {"signatures": [{"sig": "aaaa"}] * 2}},
            "2 signatures, expected exactly one signature in a bundle",
        ),
        ({"dsseEnvelope": BUNDLE["dsseEnvelope"] | {"payloadType": "text/plain"}}, "dsseEnvelope.payloadType: saw"),
    ],
)
def test_another_bundle_is_refused(members: dict[str, Any], says: str) -> None:
    assert says in refusal(as_body(BUNDLE | members))


def test_a_bundle_says_how_it_is_to_be_verified() -> None:
    for material, way in ({"publicKey": {}}, "key"), ({"certificate": CERTIFICATE}, "certificate"):
        reading, found = read(as_body(BUNDLE | {"verificationMaterial": material}))
        assert isinstance(found, BundledStatement)
        assert (found.material, reading.summary["verified_with"]) == (material, way)
        assert reading.summary["format"] == "Sigstore bundle v0.3"
    reading, found = read(sample("slsa.dsse.json"))
    assert isinstance(found, BundledStatement)
    assert (found.bundle, found.material, reading.summary["verified_with"]) == ({}, {}, "key")


def test_the_statement_around_any_predicate_is_unwrapped() -> None:
    other = statement({"result": "PASSED"}, predicateType="https://in-toto.io/attestation/test-result/v0.1")
    found = unwrap(envelope(other))
    assert (found.predicate_type, found.predicate) == (other["predicateType"], {"result": "PASSED"})
    assert "predicateType: saw unsupported" in refusal(envelope(other))


def test_a_payload_with_a_key_twice_is_refused() -> None:
    payload = base64.b64encode(b'{"_type": 1, "_type": 2}').decode()
    assert "more than once" in refusal(envelope(None, payload=payload))


def test_the_url_alphabet_of_base64_is_read() -> None:
    body = envelope(statement(provenance()), signatures=[{"sig": base64.urlsafe_b64encode(b"\xfb\xff\xfe").decode()}])
    assert read(body)[1].signatures == (("", b"\xfb\xff\xfe"),)


def test_a_build_that_ended_before_it_began_is_refused() -> None:
    times = {"startedOn": "2026-01-02T00:00:00Z", "finishedOn": "2026-01-01T23:59:59Z"}
    assert "at or after the start" in refusal(envelope(statement(provenance(metadata=times))))


def test_a_build_from_the_future_is_refused() -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert "not in the future" in refusal(envelope(statement(provenance(metadata={"finishedOn": tomorrow}))))


@pytest.mark.parametrize(
    "written", ["2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", 5, "0001-01-01T00:00:00+14:00"]
)
def test_a_time_that_is_no_instant_is_refused(written: object) -> None:
    assert "finishedOn: saw" in refusal(envelope(statement(provenance(metadata={"finishedOn": written}))))


@pytest.mark.parametrize(
    "external",
    [
        {"source": "git+https://git.example/risk/fraud@refs/heads/main"},
        {"source": {"uri": "git+https://git.example/risk/fraud.git"}},
        {"workflow": {"repository": "https://git.example/risk/fraud", "ref": "refs/heads/main"}},
        {"unknown": True},
    ],
)
def test_the_source_is_found_where_build_types_put_it(external: dict[str, Any]) -> None:
    found = read_slsa(external=external)
    assert (found.source_uri, found.source_commit) == ("https://git.example/risk/fraud", COMMIT)


def test_the_commit_of_another_repository_is_not_the_source_commit() -> None:
    other = {"uri": "git+https://git.example/someone/else", "digest": {"gitCommit": COMMIT}}
    reading, found = read(envelope(statement(provenance(dependencies=[other]))))
    assert (found.source_uri, found.source_commit) == ("https://git.example/risk/fraud", "")
    assert "The provenance does not name the source repository and commit." in reading.warnings


def test_two_commits_of_one_repository_are_pointed_out() -> None:
    source = {"uri": "git+https://git.example/risk/fraud", "digest": {"gitCommit": "b" * 40}}
    reading, found = read(envelope(statement(provenance(external={"source": source}))))
    assert found.source_commit == "b" * 40
    assert any("different commits" in warning for warning in reading.warnings)


@pytest.mark.parametrize(
    ("changes", "people"),
    [
        ({"external": {"author": "ada"}}, ("ada",)),
        ({"external": {"source": {"commit": {"author": {"email": ADA, "login": "ada"}}}}}, ("ada", ADA)),
        ({"internal": {"github": {"actor": "ada", "triggering_actor": "ben"}}}, ("ada", "ben")),
        ({"internal": {"GITHUB_ACTOR": "ada"}}, ("ada",)),
        ({"external": {"variables": {"CI_COMMIT_AUTHOR": f"Ada <{ADA}>"}}}, ("Ada", ADA)),
        ({"external": {"variables": {"GITLAB_USER_LOGIN": "ada", "CI_JOB": "7"}}}, ("ada",)),
        ({"metadata": {"commitAuthors": ["ada", {"name": "Ben"}], "Co-Authors": []}}, ("ada", "Ben")),
        ({"external": {"entryPoint": "train.py"}}, ()),
        ({"internal": {"github": {"event": {"head_commit": {"author": {"username": "ada"}}}}}}, ("ada",)),
        ({"internal": {"event": {"commits": [{"author": {"email": ADA}}, {"committer": "ben"}]}}}, (ADA, "ben")),
        ({"internal": {"event": {"pusher": {"name": "ada"}, "sender": {"login": "ben"}}}}, ("ada", "ben")),
        ({"internal": {"BUILDKITE_BUILD_AUTHOR_EMAIL": ADA, "build_creator": "x"}}, (ADA,)),
        ({"internal": {"author": {"user": {"login": "ada"}, "date": "2026-11-01"}}}, ("ada",)),
        ({"metadata": {"vcs.commit.author_name": "Ada", "git/committer-email": f"mailto:{ADA}"}}, ("Ada", ADA)),
        ({"dependencies": [{"uri": "git+https://a", "annotations": {"author": f"Ada <{ADA}>"}}]}, ("Ada", ADA)),
        ({"byproducts": [{"name": "log", "annotations": {"commit": {"author": "ada"}}}]}, ("ada",)),
        ({"internal": {"m": f"Fix\n\nCo-Authored-By: Ada <{ADA}>\r\nSigned-off-by: ben\n"}}, ("Ada", ADA, "ben")),
        ({"external": {"m": "It was co-authored-by: nobody at all"}}, ()),
        (
            {"external": {"author": "7+ada@users.noreply.github.com"}},
            ("7+ada@users.noreply.github.com", "ada"),
        ),
        ({"external": {"author_association": "MEMBER", "authorised": "yes", "authority": "ca"}}, ()),
    ],
)
def test_the_people_behind_a_build_are_found(changes: dict[str, Any], people: tuple[str, ...]) -> None:
    assert read_slsa(**changes).people == people


def test_more_people_than_can_be_kept_are_refused_and_never_cut_off() -> None:
    crowd = [f"person{number}" for number in range(201)]
    assert "201 people" in refusal(envelope(statement(provenance(external={"authors": crowd}))))


@pytest.mark.parametrize("blanks", ["\n", "\t", "co-authored-by: \n", "-by:"])
def test_people_are_looked_for_in_linear_time(blanks: str) -> None:
    started = time.monotonic()
    read_slsa(external={"message": blanks * (200_000 // len(blanks)) + "end"})
    assert time.monotonic() - started < 5


def test_provenance_fills_the_registration_form() -> None:
    reading, _ = read(envelope(statement(provenance(internal={"actor": "ada"}))))
    assert reading.suggestions == {
        "artifact_sha256": ARTIFACT,
        "source_repository": "https://git.example/risk/fraud",
        "source_commit": COMMIT,
        "build_id": "run-7",
        "authors": ["ada"],
    }


def test_a_formula_as_a_subject_name_stays_the_text_it_is() -> None:
    subject = [{"name": "=cmd()", "digest": {"sha256": ARTIFACT.upper()}}]
    assert read(envelope(statement(provenance(), subject=subject)))[1].subjects == (("=cmd()", ARTIFACT),)
