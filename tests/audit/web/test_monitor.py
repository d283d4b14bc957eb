"""A monitor follows the log with a token: checkpoint, tiles, entries and proofs are enough to recompute everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client

from audit import merkle, notes, sealer
from audit.models import Checkpoint, Entry
from audit.sealer import seal_due
from audit.web import monitor_api
from registry.models import User
from tests.web.services import Service, make_service

pytestmark = pytest.mark.django_db


@pytest.fixture
def monitor() -> Service:
    """A service whose token has the scope audit and nothing else."""
    return make_service("monitor", "audit")[1]


def fetch(service: Service, path: str) -> bytes:
    answer = service.get(f"/ledger/{path}")
    assert answer.status_code == 200, answer.content
    content: bytes = answer.content
    return content


def unpack(bundle: bytes) -> list[bytes]:
    """Return the entries of a bundle."""
    bodies = []
    while bundle:
        length = int.from_bytes(bundle[:2])
        bodies.append(bundle[2 : 2 + length])
        bundle = bundle[2 + length :]
    return bodies


def test_a_monitor_recomputes_the_whole_log_from_tiles(say: Callable[..., Entry], monitor: Service) -> None:
    say(520)
    while seal_due(300):
        pass
    note = fetch(monitor, "tiles/checkpoint").decode()
    said = notes.parse_checkpoint(notes.open_note(note, sealer.ledger_keys()))
    size = said.size
    tail = size % 256
    bodies = [
        body
        for place in ("000", "001", f"002.p/{tail}")
        for body in unpack(fetch(monitor, f"tiles/tile/entries/{place}"))
    ]
    leaves = [merkle.leaf_hash(body) for body in bodies]
    assert (len(leaves), merkle.root(leaves)) == (size, said.root)
    assert fetch(monitor, "tiles/tile/0/001") == b"".join(leaves[256:512])
    assert fetch(monitor, f"tiles/tile/0/002.p/{tail}") == b"".join(leaves[512:])
    assert fetch(monitor, "tiles/tile/1/000.p/2") == merkle.root(leaves[:256]) + merkle.root(leaves[256:512])


@pytest.mark.parametrize(
    "place",
    ["0/001", "0/000", "0/000.p/256", "0/000.p/200", "0/0", "00/000.p/3", "1/000.p/1", "64/000", "entries/x000/000"],
)
def test_a_tile_that_is_not_there_yet_or_has_another_name_is_not_found(
    say: Callable[..., Entry], monitor: Service, place: str
) -> None:
    say(3)
    seal_due()
    assert monitor.get(f"/ledger/tiles/tile/{place}").status_code == 404


@pytest.mark.parametrize(
    ("index", "path"), [(0, "0/000"), (67, "0/067"), (1_234_067, "0/x001/x234/067"), (1_000, "0/x001/000")]
)
def test_tiles_are_named_as_the_specification_names_them(index: int, path: str) -> None:
    assert monitor_api.path_of(0, index) == path
    assert monitor_api.parse(path, (index + 1) * 256) == (0, index, 256)


def test_a_proof_of_one_entry_leads_to_the_signed_checkpoint(say: Callable[..., Entry], monitor: Service) -> None:
    entry = say(5)
    assert monitor.get(f"/ledger/{entry.event_id}/proof").status_code == 409
    seal_due()
    proof = notes.parse_proof(fetch(monitor, f"{entry.event_id}/proof").decode())
    said = notes.parse_checkpoint(notes.open_note(proof.note, sealer.ledger_keys()))
    leaf = merkle.leaf_hash(bytes(entry.body))
    assert merkle.verify_inclusion(proof.index, said.size, leaf, proof.path, said.root)
    assert fetch(monitor, "checkpoint").decode().startswith(Checkpoint.objects.get(size=said.size).note)


def test_only_a_token_for_the_audit_reads_the_log(say: Callable[..., Entry], ada: User) -> None:
    secret = "what nobody else may read"
    entry = say(3, note=secret)
    seal_due()
    other = make_service("deployer", "read", "gate", "serving", "promote", "register", "policy")[1]
    for path in ("checkpoint", "tiles/checkpoint", "tiles/tile/entries/000.p/3", f"{entry.event_id}/proof"):
        for answer in (other.get(f"/ledger/{path}"), Client().get(f"/api/v1/ledger/{path}")):
            assert answer.status_code in (401, 403)
            assert secret.encode() not in answer.content
    with pytest.raises(PermissionDenied):
        ada.require("ledger.read")


def test_a_service_of_the_audit_reads_and_changes_nothing(say: Callable[..., Entry], monitor: Service) -> None:
    say()
    before = Entry.objects.count()
    answers: list[Any] = [monitor.get("/gate", digest="sha256:" + "0" * 64, environment="production", consumer="x")]
    answers.append(monitor.post("/registrations", {}))
    assert {answer.status_code for answer in answers} == {403}
    assert Entry.objects.count() == before
