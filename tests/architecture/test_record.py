"""The record: no save without an entry in any governed table, and no change at all in any append-only one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.db import ProgrammingError, connection, models, transaction
from pytest_django import DjangoDbBlocker

from audit import log
from audit.events import Event
from audit.models import AppendOnly, Entry, Governed, InsertOnly, UnrecordedChange
from audit.models.bases import GovernedQuerySet, InsertOnlyQuerySet
from audit.rows import recorded_models
from audit.verifier import LEDGER_TABLES, verify
from governance.models import Notice
from portal.demo import documents
from tests.factories import Walk, import_advisories, osv
from tests.living import fill_a_tile, have_it_cosigned, live
from tests.scene import staged

OURS = [model for label in ("registry", "governance", "audit") for model in apps.get_app_config(label).get_models()]
GOVERNED = [model for model in OURS if issubclass(model, Governed)]
FROZEN = [model for model in OURS if issubclass(model, InsertOnly)]
TABLES = sorted({*LEDGER_TABLES, *recorded_models()})
# What is no record: feeds that newer imports replace, questions and jobs that wait for a worker, accounts (whose
# changes are entries), grants (whose changes are entries), what windows say once more, and what waits to be sealed.
LOOSE = {
    "Advisory",
    "AdvisoryImport",
    "AffectedPackage",
    "TouchedPackage",
    "AssetGroupGrant",
    "AssetUserGrant",
    "CheckRequest",
    "CheckpointCopy",
    "AffectedCustomer",
    "DeliveryAttempt",
    "Export",
    "Notice",
    "Pending",
    "UnjudgedBatch",
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
    row = model()
    row._state.adding = False
    rows = model._default_manager.all()
    assert isinstance(rows, InsertOnlyQuerySet)
    for act in (row.save, row.delete, rows.delete, lambda: rows.update(pk=2), lambda: rows.bulk_update([], [])):
        with pytest.raises(UnrecordedChange):
            act()


# --- everybody else --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def history(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Walk]:
    """Live through everything once for the whole module."""
    folder = tmp_path_factory.mktemp("record")
    with django_db_blocker.unblock(), staged(folder) as walk:
        import_advisories(walk.cast, folder, osv("GHSA-3333-scipy-mild", "scipy", fixed="99.0", severity="LOW"))
        live(walk, folder)
        have_it_cosigned(folder)
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
        Event.CHECKPOINT_CONTRADICTED,
        Event.WAIVER_REFUSED,
        Event.WAIVER_REVOKED,
        Event.FINDING_CLOSED,
        Event.EXPORT_REQUESTED,
        Event.LEDGER_CONTRADICTED,
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
