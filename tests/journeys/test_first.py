"""tmp"""
import pytest
from governance import promotions, standing, reviews, submissions
from tests.factories import artifacts, make_walk
pytestmark = pytest.mark.django_db


def test_walk(tmp_path, settings):
    settings.ARTIFACT_ROOTS = [tmp_path / "artifacts"]
    walk = make_walk(tmp_path)
    v = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    for r in v.check_runs.all(): print(r.check_slug, r.outcome, r.says, r.fix)
    assert v.state == "candidate"
    d = walk.approved(v)
    assert v.state == "approved"
    p = walk.promote(v)
    s = standing.of(v, "production")
    assert s.allow, s
    walk.cast.otto.token_scopes = frozenset({"gate"})
    a = promotions.ask_gate("sha256:" + v.identity_digest, "production", "billing", actor=walk.cast.otto)
    assert a.allow
