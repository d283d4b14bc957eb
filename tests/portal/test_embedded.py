"""The launcher: real servers, real kills. The demo as a whole is in test_demo.py."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from portal.embedded import broker, places, postgres, services
from portal.embedded.children import Account, CannotStart
from tests.processes import alive, children_of, gone

ROOT = Path(__file__).resolve().parents[2]
only_root = pytest.mark.skipif(os.getuid() != 0, reason="only root drops to another account")


@pytest.fixture
def runtime() -> Iterator[Path]:
    with places.runtime_folder(places.database_account()) as folder:
        yield folder


def manage(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "manage.py"), *map(str, arguments)]
    return subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False
    )


def without_services() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}


def test_a_database_answers_on_a_socket_ends_with_the_block_and_starts_again(runtime: Path, tmp_path: Path) -> None:
    with postgres.serve(tmp_path, runtime, durable=True) as database:
        with psycopg.connect(database.url) as connection:
            settings = {
                name: connection.execute("SELECT current_setting(%s)", [name]).fetchone()
                for name in ("listen_addresses", "fsync", "server_encoding", "TimeZone")
            }
        pid = database.child.process.pid
        assert alive(pid)
    assert settings == {"listen_addresses": ("",), "fsync": ("on",), "server_encoding": ("UTF8",), "TimeZone": ("UTC",)}
    assert gone({pid})

    # The machine restarted, and the number now belongs to another program.
    (tmp_path / "postgres" / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n")
    with postgres.serve(tmp_path, runtime, durable=False) as database:
        assert alive(database.child.process.pid)
    postgres.remove_data(tmp_path)
    assert not (tmp_path / "postgres").exists()


def test_data_survives_a_killed_launcher_and_nothing_else_does(runtime: Path, tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from portal.embedded.services import private_folder, serve\n"
        "with private_folder() as runtime, serve(Path(sys.argv[1]), runtime, durable=True) as running:\n"
        "    print(running.database_url, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    launcher = subprocess.Popen(command, env=without_services(), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    url = launcher.stdout.readline().strip()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'across the kill' AS word")
    family = children_of(launcher.pid)
    assert len(family) > 2
    launcher.kill()
    launcher.communicate()
    with postgres.serve(tmp_path, runtime, durable=True) as database, psycopg.connect(database.url) as connection:
        assert gone(family)
        assert connection.execute("SELECT word FROM kept").fetchone() == ("across the kill",)
    postgres.remove_data(tmp_path)


@only_root
def test_programs_below_a_private_folder_are_copied_with_their_libraries(
    runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec(postgres.PACKAGE)
    assert found is not None
    assert found.origin is not None
    site = Path(found.origin).parents[1]
    private = tmp_path / "site"
    private.mkdir(mode=0o700)
    for name in (f"{postgres.PACKAGE}/{postgres.INSTALL}", f"{postgres.PACKAGE}.libs"):
        shutil.copytree(site / name, private / name, symlinks=True)
    (private / postgres.PACKAGE / "__init__.py").touch()
    monkeypatch.syspath_prepend(private)
    monkeypatch.delitem(sys.modules, postgres.PACKAGE, raising=False)
    with postgres.serve(tmp_path, runtime, durable=False) as database:
        program = Path(f"/proc/{database.child.process.pid}/exe").resolve()
        assert Path(f"/proc/{database.child.process.pid}").stat().st_uid == places.NOBODY
    assert program.is_relative_to(runtime)
    postgres.remove_data(tmp_path)


@only_root
def test_a_user_without_a_name_reads_what_to_do() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setuid(4242)
        try:
            places.database_account()
        except CannotStart as error:
            os.write(writer, str(error).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as message:
        assert message.read() == (
            "PostgreSQL needs a name for user id 4242 and this system has none. "
            "Add a line to /etc/passwd, or set DATABASE_URL to a server of your own."
        )


def test_the_account_enters_only_where_every_parent_lets_it(tmp_path: Path) -> None:
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    stranger = Account(uid=4242, gid=4242)
    assert not places.can_enter(inner, stranger)
    assert places.can_enter(Path("/usr/bin/env"), stranger)
    assert places.can_enter(inner, None)


def test_the_broker_asks_for_a_password_and_keeps_nothing(runtime: Path, tmp_path: Path) -> None:
    with broker.serve(runtime, tmp_path / "broker.log") as running:
        port = int(running.url.rpartition(":")[2].partition("/")[0])
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(host="127.0.0.1", port=port, retry=Retry(NoBackoff(), 0)).ping()
        client = redis.Redis.from_url(running.url)
        assert client.config_get("save", "appendonly") == {"save": "", "appendonly": "no"}
        client.close()
        command_line = Path(f"/proc/{running.child.process.pid}/cmdline").read_bytes()
        assert running.url.split(":")[2].partition("@")[0].encode() not in command_line


def test_servers_named_in_the_environment_win(runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/theirs")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:6379/0")
    with services.serve(tmp_path, runtime, durable=True) as running:
        assert running.environ() == {
            "DATABASE_URL": "postgresql://elsewhere/theirs",
            "REDIS_URL": "redis://elsewhere:6379/0",
        }
        assert running.children == ()


def test_a_folder_that_a_killed_launcher_left_is_swept_and_a_held_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as parent:
        Path(parent).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", parent)
        left, held = Path(parent, "countersign-left"), Path(parent, "countersign-held")
        for folder in (left, held):
            folder.mkdir()
            (folder / "lock").touch()
            os.utime(folder / "lock", (0, 0))
        with (held / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.utime(held / "lock", (0, 0))
            with places.runtime_folder(None) as ours:
                assert {path.name for path in Path(parent).iterdir()} == {ours.name, held.name}
        assert not ours.exists()


def test_a_command_gets_throwaway_services_and_its_exit_code_comes_back() -> None:
    script = "import os, sys; print(os.environ['COUNTERSIGN_VAR']); sys.exit(7)"
    ran = manage("with_services", "--", sys.executable, "-c", script)
    assert ran.returncode == 7
    assert not Path(ran.stdout.strip()).exists()
    assert manage("with_services").returncode == 2


def test_a_second_demo_says_so_in_one_line(tmp_path: Path) -> None:
    with (tmp_path / "demo.lock").open("w") as lock:
        lock.write("http://localhost:8000, process 123")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = manage("demo", COUNTERSIGN_VAR=str(tmp_path), PORT="0")
    assert second.returncode == 1
    assert second.stderr == "The demo already runs: http://localhost:8000, process 123. Stop that one first.\n"
    assert second.stdout == ""


def test_a_busy_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        refused = manage("demo", COUNTERSIGN_VAR=str(tmp_path / "demo"), PORT=str(port))
    assert refused.returncode == 1
    assert refused.stderr == f"Port {port}: Address already in use. Choose another: PORT=8001 make demo\n"


def test_a_port_that_is_no_number_is_named() -> None:
    assert manage("demo", PORT="web").stderr == "PORT is 'web'; expected a number up to 65535.\n"


def test_a_folder_with_other_things_in_it_is_not_taken_for_a_demo(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    refused = manage("demo", COUNTERSIGN_VAR=str(tmp_path), PORT="0")
    assert refused.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_services_end_when_the_command_is_terminated() -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "with_services", "--", "sh", "-c", "echo up; exec sleep 60"]
    wrapper = subprocess.Popen(command, env=without_services(), stdout=subprocess.PIPE, text=True)
    assert wrapper.stdout is not None
    assert wrapper.stdout.readline() == "up\n"
    family = children_of(wrapper.pid)
    assert len(family) > 3
    wrapper.send_signal(signal.SIGTERM)
    wrapper.communicate(timeout=20)
    assert wrapper.returncode == 128 + signal.SIGTERM
    assert gone(family)
