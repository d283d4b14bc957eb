"""Two requests at the same moment about something that is not there yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portal.errors import Refused
from registry import intake
from registry.models import Asset, Version
from registry.registration import Registration
from tests.factories import Walk, artifacts, make_walk
from tests.governance.test_concurrency import at_once


@pytest.mark.django_db(transaction=True)
def test_the_first_version_of_a_new_asset_from_many_runners_at_once(tmp_path: Path, settings: Any) -> None:
    settings.ARTIFACT_ROOTS = [tmp_path / "artifacts"]
    walk: Walk = make_walk(tmp_path)
    request = Registration.model_validate(walk.registration("fraud-scorer", "1.0.0", artifacts.scorer(1)))
    runner = walk.cast.cee_i
    runner.token_scopes = frozenset({"register"})  # type: ignore[attr-defined]
    results = at_once(*(lambda: intake.register(request, actor=runner) for _ in range(4)))
    assert not [each for each in results if isinstance(each, Refused)]
    assert sorted(each.created for each in results) == [False, False, False, True]
    assert (Asset.objects.count(), Version.objects.count()) == (1, 1)
