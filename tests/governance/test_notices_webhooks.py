"""Webhooks: signed as the specification says, posted only where nothing private is reached, kept from the record."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from hypothesis import given
from hypothesis import strategies as st

from audit.models import Entry
from governance import notices
from governance.models import DeliveryAttempt, Notice, Webhook
from governance.notices import Kind, hooks
from portal import posting as outside
from portal import targets
from portal.errors import Invalid, Refused
from tests.governance.receiver import Receiver, is_genuine, receiving
from tests.scene import Scene

pytestmark = pytest.mark.django_db
ENDPOINT = "https://chat.example/services/T000/B000/verysecretpath"


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    """Return a receiver in the operator's own network, which the operator has listed."""
    with receiving() as found:
        settings.WEBHOOK_PRIVATE_HOSTS = frozenset({f"127.0.0.1:{found.port}"})
        yield found


def tell(scene: Scene, cause: str = "decision:1:revoked", **more: Any) -> int:
    words = {"subject": "fraud-scorer@1.0.0 was revoked", "text": "It may not serve.", "url": "/decisions/1/"}
    asset = scene.version.asset
    return notices.tell(Kind.DECISION_ENDED, cause=cause, to=(), **{"asset": asset, **words, **more})


def last_attempt() -> DeliveryAttempt:
    found = DeliveryAttempt.objects.last()
    assert found is not None
    return found


# --- what is posted --------------------------------------------------------------------------------------------------


def test_a_post_is_genuine_by_the_specification_and_only_unchanged(scene: Scene, receiver: Receiver) -> None:
    _, secret = hooks.add("pager", receiver.url, actor=scene.walk.cast.alma)
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert tell(scene) == notices.send_due() == 1
    ((path, headers, body),) = receiver.posted
    now = time.time()
    assert path == "/hook?from=countersign"
    assert is_genuine(secret, headers, body, at=now)
    assert not is_genuine(secret, headers, body + b" ", at=now)
    assert not is_genuine(secret, {**headers, "webhook-id": "another"}, body, at=now)
    assert not is_genuine(secret, headers, body, at=now + 3600)
    row = Notice.objects.get()
    assert headers["webhook-id"] == str(row.public_id)
    assert json.loads(body) == {
        "kind": "decision_ended",
        "cause": "decision:1:revoked",
        "subject": "fraud-scorer@1.0.0 was revoked",
        "text": "It may not serve.",
        "url": "http://localhost:8000/decisions/1/",
        "asset": "fraud-scorer",
        "made_at": row.made_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    assert last_attempt().answer == "The receiver answered 204."


def test_slack_gets_text_in_which_nothing_becomes_a_link_or_calls_everybody(scene: Scene, receiver: Receiver) -> None:
    hooks.add("chat", receiver.url, actor=scene.walk.cast.alma, form="slack")
    tell(scene, subject="<!channel> A & B", text="<https://evil.example|log in>", url="/findings/a|b>c/")
    notices.send_due()
    said = json.loads(receiver.posted[0].body)["text"].splitlines()
    assert said == [
        "&lt;!channel&gt; A &amp; B",
        "&lt;https://evil.example|log in&gt;",
        "<http://localhost:8000/findings/a%7Cb%3Ec/|Open in Countersign>",
    ]


def test_a_webhook_gets_the_kinds_and_the_team_it_asked_for(scene: Scene, receiver: Receiver) -> None:
    cast = scene.walk.cast
    for name, wanted in {
        "everything": {},
        "ours": {"team": cast.risk_models},
        "theirs": {"team": cast.assistants},
        "policies": {"kinds": ["policy_published"]},
        "decisions": {"kinds": ["decision_ended"], "team": cast.risk_models},
    }.items():
        hooks.add(name, receiver.url, actor=cast.alma, **wanted)
    tell(scene)
    assert {row.webhook.name for row in Notice.objects.all()} == {"everything", "ours", "decisions"}
    tell(scene, cause="another", asset=None)
    assert {row.webhook.name for row in Notice.objects.filter(cause="another")} == {"everything"}


def test_a_new_secret_signs_from_now_on_and_the_old_one_no_more(scene: Scene, receiver: Receiver) -> None:
    alma = scene.walk.cast.alma
    row, old = hooks.add("pager", receiver.url, actor=alma)
    tell(scene)
    row, new = hooks.rotate(row, actor=alma)
    notices.send_due()
    headers, body, now = receiver.posted[0].headers, receiver.posted[0].body, time.time()
    assert is_genuine(new, headers, body, at=now)
    assert not is_genuine(old, headers, body, at=now)
    other = hooks.add("another", receiver.url, actor=alma)[1]
    assert len({old, new, other}) == 3


def test_nothing_is_posted_after_the_stop_not_even_what_waited(scene: Scene, receiver: Receiver) -> None:
    alma = scene.walk.cast.alma
    row, _ = hooks.add("pager", receiver.url, actor=alma)
    tell(scene)
    hooks.stop(row, actor=alma)
    assert tell(scene, cause="later") == notices.send_due() == 0
    assert (receiver.posted, notices.count_lost(), notices.due(Notice.objects.get().made_at).count()) == ([], 0, 0)
    row.refresh_from_db()
    for act in (hooks.rotate, hooks.test, hooks.change):
        with pytest.raises(Refused, match="stopped for good"):
            act(row, actor=alma)


def test_a_test_is_posted_like_any_notice(scene: Scene, receiver: Receiver) -> None:
    row, secret = hooks.add("pager", receiver.url, actor=scene.walk.cast.alma, kinds=["challenged"])
    hooks.test(row, actor=scene.walk.cast.alma)
    hooks.test(row, actor=scene.walk.cast.alma)
    assert notices.send_due() == 2
    assert is_genuine(secret, receiver.posted[0].headers, receiver.posted[0].body, at=time.time())
    assert json.loads(receiver.posted[0].body)["kind"] == "test"


# --- who, and what the record says -----------------------------------------------------------------------------------


@pytest.mark.parametrize("person", ["ada", "rhea", "iris", "mallory", "otto"])
def test_only_administrators_change_webhooks(scene: Scene, receiver: Receiver, person: str) -> None:
    cast = scene.walk.cast
    row, _ = hooks.add("pager", receiver.url, actor=cast.alma)
    somebody = getattr(cast, person)
    with pytest.raises(PermissionDenied):
        hooks.add("mine", receiver.url, actor=somebody)
    for act in (hooks.change, hooks.rotate, hooks.stop, hooks.test):
        with pytest.raises(PermissionDenied):
            act(row, actor=somebody)
    row.refresh_from_db()
    assert (row.generation, row.is_active, Webhook.objects.count()) == (1, True, 1)


def test_neither_the_secret_nor_the_address_is_in_the_record(scene: Scene) -> None:
    alma = scene.walk.cast.alma
    row, secret = hooks.add("chat", ENDPOINT, actor=alma, form="slack")
    row, newer = hooks.rotate(row, actor=alma)
    hooks.change(row, actor=alma, url=f"{ENDPOINT}2", form="json", kinds=["challenged"])
    hooks.stop(row, actor=alma)
    told = list(Entry.objects.filter(kind="webhook.changed").order_by("id"))
    assert [entry.details["change"] for entry in told] == ["added", "rotated", "changed", "stopped"]
    assert told[0].details["host"] == "chat.example"
    bodies = b"".join(bytes(entry.body) for entry in told)
    for hidden in ("verysecretpath", secret, newer, secret.removeprefix("whsec_")):
        assert hidden.encode() not in bodies
    held = repr([list(model.objects.values()) for model in (Webhook, Webhook.history.model)])
    assert secret.removeprefix("whsec_") not in held


def test_a_name_is_never_used_twice(scene: Scene) -> None:
    alma = scene.walk.cast.alma
    row, _ = hooks.add("chat", ENDPOINT, actor=alma)
    hooks.stop(row, actor=alma)
    with pytest.raises(Refused, match="never used twice"):
        hooks.add("chat", ENDPOINT, actor=alma)


def test_an_unknown_kind_is_refused_by_name(scene: Scene) -> None:
    for wrong in ("nonsense", "test"):
        with pytest.raises(Invalid, match=wrong):
            hooks.add("chat", ENDPOINT, actor=scene.walk.cast.alma, kinds=[wrong])


# --- where to --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://chat.example/hook",
        "https://127.0.0.1/hook",
        "https://[::1]/hook",
        "https://10.1.2.3/hook",
        "https://192.168.0.1:8443/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:169.254.169.254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[2002:7f00:1::]/",
        "https://[fec0::1]/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://100.64.0.1/",
        "https://user:hunter2@chat.example/",
        "https://chat.example/hook#part",
        "https://chat.example\\@127.0.0.1/",
        "https://chat.example/a b",
        "https://chat.example/\r\nHost: evil",
        "https://châtaigne.example/",
        "https://chat.example:99999/",
        "https://[::1",
        "ftp://chat.example/",
        "file:///etc/passwd",
        "gopher://chat.example/",
        "chat.example",
        "",
        f"https://chat.example/{'a' * 500}",
    ],
)
def test_an_address_that_nothing_may_be_posted_to_is_refused_without_repeating_it(scene: Scene, url: str) -> None:
    with pytest.raises(Invalid) as error:
        hooks.add("chat", url, actor=scene.walk.cast.alma)
    (fault,) = error.value.faults
    assert fault.field == "url"
    assert "hunter2" not in str(error.value)
    assert not Webhook.objects.exists()


@contextmanager
def names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> Iterator[list[str]]:
    """Let every name lead to these addresses, as the owner of a domain can; yields the names that were looked up."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *rest: Any, **more: Any) -> Any:
        if host[-1].isdigit() or ":" in host:
            return real(host, port, *rest, **more)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", look_up)
        yield asked


def test_a_public_name_that_leads_inside_is_not_connected_to(
    scene: Scene, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listed host is named by its number here, so another name for the same machine is not vouched for."""
    hooks.add("chat", f"https://inside.example:{receiver.port}/hook", actor=scene.walk.cast.alma)
    tell(scene)
    with names(monkeypatch, "127.0.0.1", "10.0.0.1", "169.254.169.254"):
        assert notices.send_due() == 0
    assert receiver.posted == []
    assert "private address" in last_attempt().answer


def test_a_name_is_looked_up_once_and_the_address_that_was_judged_is_the_one_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.WEBHOOK_PRIVATE_HOSTS = frozenset({"chat.internal"})
    target = targets.read_target(f"http://chat.internal:{receiver.port}/hook")
    with names(monkeypatch, "127.0.0.1") as asked:
        status = outside.exchange(target, outside.request_of(target, {}, b"{}"), 5)
    assert (status, asked) == (204, ["chat.internal"])
    assert receiver.posted[0].headers["host"] == f"chat.internal:{receiver.port}"


def test_an_operator_who_takes_a_host_off_the_list_ends_its_posts(
    scene: Scene, receiver: Receiver, settings: Any
) -> None:
    hooks.add("pager", receiver.url, actor=scene.walk.cast.alma)
    settings.WEBHOOK_PRIVATE_HOSTS = frozenset({f"127.0.0.1:{receiver.port + 1}"})
    tell(scene)
    assert notices.send_due() == 0
    assert receiver.posted == []
    assert last_attempt().answer == "The webhook's address is not allowed any more."


def test_a_redirect_is_not_followed(scene: Scene, receiver: Receiver) -> None:
    hooks.add("pager", receiver.url, actor=scene.walk.cast.alma)
    receiver.statuses, receiver.location = [302], f"http://127.0.0.1:{receiver.port}/elsewhere"
    tell(scene)
    assert notices.send_due() == 0
    assert [each.path for each in receiver.posted] == ["/hook?from=countersign"]
    assert last_attempt().answer == "The receiver answered 302. Redirects are not followed."


def test_an_address_without_encryption_behind_https_fails_and_says_so(
    scene: Scene, receiver: Receiver, settings: Any
) -> None:
    hooks.add("pager", receiver.url.replace("http:", "https:"), actor=scene.walk.cast.alma)
    tell(scene)
    assert notices.send_due() == 0
    assert last_attempt().answer.startswith("TLS failed: ")


@given(st.text(max_size=80) | st.builds("https://{}/{}".format, st.text(max_size=30), st.text(max_size=30)))
def test_no_text_breaks_the_reading_of_addresses(url: str) -> None:
    try:
        target = targets.read_target(url)
    except Invalid:
        return
    request = outside.request_of(target, {}, b"")
    assert request.count(b"\r\n\r\n") == 1
    assert request.split(b"\r\n")[1] == f"Host: {target.authority}".encode()
