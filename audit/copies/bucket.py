"""A bucket of S3 as a place: each checkpoint one object, locked by the service against everybody until a date.

A lock keeps versions of objects: whoever may write can still put another version on top, or a mark that it was deleted.
So what is read is always the oldest version of a name, whatever lies on it. Credentials are those of the environment,
as boto3 reads them, or of the profile CHECKPOINT_S3_PROFILE.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.utils import timezone

from audit.copies import naming
from audit.copies.place import Place, Unreachable
from audit.models import Checkpoint
from audit.notes import MAX_NOTE

TIMES = Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 2, "mode": "standard"})
MOST_PAGES = 20
TAKEN = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})


class Bucket(Place):
    """A bucket, best in another account than the portal's, with object lock."""

    takes_all = True
    is_readable = True
    pause = timedelta(seconds=10)

    def __init__(self, bucket: str, prefix: str, lock: str, days: int) -> None:
        self.bucket, self.lock, self.days = bucket, lock, days
        self.prefix = f"{prefix}/" if prefix else ""
        self.name = f"s3://{bucket}/{prefix}".rstrip("/")
        locked = f"locked for {days} days ({lock.lower()})" if lock else "without a lock of ours"
        self.words = f"bucket {bucket}{f'/{prefix}' if prefix else ''}, {locked}"

    def bring(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint there, unless it is there already."""
        key, size = self.prefix + naming.path_of(checkpoint.size), checkpoint.size
        with said_plainly():
            client = self._client()
            held = self._oldest(client, key)
            if held is None and not self._put(client, key, checkpoint.note):
                held = self._oldest(client, key)
        if held is not None:
            naming.compare(held, checkpoint.note, size)

    def newest_size(self) -> int | None:
        """Return the size of the newest checkpoint in the bucket."""
        with said_plainly():
            found = self._newest_path(self._client())
        return naming.size_of(found) if found else None

    def newest(self) -> str | None:
        """Return the newest checkpoint in the bucket."""
        with said_plainly():
            client = self._client()
            found = self._newest_path(client)
            return self._oldest(client, self.prefix + found) if found else None

    def _client(self) -> Any:
        """Return a client of the service."""
        session = boto3.session.Session(profile_name=settings.CHECKPOINT_S3_PROFILE or None)
        return session.client("s3", config=TIMES, endpoint_url=settings.CHECKPOINT_S3_ENDPOINT or None)

    def _oldest(self, client: Any, key: str) -> str | None:
        """Return the text of the oldest version of an object, None when there never was one."""
        found = [each for page in self._pages(client, key) for each in page.get("Versions", []) if each["Key"] == key]
        if not found:
            return None
        # The service lists the newest first, and its times may be whole seconds.
        first = min(reversed(found), key=lambda each: each["LastModified"])
        answer = client.get_object(Bucket=self.bucket, Key=key, VersionId=first["VersionId"])
        with closing(answer["Body"]) as body:
            return str(body.read(MAX_NOTE).decode("utf-8"))

    def _pages(self, client: Any, start: str) -> Iterator[dict[str, Any]]:
        """Yield what lies below the beginning of a name, deleted or not, step by step."""
        pages = client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=start, Delimiter="/")
        for number, page in enumerate(pages):
            if number == MOST_PAGES:
                raise Unreachable("Too much lies in the bucket that is no copy of a checkpoint.")
            yield page

    def _put(self, client: Any, key: str, note: str) -> bool:
        """Put an object under a lock, unless there is one under this key. Returns whether it was put."""
        locked = {}
        if self.lock:
            until = timezone.now() + timedelta(days=self.days)
            locked = {"ObjectLockMode": self.lock, "ObjectLockRetainUntilDate": until}
        told = {"Bucket": self.bucket, "Key": key, "Body": note.encode(), "ContentType": "text/plain; charset=utf-8"}
        try:
            client.put_object(**told, **locked, IfNoneMatch="*", ChecksumAlgorithm="SHA256")
        except ClientError as error:
            if _code(error) not in TAKEN:
                raise
            return False
        return True

    def _newest_path(self, client: Any) -> str | None:
        """Return the path of the newest copy below the prefix."""

        def names_in(below: str) -> Iterator[str]:
            for page in self._pages(client, f"{self.prefix}{below}/" if below else self.prefix):
                yield from (each["Prefix"].rstrip("/").rpartition("/")[2] for each in page.get("CommonPrefixes", []))
                yield from (each["Key"].rpartition("/")[2] for each in page.get("Versions", []))

        return naming.newest_path(names_in)


@contextmanager
def said_plainly() -> Iterator[None]:
    """Turn what goes wrong into one sentence, without the endpoints and keys that a message may hold."""
    try:
        yield
    except ClientError as error:
        raise Unreachable(f"S3 answered {_code(error)}.") from error
    except BotoCoreError as error:
        raise Unreachable(f"{type(error).__name__} from S3.") from error
    except UnicodeDecodeError as error:
        raise Unreachable("An object there is no text.") from error


def _code(error: ClientError) -> str:
    """Return the code of what the service answered."""
    return str(error.response.get("Error", {}).get("Code", "an error"))
