"""Each kind of place: brought whole, never written over, found again, and said plainly when it cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.core import mail
from django.utils import timezone
from moto import mock_aws
from pytest_django import Settings

from audit import copies
from audit.copies import configured, naming
from audit.copies.folder import Folder
from audit.copies.place import Contradicted, Unreachable
from audit.models import Checkpoint
from portal.errors import Invalid
from tests.governance.receiver import receiving

pytestmark = pytest.mark.django_db
LOCKED = "s3://worm/ledger"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return a folder on a mounted disk."""
    (tmp_path / "worm").mkdir()
    return Folder(tmp_path / "worm")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a client of an S3 inside this process, with one bucket that has object lock and one without."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="worm", ObjectLockEnabledForBucket=True)
        client.create_bucket(Bucket="plain")
        yield client


def files(place: Folder) -> list[str]:
    return sorted(str(path.relative_to(place.path)) for path in place.path.rglob("*") if path.is_file())


def test_a_folder_gets_one_read_only_file_a_checkpoint(folder: Folder, grow: Callable[..., Checkpoint]) -> None:
    first, second = grow(2), grow(3)
    for checkpoint in (first, second, second):
        folder.bring(checkpoint)
    assert files(folder) == [
        "000/000/000/000000000002.checkpoint",
        "000/000/000/000000000005.checkpoint",
    ]
    assert folder.newest() == second.note
    assert (folder.path / naming.path_of(5)).stat().st_mode & 0o222 == 0


def test_the_newest_is_found_across_steps(folder: Folder) -> None:
    for size in (7, 999, 1_000, 12_304, 1_000_000, 2_000_000_000):
        path = folder.path / naming.path_of(size)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("kept")
        assert folder.newest_size() == size
    (folder.path / "009").mkdir()
    (folder.path / "notes.txt").write_text("not ours")
    assert folder.newest_size() == 2_000_000_000


def test_a_file_is_never_written_over(folder: Folder, grow: Callable[..., Checkpoint]) -> None:
    checkpoint = grow(2)
    held = folder.path / naming.path_of(2)
    held.parent.mkdir(parents=True)
    held.write_text("other.example/ledger\n2\nAAAA\n\n— other AAAA\n")
    with pytest.raises(Contradicted, match="another checkpoint of 2 entries"):
        folder.bring(checkpoint)
    assert held.read_text().startswith("other.example")


def test_what_a_killed_writer_left_is_no_checkpoint(folder: Folder, grow: Callable[..., Checkpoint]) -> None:
    checkpoint = grow(2)
    path = folder.path / naming.path_of(2)
    path.parent.mkdir(parents=True)
    (path.parent / ".incoming-x1").write_text("half of a che")
    assert folder.newest() is None
    folder.bring(checkpoint)
    assert folder.newest() == checkpoint.note


def test_a_disk_that_is_not_mounted_is_not_written_beside(tmp_path: Path, grow: Callable[..., Checkpoint]) -> None:
    place = Folder(tmp_path / "unmounted")
    for act in (lambda: place.bring(grow(1)), place.newest):
        with pytest.raises(Unreachable, match="Is its disk mounted"):
            act()
    assert not place.path.exists()


def test_a_bucket_locks_what_it_gets(s3: Any, grow: Callable[..., Checkpoint]) -> None:
    place = configured.read_place(f"{LOCKED}?lock=governance&days=30")
    first, second = grow(2), grow(3)
    for checkpoint in (first, second, second):
        place.bring(checkpoint)
    held = s3.head_object(Bucket="worm", Key=f"ledger/{naming.path_of(5)}")
    assert held["ObjectLockMode"] == "GOVERNANCE"
    assert timedelta(days=29) < held["ObjectLockRetainUntilDate"] - timezone.now() <= timedelta(days=30)
    assert (place.newest(), place.newest_size()) == (second.note, 5)
    assert len(s3.list_object_versions(Bucket="worm")["Versions"]) == 2


def test_what_is_put_over_a_locked_copy_or_marked_as_deleted_changes_nothing(
    s3: Any, grow: Callable[..., Checkpoint]
) -> None:
    place, checkpoint = configured.read_place(LOCKED), grow(4)
    place.bring(checkpoint)
    key = f"ledger/{naming.path_of(4)}"
    s3.put_object(Bucket="worm", Key=key, Body=b"forged")
    assert place.newest() == checkpoint.note
    s3.delete_object(Bucket="worm", Key=key)
    assert place.newest() == checkpoint.note
    place.bring(checkpoint)


def test_a_bucket_with_another_history_says_so(s3: Any, grow: Callable[..., Checkpoint]) -> None:
    s3.put_object(Bucket="worm", Key=f"ledger/{naming.path_of(4)}", Body=b"other\n4\nAAAA\n\n- x\n")
    with pytest.raises(Contradicted):
        configured.read_place(LOCKED).bring(grow(4))


def test_a_bucket_without_object_lock_is_no_place_for_locked_copies(s3: Any, grow: Callable[..., Checkpoint]) -> None:
    checkpoint = grow(1)
    with pytest.raises(Unreachable, match=r"S3 answered \w+\."):
        configured.read_place("s3://plain/ledger").bring(checkpoint)
    with pytest.raises(Unreachable, match=r"S3 answered NoSuchBucket\."):
        configured.read_place("s3://nowhere/ledger").bring(checkpoint)
    plain = configured.read_place("s3://plain/ledger?lock=none")
    plain.bring(checkpoint)
    assert plain.newest() == checkpoint.note


def test_a_webhook_gets_the_checkpoint_signed(
    settings: Settings, grow: Callable[..., Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = grow(3)
    with receiving() as receiver:
        settings.WEBHOOK_PRIVATE_HOSTS = frozenset()
        place = configured.Hook(receiver.url)
        place.bring(checkpoint)
        posted = receiver.posted[0]
        told = json.loads(posted.body)
        assert told == {
            "checkpoint": checkpoint.note,
            "cosigned": checkpoint.note,
            "origin": settings.LEDGER_ORIGIN,
            "size": 3,
        }
        assert posted.headers["webhook-id"] == "checkpoint-3"
        receiver.statuses = [503]
        with pytest.raises(Unreachable, match="answered 503"):
            place.bring(checkpoint)
    assert place.secret.startswith("whsec_")


def test_a_mailbox_gets_it_in_the_mail_and_attached(grow: Callable[..., Checkpoint]) -> None:
    checkpoint = grow(3)
    configured.read_place("mailto:auditors@example.com").bring(checkpoint)
    sent = mail.outbox[0]
    assert sent.to == ["auditors@example.com"]
    assert checkpoint.note in sent.body
    assert sent.attachments[0][1] == checkpoint.note
    assert sent.extra_headers["Message-ID"].startswith("<checkpoint-")


@pytest.mark.parametrize(
    "address",
    [
        "/mnt/worm",
        "file:relative",
        "file://host/share",
        "file:///a/../b",
        "s3://worm/x?lock=maybe",
        "s3://worm/x?days=0",
        "s3://Worm!/x",
        "s3://worm/x?acl=public",
        "http://plain.example/hook",
        "https://user:secretword@chat.example/x",
        "mailto:nobody",
        "ftp://secretword/x",
    ],
)
def test_an_address_of_another_form_is_refused_without_being_repeated(settings: Settings, address: str) -> None:
    settings.CHECKPOINT_PLACES = [address]
    with pytest.raises(Invalid) as error:
        copies.places()
    assert "secretword" not in str(error.value).replace("'ftp'", "")
    assert "expected" in str(error.value)


def test_names_and_words_of_places_hold_no_secret(settings: Settings) -> None:
    settings.CHECKPOINT_PLACES = [
        "https://chat.example/services/secretpath",
        "https://chat.example/services/secondpath",
        "mailto:auditors@example.com",
        LOCKED,
        "file:///mnt/worm",
    ]
    found = copies.places()
    assert len({place.name for place in found}) == 5
    for place in found:
        assert "secretpath" not in place.name + place.words
        assert "auditors" not in place.name


def test_the_same_place_twice_is_refused(settings: Settings) -> None:
    settings.CHECKPOINT_PLACES = [LOCKED, f"{LOCKED}?days=30"]
    with pytest.raises(Invalid, match="each place once"):
        copies.places()
