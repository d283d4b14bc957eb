"""Allowances: exactly one global, for one asset, for a while, by an independent security reviewer, and taken back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from audit.models import Entry
from governance import allowances, policy, scanning, submissions, sweeps
from governance.checks import artifact_scan, runner
from governance.models import AllowedGlobal, CheckRequest, CheckRun
from governance.scanning import allowlist
from portal.errors import Invalid, Refused
from registry import people
from registry.models import State, Version
from tests.factories import artifacts
from tests.governance.scanning.assemble import name
from tests.governance.scanning.assemble import pickle as make_pickle
from tests.scene import Scene, staged
from tests.web.services import count_rows
from tests.web.visitors import order_of, read, visit

MODULE, CLASS = "ultralytics.nn.tasks", "DetectionModel"
DETECTOR = make_pickle(name(MODULE, CLASS) + b")\x81}b")


@pytest.fixture(scope="module")
def stage(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Walk once for the whole module to a candidate, and to a version that the scan holds for one class."""
    with django_db_blocker.unblock(), staged(tmp_path_factory.mktemp("scene")) as walk:
        walk.candidate("detector", "1.0.0", DETECTOR, suffix="pkl")
        yield Scene(walk, walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1)))


@pytest.fixture
def held(scene: Scene) -> Version:
    """Return the nominated version that the scan holds."""
    version = Version.objects.select_related("asset").get(asset__slug="detector")
    assert version.state == State.DRAFT
    return version


def allow(scene: Scene, held: Version, **changes: Any) -> AllowedGlobal:
    facts: dict[str, Any] = {
        "actor": scene.walk.cast.rhea,
        "use": "class",
        "reason": "I read the class: its state is weights and settings.",
        "expires_at": timezone.now() + timedelta(days=30),
        **changes,
    }
    module, attribute = facts.pop("module", MODULE), facts.pop("name", CLASS)
    return allowances.allow(held.asset, module, attribute, **facts)


def newest(version: Version) -> CheckRun:
    return CheckRun.objects.filter(version=version, check_slug="artifact-scan").latest("pk")


def outcome(version: Version, at: datetime | None = None) -> str:
    """Return how the scan stands at read time."""
    rules = policy.governing(version)
    [verdict] = submissions.verdicts.judge(version, ["artifact-scan"], rules, "baseline", at=at or timezone.now())
    return verdict.outcome


def test_a_held_version_says_exactly_what_was_held(held: Version) -> None:
    run = newest(held)
    assert run.outcome == "failed"
    assert run.facts["held_globals"] == [{"module": MODULE, "name": CLASS, "use": "class"}]
    assert f"{MODULE}.{CLASS}" in run.fix


def test_what_rhea_allows_is_scanned_again_and_makes_a_candidate_until_it_ends(scene: Scene, held: Version) -> None:
    allowed = allow(scene, held)
    assert outcome(held) == "stale"
    scene.walk.work()
    run = newest(held)
    assert (run.outcome, run.valid_until) == ("passed", allowed.expires_at)
    assert [each["id"] for each in run.facts["allowances_used"]] == [str(allowed.public_id)]
    assert f"{MODULE}.{CLASS}" in run.says
    held.refresh_from_db()
    assert held.state == State.CANDIDATE
    last = allowed.expires_at - timedelta(microseconds=1)
    assert outcome(held, last) == "passed"
    # At read time, although nothing has run since.
    assert outcome(held, allowed.expires_at) != "passed"
    with time_machine.travel(allowed.expires_at, tick=False):
        assert outcome(held) == "stale"
        sweeps.answer_checks_due()
        assert outcome(held) == "failed"


def test_what_sol_takes_back_is_not_green_from_that_moment(scene: Scene, held: Version) -> None:
    allowed = allow(scene, held)
    scene.walk.work()
    revoked = allowances.revoke(allowed, actor=scene.walk.cast.sol, reason="The class gained a hook.")
    assert (revoked.revoked_by, outcome(held)) == (scene.walk.cast.sol, "stale")
    assert allowances.in_force(held.asset, timezone.now()) == []
    scene.walk.work()
    assert outcome(held) == "failed"
    with pytest.raises(Refused) as refusal:
        allowances.revoke(allowed, actor=scene.walk.cast.sol, reason="Once more.")
    assert refusal.value.code == "allowance_over"


def test_it_covers_one_asset_one_name_and_one_use(scene: Scene, held: Version) -> None:
    other = scene.walk.candidate("other-detector", "1.0.0", DETECTOR, suffix="pkl")
    called = scene.walk.candidate("detector", "1.1.0", make_pickle(name(MODULE, CLASS) + b")R"), suffix="pkl")
    named = scene.walk.candidate("detector", "1.2.0", make_pickle(name(MODULE, "Detect")), suffix="pkl")
    allow(scene, held)
    scene.walk.work()
    assert [outcome(version) for version in (held, other, called, named)] == ["passed", "failed", "failed", "failed"]
    assert newest(called).facts["held_globals"] == [{"module": MODULE, "name": CLASS, "use": "call"}]


def test_an_allowance_that_was_not_needed_does_not_end_the_answer(scene: Scene) -> None:
    version = scene.version
    allow(scene, version)
    scene.walk.work()
    assert (newest(version).outcome, newest(version).valid_until) == ("passed", None)
    assert newest(version).facts["allowances_used"] == []


def test_of_several_allowances_used_the_first_to_end_ends_the_answer(scene: Scene, held: Version) -> None:
    both = make_pickle(name(MODULE, CLASS) + b")\x81}b0" + name("mylib.models", "Head") + b")\x81")
    version = scene.walk.candidate("detector", "2.0.0", both, suffix="pkl")
    longer = allow(scene, held, expires_at=timezone.now() + timedelta(days=60))
    shorter = allow(scene, held, module="mylib.models", name="Head", expires_at=timezone.now() + timedelta(days=9))
    scene.walk.work()
    assert newest(version).valid_until == shorter.expires_at
    assert newest(held).valid_until == longer.expires_at


def test_only_security_people_allow_and_take_back(scene: Scene, held: Version) -> None:
    cast = scene.walk.cast
    allowed = allow(scene, held)
    before = count_rows()
    for actor in (cast.ada, cast.ben, cast.petra, cast.iris, cast.alma, cast.mallory, cast.cee_i):
        with pytest.raises(PermissionDenied):
            allow(scene, held, actor=actor, name="Detect")
        with pytest.raises(PermissionDenied):
            allowances.revoke(allowed, actor=actor, reason="No, no.")
    assert count_rows() == before


def test_nobody_makes_exceptions_for_their_own_work(scene: Scene, held: Version) -> None:
    cast = scene.walk.cast
    people.give_seat(cast.ben, "security", actor=cast.alma)
    scene.walk.register("detector", "1.3.0", DETECTOR, suffix="pkl", authors=["Rhea <rhea@example.com>"])
    ben = type(cast.ben).objects.get(pk=cast.ben.pk)
    for actor, says in ((ben, "is on the team"), (cast.rhea, "named as an author")):
        with pytest.raises(Refused) as refusal:
            allow(scene, held, actor=actor)
        assert refusal.value.code == "not_independent"
        assert says in refusal.value.reasons[0].says
    assert allow(scene, held, actor=cast.sol).allowed_by == cast.sol


REFUSED = {
    "dangerous": ("os", "system"),
    "dangerous module": ("subprocess", "Anything"),
    "below a dangerous module": ("importlib.util", "x"),
    "smuggled": ("numpy.os", "path"),
    "dangerous by name": ("torch", "load"),
    "second engine": ("uuid", "something"),
    "dotted": (MODULE, "DetectionModel.forward"),
    "pattern": (MODULE, "*"),
    "module pattern": ("ultralytics.*", CLASS),
    "dunder": (MODULE, "__builtins__"),
    "dunder module": ("mylib.__init__", "x"),
    "main": ("__main__", "Model"),
    "space": ("ultralytics ", CLASS),
    "line end": (MODULE, "Model\n"),
    "not ascii": ("ultralytics", "Мodel"),
}


@pytest.mark.parametrize("label", REFUSED)
def test_what_nobody_may_allow_is_refused_with_the_reason(label: str, scene: Scene) -> None:
    module, attribute = REFUSED[label]
    before = count_rows()
    with pytest.raises(Refused) as refusal:
        allow(scene, scene.version, module=module, name=attribute, use="ref")
    assert refusal.value.code == "global_refused"
    assert refusal.value.reasons[0].says
    assert count_rows() == before


def test_a_row_that_came_past_the_verb_makes_no_dangerous_name_harmless() -> None:
    uses = [scanning.NamedGlobal(*pair, scanning.Kind.CALL) for pair in (*REFUSED.values(), ("json", "loads"))]
    listed = scanning.read_allowlist().counting_on(uses)
    assert set(listed.allowances) <= {("json", "loads"), REFUSED["second engine"]}
    assert listed.judge("os", "system") is scanning.Kind.DANGEROUS


def test_what_everybody_may_use_or_is_allowed_already_is_refused(scene: Scene, held: Version) -> None:
    with pytest.raises(Refused) as refusal:
        allow(scene, held, module="collections", name="OrderedDict")
    assert refusal.value.code == "global_listed"
    until = timezone.now() + timedelta(days=10)
    allow(scene, held, expires_at=until)
    with pytest.raises(Refused) as refusal:
        allow(scene, held, use="ref", expires_at=until)
    assert refusal.value.code == "global_allowed"
    assert allow(scene, held, expires_at=until + timedelta(days=1)).pk
    assert allow(scene, held, use="call", expires_at=until).pk


WRONG: dict[str, list[Any]] = {
    "use": ["everything", "", "constant"],
    "reason": ["", "x" * 4001, "a\x00b"],
    "expires_at": [timedelta(days=91), timedelta(0), timedelta(days=-1)],
    "module": ["", "x" * 301, "a\x00b"],
    "name": ["", "x" * 301],
}


def test_a_wrong_wish_is_refused_by_the_field(scene: Scene) -> None:
    before, now = count_rows(), timezone.now()
    for field, values in WRONG.items():
        for value in values:
            wrong = now + value if isinstance(value, timedelta) else value
            with pytest.raises(Invalid) as refusal:
                allow(scene, scene.version, **{field: wrong})
            assert [fault.field for fault in refusal.value.faults] == [field], value
    assert count_rows() == before


def test_the_ledger_tells_both_steps(scene: Scene, held: Version) -> None:
    allowed = allow(scene, held)
    allowances.revoke(allowed, actor=scene.walk.cast.sol, reason="The class gained a hook.")
    told = Entry.objects.filter(subject_kind="global", subject_id=str(allowed.public_id)).order_by("pk")
    assert [entry.kind for entry in told] == ["global.allowed", "global.revoked"]
    assert told[0].details["use"] == "class"
    assert allowed.history.count() == 2


def another_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ship another allow-list from now on."""
    shipped = scanning.read_allowlist()
    changed = allowlist.AllowList("next", "ab" * 32, shipped.kinds, shipped.dangerous_modules)
    monkeypatch.setattr(scanning, "read_allowlist", lambda: changed)


def test_another_allow_list_asks_every_living_version_again_and_once(
    scene: Scene, held: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = scene.walk.candidate("desk", "1.0.0", None, kind="bundle", components=[
        {"role": "member", "version": scene.version.label}
    ])  # fmt: skip
    draft = scene.walk.register("fraud-scorer", "1.1.0", artifacts.scorer(2))
    assert runner.queue_due() == 0
    another_list(monkeypatch)
    assert runner.queue_due() == 3
    assert runner.queue_due() == 0
    asked = CheckRequest.objects.all()
    assert {(each.version_id, each.check_slug) for each in asked} == {
        (version.pk, "artifact-scan") for version in (scene.version, held, bundle)
    }
    assert draft.pk not in {each.version_id for each in asked}
    runner.run_due()
    assert newest(bundle).facts["allowlist_digest"] == "ab" * 32
    # The child reads the list that is shipped: a worker of another release than its scanner says so, once.
    assert newest(held).outcome == "error"
    assert "restart the workers" in newest(held).fix
    assert runner.queue_due() == 0


def test_a_retired_version_is_left_in_peace(scene: Scene, held: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    submissions.lifecycle.retire(held, actor=scene.walk.cast.ada, reason="Given up.")
    another_list(monkeypatch)
    runner.queue_due()
    assert {each.version_id for each in CheckRequest.objects.all()} == {scene.version.pk}


def test_other_engines_ask_again_and_a_broken_check_does_not_ask_for_ever(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = {**scanning.engines(), "countersign": "next"}
    monkeypatch.setattr(scanning, "engines", lambda: engines)
    assert runner.queue_due() == 2

    def fail(*args: Any, **named: Any) -> None:
        raise RuntimeError("no disk")

    monkeypatch.setattr(scanning, "scan_in_child", fail)
    runner.run_due()
    assert newest(scene.version).outcome == "error"
    assert runner.queue_due() == 0


def test_finding_what_is_outdated_is_one_query(scene: Scene, held: Version, django_assert_num_queries: Any) -> None:
    allow(scene, held)
    with django_assert_num_queries(1):
        assert [version.pk for version in artifact_scan.outdated(Version.objects.all())] == [held.pk]


def page_of(version: Version) -> str:
    return f"{version.get_absolute_url()}do/allow-global/"


def wish(**changes: str) -> dict[str, str]:
    """Return what the form posts."""
    until = timezone.now() + timedelta(days=20)
    typed = {"held": f"{MODULE} {CLASS} class", "reason": "I read it.", "expires_at": f"{until:%Y-%m-%dT%H:%M}"}
    return typed | changes


def test_rhea_allows_on_the_page_what_the_answer_links_to(scene: Scene, held: Version) -> None:
    rhea = visit(scene.walk.cast.rhea)
    assert page_of(held) in rhea.get(f"{held.get_absolute_url()}checks/").content.decode()
    words = read(rhea.get(page_of(held)))
    order_of(words, f"Held in {held.number}", f"{MODULE}.{CLASS}", "Allow this global", "Nothing is allowed")
    answer = rhea.post(page_of(held), wish(), follow=True)
    assert "is allowed until" in read(answer)
    assert "I read it." in read(answer)
    assert AllowedGlobal.objects.get().use == "class"
    scene.walk.work()
    assert outcome(held) == "passed"
    words = read(rhea.get(f"{held.get_absolute_url()}checks/"))
    assert "counting on what security allowed" in words
    assert "what security allowed →" in words


def test_sol_takes_it_back_on_the_page(scene: Scene, held: Version) -> None:
    allowed = allow(scene, held)
    sol, address = visit(scene.walk.cast.sol), f"{held.get_absolute_url()}do/revoke-global/{allowed.public_id}/"
    assert address in sol.get(page_of(held)).content.decode()
    assert sol.post(address, {"reason": ""}).status_code == 422
    assert "is not allowed any more" in read(sol.post(address, {"reason": "It gained a hook."}, follow=True))
    assert not AllowedGlobal.objects.get().is_in_force(timezone.now())
    assert sol.post(address, {"reason": "Again."}).status_code == 409


def test_ada_reads_but_does_not_decide_and_mallory_finds_nothing(scene: Scene, held: Version) -> None:
    allowed = allow(scene, held)
    revoking = f"{held.get_absolute_url()}do/revoke-global/{allowed.public_id}/"
    ada, mallory = visit(scene.walk.cast.ada), visit(scene.walk.cast.mallory)
    words = read(ada.get(page_of(held)))
    assert f"{MODULE}.{CLASS}" in words
    assert "role security for this asset decides" in words
    assert "Take it back" not in words
    assert "Allow this global" not in words
    before = count_rows()
    assert ada.post(page_of(held), wish()).status_code == 403
    assert ada.post(revoking, {"reason": "Mine!"}).status_code == 403
    for answer in (mallory.get(page_of(held)), mallory.post(page_of(held), wish()), mallory.post(revoking, {})):
        assert answer.status_code == 404
        assert MODULE not in answer.content.decode()
    assert count_rows() == before


def test_the_page_refuses_what_the_scan_did_not_hold_and_what_lasts_too_long(scene: Scene, held: Version) -> None:
    rhea, far = visit(scene.walk.cast.rhea), timezone.now() + timedelta(days=300)
    before = count_rows()
    for changes in ({"held": "os system call"}, {"held": ""}, {"reason": ""}, {"expires_at": f"{far:%Y-%m-%dT%H:%M}"}):
        assert rhea.post(page_of(held), wish(**changes)).status_code in {409, 422}
    assert count_rows() == before
    other = allow(scene, scene.version, module="a.b", name="C")
    address = f"{held.get_absolute_url()}do/revoke-global/{other.public_id}/"
    assert rhea.post(address, {"reason": "Of another asset."}).status_code == 404


def test_what_nobody_may_allow_is_shown_with_the_reason(scene: Scene) -> None:
    notebook = make_pickle(name("__main__", "Model") + b")\x81")
    version = scene.walk.candidate("notebook-model", "1.0.0", notebook, suffix="pkl")
    words = read(visit(scene.walk.cast.rhea).get(page_of(version)))
    assert "__main__.Model" in words
    assert "whatever program loads the file" in words
    assert "Allow this global" not in words
