from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from pytest_django import Settings

from portal.errors import Invalid
from registry import storage
from registry.storage import Stored, Unreadable

BODY = b"what the evidence says\n"
DIGEST = hashlib.sha256(BODY).hexdigest()
NAME = f"sha256/{DIGEST[:2]}/{DIGEST[2:4]}/{DIGEST}"


@pytest.fixture
def disk(settings: Settings, tmp_path: Path) -> Path:
    """Evidence on a disk of its own."""
    folder = tmp_path / "evidence"
    backend = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": folder}}
    settings.STORAGES = {**settings.STORAGES, "default": backend}
    return folder


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An S3 service inside this process, with one bucket for evidence and one for models."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="evidence")
        client.create_bucket(Bucket="models")
        yield client


@pytest.fixture
def bucket(s3: Any, settings: Settings) -> Any:
    """Evidence in S3, with the options of the portal's settings."""
    options = {"bucket_name": "evidence", "default_acl": None, "file_overwrite": False}
    backend = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "default": backend}
    return s3


@pytest.fixture
def artifacts(settings: Settings, tmp_path: Path) -> Path:
    """An artifact folder with one model in it, and a secret beside it."""
    root = tmp_path / "artifacts"
    (root / "fraud").mkdir(parents=True)
    (root / "fraud" / "model 1.bin").write_bytes(BODY)
    (tmp_path / "secret.key").write_text("private")
    settings.ARTIFACT_ROOTS = [root]
    return root


def uri_of(path: Path) -> str:
    return path.as_uri()


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("body", [BODY, io.BytesIO(BODY)], ids=["bytes", "stream"])
def test_bytes_are_stored_under_their_digest(disk: Path, body: Any) -> None:
    assert storage.put(body) == Stored(DIGEST, len(BODY))
    assert files_below(disk) == [NAME]
    assert storage.read(DIGEST, max_bytes=100) == BODY
    with storage.open(DIGEST, size=len(BODY)) as stream:
        assert stream.read() == BODY


def test_the_same_bytes_again_change_nothing(disk: Path) -> None:
    storage.put(BODY)
    before = (disk / NAME).stat()
    storage.put(BODY)
    assert (disk / NAME).stat().st_mtime_ns == before.st_mtime_ns
    assert files_below(disk) == [NAME]


def test_many_at_once_store_one_file(disk: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(storage.put, [BODY] * 32)) == {Stored(DIGEST, len(BODY))}
    assert files_below(disk) == [NAME]


def test_a_body_over_the_limit_leaves_nothing_behind(disk: Path) -> None:
    with pytest.raises(Invalid, match="at most 10 bytes"):
        storage.put(io.BytesIO(BODY), max_bytes=10)
    assert files_below(disk) == []


def test_a_stream_that_breaks_leaves_nothing_behind(disk: Path) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        storage.put(Broken())  # type: ignore[arg-type]
    assert files_below(disk) == []


def test_a_file_cut_short_by_a_crash_is_repaired_by_the_next_put(disk: Path) -> None:
    (disk / NAME).parent.mkdir(parents=True)
    (disk / NAME).write_bytes(BODY[:5])
    storage.put(BODY)
    assert storage.read(DIGEST) == BODY


def test_altered_bytes_are_never_handed_out(disk: Path) -> None:
    storage.put(BODY)
    (disk / NAME).chmod(0o644)
    (disk / NAME).write_bytes(BODY.upper())
    with pytest.raises(Unreadable, match="the stored bytes were altered"):
        storage.read(DIGEST)


def test_a_stored_file_cannot_be_written_by_accident(disk: Path) -> None:
    storage.put(BODY)
    assert (disk / NAME).stat().st_mode & 0o222 == 0


def test_bytes_of_another_size_than_recorded_are_refused(disk: Path) -> None:
    storage.put(BODY)
    with pytest.raises(Unreadable, match="23 bytes are stored, 24 were recorded"):
        storage.open(DIGEST, size=24)
    with pytest.raises(Unreadable, match="more than 5 bytes"):
        storage.read(DIGEST, max_bytes=5)


def test_a_digest_that_was_never_stored_is_unreadable(disk: Path) -> None:
    with pytest.raises(Unreadable, match="nothing is stored under this digest"):
        storage.read("0" * 64)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", DIGEST.upper(), DIGEST + "\n", "g" * 64])
def test_what_is_no_digest_is_never_a_path(disk: Path, digest: str) -> None:
    with pytest.raises(Invalid, match="64 lower-case hex digits"):
        storage.open(digest)


def test_evidence_goes_to_s3_by_setting(bucket: Any) -> None:
    assert storage.put(io.BytesIO(BODY)) == Stored(DIGEST, len(BODY))
    storage.put(BODY)
    keys = [entry["Key"] for entry in bucket.list_objects_v2(Bucket="evidence")["Contents"]]
    assert keys == [NAME]
    assert storage.read(DIGEST) == BODY


def test_damage_in_s3_is_found_and_repaired_by_the_next_put(bucket: Any) -> None:
    bucket.put_object(Bucket="evidence", Key=NAME, Body=BODY.upper())
    with pytest.raises(Unreadable, match="altered"):
        storage.read(DIGEST)
    storage.put(BODY)
    assert storage.read(DIGEST) == BODY
    assert bucket.list_objects_v2(Bucket="evidence")["KeyCount"] == 1


def test_many_at_once_store_one_object(bucket: Any) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(storage.put, [BODY] * 8)) == {Stored(DIGEST, len(BODY))}
    assert [entry["Key"] for entry in bucket.list_objects_v2(Bucket="evidence")["Contents"]] == [NAME]


def test_a_digest_that_is_not_in_s3_is_unreadable(bucket: Any) -> None:
    with pytest.raises(Unreadable, match="nothing is stored under this digest"):
        storage.read("0" * 64)


def test_an_artifact_below_a_root_is_read(artifacts: Path) -> None:
    uri = uri_of(artifacts / "fraud" / "model 1.bin")
    assert uri.endswith("model%201.bin")
    storage.validate_uri(uri)
    with storage.open_artifact(uri) as stream:
        assert stream.read() == BODY
    with storage.artifact_path(uri) as path:
        assert path == (artifacts / "fraud" / "model 1.bin").resolve()


def test_a_link_inside_the_root_is_followed_and_a_link_out_of_it_is_not(artifacts: Path) -> None:
    (artifacts / "latest").symlink_to(artifacts / "fraud")
    with storage.open_artifact(uri_of(artifacts / "latest" / "model 1.bin")) as stream:
        assert stream.read() == BODY
    (artifacts / "out.bin").symlink_to(artifacts.parent / "secret.key")
    (artifacts / "folder").symlink_to(artifacts.parent)
    for uri in (uri_of(artifacts / "out.bin"), uri_of(artifacts / "folder" / "secret.key")):
        with pytest.raises(Unreadable) as caught, storage.open_artifact(uri):
            pass
        assert caught.value.why == "a symbolic link leads out of the artifact folders."
        with pytest.raises(Unreadable), storage.artifact_path(uri):
            pass


def test_a_root_that_is_itself_a_link_works(artifacts: Path, settings: Settings) -> None:
    (artifacts.parent / "mount").symlink_to(artifacts)
    settings.ARTIFACT_ROOTS = [artifacts.parent / "mount"]
    with storage.open_artifact(uri_of(artifacts.parent / "mount" / "fraud" / "model 1.bin")) as stream:
        assert stream.read() == BODY


@pytest.mark.parametrize("name", ["pipe", "fraud", "loop", "missing"])
def test_what_is_no_regular_file_is_unreadable_at_once(artifacts: Path, name: str) -> None:
    os.mkfifo(artifacts / "pipe")
    (artifacts / "loop").symlink_to(artifacts / "loop")
    for access in (storage.open_artifact, storage.artifact_path):
        with pytest.raises(Unreadable, match=r"not a regular file|no such file"), access(uri_of(artifacts / name)):
            pass


def test_a_file_larger_than_allowed_is_not_given_to_a_scanner(artifacts: Path) -> None:
    uri = uri_of(artifacts / "fraud" / "model 1.bin")
    with pytest.raises(Unreadable, match="23 bytes are more than the 10"), storage.artifact_path(uri, max_bytes=10):
        pass


def test_an_artifact_in_s3_is_streamed_and_downloaded(s3: Any) -> None:
    s3.put_object(Bucket="models", Key="fraud/model 1.bin", Body=BODY)
    uri = "s3://models/fraud/model%201.bin"
    storage.validate_uri(uri)
    with storage.open_artifact(uri) as stream:
        assert stream.read(4) + stream.read() == BODY
    with storage.artifact_path(uri) as path:
        assert (path.name, path.read_bytes()) == ("model 1.bin", BODY)
    assert not path.exists()


def test_a_download_is_bounded_and_cleaned_up(s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    s3.put_object(Bucket="models", Key="model.bin", Body=BODY)
    with (
        pytest.raises(Unreadable, match="more than the 10 bytes"),
        storage.artifact_path("s3://models/model.bin", max_bytes=10),
    ):
        pass
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(("uri", "why"), [("s3://models/none", "NoSuchKey"), ("s3://no-such-bucket/x", "NoSuchBucket")])
def test_an_object_that_is_not_there_is_unreadable_with_the_answer_of_s3(s3: Any, uri: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why), storage.open_artifact(uri):
        pass


@pytest.mark.parametrize(
    "uri",
    [
        "gs://models/fraud/model.bin",
        "hf://org/model@abc",
        "hf:org/model",
        "oci://registry.example/models/fraud@sha256:abc",
        "https://models.example/fraud.bin?version=7",
        "mlflow:models:/fraud/7",
    ],
)
def test_a_scheme_that_can_be_registered_and_not_be_read_says_so(uri: str) -> None:
    storage.validate_uri(uri)
    for access in (storage.open_artifact, storage.artifact_path):
        with pytest.raises(Unreadable, match="only file: and s3:") as caught, access(uri):
            pass
        assert caught.value.uri == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "model.bin",
        "/etc/passwd",
        "ftp://models.example/a",
        "javascript:alert(1)",
        "https://ada:secret@models.example/a",
        "https:///a",
        "s3://models",
        "s3://models/",
        "s3://Models_1/a",
        "s3://models/../secret/a",
        "s3://models/a?versionId=1",
        "hf:",
        "hf://../a",
        "https://models.example/a/%2e%2e/b",
        "https://models.example/a\nb",
        "https://models.example/a b",
        "https://[models.example/a",
        "https://models.example/" + "a" * 1000,
        "file:///etc/passwd",
        "file://elsewhere/{root}/a",
        "file:relative/a",
        "file://{root}/../secret.key",
        "file://{root}/%2e%2e/secret.key",
        "file://{root}/a%00b",
        "file://{root}/a#b",
        "file://{root}-beside/a",
    ],
)
def test_a_uri_that_cannot_be_followed_is_invalid_everywhere(artifacts: Path, uri: str) -> None:
    written = uri.replace("{root}", str(artifacts))
    with pytest.raises(Invalid) as caught:
        storage.validate_uri(written)
    assert caught.value.faults[0].field == "storage_uri"
    assert "secret@" not in str(caught.value)
    for access in (storage.open_artifact, storage.artifact_path):
        with pytest.raises(Invalid), access(written):
            pass
