"""A service as the API sees it: a token, and calls that carry it."""

from __future__ import annotations

import json
from typing import Any

from django.apps import apps
from django.test import Client

from registry import people, tokens
from registry.models import Team, User

API = "/api/v1"


class Service:
    """Calls the API with one token."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.client = Client(raise_request_exception=True)

    def get(self, path: str, **query: str) -> Any:
        return self.client.get(f"{API}{path}", query, headers=self.headers())

    def post(self, path: str, body: object = None, **headers: str) -> Any:
        return self.send(path, json.dumps(body).encode() if body is not None else b"", **headers)

    def send(self, path: str, body: bytes, media_type: str = "application/json", **headers: str) -> Any:
        return self.client.post(f"{API}{path}", body, content_type=media_type, headers={**self.headers(), **headers})

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}"} if self.secret else {}


def make_service(name: str, *scopes: str, team: Team | None = None) -> tuple[User, Service]:
    """Open a service account with a token of these scopes, on a team where one is given."""
    setup = User.objects.system("setup")
    account = people.open_account(name, actor=setup, name=name, kind="service")
    if team:
        people.join_team(team, account, actor=setup)
    _, secret = tokens.issue(account, actor=setup, label="test", scopes=list(scopes))
    return account, Service(secret)


def count_rows() -> dict[str, int]:
    """Return how many rows every table of ours has, to show that nothing half-written is left."""
    return {
        model._meta.db_table: model._default_manager.count()
        for label in ("registry", "governance", "audit")
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
    }


def fields_of(answer: Any) -> list[str]:
    """Return the fields a 422 names."""
    assert answer.status_code == 422, answer.content
    found: list[Any] = answer.json()["faults"]
    assert all(set(fault) == {"field", "seen", "expected"} for fault in found)
    return [fault["field"] for fault in found]
