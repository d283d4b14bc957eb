"""Database and broker together: those named in the environment win, the others are started here."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from portal.embedded import broker, postgres
from portal.embedded.children import CannotStart, Child
from portal.embedded.places import database_account, runtime_folder


@dataclass(frozen=True)
class Services:
    """A database and a broker that answer: where they are, and the processes among them that are ours."""

    database_url: str
    redis_url: str
    children: tuple[Child, ...]

    def environ(self) -> dict[str, str]:
        """Return the environment variables by which the portal finds them."""
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}

    def database_version(self) -> str:
        """Return the database's name and version, for people. Raises CannotStart when it does not answer."""
        try:
            with psycopg.connect(self.database_url, connect_timeout=5) as connection:
                row = connection.execute("SHOW server_version").fetchone()
        except psycopg.OperationalError as error:
            raise CannotStart(f"The database at DATABASE_URL does not answer: {error}") from None
        return f"PostgreSQL {row[0] if row else ''}".strip()

    def broker_version(self) -> str:
        """Return the broker's name and version, for people. Raises CannotStart when it does not answer."""
        client = self._broker()
        try:
            facts = client.info("server")
        except redis.RedisError as error:
            raise CannotStart(f"The broker at REDIS_URL does not answer: {error}") from None
        finally:
            client.close()
        if "valkey_version" in facts:
            return f"Valkey {facts['valkey_version']}"
        return f"Redis {facts.get('redis_version', '')}".strip()

    def forget_messages(self) -> None:
        """Empty the broker when it is ours; rows are the queue, so this loses no work."""
        if not os.environ.get("REDIS_URL"):
            client = self._broker()
            client.flushdb()
            client.close()

    def _broker(self) -> redis.Redis:
        """Return a client of the broker that tries once."""
        return redis.Redis.from_url(self.redis_url, socket_timeout=5, retry=Retry(NoBackoff(), 0))


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make the folder for sockets and copies, open to the account that a database of ours would run as."""
    account = None if os.environ.get("DATABASE_URL") else database_account()
    with runtime_folder(account) as folder:
        yield folder


@contextmanager
def serve(folder: Path, runtime: Path, *, durable: bool) -> Iterator[Services]:
    """Run what DATABASE_URL and REDIS_URL do not name, with its data and logs in `folder`, until the block ends.

    `runtime` is a private folder. Without `durable` the database does not wait for the disk. Raises CannotStart.
    """
    database_url, redis_url = os.environ.get("DATABASE_URL", ""), os.environ.get("REDIS_URL", "")
    children: list[Child] = []
    with ExitStack() as stack:
        if not database_url:
            database = stack.enter_context(postgres.serve(folder, runtime, durable=durable))
            database_url = database.url
            children.append(database.child)
        if not redis_url:
            queue = stack.enter_context(broker.serve(runtime, folder / "logs" / "broker.log"))
            redis_url = queue.url
            children.append(queue.child)
        yield Services(database_url, redis_url, tuple(children))


@contextmanager
def throwaway(*, durable: bool = False) -> Iterator[tuple[Services, dict[str, str]]]:
    """Run services whose data is gone at the end; also hand out a whole environment for a portal on them.

    Files, keys and the secret key are new as well, so a test or a check never meets what a person made.
    """
    with private_folder() as runtime, serve(runtime / "var", runtime, durable=durable) as services:
        # Empty, because tests take static files from their sources; absent, the web server would complain.
        (runtime / "var" / "staticfiles").mkdir(parents=True)
        environ = {
            **services.environ(),
            "SECRET_KEY": os.environ.get("SECRET_KEY") or secrets.token_urlsafe(48),
            "COUNTERSIGN_VAR": str(runtime / "var"),
            "KEYS_DIR": str(runtime / "var" / "keys"),
        }
        yield services, environ
