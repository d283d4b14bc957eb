"""The commands of the ledger: plain sentences and an exit code."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from audit import copies, notes
from audit.models import Checkpoint, Entry
from audit.sealer import seal_due
from tests.audit.conftest import unguarded

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str]:
    """Run the command and return what it printed."""
    out, err = StringIO(), StringIO()
    call_command("verify_ledger", *arguments, stdout=out, stderr=err, no_color=True)
    return out.getvalue(), err.getvalue()


def test_a_sound_ledger_is_called_sound(say: Callable[..., Entry]) -> None:
    say(3)
    seal_due()
    out, err = run()
    assert "3 entries (0 wait to be sealed), 3 leaves, 1 checkpoints" in out
    assert "no place that can be read is in CHECKPOINT_PLACES. So a ledger that was cut off" in out
    assert out.endswith("The ledger verifies.\n")
    assert err == ""


def test_a_checkpoint_is_written_and_compared_with_later(say: Callable[..., Entry], tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    say(3)
    seal_due()
    run("--export-checkpoint", str(kept))
    assert notes.parse_checkpoint(kept.read_text()).size == 3
    say(3)
    seal_due()
    out, _ = run("--checkpoint", str(kept))
    assert f"Compared with the checkpoint of 3 entries in {kept}." in out


def test_the_newest_copy_outside_is_compared_with_by_itself(
    say: Callable[..., Entry], settings: Settings, tmp_path: Path
) -> None:
    settings.CHECKPOINT_PLACES = [f"file://{tmp_path}"]
    for _ in range(2):
        say(2)
        seal_due()
    copies.copy_due()
    out, _ = run()
    assert f"Compared with the checkpoint of 4 entries from folder {tmp_path}." in out
    with unguarded() as cursor:
        cursor.execute("DELETE FROM audit_leaf WHERE leaf_index > 1")
        cursor.execute("DELETE FROM audit_checkpoint WHERE size > 2")
        cursor.execute("DELETE FROM audit_entry WHERE id > (SELECT max(entry_id) FROM audit_leaf)")
    err = StringIO()
    with pytest.raises(CommandError, match="does not verify"):
        call_command("verify_ledger", stdout=StringIO(), stderr=err, no_color=True)
    assert "The ledger was cut off: the given checkpoint has 4 entries" in err.getvalue()
    out, _ = run("--without-copy")
    assert "Compared with nothing outside, as asked by --without-copy." in out


def test_places_that_give_no_checkpoint_are_no_silent_yes(
    say: Callable[..., Entry], settings: Settings, tmp_path: Path
) -> None:
    settings.CHECKPOINT_PLACES = [f"file://{tmp_path / 'gone'}"]
    say(2)
    seal_due()
    with pytest.raises(CommandError, match="nothing was verified"):
        run()
    assert "The ledger verifies." in run("--without-copy")[0]


def test_faults_are_printed_and_the_command_fails(say: Callable[..., Entry], tmp_path: Path) -> None:
    kept, never = tmp_path / "kept.txt", tmp_path / "never.txt"
    say(3)
    seal_due()
    kept.write_text(Checkpoint.objects.get().note)
    with unguarded() as cursor:
        for table in ("entry", "leaf", "checkpoint"):
            cursor.execute(f"DELETE FROM audit_{table}")
    out, err = StringIO(), StringIO()
    with pytest.raises(CommandError, match="does not verify"):
        call_command(
            "verify_ledger", "--checkpoint", kept, "--export-checkpoint", never, stdout=out, stderr=err, no_color=True
        )
    assert (
        "The ledger was cut off: the given checkpoint has 3 entries, the ledger now has 0 sealed ones."
        in err.getvalue()
    )
    assert not never.exists()


@pytest.mark.parametrize("content", [b"", b"prose", b"\xff\xfe", b"x" * 300_000])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kept.txt").write_bytes(content)
    with pytest.raises(CommandError, match=r"kept\.txt"):
        run("--checkpoint", str(tmp_path / "kept.txt"))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"kept\.txt"):
        run("--checkpoint", str(tmp_path / "kept.txt"))


def test_there_is_no_checkpoint_before_the_first_entry(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="nothing was sealed"):
        run("--export-checkpoint", str(tmp_path / "kept.txt"))


def test_keys_are_created_and_the_public_ones_printed(settings: Settings, tmp_path: Path) -> None:
    settings.KEYS_DIR = tmp_path / "keys"
    printed = []
    for _ in range(2):
        out = StringIO()
        call_command("ensure_keys", stdout=out)
        printed.append(out.getvalue())
    assert printed[0] == printed[1]
    assert f"Ledger key: {settings.LEDGER_ORIGIN}+" in printed[0]
    assert "-----BEGIN PUBLIC KEY-----" in printed[0]
    assert "PRIVATE" not in printed[0]


def test_a_key_that_was_lost_is_not_replaced_in_silence(say: Callable[..., Entry], settings: Settings) -> None:
    say()
    seal_due()
    path = Path(settings.KEYS_DIR) / "ledger.pem"
    kept = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(CommandError, match=r"ledger\.pem is missing .* Restore it"):
            call_command("ensure_keys", stdout=StringIO())
        assert not path.exists()
        call_command("ensure_keys", replace_lost=True, stdout=StringIO())
        assert path.read_bytes() != kept
    finally:
        path.write_bytes(kept)
