"""The record: no save without an entry in any governed table, and no change at all in any append-only one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import ProgrammingError, connection, models, transaction
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from audit import log, sealer, serving
from audit.events import Event
from audit.exports import builder, requests
from audit.models import AppendOnly, Entry, Governed, InsertOnly, UnrecordedChange
from audit.models.bases import GovernedQuerySet, InsertOnlyQuerySet
from audit.rows import recorded_models
from audit.verifier import LEDGER_TABLES, verify
from governance import (
    allowances,
    decisions,
    delegations,
    handovers,
    keys,
    lifecycle,
    notices,
    obligations,
    promotions,
    proposals,
    relicensing,
    reviews,
    submissions,
    triage,
    waivers,
)
from governance.models import Decision, Notice, TrustedKey
from governance.notices import hooks
from portal.demo import documents
from portal.errors import Refused
from registry import drafts, intake, people, sharing, signatures, tokens
from registry.models import AccessToken, Version
from tests import policies
from tests.factories import Walk, artifacts, import_advisories, osv
from tests.governance.checks.private_sigstore import Instance
from tests.governance.scanning.assemble import name
from tests.governance.scanning.assemble import pickle as make_pickle
from tests.scene import staged

OURS = [model for label in ("registry", "governance", "audit") for model in apps.get_app_config(label).get_models()]
GOVERNED = [model for model in OURS if issubclass(model, Governed)]
FROZEN = [model for model in OURS if issubclass(model, InsertOnly)]
TABLES = sorted({*LEDGER_TABLES, *recorded_models()})
# What is no record: feeds that newer imports replace, questions and jobs that wait for a worker, accounts (whose
# changes are entries), grants (whose changes are entries), and what waits to be sealed.
LOOSE = {
    "Advisory",
    "AdvisoryImport",
    "AffectedPackage",
    "TouchedPackage",
    "AssetGroupGrant",
    "AssetUserGrant",
    "CheckRequest",
    "DeliveryAttempt",
    "Export",
    "Notice",
    "Pending",
    "User",
}


def label(model: type[models.Model]) -> str:
    return model._meta.label


# --- the honest programmer -------------------------------------------------------------------------------------------


def test_every_table_is_governed_or_append_only_or_says_why_not() -> None:
    assert {model.__name__ for model in OURS} - {model.__name__ for model in (*GOVERNED, *FROZEN)} == LOOSE


@pytest.mark.parametrize("model", GOVERNED, ids=label)
def test_a_governed_row_is_not_saved_or_deleted_outside_a_record(model: type[Governed]) -> None:
    for act in (model().save, model(pk=1).save, model(pk=1).delete, model.objects.create):
        with pytest.raises(UnrecordedChange):
            act()


@pytest.mark.parametrize("model", GOVERNED, ids=label)
def test_a_governed_table_is_not_changed_in_bulk_and_keeps_its_history(model: type[Governed]) -> None:
    rows = model._default_manager.all()
    assert isinstance(rows, GovernedQuerySet)
    for act in (rows.delete, lambda: rows.bulk_create([]), lambda: rows.bulk_update([], []), lambda: rows.update(pk=1)):
        with pytest.raises(UnrecordedChange):
            act()
    history = model.history.model  # type: ignore[attr-defined]
    assert issubclass(history, AppendOnly)
    assert history._meta.db_table in TABLES


@pytest.mark.parametrize("model", [model for model in FROZEN if issubclass(model, AppendOnly)], ids=label)
def test_an_append_only_row_is_not_added_outside_a_record(model: type[AppendOnly]) -> None:
    for act in (model().save, lambda: model.objects.bulk_create([model()])):
        with pytest.raises(UnrecordedChange):
            act()


@pytest.mark.parametrize("model", FROZEN, ids=label)
def test_an_append_only_row_is_never_changed(model: type[InsertOnly]) -> None:
    row = model(pk=1)
    row._state.adding = False
    rows = model._default_manager.all()
    assert isinstance(rows, InsertOnlyQuerySet)
    for act in (row.save, row.delete, rows.delete, lambda: rows.update(pk=2), lambda: rows.bulk_update([], [])):
        with pytest.raises(UnrecordedChange):
            act()


# --- everybody else --------------------------------------------------------------------------------------------------


def live(walk: Walk, folder: Path) -> None:
    """Let happen whatever can happen, so that no table of the record stays empty."""
    cast = walk.cast
    first = walk.candidate("fraud-scorer", "1.0.0", artifacts.scorer(1))
    walk.promote(first, walk.approved(first, "staging").environment)
    walk.approved(first)
    promotions.ask_gate(first.identity_digest, "production", "billing", actor=deployer(walk))
    surround_a_verdict(walk, first)
    bundle = walk.candidate(
        "fraud-desk", "1.0.0", None, kind="bundle", components=[{"role": "member", "version": first.label}]
    )
    asked = {"reason": "The set is being fixed.", "compensating_control": "Watched.", "actor": cast.ada}
    wanted = waivers.request(
        bundle, rule="owners", environment="production", expires_at=timezone.now() + timedelta(days=9), **asked
    )
    waivers.grant(wanted, actor=cast.rhea)
    rejected = walk.submit(bundle, "production")
    reviews.reject(rejected, actor=cast.rhea, role="security", note="Not like this.", proof=walk.proof())
    decisions.revoke(Decision.objects.get(version=first, environment="production"), actor=cast.sol, reason="Recalled.")
    told = {"source": "https://example.com/terms", "reason": "The vendor said so."}
    relicensing.record(first, "MIT", actor=cast.ada, **told)
    drafts.start_draft(first.asset, "1.1.0", actor=cast.ada, copy_from=first)
    intake.change_asset(first.asset, actor=cast.ada, description="Scores card transactions.")
    sharing.share(first.asset, cast.mallory, "contribute_asset", actor=cast.ada)
    lifecycle.retire(bundle, actor=cast.ada, reason="Nobody uses it.")
    rest_on_a_waiver(walk)
    challenge(walk, first, folder)
    allow_what_is_held(walk)
    change_the_policy(walk)
    measured = first.evidence.get(kind="evaluation")
    signatures.sign(measured, actor=cast.ada, capacity="head of validation", statement="I ran it.")
    administer(walk)
    report(walk, first.identity_digest)
    walk.work()


def surround_a_verdict(walk: Walk, version: Version) -> None:
    """Approve under a condition and agree that it is met, take the approval back, and hand the role over."""
    rhea, sol = walk.cast.rhea, walk.cast.sol
    submission = walk.submit(version, "production")
    asked = [("Attach the report.", timezone.now() + timedelta(days=9))]
    given = reviews.approve(submission, actor=rhea, role="security", proof=walk.proof(), conditions=asked)
    obligations.meet(given.obligations.get(), actor=sol, note="It is attached.")
    reviews.withdraw(given, actor=rhea, reason="I had the wrong table open.")
    handovers.hand_over(submission, actor=rhea, role="security", receiver=sol, reason="Sol knows it.")
    submissions.withdraw(submission, actor=walk.cast.ada)


def challenge(walk: Walk, version: Version, folder: Path) -> None:
    """Put a version in force in doubt, state something about each finding, and have security agree."""
    import_advisories(walk.cast, folder, osv("GHSA-4444-scipy-bad", "scipy", fixed="99.0"))
    walk.work()
    assert version.challenges.filter(end=None).exists()
    for finding in version.findings.select_related("version__asset"):
        said = triage.state(finding, actor=walk.cast.ada, status="fixed", reason="Patched in our own build.")
        triage.answer(said, actor=walk.cast.rhea, agreed=True)


def rest_on_a_waiver(walk: Walk) -> None:
    """Approve what is too poor, on the strength of an exception."""
    poor = walk.candidate("tagger", "1.0.0", artifacts.scorer(2), metrics={**documents.GOOD, "quality/accuracy": "0.5"})
    asked = {"reason": "Only the team sees it.", "compensating_control": "Watched.", "actor": walk.cast.ada}
    wanted = waivers.request(
        poor, rule="evaluations", environment="staging", expires_at=timezone.now() + timedelta(days=9), **asked
    )
    waivers.grant(wanted, actor=walk.cast.rhea)
    walk.approved(poor, "staging")


def allow_what_is_held(walk: Walk) -> None:
    """Allow a class that the scan holds, and take that back."""
    held = make_pickle(name("ultralytics.nn.tasks", "DetectionModel") + b")\x81}b")
    version = walk.candidate("detector", "1.0.0", held, suffix="pkl")
    end = timezone.now() + timedelta(days=9)
    allowed = allowances.allow(
        version.asset,
        *("ultralytics.nn.tasks", "DetectionModel"),
        actor=walk.cast.rhea,
        use="class",
        reason="I read the class.",
        expires_at=end,
    )
    allowances.revoke(allowed, actor=walk.cast.sol, reason="It was replaced.")


def change_the_policy(walk: Walk) -> None:
    """Publish another text while two submissions are open, and answer two more proposals with no."""
    version = walk.candidate("router", "1.0.0", artifacts.scorer(4))
    kept, moved = (walk.submit(version, place) for place in ("staging", "production"))
    policies.publish(policies.shipped("waivers.max_days", 60), walk.cast, **{str(moved.public_id): {"do": "move"}})
    assert kept.history.first().policy_until == kept.due_at
    refused, withdrawn = policies.shipped("waivers.max_days", 70), policies.shipped("waivers.max_days", 80)
    proposals.decline(policies.propose(refused, walk.cast), actor=walk.cast.abel, note="Too long.")
    proposals.withdraw(policies.propose(withdrawn, walk.cast), actor=walk.cast.alma)


def deployer(walk: Walk) -> object:
    walk.cast.otto.token_scopes = frozenset({"gate", "serving"})  # type: ignore[attr-defined]
    return walk.cast.otto


def administer(walk: Walk) -> None:
    """Do what administrators do, and take it back."""
    alma, ben = walk.cast.alma, walk.cast.ben
    people.take_seat(people.give_seat(ben, "platform", actor=alma), actor=alma)
    week = timezone.now() + timedelta(days=7)
    delegations.end(delegations.make(actor=walk.cast.dana, role="product", deputy=ben, ends_at=week), actor=alma)
    people.leave_team(people.join_team(walk.cast.assistants, walk.cast.ada, actor=alma), actor=alma)
    people.set_password(ben, "another good phrase", actor=alma)
    tokens.revoke(AccessToken.objects.get(label="pipeline"), actor=alma)
    notices.choose(actor=ben, pace="daily")
    hooks.add("pager", "https://pager.example/secretpath", actor=alma)
    keys.revoke(TrustedKey.objects.get(), actor=alma, reason="The builder is retired.")
    now = timezone.now()
    signers = {"identities": [{"issuer": "https://ci.example", "identity": "https://ci.example/builds"}]}
    facts = {
        "owner": ben,
        "builders": ["https://ci.example"],
        "valid_from": now,
        "valid_until": now + timedelta(days=9),
    }
    root = keys.trust_root(
        "private", Instance().trusted_root(), actor=alma, purposes=["provenance"], **signers, **facts
    )
    keys.revoke_root(root, actor=alma, reason="The instance is retired.")


def window(start: datetime, digest: str, count: int) -> dict[str, Any]:
    """Return an hour in which a customer was served."""
    hour = {"start": start.isoformat(), "end": (start + timedelta(hours=1)).isoformat(), "requests": count}
    return {"deployment": "fraud-eu", "customer": "acme-bank", "digest": digest, "environment": "production", **hour}


def report(walk: Walk, digest: str) -> None:
    """Report serving windows, contradict them, and export what happened."""
    start = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)
    told = {"actor": walk.cast.otto, "source": "gateway", "batch_id": "1"}
    serving.report(**told, windows=[window(start, digest, 10)])
    with pytest.raises(Refused, match="the first report stands"):
        serving.report(**told, windows=[window(start, digest, 11)])
    version = Version.objects.get(asset__slug="fraud-scorer", number="1.0.0")
    builder.build_now(requests.request_bundle(version, actor=walk.cast.iris))


def fill_a_tile(walk: Walk) -> None:
    """Talk until 256 entries are sealed and make a whole tile; one more entry waits."""
    team = walk.cast.risk_models
    for _ in range(257 - Entry.objects.count()):
        with log.record(Event.TEAM_CHANGED, actor=walk.cast.alma, subject=team):
            pass
    sealer.seal_due()
    with log.record(Event.TEAM_CHANGED, actor=walk.cast.alma, subject=team):
        pass


@pytest.fixture(scope="module")
def history(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Walk]:
    """Live through everything once for the whole module."""
    folder = tmp_path_factory.mktemp("record")
    with django_db_blocker.unblock(), staged(folder) as walk:
        import_advisories(walk.cast, folder, osv("GHSA-3333-scipy-mild", "scipy", fixed="99.0", severity="LOW"))
        live(walk, folder)
        fill_a_tile(walk)
        # The next statement of a test may be TRUNCATE, which waits for no deferred constraint.
        connection.check_constraints()
        yield walk


def refused(statement: str) -> bool:
    """Return whether the database refuses a statement because the table is append-only."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    except ProgrammingError as error:
        return "append-only" in str(error)
    return False


def column_of(table: str) -> str:
    with connection.cursor() as cursor:
        return connection.introspection.get_table_description(cursor, table)[-1].name


def test_there_are_rows_in_every_table_of_the_record(history: Walk, db: None) -> None:
    with connection.cursor() as cursor:
        empty = []
        for table in TABLES:
            cursor.execute(f"SELECT count(*) FROM {table}")
            if cursor.fetchone() == (0,):
                empty.append(table)
    assert empty == []


@pytest.mark.parametrize("table", TABLES)
def test_the_database_refuses_to_change_it(history: Walk, db: None, table: str) -> None:
    """The tests connect as the owner of the tables, so what is refused here is refused to the owner."""
    column = column_of(table)
    assert refused(f"UPDATE {table} SET {column} = {column}")
    assert refused(f"TRUNCATE {table} CASCADE")
    # What waits to be sealed goes away by being sealed.
    if table != "audit_pending":
        assert refused(f"DELETE FROM {table}")


@pytest.mark.parametrize("table", TABLES)
def test_both_triggers_fire_always(db: None, table: str) -> None:
    """ENABLE ALWAYS is `A`; whoever sets session_replication_role would get around the others."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal",
            [table],
        )
        found = dict(cursor.fetchall())
    assert {name: found.get(name) for name in ("append_only_row", "append_only_truncate")} == {
        "append_only_row": "A",
        "append_only_truncate": "A",
    }


def test_everything_that_happened_verifies(history: Walk, db: None) -> None:
    report = verify()
    assert report.faults == []
    assert report.rows > 100
    assert report.waiting == 1


def test_almost_everything_that_can_be_said_was_said(history: Walk, db: None) -> None:
    unsaid = set(Event) - {Event(kind) for kind in Entry.objects.values_list("kind", flat=True).distinct()}
    assert unsaid <= {
        Event.VERSION_ROLLED_BACK,
        Event.WAIVER_REFUSED,
        Event.WAIVER_REVOKED,
        Event.FINDING_CLOSED,
        Event.EXPORT_REQUESTED,
    }


def test_every_entry_names_somebody(history: Walk, db: None) -> None:
    actors = set(Entry.objects.values_list("actor", flat=True).distinct())
    assert all(actor.partition(":")[0] in {"person", "service", "system"} for actor in actors)
    assert log.entries(kind="version.").count() > 5


def test_no_entry_holds_a_secret_or_a_name(history: Walk, db: None) -> None:
    bodies = b"".join(bytes(entry.body) for entry in Entry.objects.all())
    for told in (b"another good phrase", b"@example.com", b"Ada Owner", history.cast.ci_token.encode()):
        assert told not in bodies
    assert documents.BUILDER.encode() in bodies


def test_no_notice_holds_a_secret_an_address_or_what_somebody_typed(history: Walk, db: None) -> None:
    said = " ".join(f"{row.cause} {row.subject} {row.text} {row.url}" for row in Notice.objects.all())
    assert said
    for told in ("another good phrase", "@example.com", "Recalled.", "Not like this.", "Only the team sees it."):
        assert told not in said
    for told in ("secretpath", history.cast.ci_token, history.cast.deploy_token):
        assert told not in said
