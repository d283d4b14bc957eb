"""One real evidence bundle for all tests of it: a composed version with a waiver, an approval and its revocation."""

from __future__ import annotations

import shutil
import zipfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from audit import seal
from audit.exports import builder, files, requests
from audit.models import Export
from governance import decisions, waivers
from registry.models import Version
from tests.audit.reports.stories import MINUTE, prompt, report, window
from tests.factories import Walk, documents, make_walk

HASHER = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def tell_story(walk: Walk) -> Version:
    """Walk a bundle of one prompt to a waiver, an approval, its revocation and some serving."""
    part = prompt(walk)
    version = walk.candidate(
        "credit-desk",
        "2.0.0",
        None,
        kind="bundle",
        components=[{"role": "prompt", "version": part.label}],
        parts={"jinja2": "3.1.6"},
        metrics={**documents.GOOD, "jailbreak/attack_success_rate": "0.07"},
    )
    waiver = waivers.request(
        version,
        actor=walk.cast.ada,
        rule="evaluations",
        environment="staging",
        reason="=The new set is due next week.",
        compensating_control="Every answer is logged.",
        expires_at=timezone.now() + timedelta(days=21),
    )
    waivers.grant(waiver, actor=walk.cast.rhea)
    decision = walk.approved(version, "staging")
    end = datetime.fromtimestamp(timezone.now().timestamp() // 300 * 300, tz=UTC)
    report(walk, window(version.identity_digest, end - 5 * MINUTE, end))
    decisions.revoke(decision, actor=walk.cast.rhea, reason="A leak was found.")
    walk.work()
    return version


def unpack(export: Export, folder: Path) -> None:
    """Unpack a bundle; everything in it lies in one folder of the file's name."""
    with closing(files.open_file(export)) as stream, zipfile.ZipFile(stream) as archive:
        archive.extractall(folder.with_name(f"{folder.name}-zip"))
    (folder.with_name(f"{folder.name}-zip") / export.file.removesuffix(".zip")).rename(folder)


@pytest.fixture(scope="module")
def built(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Export]:
    """Build the bundle once and unpack it; the database forgets everything about it.

    Tests that use it are marked with django_db, without which no test database is made.
    """
    folder = tmp_path_factory.mktemp("bundle")
    quick = override_settings(ARTIFACT_ROOTS=[folder / "artifacts"], PASSWORD_HASHERS=HASHER)
    with django_db_blocker.unblock(), quick, transaction.atomic():
        seal.ensure_keys()
        walk = make_walk(folder)
        version = tell_story(walk)
        export = builder.build_now(requests.request_bundle(version, actor=walk.cast.iris))
        assert export.state == "done", export.error
        unpack(export, folder / "unpacked")
        since, until = timezone.now() - timedelta(days=1), timezone.now()
        whole = builder.build_now(requests.request_period(since, until, actor=walk.cast.iris))
        assert whole.state == "done", whole.error
        unpack(whole, folder / "period")
        transaction.set_rollback(True)
    return folder / "unpacked", export


@pytest.fixture
def period(built: tuple[Path, Export], tmp_path: Path) -> Path:
    """A copy of the unpacked bundle of the period in which all that happened."""
    return Path(shutil.copytree(built[0].with_name("period"), tmp_path / "period"))


@pytest.fixture
def bundle(built: tuple[Path, Export], tmp_path: Path) -> Path:
    """A copy of the unpacked bundle that a test may spoil."""
    return Path(shutil.copytree(built[0], tmp_path / "bundle"))
